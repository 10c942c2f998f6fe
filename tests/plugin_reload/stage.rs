//! A site, libraries in versions and a list of them, with the real server over it.
//!
//! Waiting is reading the log, or the events of a file; see [`Stage::until`] and [`Looks`].

use crate::plugins;
use crate::server::{PATIENCE, Server};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify;
use rustix::process::Signal;
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tempfile::TempDir;

/// The server with what it serves.
pub(crate) struct Stage {
    pub(crate) server: Server,
    /// Everything that was logged so far.
    pub(crate) log: Vec<String>,
    pub(crate) place: Place,
}

/// Where everything lies. The server that is started over it comes later.
pub(crate) struct Place {
    directory: TempDir,
    /// The list of plugins.
    pub(crate) list: PathBuf,
}

impl Place {
    /// A site with `small.txt`, no library and no list.
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        for name in ["site", "lib", "conf", "new"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        fs::write(directory.path().join("site/small.txt"), "small").unwrap();
        let list = directory.path().join("conf/plugins");
        Self { directory, list }
    }

    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The library of a plugin.
    pub(crate) fn library(&self, name: &str) -> PathBuf {
        self.path(&format!("lib/{name}.so"))
    }

    /// Builds a version of plugin `name` beside its place.
    pub(crate) fn build(&self, name: &str, version: u32, options: &[&str]) -> PathBuf {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plugin_reload/versioned.c");
        let library = self.path(&format!("new/{name}-{version}.so"));
        let name = format!("-DNAME=\"{name}\"");
        let version = format!("-DVERSION={version}");
        let options = [&[&*name, &*version], options].concat();
        plugins::compile("cc", &source, &library, &options);
        library
    }

    /// Builds a version of plugin `name` and moves it to its place, as it should be done.
    pub(crate) fn install(&self, name: &str, version: u32, options: &[&str]) {
        let library = self.build(name, version, options);
        fs::rename(library, self.library(name)).unwrap();
    }

    /// The lines of a list.
    pub(crate) fn lines(&self, names: &[&str]) -> String {
        let directory = self.path("lib");
        let line = |name: &&str| format!("{name}:{}/$\n", directory.display());
        let lines: String = names.iter().map(line).collect();
        format!("# {} plugins\n{lines}", names.len())
    }

    /// Saves the list by moving a new one to its place.
    pub(crate) fn save(&self, names: &[&str]) {
        self.save_text(&self.lines(names));
    }

    /// As [`Self::save`], with any text.
    pub(crate) fn save_text(&self, text: &str) {
        let new = self.path("new/list");
        fs::write(&new, text).unwrap();
        fs::rename(new, &self.list).unwrap();
    }

    /// A pipe for `/NAME/wait`; the target of that request.
    pub(crate) fn pipe(&self, plugin: &str, name: &str) -> (PathBuf, String) {
        let pipe = self.path(name);
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let target = format!("/{plugin}/wait?{}", pipe.display());
        (pipe, target)
    }

    /// Starts the server.
    pub(crate) fn start(self, options: &[&str]) -> Stage {
        let list = self.list.to_str().unwrap().to_owned();
        let options = [&["--plugins", &*list], options].concat();
        let server = Server::start(&self.path("site"), &options);
        let mut stage = Stage {
            server,
            log: Vec::new(),
            place: self,
        };
        stage.generation(1);
        stage
    }
}

impl Stage {
    /// A server with version 1 of these plugins.
    pub(crate) fn with(names: &[&str], options: &[&str]) -> Self {
        let place = Place::new();
        for name in names {
            place.install(name, 1, &[]);
        }
        place.save(names);
        place.start(options)
    }

