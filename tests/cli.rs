//! The command line of the real program: what it says, where, and the exit code.

#[path = "support/server.rs"]
mod server;

use server::{Server, copy_program, program};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;
use swiftd::cli::{self, Command, OTHERS};
use swiftd::config::settings::SETTINGS;
use swiftd::config::{self, Draft, PluginSettings};
use tempfile::TempDir;

fn run<S: AsRef<OsStr>>(arguments: &[S]) -> Output {
    program().args(arguments).output().unwrap()
}

/// The one line that a program says that ends with `code`.
#[track_caller]
fn complaint(output: &Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(output.stdout.is_empty(), "complaints go to standard error");
    let line = said
        .strip_suffix('\n')
        .unwrap_or_else(|| panic!("{said:?}"));
    assert!(
        !line.contains(['\n', '\r', '\u{1b}']),
        "not one plain line: {said:?}"
    );
    let line = line.strip_prefix("swiftd: ");
    line.unwrap_or_else(|| panic!("whose line is it? {said}"))
        .to_owned()
}

#[test]
fn help_and_version_go_to_standard_output() {
    for option in ["--help", "-h"] {
        let output = run(&[option]);
        assert!(output.status.success() && output.stderr.is_empty());
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(help.contains("Usage: swiftd [OPTION]... [DIR]"), "{help}");
        for line in help.lines() {
            assert!(line.len() <= 80, "too wide for a terminal: {line}");
        }
    }
    for option in ["--version", "-v"] {
        let output = run(&[option]);
        assert!(output.status.success() && output.stderr.is_empty());
        let wanted = concat!("swiftd ", env!("CARGO_PKG_VERSION"), "\n");
        assert_eq!(output.stdout, wanted.as_bytes());
    }
}

#[test]
fn help_wins_over_what_comes_after_it() {
    assert!(run(&["--help", "--nonsense"]).status.success());
    assert!(run(&[".", "--version"]).status.success());
}

#[test]
fn the_build_options_name_what_was_decided() {
    for option in ["-V", "--build-options"] {
        let output = run(&[option]);
        assert!(output.status.success() && output.stderr.is_empty());
        let said = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[0], concat!("swiftd ", env!("CARGO_PKG_VERSION")));
        let starts = [
            "target: ",
            "features: ",
            "plugin ABI: 1.",
            "limits: 128 listeners",
        ];
        for start in starts {
            let mut found = lines.iter().filter(|line| line.starts_with(start));
            assert!(found.next().is_some(), "{start}: {said}");
        }
    }
}

#[test]
fn every_option_of_the_help_is_known() {
    let switches = SETTINGS.iter().filter_map(|setting| setting.option);
    let switches = switches.filter(|flag| flag.is_switch).map(|flag| flag.long);
    let others = OTHERS.iter().filter(|other| other.value.is_none());
    let switches: Vec<&str> = switches.chain(others.map(|other| other.long)).collect();
    let options = cli::HELP
        .split_whitespace()
        .map(|word| word.trim_matches(','))
        .filter_map(|word| word.strip_prefix("--"));
    let options: Vec<&str> = options
        .filter(|option| !switches.contains(option))
        .collect();
    assert!(options.len() > 40);
    for option in options {
        // Whatever is wrong with it, it is the value.
        let said = complaint(&run(&[format!("--{option}")]), 2);
        assert!(
            said.contains(&format!("--{option} needs a value")),
            "{said}"
        );
    }
}

