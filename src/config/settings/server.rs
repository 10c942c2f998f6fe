//! The settings of the server as a whole: what and where, the process, logs, clients, sandbox.

use super::Kind::{Bytes, Count, Directory, File, List, Listen, Map, Switch, Text, Word};
use super::value::{FIELDS, FORMATS, LEVELS, MODES};
use super::{Row, row};

const ANY: u64 = u32::MAX as u64;

/// Where lines of a log can go.
const WHERE: &str = "off, stderr, syslog, syslog:SOCKET, ram:BYTES or the path of a file";

#[rustfmt::skip]
pub(super) const TOP: &[Row] = &[
    row("", "root", Directory, |d| &mut d.host().root,
        "The directory whose files are served: the argument DIR of the command line.")
        .short("root", 'r').of_host()
        .default("must be given")
        .example("\"/var/www/html\""),
    row("", "listen", Listen, |d| &mut d.config.listen,
        "Where to listen: `\"IPV4:PORT\"`, `\"[IPV6]:PORT\"` or `\"unix:/PATH\"`, or a table `{ address = \"...\", proxy-protocol = true }` where a proxy begins each connection with a PROXY header. Port 0 takes a free one. On the command line, `ADDRESS,proxy` is such a table.")
        .short("listen", 'l'),
    row("", "index", List("file names without a slash"), |d| &mut d.host().index,
        "File names that stand for a directory; the first one that exists does.")
        .option("index").of_host(),
    row("", "mime", Map { key: "SUFFIX", value: "a media type" }, |d| &mut d.host().mime,
        "Media types by the suffix of a file's name, over the built-in ones: the table `[mime]`.")
        .of_host()
        .example("{ \".wasm\" = \"application/wasm\" }"),
    row("", "error-pages", Map { key: "STATUS", value: "a file" }, |d| &mut d.host().error_pages,
        "Pages that are sent with a status from 400 to 599 instead of the built-in ones: the table `[error-pages]`. A relative path is beneath the root of the host. A page has at most 64 KiB; it is read at the start and at a reload.")
        .of_host()
        .example("{ 404 = \"errors/404.html\" }"),
    row("", "user", Text("the name of a user"), |d| &mut d.config.service.user,
        "Whom the server becomes after it has opened its listeners, if root has started it. On the command line USER or USER:GROUP.")
        .short("user", 'u').optional()
        .example("\"www-data\""),
    row("", "group", Text("the name of a group"), |d| &mut d.config.service.group,
        "Which group; without it, the groups of the user.")
        .optional()
        .example("\"www-data\""),
    row("", "chroot", Directory, |d| &mut d.config.service.chroot,
        "What becomes the root directory of the process. Paths that are opened later are beneath it.")
        .option("chroot").optional()
        .example("\"/srv/jail\""),
    row("", "pid-file", File, |d| &mut d.config.service.pid_file,
        "Where the process number is kept, and locked, while the server runs; `swiftd -s` finds the server by it.")
        .option("pid-file").optional()
        .example("\"/run/swiftd.pid\""),
    row("", "daemon", Switch, |d| &mut d.config.service.is_daemon,
        "Whether the server goes into the background; the command returns once it serves. `--foreground` is the opposite.")
        .switch("daemon"),
    row("", "memory", Bytes { least: 1 << 20, most: 1 << 40 }, |d| &mut d.config.memory,
        "What the server may have in all. Connections, buffers and cache are derived from it where they are not set themselves.")
        .option("memory").optional()
        .example("\"4M\""),
    row("", "temp-dir", Directory, |d| &mut d.config.temporary,
        "Where bodies of requests are kept that are too large for memory.")
        .option("temp-dir")
        .default("$TMPDIR or /tmp")
        .example("\"/var/tmp\""),
    row("", "plugins", File, |d| &mut d.config.plugins.file,
        "The list of plugins, swiftd-plugin.conf(5); it is read anew when it is saved.")
        .option("plugins").optional()
        .example("\"/etc/swiftd/swiftd-plugin.conf\""),
    row("", "plugin-optional", Switch, |d| &mut d.config.plugins.is_optional,
        "Whether the server starts although plugins cannot be loaded.")
        .switch("plugin-optional"),
    row("", "plugin-trial", Switch, |d| &mut d.config.plugins.try_load,
        "Whether a plugin is first loaded by a child process, in case that crashes.")
        .option("plugin-trial"),
    row("", "plugin-required", List("names of plugins"), |d| &mut d.config.plugins.required,
        "Plugins without which nothing is served: while one of them does not run, every request is answered with 503, and a list without it is refused.")
        .option("require-plugin"),
    row("", "supervise", Switch, |d| &mut d.config.plugins.is_supervised,
        "Whether a parent restarts the server if it dies, and leaves a plugin out that ends it three times in a minute.")
        .switch("supervise"),
];

