/* A plugin that passes every request on. With -DALL it looks at each of the moments that it may. */
#include "swiftd_plugin.h"

static sw_rc pass(void *state, sw_req *request)
{
    (void)state;
    (void)request;
    return SW_GO_ON;
}

const sw_plugin swiftd_plugin_v1 = {
    .magic = SW_MAGIC,
    .size = sizeof(sw_plugin),
    .abi_major = 1,
    .name = NAME,
    .version = "1",
#ifdef ALL
    .url_raw = pass,
    .url_clean = pass,
    .docroot = pass,
    .physical = pass,
    .subrequest_end = pass,
#endif
    .subrequest_start = pass,
};
