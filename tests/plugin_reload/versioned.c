/* A plugin in versions, for the tests of reloading. Options of the compiler say what it is:
 *
 * NAME            its name, quoted
 * VERSION         a number
 * STATE, FLAGS, MINOR   state_version, flags and abi_minor
 * FAIL_INIT, FAIL_DEFAULT, CRASH   fails in that hook, or in a constructor
 * CHILD           init starts a process that ends after so many seconds
 * SAVE_BYTES      what save writes, instead of the count
 * FAIL_RESTORE    restore fails
 *
 * It answers paths of its own, where NAME is its name:
 *
 * /NAME           "v17 ... v17": the version as url_clean saw it, filling, the version as
 *                 handle_subrequest saw it; the bytes are the library's own
 * /NAME/count     how often it was asked for that, over all versions that hand their state over
 * /NAME/text      the value of plugin.NAME.text
 * /NAME/wait?FIFO answers with its version when FIFO has a byte
 * /NAME/keep      keeps something for the connection
 * /NAME/status    the server's figures
 * /NAME/null, /abort, /overflow, /exit, /spin   ends the process in that way, or never returns
 * /shared         its name: the first one of the list answers
 * /NAME/leak      leaves two timers, a watch and data behind; the pipe it closes in cleanup
 */
#include "swiftd_plugin.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef STATE
#define STATE 1
#endif
#ifndef MINOR
#define MINOR 0
#endif
#ifndef FLAGS
#define FLAGS 0
#endif
#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define V "v" TEXT(VERSION)
#define X64 "----------------------------------------------------------------"
#define X512 X64 X64 X64 X64 X64 X64 X64 X64

struct state {
  const sw_host *host;
  sw_self *self;
  uint64_t count;
  int leaked[2], is_retired;
};

/* What a request remembers: who saw it first, and the pipe that it waits for. */
struct memory {
  char seen[16];
  int pipe;
  struct state *owner;
};

static const char BODY[] = V " " X512 X512 " " V "\n";

static void say(const struct state *me, const char *what) {
  char line[128];
  int n = snprintf(line, sizeof line, V " %s", what);
  me->host->log(me->self, SW_LOG_NOTICE, line, (size_t)n);
}

static void say_why(const struct state *me, const char *what, uint32_t why) {
  char line[64];
  snprintf(line, sizeof line, "%s %u", what, (unsigned)why);
  say(me, line);
}

static int is(sw_str path, const char *rest) {
  size_t n = sizeof NAME - 1, m = strlen(rest);
  return path.n == 1 + n + m && path.p[0] == '/' && !memcmp(path.p + 1, NAME, n) &&
         !memcmp(path.p + 1 + n, rest, m);
}

static int is_shared(sw_str path) { return path.n == 7 && !memcmp(path.p, "/shared", 7); }

#ifdef CRASH
static int *volatile nowhere;
__attribute__((constructor)) static void crash(void) { *nowhere = 1; }
#endif

static sw_rc init(const sw_host *host, sw_self *self, void **state) {
  struct state *me = calloc(1, sizeof *me);
  if (!me) return SW_ERROR;
  me->host = host;
  me->self = self;
  me->leaked[0] = -1;
  *state = me;
#ifdef CHILD
  const char *const sleeper[] = {"/bin/sleep", TEXT(CHILD), NULL}, *const nothing[] = {NULL};
  int fds[3] = {SW_STDIO_NULL, SW_STDIO_NULL, SW_STDIO_NULL};
  if (!host->spawn(self, 0, sleeper, nothing, NULL, fds)) return SW_ERROR;
#endif
#ifdef FAIL_INIT
  say(me, "has no wish to begin");
  free(me);
  return SW_ERROR;
#else
  return SW_GO_ON;
#endif
}

static sw_rc set_default(void *state) {
#ifdef FAIL_DEFAULT
  say(state, "does not like its values");
  return SW_ERROR;
#else
  (void)state;
  return SW_GO_ON;
#endif
}

static void cleanup(void *state) {
  struct state *me = state;
  say(me, "cleanup");
  if (me->leaked[0] >= 0) {
    close(me->leaked[0]);
    close(me->leaked[1]);
  }
  free(me);
}