#[rustfmt::skip]
pub(super) const LOG: &[Row] = &[
    row("log", "access", Text(WHERE), |d| &mut d.host().access,
        "Where requests are noted: `\"off\"`, `\"stderr\"`, `\"syslog\"` for /dev/log, `\"syslog:/PATH\"` for another socket, `\"ram:64K\"` for a ring in memory, which `swiftd -s log` prints, or a file.")
        .option("access-log").of_host(),
    row("log", "format", Word(&FORMATS), |d| &mut d.host().format,
        "How requests are noted: the Common Log Format, that with Referer and User-Agent, that with host and port before it, or an object of JSON a line.")
        .option("log-format").of_host(),
    row("log", "error", Text(WHERE), |d| &mut d.config.logs.error,
        "Where everything else is noted; the same kinds.")
        .option("error-log"),
    row("log", "level", Word(&LEVELS), |d| &mut d.config.logs.level,
        "What is worth less is not noted.")
        .option("log-level"),
    row("log", "buffer", Bytes { least: 4096, most: 64 << 20 }, |d| &mut d.config.logs.buffer_bytes_max,
        "Lines of a log that wait for the disk; what is more is counted and dropped.")
        .option("log-buffer"),
];

#[rustfmt::skip]
pub(super) const CLIENTS: &[Row] = &[
    row("clients", "connections", Count { least: 1, most: ANY }, |d| &mut d.config.clients.connections_max,
        "Connections of one client at the same time.")
        .option("client-connections")
        .optional()
        .example("64"),
    row("clients", "requests-per-second", Count { least: 1, most: 1_000_000 }, |d| &mut d.config.clients.requests_per_second,
        "Requests of one client a second, in the long run; more is a 429.")
        .option("client-rate")
        .optional()
        .example("20"),
    row("clients", "burst", Count { least: 1, most: 1_000_000 }, |d| &mut d.config.clients.burst,
        "Requests that a client may make at once before the rate counts.")
        .option("client-burst"),

    row("clients", "table", Count { least: 16, most: 1 << 20 }, |d| &mut d.config.clients.table_entries_max,
        "Clients that are remembered. When the table is full, those that were quiet longest are forgotten.")
        .option("client-table"),

    row("clients", "trusted-proxies", List("addresses and networks"), |d| &mut d.config.clients.trusted_proxies,
        "Proxies that are believed when they say on whose behalf they ask, by `Forwarded`, `X-Forwarded-For` or the PROXY protocol: `\"127.0.0.1\"`, `\"10.0.0.0/8\"`, `\"2001:db8::/32\"`, and `\"unix\"` for whoever connects to a Unix socket.")
        .option("trusted-proxy"),

    row("clients", "forwarded-field", Word(&FIELDS), |d| &mut d.config.clients.forwarded_field,
        "The field that the trusted proxies write; no other is read.")
        .option("forwarded-field"),

];

#[rustfmt::skip]
pub(super) const SANDBOX: &[Row] = &[
    row("sandbox", "landlock", Word(&MODES), |d| &mut d.config.service.sandbox.landlock,
        "Only the directories that the configuration names can be reached (landlock(7)). `required` refuses to start where the kernel cannot.")
        .option("landlock"),
    row("sandbox", "seccomp", Word(&MODES), |d| &mut d.config.service.sandbox.seccomp,
        "Only the system calls that a server makes are possible (seccomp(2)).")
        .option("seccomp"),
    row("sandbox", "allow", List("needs"), |d| &mut d.config.service.sandbox.allow,
        "What is kept beside what the configuration and the plugins need: `exec` to start programs of the system, `network` to connect to others, `code` for memory that is written and then run, `calls` for system calls that nobody can list; `read:`, `write:` or `exec:` with an absolute path behind it for files and directories.")
        .option("allow")
        .example("[\"read:/srv/data\"]"),
    row("sandbox", "upgrade", Switch, |d| &mut d.config.service.sandbox.is_upgradable,
        "Whether the program of the server may be started, so that it can be replaced while it runs."),
];
