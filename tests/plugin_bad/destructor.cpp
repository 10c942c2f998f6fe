// A thread-local with a destructor, which glibc alone would never unmap; sighup touches it.
#include "swiftd_plugin.h"
#include <unistd.h>
static const sw_host *host;
static sw_self *me;
static void say(const char *what, size_t n) { host->log(me, SW_LOG_NOTICE, what, n); }
struct Local {
  int touched = 0;
  // The server's functions may not be used any more: cleanup has been called.
  ~Local() { if (write(2, "destroyed\n", 10) < 0) _exit(9); }
};
static thread_local Local local;
static sw_rc init(const sw_host *h, sw_self *self, void **) {
  host = h;
  me = self;
  return SW_GO_ON;
}
static sw_rc sighup(void *) {
  if (++local.touched == 1) say("touched", 7);
  return SW_GO_ON;
}
extern "C" __attribute__((visibility("default"))) void destructor_init(sw_plugin *p);
void destructor_init(sw_plugin *p) {
  p->name = "destructor";
  p->version = "1.0";
  p->init = init;
  p->sighup = sighup;
}
