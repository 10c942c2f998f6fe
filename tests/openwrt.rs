//! The init script for OpenWrt, run with stand-ins for what OpenWrt and procd give to it: the
//! configuration that it makes is one that this program takes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn script() -> PathBuf {
    project().join("packaging/openwrt/files/swiftd.init")
}

/// A router with this in /etc/config/swiftd.
struct Router {
    folder: TempDir,
}

impl Router {
    fn new(uci: &str) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("swiftd"), uci).unwrap();
        let router = Self { folder };
        // A router's own program has the plugins built in, which this one cannot find.
        let program = env!("CARGO_BIN_EXE_swiftd");
        let text = format!(
            "#!/bin/sh\nsaid=$({program} \"$@\" --plugin-optional 2>&1) || {{ code=$?; echo \"$said\" >&2; exit $code; }}\n"
        );
        fs::write(router.program(), text).unwrap();
        fs::set_permissions(router.program(), fs::Permissions::from_mode(0o755)).unwrap();
        router
    }

    fn program(&self) -> PathBuf {
        self.path("program")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a function of the script; returns what it prints and whether it succeeds.
    fn run(&self, function: &str, variables: &[(&str, &str)]) -> (String, bool) {
        let stub = project().join("tests/fixtures/openwrt/functions.sh");
        let text = format!(
            ". {}\n. {}\n{function}\n",
            stub.display(),
            script().display()
        );
        let output = Command::new("sh")
            .args(["-c", &text])
            .env("UCI_DIR", self.folder.path())
            .env("SWIFTD_PROGRAM", self.program())
            .env("SWIFTD_MADE", self.path("made/swiftd.conf"))
            .env("SWIFTD_LIST", self.path("made/plugins.conf"))
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (String::from_utf8(said).unwrap(), output.status.success())
    }

    fn made(&self, name: &str) -> String {
        fs::read_to_string(self.path("made").join(name)).unwrap()
    }
}

/// The configuration of the package, with a root that is there and a user that is.
fn shipped() -> String {
    let path = project().join("packaging/openwrt/files/swiftd.config");
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains("'/www'"));
    text.replace("'/www'", "'/usr'")
}

#[test]
fn the_script_is_plain_shell() {
    let status = Command::new("sh").arg("-n").arg(script()).status().unwrap();
    assert!(status.success());
    let output = Command::new("shellcheck")
        .arg(script())
        .output()
        .expect("shellcheck is installed (apt-get install shellcheck)");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
}

#[test]
fn what_is_shipped_starts() {
    let router = Router::new(&shipped());
    let (said, is_good) = router.run("start_service", &[]);
    assert!(is_good, "{said}");
    let conf = router.path("made/swiftd.conf");
    let program = router.program().display().to_string();
    let command = format!(
        "open\ncommand {program} -c {}\nrespawn 3600 5 5\n",
        conf.display()
    );
    assert!(
        said.starts_with(&command) && said.ends_with("close\n"),
        "{said}"
    );
    let made = router.made("swiftd.conf");
    for line in [
        "root = \"/usr\"\n",
        "listen = [\"0.0.0.0:8080\", \"[::]:8080\"]\n",
        "memory = \"2M\"\n",
        "access = \"ram:64K\"\n",
        "connections = 32\n",
        "[plugin.status]\n",
    ] {
        assert!(made.contains(line), "{line}{made}");
    }
    assert!(!made.contains("dir_index"), "{made}");
    assert_eq!(
        router.made("plugins.conf"),
        "# Built in.\nstatus:builtin/$\n"
    );
}

#[test]
fn every_kind_of_section_becomes_what_the_program_takes() {
    let uci = "\
config swiftd 'main'
	list listen '127.0.0.1:0'
	option root '/usr'
	option error 'stderr'

config plugin 'dir_index'
	list set 'listing=on'
	list set 'title=A \"title\" with \\ and $HOME'

config host
	list name 'example.org'
	list name '*.example.org'
	option root '/usr'

config redirect
	option from '/old/*'
	option to '/new/*'
	option status '301'

config header
	option path '/assets/*'
	list set 'Cache-Control: max-age=1'
	list set 'X-Frame-Options: DENY'
";
    let router = Router::new(uci);
    let (said, is_good) = router.run("start_service", &[]);
    let made = router.made("swiftd.conf");
    assert!(is_good, "{said}{made}");
    for line in [
        "\"listing\" = \"on\"\n\"title\" = \"A \\\"title\\\" with \\\\ and $HOME\"\n",
        "[[host]]\nnames = [\"example.org\", \"*.example.org\"]\nroot = \"/usr\"\n",
        "[[redirect]]\nfrom = \"/old/*\"\nto = \"/new/*\"\nstatus = 301\n",
        "set = { \"Cache-Control\" = \"max-age=1\", \"X-Frame-Options\" = \"DENY\" }\n",
    ] {
        assert!(made.contains(line), "{line}\n{made}");
    }
}

#[test]
fn a_reload_is_a_signal_if_the_new_files_are_good_and_nothing_if_not() {
    let router = Router::new(&shipped());
    assert!(router.run("start_service", &[]).1);
    let before = router.made("swiftd.conf");
    let running = &[("RUNNING", "1")];
    fs::write(router.path("swiftd"), shipped().replace("'2M'", "'3M'")).unwrap();
    let (said, is_good) = router.run("reload_service", running);
    assert_eq!((said.as_str(), is_good), ("signal swiftd * HUP\n", true));
    assert_eq!(router.made("swiftd.conf"), before.replace("2M", "3M"));

    fs::write(
        router.path("swiftd"),
        shipped().replace("'2M'", "'2 pounds'"),
    )
    .unwrap();
    let (said, is_good) = router.run("reload_service", running);
    assert!(!is_good && !said.contains("signal"), "{said}");
    assert!(
        said.contains("memory") && said.contains("is refused"),
        "{said}"
    );
    assert_eq!(router.made("swiftd.conf"), before.replace("2M", "3M"));

    fs::write(
        router.path("swiftd"),
        shipped().replace("enabled '1'", "enabled '0'"),
    )
    .unwrap();
    assert_eq!(router.run("reload_service", running).0, "stop\n");
    assert_eq!(router.run("start_service", &[]).0, "");
    assert_eq!(router.run("service_triggers", &[]).0, "trigger swiftd\n");
}

#[test]
fn a_file_of_the_operators_own_replaces_what_is_made() {
    let router = Router::new("config swiftd 'main'\n\toption config 'OWN'\n");
    let own = router.path("own.conf");
    fs::write(&own, "root = \"/usr\"\nlisten = [\"127.0.0.1:0\"]\n").unwrap();
    let uci = format!(
        "config swiftd 'main'\n\toption config '{}'\n",
        own.display()
    );
    fs::write(router.path("swiftd"), uci).unwrap();
    let (said, is_good) = router.run("start_service", &[]);
    assert!(
        is_good && said.contains(&format!("-c {}\n", own.display())),
        "{said}"
    );
    assert!(!router.path("made").exists());
}
