/* The smallest plugin in C: it answers /hello_c with a text from the configuration,
 * plugin.hello_c.text. plugins/hello is the same in Rust.
 *
 * cc -Os -fPIC -shared -fvisibility=hidden -s -I ../include hello_c.c -o hello_c.so
 */
#include "swiftd_plugin.h"

#include <stdlib.h>
#include <string.h>

struct hello {
  const sw_host *host;
  sw_str text; /* the server's; it stays as it is for the instance's life */
};

static sw_rc init(const sw_host *host, sw_self *self, void **state) {
  static const char DEFAULT[] = "hello\n";
  struct hello *me = malloc(sizeof *me);
  if (!me) return SW_ERROR;
  me->host = host;
  me->text = host->config(self, "text", 4);
  if (!me->text.p) {
    me->text.p = (const uint8_t *)DEFAULT;
    me->text.n = sizeof DEFAULT - 1;
  }
  *state = me;
  return SW_GO_ON;
}

static void cleanup(void *state) { free(state); }

static sw_rc subrequest_start(void *state, sw_req *req) {
  const struct hello *me = state;
  static const char MINE[] = "/hello_c";
  sw_str path = me->host->req_get(req, SW_REQ_PATH);
  int is_mine = path.n == sizeof MINE - 1 && !memcmp(path.p, MINE, path.n);
  return is_mine ? SW_FINISHED : SW_GO_ON;
}

/* For HEAD the server leaves the content away. */
static sw_rc handle_subrequest(void *state, sw_req *req) {
  const struct hello *me = state;
  const sw_host *host = me->host;
  if (host->resp_status(req, 200) != SW_GO_ON) return SW_ERROR;
  if (host->resp_header(req, SW_HEADER_SET, "content-type", 12, "text/plain", 10) != SW_GO_ON)
    return SW_ERROR;
  return host->resp_body(req, me->text.p, me->text.n) == SW_GO_ON ? SW_FINISHED : SW_ERROR;
}

const sw_plugin swiftd_plugin_v1 = {
    .magic = SW_MAGIC,
    .size = sizeof(sw_plugin),
    .abi_major = SW_ABI_MAJOR,
    .abi_minor = SW_ABI_MINOR,
    .name = "hello_c",
    .version = "1.0",
    .init = init,
    .cleanup = cleanup,
    .subrequest_start = subrequest_start,
    .handle_subrequest = handle_subrequest,
};
