/* swiftd_plugin.h: write plugins for the swiftd web server in C or C++. ABI version 1.0.
 *
 * A plugin is a shared library with one exported constant, swiftd_plugin_v1, at the end of this
 * file. Build: cc -Os -fPIC -shared -fvisibility=hidden -s hello.c -o hello.so
 * plugins/hello_c is a whole one; docs/PLUGIN-ABI.md is the contract.
 *
 * Rules in short. All hooks and callbacks run on the server's loop thread, one at a time, and no
 * host function calls back. A hook must not block. A sw_req, and bytes borrowed from it, live until
 * the hook returns; keep the id. Who allocates frees: pass drop functions. Functions marked [any]
 * may be called from any thread. What the plugin forgets to cancel, the server takes back.
 * Structs only grow at their ends and carry their own size: see SW_HAS.
 */
#ifndef SWIFTD_PLUGIN_H
#define SWIFTD_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* "SWF1", the first member of a descriptor. */
#define SW_MAGIC UINT32_C(0x31465753)
#define SW_ABI_MAJOR 1
#define SW_ABI_MINOR 0

/* What a hook or a host function returns. */
typedef int32_t sw_rc;
#define SW_GO_ON 0          /* hook: the next one; host function: done */
#define SW_FINISHED 1       /* the response is complete, or the request is claimed */
#define SW_COMEBACK 2       /* start the chain over */
#define SW_WAIT_FOR_EVENT 3 /* call again when an event has come */
#define SW_WAIT_FOR_FD 4    /* call again when a watched descriptor is ready */
#define SW_ERROR (-1)       /* it failed: 500 */
#define SW_AGAIN (-2)       /* host function: not now; the queue is full */
#define SW_GONE (-3)        /* host function: what the id named has ended */
#define SW_INVALID (-4)     /* host function: a bad argument, or not allowed here */
#define SW_LIMIT (-5)       /* host function: a bound is reached */

/* Borrowed bytes. p == NULL: absent; p != NULL and n == 0: present and empty. Not ended by NUL. */
typedef struct sw_str {
  const uint8_t *p;
  size_t n;
} sw_str;

typedef struct sw_self sw_self; /* this instance */
typedef struct sw_req sw_req;   /* a request, valid only inside the call that brought it */

/* A request, connection, timer, watch, job, child or subrequest; 0 is none, or failure. Never used
 * again, so a stale one is SW_GONE and nothing worse. */
typedef uint64_t sw_id;

/* what, for req_get and req_set. */
#define SW_REQ_PATH 1     /* decoded, free of dot segments; settable */
#define SW_REQ_TARGET 2   /* as it came; settable in url_raw */
#define SW_REQ_QUERY 3    /* without its question mark; settable */
#define SW_REQ_METHOD 4
#define SW_REQ_PROTOCOL 5 /* HTTP/1.0 or HTTP/1.1 */
#define SW_REQ_HOST 6     /* the authority that the request is for */
#define SW_REQ_PEER 7     /* 192.0.2.1:4711, [2001:db8::1]:4711, unix: */
#define SW_REQ_LOCAL 8    /* the server's address, in the same form */
#define SW_REQ_DOCROOT 9  /* absolute; settable until it is used */
#define SW_REQ_PHYSICAL 10 /* root and path joined; settable in physical */
#define SW_REQ_USER 11    /* the authenticated user; settable */
#define SW_REQ_SCHEME 12  /* http or https */

/* mode, for resp_header. */
#define SW_HEADER_SET 0    /* in place of all fields of that name */
#define SW_HEADER_ADD 1
#define SW_HEADER_REMOVE 2

/* why a request, a connection or its data ended; also for `done` of a job, where all but
 * SW_WHY_DONE means: cancelled before it began. */
#define SW_WHY_DONE 0
#define SW_WHY_CLIENT_GONE 1
#define SW_WHY_DEADLINE 2
#define SW_WHY_ERROR 3
#define SW_WHY_DRAIN 4     /* an old generation is drained */
#define SW_WHY_STOP 5      /* the server stops */

/* What woke a request: woken_by. */
#define SW_CAUSE_NONE 0    /* nothing that has not been told yet */
#define SW_CAUSE_TIMER 1
#define SW_CAUSE_WATCH 2
#define SW_CAUSE_JOB 3
#define SW_CAUSE_CHILD 4
#define SW_CAUSE_SUBREQUEST 5
#define SW_CAUSE_ROOM 6    /* the send queue has room again */
#define SW_CAUSE_WAKE 7

/* Bits of rw for watch, and of what its callback is told. */
#define SW_READY_READ 1
#define SW_READY_WRITE 2
#define SW_READY_HANGUP 4  /* the other side is gone; told only */

/* Levels of log. */
#define SW_LOG_ERROR 0
#define SW_LOG_WARNING 1
#define SW_LOG_NOTICE 2
#define SW_LOG_INFO 3
#define SW_LOG_DEBUG 4

/* Bits of sw_plugin.flags. */
#define SW_FLAG_RESIDENT 1       /* never unmap: own threads that stay, atexit */
#define SW_FLAG_STATE_REQUIRED 2 /* a failed restore rejects the reload */
#define SW_FLAG_KNOWN 3

