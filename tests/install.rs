//! `make install`: where things are, that they name each other rightly there, and that a plugin is
//! built and loaded with nothing but what is installed.

#[path = "support/server.rs"]
mod server;

use server::Server;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use tempfile::TempDir;

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[track_caller]
fn succeed(output: Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

/// A library to be installed under every plugin's name: building all of them is not what is tested.
fn plugins() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = TempDir::new().unwrap();
        let file = |name: &str| folder.path().join(format!("{name}.so"));
        let source = project().join("plugins/hello_c/hello_c.c");
        let built = Command::new("cc")
            .args(["-Os", "-fPIC", "-shared", "-fvisibility=hidden", "-I"])
            .arg(project().join("plugins/include"))
            .arg(source)
            .arg("-o")
            .arg(file("hello_c"))
            .output();
        succeed(built.unwrap());
        for name in LISTED {
            if *name != "hello_c" {
                fs::copy(file("hello_c"), file(name)).unwrap();
            }
        }
        folder
    });
    folder.path()
}

const LISTED: &[&str] = &[
    "access",
    "basic_auth",
    "cgi",
    "dir_index",
    "headers",
    "hello",
    "hello_c",
    "redirect",
    "status",
];

/// Runs a target of the Makefile with the program of these tests.
fn make(target: &str, variables: &[String], built: &Path) -> Output {
    Command::new("make")
        .arg("-C")
        .arg(project())
        .arg(target)
        .args(variables)
        .arg(format!("PROGRAM={}", env!("CARGO_BIN_EXE_swiftd")))
        .arg(format!("PLUGINS={}", plugins().display()))
        .env("CARGO_TARGET_DIR", built)
        .env_remove("MAKEFLAGS")
        .output()
        .unwrap()
}

/// Files below a folder.
fn files(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let path = path.strip_prefix(folder).unwrap();
                found.insert(format!("/{}", path.display()));
            }
        }
    }
    found
}

/// Installed with this PREFIX, as if that were the place where it will be used.
fn installed(prefix: &Path) -> TempDir {
    let built = TempDir::new().unwrap();
    let variables = [format!("PREFIX={}", prefix.display())];
    succeed(make("install-files", &variables, built.path()));
    built
}

#[test]
fn packagers_find_everything_where_they_expect_it() {
    let (place, built) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let variables = [
        format!("DESTDIR={}", place.path().display()),
        "PREFIX=/usr".to_owned(),
    ];
    succeed(make("install-files", &variables, built.path()));
    let mut wanted: BTreeSet<String> = [
        "/etc/logrotate.d/swiftd",
        "/etc/swiftd/swiftd-plugin.conf",
        "/etc/swiftd/swiftd.conf",
        "/usr/include/swiftd_plugin.h",
        "/usr/lib/pkgconfig/swiftd-plugin.pc",
        "/usr/lib/systemd/system/swiftd.service",
        "/usr/lib/systemd/system/swiftd.socket",
        "/usr/lib/sysusers.d/swiftd.conf",
        "/usr/lib/tmpfiles.d/swiftd.conf",
        "/usr/sbin/swiftd",
        "/usr/share/doc/swiftd/examples/hello_c.c",
        "/usr/share/doc/swiftd/examples/older-systemd.conf",
        "/usr/share/doc/swiftd/examples/swiftd-plugin.conf",
        "/usr/share/doc/swiftd/examples/swiftd.conf",
        "/usr/share/man/man3/swiftd-plugin.3",
        "/usr/share/swiftd/index.html",
        "/usr/share/man/man5/swiftd-plugin.conf.5",
        "/usr/share/man/man5/swiftd.conf.5",
        "/usr/share/man/man8/swiftd.8",
    ]
    .map(str::to_owned)
    .into();
    wanted.extend(
        LISTED
            .iter()
            .map(|name| format!("/usr/lib/swiftd/plugins/{name}.so")),
    );
    let documents = files(&project().join("docs"));
    let documents = documents.iter().filter(|path| path.ends_with(".md"));
    wanted.extend(documents.map(|path| format!("/usr/share/doc/swiftd{path}")));
    wanted.insert("/usr/share/doc/swiftd/README.md".to_owned());
    if !project().join("packaging/man/swiftd.conf.5").exists() {
        wanted.remove("/usr/share/man/man5/swiftd.conf.5");
    }
    assert_eq!(files(place.path()), wanted);
    for path in &wanted {
        let meta = fs::metadata(place.path().join(&path[1..])).unwrap();
        let is_program = path.ends_with(".so") || path.ends_with("sbin/swiftd");
        let mode = if is_program { 0o755 } else { 0o644 };
        assert_eq!(meta.permissions().mode() & 0o777, mode, "{path}");
    }

    // What an operator has changed is neither overwritten nor removed.
    let own = place.path().join("etc/swiftd/swiftd.conf");
    fs::write(&own, "# mine\n").unwrap();
    succeed(make("install-files", &variables, built.path()));
    assert_eq!(fs::read_to_string(&own).unwrap(), "# mine\n");
    succeed(make("uninstall", &variables, built.path()));
    let left = files(place.path());
    assert_eq!(left, ["/etc/swiftd/swiftd.conf".to_owned()].into());
}