#[test]
fn a_wrong_option_is_named_with_its_cure() {
    for (arguments, wanted) in [
        (&["--prot", "1"][..], "did you mean --port?"),
        (&["--liste"], "did you mean --listen?"),
        (&["--frobnicate"], "unknown option --frobnicate"),
        (&["-x"], "unknown option -x"),
        (&[], "which directory? try: swiftd ."),
        (&[""], "try: swiftd ."),
        (&["a", "b"], "one directory at a time"),
        (&["--root", "a", "b"], "one directory at a time"),
        (&["--root"], "--root needs a value"),
        (&["-p"], "--port needs a value"),
        (&["--port", "http"], "--port \"http\": expected"),
        (&["--port", "65536"], "--port \"65536\": expected"),
        (&["--port", "-1"], "--port \"-1\": expected"),
        (&["-p", ""], "--port \"\": expected"),
        (
            &["--listen", "80"],
            "--listen \"80\": expected ADDRESS:PORT",
        ),
        (&["--listen", "example.org:80"], "expected ADDRESS:PORT"),
        (&["--listen", "::1:80"], "[::]:80"),
        (&["--listen", "unix:"], "unix: needs a path"),
        (&["--index", "a/b"], "expected a file name"),
        (&["--index", ""], "expected a file name"),
        (&["--idle-timeout", "soon"], "expected seconds from 0.001"),
        (
            &["--idle-timeout", "0"],
            "--idle-timeout \"0\": expected seconds",
        ),
        (&["--idle-timeout", "-1"], "expected seconds"),
        (&["--head-timeout", "nan"], "expected seconds"),
        (&["--body-timeout", "inf"], "expected seconds"),
        (&["--write-timeout", "1e9"], "expected seconds"),
        (&["--linger-timeout", "1s"], "expected seconds"),
        (&["--plugin-hang", "0"], "expected seconds"),
        (&["--supervise=yes", "."], "--supervise takes no value"),
        (&["--connections", "0"], "expected a number from 1 to"),
        (
            &["--connections", "1x"],
            "--connections \"1x\": expected a number",
        ),
        (&["--requests", "1.5"], "expected a number"),
        (&["--head-bytes", "64K"], "from 256 to 65535"),
        (&["--head-bytes", "255"], "from 256 to 65535"),
        (&["--fields", "129"], "from 4 to 128"),
        (
            &["--body-bytes", "99999999999999999999"],
            "expected a number",
        ),
        (
            &["--body-bytes", "18446744073709551615G"],
            "expected a number",
        ),
        (&["--body-memory", "K"], "expected a number"),
        (&["--cache-trust", "-5"], "expected milliseconds from 0 to"),
        (&["--memory", "1K"], "bytes from 1048576"),
        (
            &["--access-log", "a.log"],
            "expected off, stderr, syslog, ram:64K or an absolute path",
        ),
        (
            &["--error-log", "ram:1"],
            "expected ram: with 1K to 64M behind it",
        ),
        (&["--log-level", "warn"], "did you mean warning?"),
        (
            &["--log-format=nice"],
            "expected common, combined, vcombined or json",
        ),
        (&["--user", ""], "--user \"\": expected a name or a number"),
        (&["-u", "a:"], "--user \"\": expected a name or a number"),
        (&["-u", "a b"], "--user \"a b\": expected a name"),
        (&["--chroot="], "--chroot \"\": expected a directory"),
        (
            &["--seccomp", "on"],
            "expected best-effort, required or off",
        ),
        (&["--daemon=yes", "."], "--daemon takes no value"),
        (&["-t=1", "."], "takes no value"),
        (
            &["-s", "restart"],
            "-s \"restart\": expected one of reload, reopen, stop, quit, upgrade, log",
        ),
        (&["-s"], "--signal needs a value"),
        (&["-c"], "--config needs a value"),
        (&["-f", ""], "--config \"\": expected a file"),
        (
            &["-l", "127.0.0.1:80", "-p", "80", "."],
            "--port \"127.0.0.1:80\": it is there twice",
        ),
        (
            &["--memory", "2M", "--connections", "100000", "."],
            "raise it, or lower them",
        ),
        (&["--index", ".."], "expected a file name"),
        (&["--require-plugin", "A"], "expected a plugin's name"),
        (&["--small-file", "\u{fc}"], "expected a number"),
        (
            &["--avoid", "epoll"],
            "expected openat2, resolve-cached, nowait or cachestat",
        ),
        (&["--plugins"], "--plugins needs a value"),
        (&["--plugins", ""], "--plugins \"\": expected a file"),
        (&["--plugin", "x"], "did you mean --plugins?"),
        (&["--confg", "x"], "did you mean --config?"),
        (&["--config", ""], "--config \"\": expected a file"),
        (&["--set"], "--set needs a value"),
        (
            &["--set", "a=b"],
            "--set \"a=b\": expected plugin.NAME.KEY=VALUE",
        ),
        (&["--set", "plugin.a.b"], "expected plugin.NAME.KEY=VALUE"),
        (&["--set", "plugin.a=b"], "expected plugin.NAME.KEY=VALUE"),
        (
            &["--set", "plugin.A.k=v"],
            "expected a plugin's name: a small letter",
        ),
        (&["--set", "plugin.a-b.k=v"], "expected a plugin's name"),
        (&["--set", "plugin..k=v"], "expected a plugin's name"),
        (
            &["--set", "plugin.a.=v"],
            "expected a key of up to 64 letters",
        ),
        (
            &["--set", "plugin.a.b.c=v"],
            "expected a key of up to 64 letters",
        ),
        (&["--set", "plugin.a.b c=\u{1b}\n"], "expected a key"),
        (
            &["--plugin-drain-timeout", "0"],
            "expected seconds from 0.001",
        ),
        (
            &["--plugin-trial", "yes"],
            "--plugin-trial \"yes\": expected on or off",
        ),
        (&["--plugin-trial"], "--plugin-trial needs a value"),
        (&["--try-plugin"], "--try-plugin needs a value"),
        (
            &["--try-plugin", "", "GET / HTTP/1.1"],
            "--try-plugin \"\": expected a file",
        ),
        (
            &["--try-plugin", "a.so"],
            "needs one request, not 0, as in: swiftd --try-plugin FILE 'GET / HTTP/1.1'",
        ),
        (
            &["--try-plugin", "a.so", "GET", "/"],
            "needs one request, not 2",
        ),
        (&["--try-plugin", "a.so", " "], "the request is empty"),
        (
            &["--try-plugin", "a.so", "GET /"],
            "\"GET /\": expected METHOD TARGET HTTP/1.1",
        ),
        (&["--init"], "--init goes with --check-plugin"),
        (&["--init=yes"], "--init takes no value"),
        (
            &["--check-plugin", "a.so", "b.so"],
            "--check-plugin takes one file, --init and --set, and nothing else",
        ),
        (
            &["--check-plugin", ""],
            "--check-plugin \"\": expected a file",
        ),
        (&["--reload", "3", "."], "--reload goes with --try-plugin"),
        (
            &["--reload", "-1"],
            "--reload \"-1\": expected a number from 0 to 1000000",
        ),
        (&["--plugin-optional"], "which directory?"),
        (&["--supervise"], "which directory?"),
        (
            &["--plugin-optional=yes", "."],
            "--plugin-optional takes no value",
        ),
        // A slip here is told before what is in a file.
        (
            &["--config", "/nowhere/swiftd.toml", "--port", "x"],
            "--port \"x\": expected",
        ),
        (&["--cache-files=many"], "--cache-files \"many\""),
        (&["--bad\noption"], "unknown option"),
        (&["-\n"], "unknown option"),
        (&["--port", "1\n2"], "expected"),
    ] {
        let said = complaint(&run(arguments), 2);
        assert!(said.contains(wanted), "{arguments:?}: {said}");
        assert!(
            said.ends_with("(swiftd --help lists all options)"),
            "{said}"
        );
    }
}