/* An entry of fds for spawn; 0 and more is a descriptor, which stays the caller's. */
#define SW_STDIO_PIPE (-1) /* replaced by the plugin's end of a pipe, non-blocking, the plugin's */
#define SW_STDIO_NULL (-2) /* /dev/null */

/* What the server offers. It lives until cleanup has returned. */
typedef struct sw_host {
  uint32_t size; /* of this struct as the server knows it, bytes */
  uint16_t abi_major, abi_minor;

  /* The request. Names compare without case; an unknown `what` is absent. Setters never move bytes
   * that were handed out. */
  sw_str (*req_get)(sw_req *, uint32_t what);
  sw_rc (*req_set)(sw_req *, uint32_t what, const void *p, size_t n);
  sw_str (*req_header)(sw_req *, const char *name, size_t n, uint32_t nth);
  sw_rc (*req_header_at)(sw_req *, uint32_t i, sw_str *name, sw_str *value);
  int64_t (*req_body_len)(sw_req *); /* -1 while unknown */
  int64_t (*req_body_read)(sw_req *, uint64_t off, void *buf, size_t n);
  int (*req_body_fd)(sw_req *); /* the server's; -1: the body is in memory */
  sw_id (*req_id)(sw_req *);
  sw_id (*req_conn)(sw_req *);

  /* The response. The status, 200 to 599, is enough. CR, LF, NUL in a field is INVALID;
   * content-length, transfer-encoding and connection are the server's. */
  sw_rc (*resp_status)(sw_req *, uint32_t status);
  sw_rc (*resp_header)(sw_req *, uint32_t mode, const char *name, size_t name_n, const void *value,
                       size_t value_n);
  sw_rc (*resp_body)(sw_req *, const void *p, size_t n); /* copies */
  /* No copy. drop runs once, also after an error. */
  sw_rc (*resp_body_own)(sw_req *, const void *p, size_t n, void (*drop)(void *arg), void *arg);
  /* After success the descriptor is the server's, after an error the caller's. */
  sw_rc (*resp_file)(sw_req *, int fd, uint64_t off, uint64_t len);

  /* The response piece by piece. After SW_AGAIN return SW_WAIT_FOR_EVENT: the hook comes again when
   * there is room. */
  sw_rc (*resp_start)(sw_req *);
  int64_t (*resp_write)(sw_req *, const void *p, size_t n); /* bytes taken, or SW_AGAIN */
  sw_rc (*resp_end)(sw_req *);

  /* One pointer for each request and each connection. */
  sw_rc (*data_set)(sw_self *, sw_id req_or_conn, void *p, void (*drop)(void *p));
  void *(*data_get)(sw_self *, sw_id req_or_conn);

  void (*log)(sw_self *, uint32_t level, const char *p, size_t n); /* [any] */
  /* plugin.NAME.KEY; stays as it is for the instance's life. Lines of an array are joined by \n. */
  sw_str (*config)(sw_self *, const char *key, size_t n);
  uint64_t (*now_ms)(void); /* [any] */

  /* req == 0: bound to the instance, with a callback. Otherwise bound to that request, which it
   * wakes; fire may be NULL. Watches are edge-triggered: read until EAGAIN; cancel before close. */
  sw_id (*timer)(sw_self *, sw_id req, uint32_t ms, uint32_t repeat,
                 void (*fire)(void *arg, sw_id timer), void *arg);
  sw_id (*watch)(sw_self *, sw_id req, int fd, uint32_t rw,
                 void (*fire)(void *arg, sw_id watch, uint32_t ready), void *arg);
  /* Ends a timer, watch, queued job, child (SIGKILL to its group) or subrequest. */
  sw_rc (*cancel)(sw_self *, sw_id);
  sw_rc (*wake)(sw_self *, sw_id req); /* [any] */
  sw_rc (*deadline)(sw_req *, uint32_t ms);
  uint32_t (*woken_by)(sw_req *, sw_id *which); /* one cause after the other */

  /* work runs on a helper thread; done, always and once, on the loop thread. */
  sw_id (*job)(sw_self *, sw_id req, void (*work)(void *arg), void (*done)(void *arg, uint32_t why),
               void *arg);
  sw_id (*subrequest)(sw_req *, const char *target, size_t n, uint32_t flags);
  /* The only way to start a process. Its end wakes req; status in sw_child_ext. */
  sw_id (*spawn)(sw_self *, sw_id req, const char *const *argv, const char *const *envp,
                 const char *dir, int fds[3]);

  /* A counter keeps its value across reloads; 0: there are too many. */
  uint32_t (*counter)(sw_self *, const char *name, size_t n);
  void (*count)(sw_self *, uint32_t counter, int64_t add); /* [any] */

  const void *(*ext)(sw_self *, const char *id); /* one of the tables below, or NULL */
} sw_host;

/* What a plugin is. A hook that is NULL is not implemented. Beside the results named, SW_ERROR is
 * always allowed. */
