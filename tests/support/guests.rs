//! The real server with plugins that were compiled for the test: a site, a list, and what the
//! plugins say in the log.

#![allow(dead_code, unreachable_pub)]

use super::plugins;
use super::server::{Server, program};
use rustix::process::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What `/a.txt` holds.
pub const A: &[u8] = b"hello\n";

/// A site and plugins beside it.
pub struct Stage {
    directory: TempDir,
    names: Vec<String>,
}

impl Stage {
    /// A site with `a.txt`, and no plugin.
    pub fn new() -> Self {
        let directory = TempDir::new().unwrap();
        for name in ["site", "other", "plugins"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        fs::write(directory.path().join("site/a.txt"), A).unwrap();
        fs::write(directory.path().join("site/b.txt"), "from b\n").unwrap();
        fs::write(directory.path().join("other/a.txt"), "other\n").unwrap();
        Self {
            directory,
            names: Vec::new(),
        }
    }

    /// With one more plugin at the end of the list: `fixture` compiled under this name.
    pub fn with(self, name: &str, fixture: &str) -> Self {
        self.with_options(name, fixture, &[])
    }

    /// The same with more options for the compiler.
    pub fn with_options(mut self, name: &str, fixture: &str, options: &[&str]) -> Self {
        self.compile(name, fixture, options);
        self.names.push(name.to_owned());
        self.write_list();
        self
    }

    /// Compiles a plugin, or compiles it anew.
    pub fn compile(&self, name: &str, fixture: &str, options: &[&str]) {
        let build = TempDir::new_in(self.path("plugins")).unwrap();
        let define = format!("-DNAME=\"{name}\"");
        let mut all = vec![&define[..], "-pthread"];
        all.extend(options);
        let library = plugins::build_with(fixture, build.path(), &all);
        fs::rename(library, self.library(name)).unwrap();
    }

    fn library(&self, name: &str) -> PathBuf {
        self.path("plugins").join(format!("{name}.so"))
    }

    fn write_list(&self) {
        let directory = self.path("plugins");
        let line = |name: &String| format!("{name}:{}/$\n", directory.display());
        let lines: String = self.names.iter().map(line).collect();
        fs::write(self.list(), lines).unwrap();
    }

    /// The list of plugins.
    pub fn list(&self) -> PathBuf {
        self.path("list")
    }

    /// A path beside the site.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The site's root.
    pub fn site(&self) -> PathBuf {
        self.path("site")
    }

    /// Starts the server, and reads its log up to the line that says that plugins are loaded.
    pub fn start(&self, options: &[&str]) -> Server {
        let mut server = self.start_untraced(options);
        lines_to(&mut server, "plugins: generation 1 ");
        server
    }

    /// Starts the server; the log is to be read from the ready line on.
    pub fn start_untraced(&self, options: &[&str]) -> Server {
        let mut command = program();
        command.arg(self.site()).args(["--port", "0"]);
        command.arg("--plugins").arg(self.list()).args(options);
        Server::spawn(command)
    }
}

/// The lines of the log up to the one that contains `end`, without the server's name and without
/// ids of requests.
#[track_caller]
pub fn lines_to(server: &mut Server, end: &str) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let Some(line) = server.next_line() else {
            panic!("swiftd ended without {end:?}: {lines:#?}");
        };
        let line = plain(&line);
        lines.push(line);
        if lines.last().is_some_and(|line| line.contains(end)) {
            return lines;
        }
    }
}

/// Stops the server in good order; the lines that it says from now on.
#[track_caller]
pub fn stop(server: Server) -> Vec<String> {
    server.signal(Signal::TERM);
    rest(server)
}

/// The lines up to the end of the server, which must be in good order.
#[track_caller]
pub fn rest(mut server: Server) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(line) = server.next_line() {
        lines.push(plain(&line));
    }
    let (status, _) = server.wait();
    assert!(status.success(), "{status}: {lines:#?}");
    lines
}

/// The line without the server's name and without ids of requests.
pub fn plain(line: &str) -> String {
    let line = line.strip_prefix("swiftd: ").unwrap_or(line);
    let line = line.strip_prefix("plugin ").unwrap_or(line);
    match line.rsplit_once(" (request ") {
        Some((text, _)) => text.to_owned(),
        None => line.to_owned(),
    }
}