#[test]
fn arguments_that_are_no_text_are_refused_in_one_line() {
    let odd = OsString::from(OsStr::from_bytes(b"--\xff\xfe"));
    complaint(&run(&[odd]), 2);
    let odd = OsStr::from_bytes(b"\xff");
    for option in [
        "--port",
        "--listen",
        "--index",
        "--idle-timeout",
        "--avoid",
        "--set",
        "--plugin-trial",
        "--reload",
    ] {
        complaint(&run(&[OsStr::new(option), odd]), 2);
    }
    let said = complaint(&run(&["--try-plugin".as_ref(), "a.so".as_ref(), odd]), 2);
    assert!(said.contains("expected a request in UTF-8"), "{said}");
}

#[test]
fn more_listeners_than_there_is_room_for_are_refused() {
    let arguments = [".", "--listen", "127.0.0.1:0"].into_iter();
    let more = ["--port", "0"].into_iter().cycle().take(2 * 300);
    let arguments: Vec<&str> = arguments.chain(more).collect();
    let said = complaint(&run(&arguments), 2);
    assert!(said.contains("more than 128 of these"), "{said}");
}

#[test]
fn a_root_that_cannot_be_served_ends_the_start() {
    let directory = TempDir::new().unwrap();
    let missing = directory.path().join("missing");
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    for (root, cure) in [
        (&missing, "name a directory that exists"),
        (&file, "name the directory it is in"),
    ] {
        let output = program().arg(root).args(["--port", "0"]).output().unwrap();
        let said = complaint(&output, 1);
        let what = format!("cannot serve {}", root.display());
        assert!(said.starts_with(&what) && said.contains(cure), "{said}");
    }
}