typedef struct sw_plugin {
  uint32_t magic, size;
  uint16_t abi_major, abi_minor;
  uint32_t flags, state_version, reserved;
  const char *name;    /* [a-z][a-z0-9_]{0,30} */
  const char *version; /* for people */

  sw_rc (*init)(const sw_host *, sw_self *, void **state); /* GO_ON, or it is not loaded */
  sw_rc (*set_default)(void *state);                       /* after init of all: check config */
  void (*cleanup)(void *state);                            /* the end of the instance */
  sw_rc (*trigger)(void *state);                           /* each second */
  sw_rc (*sighup)(void *state);
  void (*connection_close)(void *state, sw_id conn, uint32_t why);
  void (*connection_reset)(void *state, sw_req *, uint32_t why); /* the end of a request */
  sw_rc (*joblist)(void *state, sw_req *);          /* woken, about to be resumed: GO_ON */
  sw_rc (*url_raw)(void *state, sw_req *);          /* GO_ON FINISHED COMEBACK WAIT_* */
  sw_rc (*url_clean)(void *state, sw_req *);        /* GO_ON FINISHED COMEBACK WAIT_* */
  sw_rc (*docroot)(void *state, sw_req *);          /* GO_ON FINISHED WAIT_* */
  sw_rc (*physical)(void *state, sw_req *);         /* GO_ON FINISHED COMEBACK WAIT_* */
  sw_rc (*subrequest_start)(void *state, sw_req *); /* FINISHED: I answer. GO_ON COMEBACK WAIT_* */
  sw_rc (*handle_subrequest)(void *state, sw_req *); /* FINISHED WAIT_*, COMEBACK before start */
  sw_rc (*subrequest_end)(void *state, sw_req *);    /* GO_ON */
  sw_rc (*save)(void *state, void (*put)(void *arg, const void *p, size_t n), void *arg);
  sw_rc (*restore)(void *state, uint32_t from_version, sw_str blob);
  void (*retire)(void *state); /* replaced or removed; requests may still be there */
} sw_plugin;

/* ext("swiftd.child/1"): what became of a process. */
typedef struct sw_child_ext {
  uint32_t size, reserved;
  /* SW_AGAIN while it runs; then *code is the exit code, or 256 plus the signal's number. */
  sw_rc (*status)(sw_self *, sw_id child, int32_t *code);
  sw_rc (*kill)(sw_self *, sw_id child, int32_t signal); /* its process group */
} sw_child_ext;

/* ext("swiftd.subrequest/1"): the response of an inner request; the bytes live until the parent
 * ends. */
typedef struct sw_subrequest_ext {
  uint32_t size, reserved;
  int32_t (*status)(sw_req *, sw_id); /* SW_AGAIN while it runs */
  sw_str (*header)(sw_req *, sw_id, const char *name, size_t n);
  sw_str (*body)(sw_req *, sw_id);
} sw_subrequest_ext;

/* ext("swiftd.response/1"): the response as it is, for subrequest_end. */
typedef struct sw_response_ext {
  uint32_t size, reserved;
  uint32_t (*status)(sw_req *); /* 0 while there is none */
  uint64_t (*body_bytes)(sw_req *);
} sw_response_ext;

/* ext("swiftd.status/1"): the server's own figures, as in the Prometheus text format; they live
 * until the hook returns. */
typedef struct sw_status_ext {
  uint32_t size, reserved;
  sw_str (*read)(sw_self *);
} sw_status_ext;

/* Whether the server is new enough to have a function: if (SW_HAS(host, ext)) ... */
#define SW_HAS(host, fn)                                                                           \
  ((host)->size >= offsetof(struct sw_host, fn) + sizeof((host)->fn))

/* For a library that exports `void NAME_init(sw_plugin *)` instead of the constant: copies no more
 * than the server's struct holds. */
static inline void sw_plugin_fill(sw_plugin *p, const sw_plugin *mine) {
  size_t i, n = p->size < mine->size ? p->size : mine->size;
  unsigned char *to = (unsigned char *)p;
  const unsigned char *from = (const unsigned char *)mine;
  for (i = 0; i < n; i++) to[i] = from[i];
  p->size = (uint32_t)n;
}

#if defined(_WIN32) || !(defined(__GNUC__) || defined(__clang__))
#define SW_EXPORT
#else
#define SW_EXPORT __attribute__((visibility("default")))
#endif

/* The one symbol of the library. Visible also under -fvisibility=hidden. */
extern SW_EXPORT const sw_plugin swiftd_plugin_v1;

/* What the plugin needs of a server that has locked itself in, read from the file before it is
 * loaded: SWIFTD_NEEDS("exec", "read:$file"); once, outside of functions. Words: exec, network, code,
 * calls, read:PATH, write:PATH, exec:PATH; a PATH is absolute, $KEY for the paths in plugin.NAME.KEY,
 * or @roots; a word has at most 127 bytes. Without it the plugin needs nothing. docs/PLUGINS.md has
 * all of it. */
#define SWIFTD_NEEDS(...)                                                                          \
  extern SW_EXPORT const char swiftd_plugin_needs[][128];                                          \
  const char swiftd_plugin_needs[][128] = {__VA_ARGS__}

#ifdef __cplusplus
}
#endif

#endif
