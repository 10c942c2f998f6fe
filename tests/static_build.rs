//! The static program with its built-in plugins, in a directory that holds nothing else: what
//! `FROM scratch` gives a container.
//!
//! `make test-static` builds the program and runs these; a plain `cargo test` leaves them out.

#[path = "support/server.rs"]
mod server;

use server::Server;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// What `make test-static` has built.
fn program() -> PathBuf {
    let named = std::env::var_os("SWIFTD_STATIC");
    let named = named.expect("`make test-static` sets SWIFTD_STATIC to the program");
    fs::canonicalize(named).expect("the static program is built")
}

/// A directory that becomes the whole of the file system.
fn jail(list: &str) -> TempDir {
    let jail = TempDir::new().unwrap();
    let at = |path: &str| jail.path().join(path);
    fs::copy(program(), at("swiftd")).unwrap();
    fs::create_dir_all(at("site/cgi-bin")).unwrap();
    fs::create_dir_all(at("site/files")).unwrap();
    fs::write(at("site/index.html"), "first site\n").unwrap();
    fs::write(at("site/files/one.txt"), "one").unwrap();
    fs::write(at("plugins.conf"), list).unwrap();
    fs::write(at("users"), "who:{SHA}qvTGHdzF6KLavt4PO0gs2a6pQ00=\n").unwrap();
    make_devices(jail.path());
    jail
}

/// Every engine for containers makes these.
fn make_devices(jail: &Path) {
    fs::create_dir(jail.join("dev")).unwrap();
    for (name, minor) in [("null", "3"), ("urandom", "9")] {
        let made = Command::new("mknod")
            .args(["-m", "666"])
            .arg(jail.join("dev").join(name))
            .args(["c", "1", minor])
            .status();
        assert!(made.unwrap().success(), "root makes devices");
    }
}

/// All of them.
const LIST: &str = "headers:builtin/$\naccess:builtin/$\nbasic_auth:builtin/$\nredirect:builtin/$\n\
                    cgi:builtin/$\nstatus:builtin/$\ndir_index:builtin/$\n";

/// The program in its jail.
fn command(jail: &Path) -> Command {
    let mut command = Command::new("chroot");
    command.arg(jail).args(["/swiftd", "/site"]);
    command.args(["--port", "0", "--plugins", "/plugins.conf"]);
    command.args(["--temp-dir", "/"]);
    command.args(["--set", "plugin.dir_index.listing=on"]);
    command.args(["--set", "plugin.status.public=on"]);
    command.args(["--set", "plugin.headers.rules=set / X-Built in"]);
    command.args(["--set", "plugin.access.rules=/denied deny all"]);
    command.args(["--set", "plugin.redirect.rules=exact /old /new"]);
    command.args(["--set", "plugin.basic_auth.file=/users"]);
    command.args(["--set", "plugin.basic_auth.paths=/secret"]);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin");
    command
}

/// A script that needs no shell and no library.
fn static_script(file: &Path) {
    let source = file.with_extension("c");
    let text = "#include <stdio.h>\n#include <stdlib.h>\nint main(void) {\n\
                printf(\"Content-Type: text/plain\\n\\n%s\", getenv(\"QUERY_STRING\"));\n}\n";
    fs::write(&source, text).unwrap();
    let status = Command::new("cc")
        .args(["-static", "-Os", "-s", "-o"])
        .arg(file)
        .arg(&source)
        .status();
    assert!(status.unwrap().success(), "a static C program");
    fs::remove_file(source).unwrap();
}

/// What the script says; it ends with the connection.
fn script(server: &Server, word: &str) -> (u16, Vec<u8>) {
    let mut client = server.connect();
    client.send(format!(
        "GET /cgi-bin/say?{word} HTTP/1.0\r\nHost: x\r\n\r\n"
    ));
    let status = client.head().status;
    (status, client.all())
}

#[track_caller]
fn wait_for_line(server: &mut Server, what: &str) -> String {
    loop {
        let line = server.next_line().expect("the server goes on");
        if line.contains(what) {
            return line;
        }
    }
}