#[test]
fn a_root_that_may_not_be_read_ends_the_start() {
    let grounds = TempDir::new().unwrap();
    let root = grounds.path().join("closed");
    fs::create_dir(&root).unwrap();
    let set_mode = |path: &std::path::Path, mode| {
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    set_mode(&root, 0o000);
    let mut command = program();
    if rustix::process::getuid().is_root() {
        // To root everything is readable, so somebody else runs a copy of the program.
        let copy = copy_program(grounds.path());
        set_mode(grounds.path(), 0o755);
        command = std::process::Command::new(copy);
        command.uid(65_534).gid(65_534);
    }
    let output = command.arg(&root).args(["--port", "0"]).output().unwrap();
    let said = complaint(&output, 1);
    assert!(
        said.contains("cannot serve") && said.contains("chmod o+rx"),
        "{said}"
    );
    set_mode(&root, 0o755);
}

#[test]
fn a_busy_port_ends_the_start_and_the_listeners_before_it() {
    let root = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let path = root.path().join("first.sock");
    let mut command = program();
    command.arg(root.path()).arg("--listen");
    command.arg(format!("unix:{}", path.display()));
    command.args(["--port", &address.port().to_string()]);
    let said = complaint(&command.output().unwrap(), 1);
    assert!(
        said.contains(&format!("cannot listen on {address}")),
        "{said}"
    );
    assert!(said.contains("choose another with --listen"), "{said}");
    assert!(!path.exists(), "nothing is left behind");
}

#[test]
fn the_end_of_the_reader_does_not_change_the_exit_code() {
    for (arguments, code) in [(&["--nonsense"][..], 2), (&["/nowhere"], 1)] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = program();
        command.args(arguments).stderr(writer).stdout(Stdio::null());
        assert_eq!(command.status().unwrap().code(), Some(code));
    }
}

#[test]
fn the_ready_line_names_the_root_and_all_places() {
    let root = TempDir::new().unwrap();
    let mut command = program();
    command.current_dir(root.path()).args(["-r", "."]);
    command.args(["-l", "127.0.0.1:0", "--listen=unix:s.sock", "-p0"]);
    let server = Server::spawn(command);
    assert_eq!(server.places.len(), 3, "{:?}", server.places);
    assert!(server.places[0].starts_with("http://127.0.0.1:"));
    assert_eq!(server.places[1], "unix:s.sock");
    assert!(server.places[2].starts_with("http://127.0.0.1:"));
    server.finish(0);
}