static void forget(void *p) {
  struct memory *memory = p;
  if (memory->pipe >= 0) close(memory->pipe);
  free(memory);
}

static sw_rc url_clean(void *state, sw_req *req) {
  struct state *me = state;
  sw_str path = me->host->req_get(req, SW_REQ_PATH);
  if (!is(path, "") && !is(path, "/wait")) return SW_GO_ON;
  struct memory *memory = calloc(1, sizeof *memory);
  if (!memory) return SW_ERROR;
  strcpy(memory->seen, V);
  memory->pipe = -1;
  memory->owner = me;
  return me->host->data_set(me->self, me->host->req_id(req), memory, forget);
}

static sw_rc subrequest_start(void *state, sw_req *req) {
  struct state *me = state;
  sw_str path = me->host->req_get(req, SW_REQ_PATH);
  int mine = is(path, "") || is(path, "/count") || is(path, "/text") || is(path, "/wait") ||
             is(path, "/keep") || is(path, "/leak") || is_shared(path) || is(path, "/null") || is(path, "/abort") ||
             is(path, "/overflow") || is(path, "/exit") || is(path, "/spin") || is(path, "/status");
  return mine ? SW_FINISHED : SW_GO_ON;
}

static sw_rc answer(const struct state *me, sw_req *req, const void *p, size_t n) {
  if (me->host->resp_status(req, 200)) return SW_ERROR;
  return me->host->resp_body(req, p, n) ? SW_ERROR : SW_FINISHED;
}

static void let_go(void *arg) { (void)arg; }

static void want_too_much(struct state *me);

static sw_rc wait_for_pipe(struct state *me, sw_req *req, struct memory *memory) {
  char byte, path[256];
  if (memory->pipe < 0) {
    sw_str query = me->host->req_get(req, SW_REQ_QUERY);
    if (query.n >= sizeof path) return SW_ERROR;
    memcpy(path, query.p, query.n);
    path[query.n] = 0;
    /* For both directions, so that it never ends. */
    memory->pipe = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (memory->pipe < 0) return SW_ERROR;
    if (!me->host->watch(me->self, me->host->req_id(req), memory->pipe, SW_READY_READ, NULL, NULL))
      return SW_ERROR;
    say(me, "waits");
  }
  if (read(memory->pipe, &byte, 1) != 1) return SW_WAIT_FOR_FD;
  if (me->is_retired) want_too_much(me);
  return answer(me, req, V "\n", sizeof V);
}

static void drop_kept(void *p) { say(p, "drops what it kept"); }

static void late(void *arg, sw_id id) { (void)id; say(arg, "is called too late"); }
static void late_watch(void *arg, sw_id id, uint32_t ready) { (void)ready; late(arg, id); }

/* Nothing of the instance itself begins any more. */
static void want_too_much(struct state *me) {
  int fds[2];
  if (pipe(fds)) return;
  if (me->host->timer(me->self, 0, 1, 1, late, me)) say(me, "has a timer too late");
  if (me->host->watch(me->self, 0, fds[0], SW_READY_READ, late_watch, me)) say(me, "has a watch too late");
  close(fds[0]);
  close(fds[1]);
}

static void retire(void *state) {
  struct state *me = state;
  say(me, "retire");
  me->is_retired = 1;
  want_too_much(me);
}

static sw_rc leave_behind(struct state *me, sw_req *req) {
  if (me->leaked[0] >= 0) return answer(me, req, "again\n", 6);
  if (pipe(me->leaked)) return SW_ERROR;
  const sw_host *host = me->host;
  host->timer(me->self, 0, 3600 * 1000, 0, late, me);
  host->timer(me->self, 0, 3600 * 1000, 1, late, me);
  host->watch(me->self, 0, me->leaked[0], SW_READY_READ, late_watch, me);
  host->data_set(me->self, host->req_conn(req), me, drop_kept);
  return answer(me, req, "left\n", 5);
}

static int *volatile nobody;
static volatile int depth, is_spinning = 1;

__attribute__((noinline)) static int fall(const volatile char *above) {
  volatile char room[4096];
  room[0] = above[0];
  return ++depth ? fall(room) + room[0] : 0;
}