#[test]
#[ignore = "make test-static builds the program first"]
fn it_needs_no_library() {
    let said = Command::new("ldd").arg(program()).output().unwrap();
    let said = [said.stdout, said.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let is_static = said.contains("statically linked") || said.contains("not a dynamic");
    assert!(is_static, "{said}");
}

#[test]
#[ignore = "make test-static builds the program first"]
fn it_serves_with_plugins_where_there_is_nothing_else() {
    let jail = jail(LIST);
    static_script(&jail.path().join("site/cgi-bin/say"));
    let mut server = Server::spawn(command(jail.path()));
    assert_eq!(server.get("/").body, b"first site\n");
    let listing = server.get("/files/");
    assert_eq!(listing.status, 200);
    assert_eq!(listing.field("x-built"), Some("in"));
    assert!(String::from_utf8_lossy(&listing.body).contains("one.txt"));
    assert_eq!(script(&server, "aloud"), (200, b"aloud".to_vec()));
    assert_eq!(server.get("/denied").status, 403);
    assert_eq!(server.get("/old").field("location"), Some("/new"));
    assert_eq!(server.get("/secret").status, 401);
    let figures = server.get("/server-status/metrics").body;
    let figures = String::from_utf8(figures).unwrap();
    for name in LIST
        .lines()
        .filter_map(|line| line.strip_suffix(":builtin/$"))
    {
        assert!(figures.contains(&format!("plugin=\"{name}\"")), "{figures}");
    }

    // Saving the list replaces and removes, as with libraries.
    fs::write(jail.path().join("plugins.conf"), "cgi:builtin/$\n").unwrap();
    let line = wait_for_line(&mut server, "generation 2");
    assert!(
        line.contains("with 1 (0 added, 0 replaced, 1 kept, 6 removed)"),
        "{line}"
    );
    assert_eq!(server.get("/server-status").status, 404);
    assert_eq!(script(&server, "on"), (200, b"on".to_vec()));
    fs::write(jail.path().join("plugins.conf"), LIST).unwrap();
    let line = wait_for_line(&mut server, "generation 3");
    assert!(
        line.contains("with 7 (6 added, 0 replaced, 1 kept, 0 removed)"),
        "{line}"
    );
    assert_eq!(server.get("/server-status").status, 200);

    server.signal(rustix::process::Signal::TERM);
    let (status, log) = server.wait();
    assert!(status.success(), "{log:?}");
    let stuck = log
        .iter()
        .find(|line| line.contains("unmapped") || line.contains("left"));
    assert_eq!(stuck, None, "there is nothing to unmap");
}

#[test]
#[ignore = "make test-static builds the program first"]
fn many_reloads_with_other_values_leave_nothing_behind() {
    let jail = jail("dir_index:builtin/$\n");
    let config = |title: usize| {
        let text = format!("[plugin.dir_index]\nlisting = \"on\"\ntitle = \"{title}\"\n");
        fs::write(jail.path().join("swiftd.conf"), text).unwrap();
    };
    config(0);
    let mut command = Command::new("chroot");
    command
        .arg(jail.path())
        .args(["/swiftd", "/site", "-p", "0"]);
    command.args(["--config", "/swiftd.conf", "--plugins", "/plugins.conf"]);
    let mut server = Server::spawn(command);
    for round in 1..=20 {
        config(round);
        fs::write(jail.path().join("plugins.conf"), "dir_index:builtin/$\n").unwrap();
        let line = wait_for_line(&mut server, &format!("generation {} ", round + 1));
        assert!(line.contains("1 replaced"), "{line}");
        let page = server.get("/files/").body;
        let page = String::from_utf8_lossy(&page).into_owned();
        assert!(page.contains(&format!("{round}")), "{page}");
    }
    server.signal(rustix::process::Signal::TERM);
    let (status, log) = server.wait();
    assert!(status.success(), "{log:?}");
}

/// What a start that fails says, and its exit code.
fn refusal(list: &str) -> (String, Option<i32>) {
    let jail = jail(list);
    let mut command = Command::new("chroot");
    command.arg(jail.path()).args(["/swiftd", "/site"]);
    command.args(["--port", "0", "--plugins", "/plugins.conf"]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (said, output.status.code())
}

#[test]
#[ignore = "make test-static builds the program first"]
fn what_it_cannot_load_is_said_with_what_is_built_in() {
    let all = "access, basic_auth, cgi, dir_index, headers, redirect, status";
    let (said, code) = refusal("cgi:/lib/swiftd/$\n");
    let wanted = format!(
        "swiftd: plugins: /plugins.conf:1: cgi: /lib/swiftd/cgi.so: this swiftd is static and cannot \
         load libraries; write NAME:builtin/$ for what is built in: {all}\n"
    );
    assert_eq!((said, code), (wanted, Some(1)));
    let (said, code) = refusal("hello:builtin/$\n");
    let wanted = format!(
        "swiftd: plugins: /plugins.conf:1: hello: no plugin of this name is built in; built in are: {all}\n"
    );
    assert_eq!((said, code), (wanted, Some(1)));
}

#[test]
#[ignore = "make test-static builds the program first"]
fn a_library_is_refused_before_anything_of_it_is_looked_at() {
    let output = Command::new(program())
        .arg("--check-plugin")
        .arg(program())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let wanted = "REFUSED: this swiftd is static and cannot load libraries; write NAME:builtin/$";
    assert!(said.contains(wanted), "{said}");
    assert_eq!(output.status.code(), Some(1));
}

/// What the Dockerfile does, as far as it can be done without an engine: its second stage is what
/// `make install-static` makes, and its command runs there.
#[test]
#[ignore = "make test-static builds the program first"]
fn the_image_of_the_dockerfile_serves() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(project.join("packaging/docker/Dockerfile")).unwrap();
    let jail = TempDir::new().unwrap();
    let install = "RUN make install-static DESTDIR=/image PREFIX=/usr";
    assert!(
        text.contains(install) && text.contains("COPY --from=build /image/ /"),
        "{text}"
    );
    let made = Command::new("make")
        .args([
            "-C",
            env!("CARGO_MANIFEST_DIR"),
            "install-static",
            "PREFIX=/usr",
        ])
        .arg(format!("DESTDIR={}", jail.path().display()))
        .arg(format!("STATIC={}", program().display()))
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    fs::write(jail.path().join("srv/index.html"), "in the container").unwrap();
    make_devices(jail.path());

    let mut command = Command::new("chroot");
    let user = text.lines().find_map(|line| line.strip_prefix("USER "));
    command.arg(format!("--userspec={}", user.expect("not root")));
    command.arg(jail.path());
    // The list is as installed: everything is commented.
    for line in ["ENTRYPOINT", "CMD"] {
        let line = text.lines().find(|found| found.starts_with(line)).unwrap();
        let words = line.split('"').skip(1).step_by(2);
        // The image's network is not the host's.
        command.args(words.map(|word| word.replace("0.0.0.0:8080", "127.0.0.1:0")));
    }
    fs::set_permissions(jail.path(), Permissions::from_mode(0o755)).unwrap();
    let server = Server::spawn(command);
    assert_eq!(server.get("/").body, b"in the container");
}