/// The command that swiftd understands.
fn parsed(arguments: &[&str]) -> Command {
    let arguments = ["swiftd"].iter().chain(arguments).map(OsString::from);
    cli::parse(arguments).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn settings(arguments: &[&str]) -> PluginSettings {
    match parsed(arguments) {
        Command::Serve(config) => config.plugins,
        other => panic!("{other:?}"),
    }
}

#[test]
fn settings_of_plugins_have_defaults() {
    let plugins = settings(&["."]);
    assert_eq!(plugins, PluginSettings::default());
    assert!(plugins.try_load && !plugins.is_optional && !plugins.is_supervised);
    assert_eq!(plugins.drain_timeout, Duration::from_secs(60));
    assert!(plugins.file.is_none() && plugins.config_file.is_none() && plugins.values.is_empty());
}

#[test]
fn settings_of_plugins_are_taken_from_the_command_line() {
    let plugins = settings(&[
        "--plugins=p.conf",
        "--config",
        "swiftd.toml",
        "--plugin-optional",
        "--plugin-drain-timeout",
        "1.5",
        "--plugin-trial=off",
        "--supervise",
        "--set",
        "plugin.a.k=1",
        ".",
        "--set=plugin.b.l=x=y",
        "--set",
        "plugin.a.k=2",
    ]);
    assert_eq!(plugins.file, Some("p.conf".into()));
    assert_eq!(plugins.config_file, Some("swiftd.toml".into()));
    assert!(plugins.is_optional && plugins.is_supervised && !plugins.try_load);
    assert_eq!(plugins.drain_timeout, Duration::from_millis(1500));
    let values = format!("{:?}", plugins.values);
    assert_eq!(values, r#"{"a": {"k": "2"}, "b": {"l": "x=y"}}"#);
    assert_eq!(plugins.overrides, plugins.values);
    assert!(settings(&[".", "--plugin-trial", "on"]).try_load);
}

#[test]
fn the_trial_of_a_plugin_takes_a_request_instead_of_a_directory() {
    for arguments in [
        &[
            "--try-plugin",
            "a.so",
            "GET /x HTTP/1.1",
            "--reload",
            "100",
            "--set",
            "plugin.a.k=v",
        ][..],
        &[
            "--set=plugin.a.k=v",
            "--reload=100",
            "GET /x HTTP/1.1",
            "--try-plugin=a.so",
        ],
    ] {
        let Command::TryPlugin {
            file,
            request,
            reload,
            config,
        } = parsed(arguments)
        else {
            panic!("{arguments:?}");
        };
        assert_eq!(
            (file.to_str(), &request[..17], reload),
            (Some("a.so"), &b"GET /x HTTP/1.1\r\n"[..], 100)
        );
        assert_eq!(config.plugins.values["a"]["k"], "v");
        assert_eq!(config.plugins.config_file, None);
        assert_eq!(config.site.root, Path::new(""));
    }
    let command = parsed(&[
        "--try-plugin",
        "a.so",
        "--config",
        "c.toml",
        "GET / HTTP/1.1",
    ]);
    assert_eq!(command.config_file(), Some(Path::new("c.toml")));
    assert!(matches!(command, Command::TryPlugin { reload: 0, .. }));
    let command = parsed(&["--root", "www", "GET / HTTP/1.1", "--try-plugin", "a.so"]);
    let Command::TryPlugin { config, .. } = command else {
        panic!("{command:?}");
    };
    assert_eq!(config.site.root, Path::new("www"));
}

#[test]
fn the_check_of_a_plugin_takes_a_file_and_what_plugins_are_told() {
    for (arguments, wanted) in [
        (&["--check-plugin", "a.so"][..], false),
        (
            &["--init", "--set=plugin.a.k=v", "--check-plugin=a.so"],
            true,
        ),
    ] {
        let Command::CheckPlugin {
            file,
            is_begun,
            settings,
        } = parsed(arguments)
        else {
            panic!("{arguments:?}");
        };
        assert_eq!((file.to_str(), is_begun), (Some("a.so"), wanted));
        assert_eq!(settings.values.contains_key("a"), wanted);
    }
    let command = parsed(&["--check-plugin", "a.so", "--config", "c.toml"]);
    assert_eq!(command.config_file(), Some(Path::new("c.toml")));
}

#[test]
fn the_command_line_is_read_over_the_configuration_file() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("swiftd.conf");
    let text = "plugins = '/etc/p.conf'\n[plugin.a]\nk = 1\nl = 2\n";
    fs::write(&path, text).unwrap();
    let mut draft = Draft::default();
    config::file::load(&path, &mut draft).unwrap();
    let over = |arguments: &[&str]| {
        let arguments = ["swiftd", "."].iter().chain(arguments).map(OsString::from);
        match cli::parse_over(draft.clone(), arguments).unwrap() {
            Command::Serve(config) => config.plugins,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(over(&[]).file, Some("/etc/p.conf".into()));
    assert_eq!(over(&[]).config_file, Some(path));
    let plugins = over(&["--plugins", "mine", "--set", "plugin.a.k=3"]);
    assert_eq!(plugins.file, Some("mine".into()));
    let values = format!("{:?}", plugins.values);
    assert_eq!(values, r#"{"a": {"k": "3", "l": "2"}}"#);
}

#[test]
fn a_wrong_configuration_file_is_told_by_place_and_ends_with_78() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("swiftd.toml");
    let run_with = |path: &Path| {
        let mut command = program();
        command.arg("--config").arg(path).arg(directory.path());
        command.args(["--port", "0"]).output().unwrap()
    };
    let said = complaint(&run_with(&path), 78);
    assert!(
        said.contains("cannot read the configuration file") && said.contains("swiftd.toml"),
        "{said}"
    );
    let said = complaint(&run_with(directory.path()), 78);
    assert!(
        said.ends_with("is no regular file; name a TOML file"),
        "{said}"
    );

    fs::write(&path, "\npluggins = \"/etc/p.conf\"\n").unwrap();
    let said = complaint(&run_with(&path), 78);
    let wanted = format!(
        "{}:2:1: unknown key pluggins; did you mean plugins?",
        path.display()
    );
    assert_eq!(said, wanted);

    fs::write(
        &path,
        "plugins = 1\n[plugin.a]\nk = 1.5\nl = [\"\\u001b\\n\"]\n",
    )
    .unwrap();
    let output = run_with(&path);
    assert_eq!(output.status.code(), Some(78));
    let said = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    for (line, place) in lines.iter().zip(["1:11", "3:5", "4:6"]) {
        let wanted = format!("swiftd: {}:{place}: ", path.display());
        assert!(line.starts_with(&wanted), "{said}");
    }

    fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    let said = complaint(&run_with(&path), 78);
    assert!(said.contains("longer than 1048576 bytes"), "{said}");
}

#[test]
fn a_good_configuration_file_is_no_hindrance() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("swiftd.toml");
    fs::write(&path, "# nothing yet\n[plugin.a]\nk = 1\n").unwrap();
    let mut command = program();
    command.arg(directory.path()).arg("--config").arg(&path);
    Server::spawn({
        command.args(["--port", "0"]);
        command
    })
    .finish(0);
}
