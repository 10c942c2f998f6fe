//! What `--help` and `-V` print.

use super::DEFAULT_FILE;
use crate::config::LISTENERS_MAX;
use crate::config::file::BYTES_MAX;
use crate::plugin::config::ENTRIES_MAX;
use crate::plugin::library::ABI;

/// The text of `--help`.
pub const HELP: &str = "\
swiftd - a small, strict HTTP/1.x server

Usage: swiftd [OPTION]... [DIR]

Serves the files in DIR until SIGTERM or SIGQUIT: then it finishes what
it began and ends. SIGINT or a second SIGTERM ends it at once. SIGHUP
makes it read its configuration anew, SIGUSR1 open its logs anew,
SIGUSR2 give way to a new program. SIGWINCH has it accept no more until
SIGHUP, unless there is a terminal.
Reads a configuration file only if one is named; swiftd.conf(5).

What and where
  -c, -f, --config FILE      swiftd.conf, and conf.d/*.conf beside it; - is
                             standard input; what is said here wins over it
  -r, --root DIR             the directory, instead of the argument
  -l, --listen ADDRESS       where to listen; repeatable  [127.0.0.1:8080]
                             IPV4:PORT, [IPV6]:PORT or unix:PATH;
                             port 0 takes a free one; ADDRESS,proxy if a
                             trusted proxy begins with a PROXY header
  -p, --port PORT            short for --listen 127.0.0.1:PORT
      --index NAME           stands for a directory; repeatable  [index.html]
      --temp-dir DIR         for large request bodies  [$TMPDIR or /tmp]

Instead of serving
  -t, --test                 say whether the configuration is good
  -T, --dump                 and print what holds, with the memory it may take
                             (/etc/swiftd/swiftd.conf, if none is named)
  -s, --signal ORDER         tell the running server: reload, reopen, stop,
                             quit, upgrade, or log: print logs in memory
  -h, --help                 this text
  -v, --version              the version
  -V, --build-options        and what was decided when it was built

The process
  -u, --user USER[:GROUP]    whom it becomes if root has started it
      --chroot DIR           what becomes its root directory
      --pid-file FILE        where its number is kept, and locked
      --daemon               go into the background, return when it serves
  -D, --foreground           do not, whatever the file says
  -q, --quiet                say nothing when all is well
      --landlock HOW         reach only what is configured: best-effort,
                             required or off  [best-effort]
      --seccomp HOW          only a server's system calls  [best-effort]
      --allow NEED           and this: exec, network, code, calls, read:PATH,
                             write:PATH, exec:PATH; repeatable

Logs
      --access-log WHERE     off, stderr, syslog, syslog:SOCKET, ram:64K or a
                             file  [off]
      --log-format FORMAT    common, combined, vcombined, json  [combined]
      --error-log WHERE      as --access-log  [stderr]
      --log-level LEVEL      error, warning, notice, info, debug  [notice]
      --log-buffer N         bytes of lines that wait to be written  [64K]

Timeouts, seconds
      --head-timeout N       for the head of a request; then 408  [10]
      --body-timeout N       a window of a request body; then 408  [20]
      --idle-timeout N       between two requests  [20]
      --write-timeout N      a window in which part of a response is taken  [20]
      --linger-timeout N     for a refused client to go on, or to end  [3]
      --drain-timeout N      for a stop in good order  [10]
      --disk-timeout N       for a disk that does not answer  [30]
      --half-close-timeout N for a plugin, if the client sends no more  [5]

Limits, bytes (suffixes K, M, G) or numbers
      --memory N             for all of it: derives what is not set here  [off]
      --buffer-bytes N       what connections own together  [1/16 of all]
      --connections N        at the same time  [16384, or what ulimit -n allows]
      --requests N           on one connection  [100000]
      --head-bytes N         request line and fields; then 431
                             [16K, below 64K]
      --target-bytes N       the request-target; then 414  [8K]
      --fields N             field lines; then 431  [100, at most 128]
      --body-bytes N         a request body; then 413  [1M]
      --body-memory N        of it in memory, the rest in a file  [64K]
      --linger-bytes N       of a refused client, read and dropped  [64M]
      --min-rate N           bytes a second of a body and a response  [128]
      --cache-bytes N        memory for small files  [1/64 of all, 256K to 12M]
      --cache-entries N      paths that are remembered  [8192]
      --cache-files N        large files that are kept open  [128]
      --cache-trust N        milliseconds until a path is checked again  [1000]
      --small-file N         kept in memory up to this size  [16K]

Clients: an IPv4 address, or an IPv6 network of 64 bits
      --client-connections N at the same time; another one is reset  [off]
      --client-rate N        requests a second; then 429  [off]
      --client-burst N       requests at once, before the rate counts  [50]
      --client-table N       clients that are remembered  [4096]
      --trusted-proxy NET    ADDRESS, ADDRESS/BITS or unix: is believed when it
                             says who its client is; repeatable
      --forwarded-field NAME where it says so: X-Forwarded-For or Forwarded
                             [X-Forwarded-For]

Plugins
      --plugins FILE         the list of plugins, read anew when it is saved:
                             lines NAME:/DIR/$, each for /DIR/NAME.so
      --set plugin.NAME.KEY=VALUE
                             what a plugin is told; repeatable
      --plugin-optional      start even if plugins cannot be loaded
      --require-plugin NAME  without it all is a 503; repeatable
      --plugin-drain-timeout N
                             for requests of a plugin that was replaced  [60]
      --plugin-trial on|off  a plugin is loaded by a child first  [on]
      --supervise            a parent restarts the server if it dies and leaves
                             a plugin out that ends it three times in a minute
      --plugin-hang N        and if a plugin does not return in N s  [off]
      --try-plugin FILE REQUEST
                             no server: what a plugin answers to a request, as
                             in 'GET /x HTTP/1.1', and the calls into it; files
                             only with --root
      --reload N             load it anew N times, for --try-plugin, and say
                             what that leaves behind  [0]
      --check-plugin FILE    say whether this server would load FILE, and end
      --init                 also begin and end it, for --check-plugin

Other
      --avoid FEATURE        do without a feature of the kernel; repeatable:
                             openat2, resolve-cached, nowait, cachestat

Exit codes: 0 stopped as asked, 1 run-time error, 2 usage,
78 configuration.
";

/// The text of `-V`.
#[must_use]
pub fn build_options() -> String {
    let libc = match () {
        () if cfg!(target_env = "musl") => "musl",
        () => "gnu",
    };
    let linked = match () {
        () if cfg!(target_feature = "crt-static") => "statically",
        () => "dynamically",
    };
    let forgets = match () {
        () if cfg!(keeps_thread_locals) => "unloads plugins at once",
        () => "unloads plugins as far as the C library can",
    };
    format!(
        "\
swiftd {version}
target: {arch}-linux-{libc}, linked {linked}
features: {forgets}
plugin ABI: {major}.{minor}
limits: {LISTENERS_MAX} listeners, {ENTRIES_MAX} plugins, {BYTES_MAX} bytes a configuration file
configuration file: {DEFAULT_FILE}
",
        version = env!("CARGO_PKG_VERSION"),
        arch = std::env::consts::ARCH,
        major = ABI.0,
        minor = ABI.1,
    )
}