#[test]
fn files_name_the_places_where_they_are() {
    let place = TempDir::new().unwrap();
    let at = |path: &str| place.path().join(path);
    let _built = installed(place.path());
    let shown = place.path().display();
    let unit = fs::read_to_string(at("lib/systemd/system/swiftd.service")).unwrap();
    let start = format!("\nExecStart={shown}/sbin/swiftd -c {shown}/etc/swiftd/swiftd.conf\n");
    assert!(unit.contains(&start), "{unit}");
    for path in files(place.path()) {
        let text = fs::read(at(&path[1..])).unwrap();
        // Documents tell of both places.
        let kept = ["/sbin/", "/man/"].iter().any(|part| path.contains(part));
        let is_text = !kept && ![".so", ".md"].iter().any(|end| path.ends_with(end));
        if is_text {
            let text = String::from_utf8(text).unwrap();
            for other in [
                "/usr/sbin/swiftd",
                "/usr/lib/swiftd",
                " /etc/swiftd",
                "\"/etc/swiftd",
            ] {
                assert!(!text.contains(other), "{path} names {other}");
            }
        }
    }
    let list = fs::read_to_string(at("etc/swiftd/swiftd-plugin.conf")).unwrap();
    for name in LISTED {
        let line = format!("\n#{name}:{shown}/lib/swiftd/plugins/$\n");
        assert!(list.contains(&line), "{line}{list}");
    }
}

/// The sample with paths below `place`.
fn sample(place: &Path) -> PathBuf {
    for folder in ["www", "run", "log"] {
        fs::create_dir_all(place.join(folder)).unwrap();
    }
    fs::write(place.join("www/index.html"), "installed").unwrap();
    let file = place.join("etc/swiftd/swiftd.conf");
    let text = fs::read_to_string(&file).unwrap();
    let at = |name: &str| place.join(name).display().to_string();
    let text = text.replace("/var/www/html", &at("www"));
    let text = text.replace("/run/swiftd", &at("run"));
    let text = text.replace("/var/log/swiftd", &at("log"));
    fs::write(&file, text).unwrap();
    file
}

#[test]
fn the_sample_is_a_good_configuration() {
    let place = TempDir::new().unwrap();
    let _built = installed(place.path());
    let file = sample(place.path());
    let checked = Command::new(place.path().join("sbin/swiftd"))
        .args(["-t", "-c"])
        .arg(&file)
        .output();
    succeed(checked.unwrap());
    let text = fs::read_to_string(&file).unwrap();
    let listen = text
        .lines()
        .find(|line| line.starts_with("listen"))
        .unwrap();
    let text = text.replace(listen, "listen = [\"127.0.0.1:0\"]");
    fs::write(&file, text).unwrap();
    let mut command = Command::new(place.path().join("sbin/swiftd"));
    command.arg("-c").arg(&file);
    let server = Server::spawn(command);
    assert_eq!(server.get("/").body, b"installed");
}

/// The example of swiftd-plugin(3), as a reader would copy it.
fn example() -> String {
    let page = fs::read_to_string(project().join("packaging/man/swiftd-plugin.3")).unwrap();
    let from = page.find("#include <swiftd_plugin.h>").unwrap();
    let text = &page[from..];
    text[..text.find("\n.Ed").unwrap()].replace("\\e", "\\")
}