static void die(sw_str path) {
  if (is(path, "/null")) *nobody = 1;
  if (is(path, "/abort")) abort();
  if (is(path, "/overflow")) depth = fall("");
  if (is(path, "/exit")) exit(3);
  while (is(path, "/spin") && is_spinning) {}
}

static sw_rc tell_status(const struct state *me, sw_req *req) {
  const sw_status_ext *status = me->host->ext(me->self, "swiftd.status/1");
  sw_str text = {NULL, 0};
  if (status) text = status->read(me->self);
  return answer(me, req, text.p, text.n);
}

static sw_rc handle_subrequest(void *state, sw_req *req) {
  struct state *me = state;
  const sw_host *host = me->host;
  sw_str path = host->req_get(req, SW_REQ_PATH);
  if (is(path, "") || is(path, "/wait")) {
    struct memory *memory = host->data_get(me->self, host->req_id(req));
    /* Another version saw the first half of this request. */
    if (!memory || memory->owner != me || strcmp(memory->seen, V)) return SW_ERROR;
    if (is(path, "/wait")) return wait_for_pipe(me, req, memory);
    if (host->resp_status(req, 200)) return SW_ERROR;
    return host->resp_body_own(req, BODY, sizeof BODY - 1, let_go, NULL) ? SW_ERROR : SW_FINISHED;
  }
  if (is(path, "/count")) {
    char text[32];
    int n = snprintf(text, sizeof text, "%llu\n", (unsigned long long)++me->count);
    return answer(me, req, text, (size_t)n);
  }
  if (is(path, "/keep")) {
    host->data_set(me->self, host->req_conn(req), me, drop_kept);
    return answer(me, req, V "\n", sizeof V);
  }
  if (is(path, "/leak")) return leave_behind(me, req);
  die(path);
  if (is(path, "/status")) return tell_status(me, req);
  if (is_shared(path)) return answer(me, req, NAME, sizeof NAME - 1);
  sw_str text = host->config(me->self, "text", 4);
  return answer(me, req, text.p ? (const void *)text.p : "none", text.p ? text.n : 4);
}

static void connection_reset(void *state, sw_req *req, uint32_t why) {
  struct state *me = state;
  struct memory *memory = me->host->data_get(me->self, me->host->req_id(req));
  if (memory && memory->pipe >= 0) say_why(me, "reset", why);
}

static void connection_close(void *state, sw_id conn, uint32_t why) {
  struct state *me = state;
  if (me->host->data_get(me->self, conn)) say_why(me, "close", why);
}

static sw_rc save(void *state, void (*put)(void *arg, const void *p, size_t n), void *arg) {
#ifdef SAVE_BYTES
  static const char zeros[4096];
  size_t left = SAVE_BYTES;
  (void)state;
  for (; left >= sizeof zeros; left -= sizeof zeros) put(arg, zeros, sizeof zeros);
  put(arg, zeros, left);
#else
  const struct state *me = state;
  put(arg, &me->count, sizeof me->count);
#endif
  return SW_GO_ON;
}

static sw_rc restore(void *state, uint32_t from_version, sw_str blob) {
  struct state *me = state;
  char line[64];
  snprintf(line, sizeof line, "is given %zu bytes of state %u", blob.n, (unsigned)from_version);
  say(me, line);
#ifdef FAIL_RESTORE
  return SW_ERROR;
#else
  if (blob.n == sizeof me->count) memcpy(&me->count, blob.p, blob.n);
  return SW_GO_ON;
#endif
}

SWIFTD_NEEDS("exec");

const sw_plugin swiftd_plugin_v1 = {.magic = SW_MAGIC,
                                    .size = sizeof(sw_plugin),
                                    .abi_major = 1,
                                    .abi_minor = MINOR,
                                    .flags = FLAGS,
                                    .state_version = STATE,
                                    .name = NAME,
                                    .version = TEXT(VERSION),
                                    .init = init,
                                    .set_default = set_default,
                                    .cleanup = cleanup,
                                    .url_clean = url_clean,
                                    .subrequest_start = subrequest_start,
                                    .handle_subrequest = handle_subrequest,
                                    .connection_reset = connection_reset,
                                    .connection_close = connection_close,
                                    .save = save,
                                    .restore = restore,
                                    .retire = retire};