    /// Reads the log up to a line that contains `what`; returns it.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str) -> String {
        loop {
            let line = self.server.next_line();
            let line = line.unwrap_or_else(|| panic!("no {what:?} in {:#?}", self.log));
            self.log.push(line.clone());
            if line.contains(what) {
                return line;
            }
        }
    }

    /// Waits until a generation is there, which must be the next one; returns the line.
    #[track_caller]
    pub(crate) fn generation(&mut self, number: u64) -> String {
        let line = self.until("plugins: generation ");
        let wanted = format!("plugins: generation {number} ");
        assert!(line.contains(&wanted), "{number}: {:#?}", self.log);
        line
    }

    /// Waits until a reload is rejected; returns why.
    #[track_caller]
    pub(crate) fn rejection(&mut self) -> String {
        self.until("reload rejected: ")
    }

    /// Waits for a reload of the whole configuration that is refused; returns the line.
    #[track_caller]
    pub(crate) fn refusal(&mut self) -> String {
        self.until("configuration not reloaded, the one before still holds: ")
    }

    /// Wants a look, and all else that is configured read anew.
    pub(crate) fn hang_up(&self) {
        self.server.signal(Signal::HUP);
    }

    /// A status and a body.
    pub(crate) fn get(&self, target: &str) -> (u16, String) {
        let response = self.server.get(target);
        (
            response.status,
            String::from_utf8_lossy(&response.body).into_owned(),
        )
    }

    /// Asserts which version of a plugin answers; 0 is none.
    #[track_caller]
    pub(crate) fn assert_version(&self, name: &str, version: u32) {
        let (status, body) = self.get(&format!("/{name}"));
        let seen = version_of(&body);
        let wanted = (version > 0).then_some(version);
        assert_eq!(seen, wanted, "{status} {body}");
        assert_eq!(status, if version > 0 { 200 } else { 404 });
    }

    /// How often the log says something so far.
    pub(crate) fn count(&self, what: &str) -> usize {
        self.log.iter().filter(|line| line.contains(what)).count()
    }

    /// Waits until nothing is mapped whose name contains `what`. Each round is a request, behind
    /// which the server has had a turn.
    #[track_caller]
    pub(crate) fn until_unmapped(&self, what: &str) {
        let start = Instant::now();
        while self.maps(what) > 0 {
            assert!(start.elapsed() < PATIENCE, "{what} stays mapped");
            self.server.get("/small.txt");
        }
    }

    /// How many mappings have a name that contains `what`.
    pub(crate) fn maps(&self, what: &str) -> usize {
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.server.pid())).unwrap();
        maps.lines().filter(|line| line.contains(what)).count()
    }

    /// Ends the server in good order; returns the whole log.
    pub(crate) fn finish(mut self) -> Vec<String> {
        self.server.signal(Signal::TERM);
        while let Some(line) = self.server.next_line() {
            self.log.push(line);
        }
        let (status, _) = self.server.wait();
        assert!(status.success(), "{status}: {:#?}", self.log);
        self.log
    }
}

/// The version that a body of `/NAME` tells, the same at both of its ends.
pub(crate) fn version_of(body: &str) -> Option<u32> {
    let version = |word: &str| word.strip_prefix('v')?.parse().ok();
    let mut words = body.split_whitespace();
    let first: u32 = words.next().and_then(version)?;
    let last: u32 = words.next_back().and_then(version)?;
    (first == last && body.len() > 1024).then_some(last)
}

/// Tells when the server has looked at a file: it has opened, read and closed it.
pub(crate) struct Looks(OwnedFd);

impl Looks {
    /// Looks from now on.
    pub(crate) fn at(file: &Path) -> Self {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let inotify = inotify::init(flags).unwrap();
        inotify::add_watch(&inotify, file, inotify::WatchFlags::CLOSE_NOWRITE).unwrap();
        Self(inotify)
    }

    /// Waits for the next one.
    #[track_caller]
    pub(crate) fn wait(&self) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let patience = PATIENCE.try_into().unwrap();
        let mut ready = [PollFd::new(&self.0, PollFlags::IN)];
        let count = poll(&mut ready, Some(&patience)).unwrap();
        assert_eq!(count, 1, "nobody looks");
        let mut reader = inotify::Reader::new(&self.0, &mut buffer);
        while reader.next().is_ok() {}
    }
}