#[test]
fn a_plugin_is_built_and_loaded_with_what_is_installed() {
    let place = TempDir::new().unwrap();
    let _built = installed(place.path());
    let elsewhere = TempDir::new().unwrap();
    let asked = |what: &str| {
        let output = Command::new("pkg-config")
            .arg(what)
            .arg("swiftd-plugin")
            .env("PKG_CONFIG_PATH", place.path().join("lib/pkgconfig"))
            .output();
        succeed(output.expect("pkg-config is installed"))
            .trim()
            .to_owned()
    };
    let plugins = place.path().join("lib/swiftd/plugins");
    assert_eq!(asked("--variable=plugindir"), plugins.display().to_string());
    assert_eq!(asked("--modversion"), env!("CARGO_PKG_VERSION"));
    let flags = asked("--cflags");
    fs::write(elsewhere.path().join("hello.c"), example()).unwrap();
    fs::copy(
        place.path().join("share/doc/swiftd/examples/hello_c.c"),
        elsewhere.path().join("hello_c.c"),
    )
    .unwrap();
    for name in ["hello", "hello_c"] {
        let built = Command::new("cc")
            .args(flags.split_whitespace())
            .args(["-Wall", "-Wextra", "-Werror", "-Os", "-fPIC", "-shared"])
            .args(["-fvisibility=hidden", "-s"])
            .arg(format!("{name}.c"))
            .arg("-o")
            .arg(plugins.join(format!("{name}.so")))
            .current_dir(elsewhere.path())
            .output();
        succeed(built.unwrap());
    }
    // The list as it is installed, with two lines made active.
    let list = place.path().join("etc/swiftd/swiftd-plugin.conf");
    let text = fs::read_to_string(&list).unwrap();
    let text = text
        .replace("#hello:", "hello:")
        .replace("#hello_c:", "hello_c:");
    fs::write(&list, text).unwrap();
    let mut command = Command::new(place.path().join("sbin/swiftd"));
    command
        .arg(elsewhere.path())
        .args(["-p", "0", "--plugins"])
        .arg(&list);
    let server = Server::spawn(command);
    assert_eq!(server.get("/hello").body, b"hello\n");
    assert_eq!(server.get("/hello_c").body, b"hello\n");
}

/// What a tool for units says of those that are installed.
fn ask_systemd(arguments: &[&str], unit: &Path) -> (String, bool) {
    let output = Command::new("systemd-analyze")
        .args(arguments)
        .arg(unit)
        .output()
        .expect("systemd-analyze is installed (apt-get install systemd)");
    let said = [output.stdout, output.stderr].concat();
    (String::from_utf8(said).unwrap(), output.status.success())
}

#[test]
fn the_units_are_as_systemd_wants_them() {
    let place = TempDir::new().unwrap();
    let _built = installed(place.path());
    let units = place.path().join("lib/systemd/system");
    // Type=notify-reload is younger than some; the drop-in for those takes its place.
    let is_known = |line: &&str| !line.contains("ignoring: notify-reload");
    for is_older in [false, true] {
        if is_older {
            let folder = units.join("swiftd.service.d");
            fs::create_dir(&folder).unwrap();
            let drop_in = place
                .path()
                .join("share/doc/swiftd/examples/older-systemd.conf");
            fs::copy(drop_in, folder.join("older-systemd.conf")).unwrap();
        }
        for unit in ["swiftd.service", "swiftd.socket"] {
            let (said, _) = ask_systemd(&["verify", "--man=no"], &units.join(unit));
            let said: Vec<&str> = said.lines().filter(is_known).collect();
            assert!(said.is_empty(), "{unit}: {said:?}");
        }
    }
    let unit = units.join("swiftd.service");
    let (said, is_good) = ask_systemd(&["security", "--offline=yes", "--threshold=20"], &unit);
    assert!(is_good, "more exposed than 2.0 of 10: {said}");
}

#[test]
fn the_rule_of_logrotate_is_as_it_wants_it() {
    let place = TempDir::new().unwrap();
    let _built = installed(place.path());
    let rule = place.path().join("etc/logrotate.d/swiftd");
    let output = Command::new("logrotate")
        .arg("--debug")
        .arg(&rule)
        .output()
        .expect("logrotate is installed (apt-get install logrotate)");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(output.status.success() && !said.contains("error"), "{said}");
    let program = place.path().join("sbin/swiftd");
    let text = fs::read_to_string(rule).unwrap();
    assert!(
        text.contains(&format!("{} -s reopen", program.display())),
        "{text}"
    );
}

/// The lines `["FROM", "TO", "MODE"],` and `conf-files` of Cargo.toml, which `make deb` reads.
fn assets() -> (Vec<[String; 3]>, Vec<String>) {
    let text = fs::read_to_string(project().join("Cargo.toml")).unwrap();
    let deb = &text[text.find("[package.metadata.deb]").unwrap()..];
    let strings = |line: &str| -> Vec<String> {
        let parts = line.split('"').skip(1).step_by(2);
        parts.map(str::to_owned).collect()
    };
    let assets = deb.lines().filter(|line| line.starts_with("    [\""));
    let assets = assets.map(|line| strings(line).try_into().unwrap());
    let conf_files = deb.lines().find(|line| line.starts_with("conf-files"));
    (assets.collect(), strings(conf_files.unwrap()))
}

#[test]
fn the_debian_packages_leave_nothing_out() {
    let (place, built) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let variables = [
        format!("DESTDIR={}", place.path().display()),
        "PREFIX=/usr".to_owned(),
    ];
    succeed(make("install-files", &variables, built.path()));
    let (assets, conf_files) = assets();
    assert!(assets.len() > 10, "{assets:?}");
    let mut missing = files(place.path());
    // The package's own script for the unit puts it there.
    assert!(missing.remove("/usr/lib/systemd/system/swiftd.service"));
    for [from, to, mode] in &assets {
        let Some(pattern) = from.strip_prefix("target/deb") else {
            continue;
        };
        let (folder, name) = pattern.rsplit_once('/').unwrap();
        let (start, end) = name.split_once('*').unwrap_or((name, ""));
        let is_meant = |path: &&String| {
            let (at, name) = path.rsplit_once('/').unwrap();
            let is_same = at == folder && name.starts_with(start) && name.ends_with(end);
            is_same && (name == start || pattern.contains('*'))
        };
        let meant: Vec<String> = missing.iter().filter(is_meant).cloned().collect();
        assert!(!meant.is_empty(), "{from} names nothing");
        for path in &meant {
            let (at, _) = path.rsplit_once('/').unwrap();
            let is_moved = to.contains("swiftd-dev");
            assert!(
                is_moved || format!("{at}/") == format!("/{to}"),
                "{path} goes to {to}"
            );
            assert_eq!(
                mode == "755",
                path == "/usr/sbin/swiftd",
                "{path} has {mode}"
            );
            missing.remove(path);
        }
    }
    assert!(missing.is_empty(), "in no package: {missing:?}");
    for file in conf_files {
        assert!(place.path().join(&file[1..]).is_file(), "{file}");
    }
    for script in ["postinst", "prerm", "postrm"] {
        let path = project().join("packaging/debian").join(script);
        let checked = Command::new("shellcheck").arg(&path).output();
        let checked = checked.expect("shellcheck is installed");
        assert!(
            checked.status.success(),
            "{}",
            String::from_utf8_lossy(&checked.stdout)
        );
        // Where the lines that enable the service go.
        let text = fs::read_to_string(path).unwrap();
        assert!(text.contains("\n#DEBHELPER#\n"), "{script}");
    }
}

/// Python that forbids memory to become code (prctl(2), PR_SET_MDWE), as MemoryDenyWriteExecute= of
/// the unit does, and then becomes what is named.
const DENY: &str = "import ctypes, os, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0):
    sys.exit(3)
os.execv(sys.argv[1], sys.argv[1:])
";

#[test]
fn plugins_are_loaded_where_memory_may_not_become_code() {
    let can = Command::new("python3")
        .args(["-c", DENY, "/bin/true"])
        .status();
    if can.unwrap().code() == Some(3) {
        eprintln!("skipped: the kernel is older than 6.3 and has no PR_SET_MDWE");
        return;
    }
    let place = TempDir::new().unwrap();
    let list = place.path().join("plugins.conf");
    fs::write(&list, format!("hello_c:{}/$\n", plugins().display())).unwrap();
    let mut command = Command::new("python3");
    command.args(["-c", DENY, env!("CARGO_BIN_EXE_swiftd")]);
    command
        .arg(place.path())
        .args(["-p", "0", "--plugins"])
        .arg(&list);
    let server = Server::spawn(command);
    assert_eq!(server.get("/hello_c").body, b"hello\n");
}

/// Reads a log until it has this line; batches are written by another thread.
#[track_caller]
fn wait_for_line(log: &Path, what: &str) {
    let start = std::time::Instant::now();
    while !fs::read_to_string(log).is_ok_and(|text| text.contains(what)) {
        assert!(
            start.elapsed() < server::PATIENCE,
            "{what} is never in {}",
            log.display()
        );
        std::thread::yield_now();
    }
}

#[test]
fn logs_are_rotated_by_the_installed_rule() {
    let place = TempDir::new().unwrap();
    let _built = installed(place.path());
    let file = sample(place.path());
    let text = fs::read_to_string(&file).unwrap();
    fs::write(
        &file,
        text.replace("\"0.0.0.0:80\", \"[::]:80\"", "\"127.0.0.1:0\""),
    )
    .unwrap();
    let mut command = Command::new(place.path().join("sbin/swiftd"));
    command.arg("-c").arg(&file);
    let server = Server::spawn(command);
    let log = place.path().join("log/access.log");
    assert_eq!(server.get("/?first").status, 200);
    wait_for_line(&log, "/?first");

    let rule = place.path().join("etc/logrotate.d/swiftd");
    let text = fs::read_to_string(&rule).unwrap();
    let logs = place.path().join("log").display().to_string();
    fs::write(&rule, text.replace("/var/log/swiftd", &logs)).unwrap();
    let rotated = Command::new("logrotate")
        .args(["--force", "--state"])
        .arg(place.path().join("state"))
        .arg(&rule)
        .output();
    succeed(rotated.unwrap());
    assert_eq!(server.get("/?second").status, 200);
    wait_for_line(&log, "/?second");
    let old = fs::read_to_string(log.with_extension("log.1")).unwrap();
    assert!(
        old.contains("/?first") && !old.contains("/?second"),
        "{old}"
    );
}
