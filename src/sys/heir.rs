//! A new program that takes over: how it is started with what it inherits, and how it finds that.
//!
//! Descriptors keep their numbers across exec, so a variable of the environment lists them: who has
//! left them, the pipe that the heir answers with, the pid file, the listeners. What is inherited is
//! shared: until the heir says that it is ready, both processes may use it, and what waits in a
//! listener's queue is of neither.

use super::child;
use super::process::Held;
use super::raw::{inherited, take_variable};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pipe::{PipeFlags, pipe_with};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

/// The variable: `PARENT PIPE PID_FILE RIGHTS LISTENER=WORD...`, where the pid file may be `-`, and
/// the rights are `dropped` or `-`.
const VARIABLE: &str = "SWIFTD_HERITAGE";

const DROPPED: &str = "dropped";

/// What a heir says, bytes; what is more is not read.
const ANSWER_BYTES_MAX: usize = 4096;

/// How long a heir may take to end that has closed its descriptors.
const LAST_BREATH: Duration = Duration::from_millis(100);

/// How this program was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its file, by a path that another file may be put at.
    pub path: PathBuf,
    /// What came behind its name.
    pub arguments: Vec<OsString>,
    /// Where relative paths begin.
    pub directory: PathBuf,
}

impl Program {
    /// This program. To be asked before the directory changes.
    ///
    /// # Errors
    /// It has been removed, or its directory has.
    pub fn current() -> io::Result<Self> {
        let directory = std::env::current_dir()?;
        let mut arguments = std::env::args_os();
        let name = PathBuf::from(arguments.next().unwrap_or_default());
        let search = std::env::var_os("PATH").unwrap_or_default();
        // Not /proc/self/exe if it can be avoided: that follows links, and a new version is often
        // put in place by changing one.
        let path = match resolve(&name, &directory, &search) {
            Some(path) => path,
            None => std::env::current_exe()?,
        };
        Ok(Self {
            path,
            arguments: arguments.collect(),
            directory,
        })
    }
}

/// The file that a shell in `directory` would have run.
fn resolve(name: &Path, directory: &Path, search: &std::ffi::OsStr) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        let meta = std::fs::metadata(path);
        meta.is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if name.components().count() > 1 || name.is_absolute() {
        return Some(directory.join(name)).filter(is_program);
    }
    let mut folders = std::env::split_paths(search).map(|folder| directory.join(folder));
    folders.find_map(|folder| Some(folder.join(name)).filter(is_program))
}

/// What is left to a heir.
#[derive(Debug, Default)]
pub struct Estate<'a> {
    /// The pid file, with its lock.
    pub pid_file: Option<BorrowedFd<'a>>,
    /// Root has started this process, which then became somebody else.
    pub is_dropped: bool,
    /// The listeners, each with a word without spaces that tells them apart.
    pub listeners: Vec<(BorrowedFd<'a>, String)>,
    /// What else is to be in its environment.
    pub variables: Vec<(&'static str, OsString)>,
}

/// A heir that has been started.
#[derive(Debug)]
pub struct Heir {
    child: Child,
    pipe: File,
    said: Vec<u8>,
}

/// What a heir has said so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing that could be understood.
    None,
    /// It serves; this is its process.
    Ready(u32),
    /// It does not and will not.
    Failed(String),
}

impl Heir {
    /// Starts the program anew.
    ///
    /// # Errors
    /// It cannot be executed, or there is too little of something.
    pub fn start(program: &Program, estate: Estate<'_>) -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        fcntl_setfl(&reader, fcntl_getfl(&reader)? | OFlags::NONBLOCK)?;
        let mut kept = vec![writer.as_fd()];
        kept.extend(estate.pid_file);
        kept.extend(estate.listeners.iter().map(|(listener, _)| *listener));
        let number = |descriptor: BorrowedFd<'_>| descriptor.as_raw_fd().to_string();
        let mut words = vec![
            std::process::id().to_string(),
            number(writer.as_fd()),
            estate.pid_file.map_or("-".into(), number),
            if estate.is_dropped { DROPPED } else { "-" }.into(),
        ];
        let listeners = estate.listeners.iter();
        words.extend(listeners.map(|(listener, word)| format!("{}={word}", number(*listener))));
        let mut command = Command::new(&program.path);
        command.args(&program.arguments);
        command.current_dir(&program.directory);
        command.env(VARIABLE, words.join(" "));
        command.envs(estate.variables);
        let child = child::start_keeping(&mut command, &kept)?;
        Ok(Self {
            child,
            pipe: reader.into(),
            said: Vec::new(),
        })
    }

    /// Hears what it says.
    pub fn listen(&mut self) -> Answer {
        let mut buffer = [0; 512];
        loop {
            match self.pipe.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) if self.said.len() < ANSWER_BYTES_MAX => {
                    self.said.extend_from_slice(&buffer[..count]);
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.answer(),
                Err(_) => break,
            }
        }
        match self.answer() {
            Answer::None => {
                // Its descriptors are closed a moment before its status can be asked for, and a
                // signal would still change that.
                if let Ok(held) = Held::open(self.child.id()) {
                    let _ = held.has_ended_within(LAST_BREATH);
                }
                Answer::Failed(self.end())
            }
            answer => answer,
        }
    }

    fn answer(&self) -> Answer {
        let said = String::from_utf8_lossy(&self.said);
        let Some((line, _)) = said.split_once('\n') else {
            return Answer::None;
        };
        match line.split_once(' ') {
            Some(("ready", pid)) => pid.parse().map_or(Answer::None, Answer::Ready),
            Some(("failed", why)) => Answer::Failed(why.to_owned()),
            _ => Answer::None,
        }
    }

    /// Kills it if it lives, and tells how it ended.
    pub fn end(&mut self) -> String {
        let _ = self.child.kill();
        let status = self.child.wait();
        match status.map(|status| (status.code(), status.signal())) {
            Ok((Some(code), _)) => format!("ended with status {code} before it was ready"),
            Ok((_, Some(signal))) => format!("was ended by signal {signal} before it was ready"),
            _ => "ended before it was ready".into(),
        }
    }
}

impl AsFd for Heir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// What this process has inherited from the one that has started it.
#[derive(Debug)]
pub struct Heritage {
    /// The pid file, with its lock.
    pub pid_file: Option<OwnedFd>,
    /// Root has started the other process, which then became somebody else.
    pub is_dropped: bool,
    /// The listeners, each with its word.
    pub listeners: Vec<(OwnedFd, String)>,
    /// Whom to tell.
    pub report: Report,
}

/// Tells the predecessor what becomes of its heir. Dropped without a word, it tells a failure.
#[derive(Debug)]
pub struct Report(File);

impl Report {
    /// This process serves: the other one may go.
    pub fn ready(mut self, pid: u32) {
        // One that has gone already need not be told.
        let _ = self.0.write_all(format!("ready {pid}\n").as_bytes());
    }

    /// This process does not serve, and ends.
    pub fn failed(mut self, why: &str) {
        let why = why.lines().collect::<Vec<_>>().join("; ");
        let why: String = why.chars().take(ANSWER_BYTES_MAX / 8).collect();
        let _ = self.0.write_all(format!("failed {why}\n").as_bytes());
    }
}

impl Heritage {
    /// Takes what the environment lists, once. `None` if it lists nothing, or if that is for
    /// another process.
    #[must_use]
    pub fn take() -> Option<Self> {
        let value = take_variable(VARIABLE)?.into_string().ok()?;
        let mut words = value.split(' ');
        let parent: u32 = words.next()?.parse().ok()?;
        let own_parent = rustix::process::getppid()?.as_raw_nonzero().get();
        if own_parent.unsigned_abs() != parent {
            return None;
        }
        let descriptor = |word: &str| inherited(word.parse().ok()?);
        let report = Report(descriptor(words.next()?)?.into());
        let pid_file = descriptor(words.next()?);
        let is_dropped = words.next()? == DROPPED;
        let listener = |word: &str| {
            let (number, word) = word.split_once('=')?;
            Some((descriptor(number)?, word.to_owned()))
        };
        Some(Self {
            pid_file,
            is_dropped,
            listeners: words.filter_map(listener).collect(),
            report,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, poll};
    use std::ffi::OsStr;

    fn heir(script: &str, estate: Estate<'_>) -> Heir {
        let program = Program {
            path: "/bin/sh".into(),
            arguments: ["-c", script].map(OsString::from).into(),
            directory: "/".into(),
        };
        Heir::start(&program, estate).unwrap()
    }

    fn answer(heir: &mut Heir) -> Answer {
        loop {
            poll(&mut [PollFd::new(heir, PollFlags::IN)], None).unwrap();
            match heir.listen() {
                Answer::None => {}
                answer => return answer,
            }
        }
    }

    #[test]
    fn a_heir_gets_what_is_listed_under_its_numbers() {
        let file = File::open("/etc/passwd").unwrap();
        let number = file.as_raw_fd();
        let estate = Estate {
            pid_file: Some(file.as_fd()),
            is_dropped: true,
            listeners: vec![(file.as_fd(), "a:1".into())],
            variables: vec![("WORD", "x y".into())],
        };
        let script = "set -- $SWIFTD_HERITAGE; \
            echo \"failed $((PPID == $1)) $3 $4 $5 $WORD $(readlink /proc/$$/fd/$3)\" >&$2";
        // dash redirects to one digit only.
        let script = script.replace(">&$2", "> /proc/$$/fd/$2");
        let said = answer(&mut heir(&script, estate));
        let wanted = format!("1 {number} dropped {number}=a:1 x y /etc/passwd");
        assert_eq!(said, Answer::Failed(wanted));
        // Only the child's copies were to stay open across exec.
        let flags = rustix::io::fcntl_getfd(&file).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }

    #[test]
    fn what_becomes_of_a_heir_is_told() {
        let say = |what: &str| format!("set -- $SWIFTD_HERITAGE; {what} > /proc/$$/fd/$2");
        for (script, wanted) in [
            (
                "exit 78".to_owned(),
                Answer::Failed("ended with status 78 before it was ready".into()),
            ),
            (
                "kill -9 $$".to_owned(),
                Answer::Failed("was ended by signal 9 before it was ready".into()),
            ),
            (say("echo ready 42"), Answer::Ready(42)),
            (
                say("echo failed no such root"),
                Answer::Failed("no such root".into()),
            ),
        ] {
            let mut heir = heir(&script, Estate::default());
            assert_eq!(answer(&mut heir), wanted, "{script}");
            heir.end();
        }
    }

    #[test]
    fn a_program_is_found_as_a_shell_finds_it() {
        let search = OsStr::new("/nowhere:/bin:/usr/bin");
        let found =
            |name: &str, directory: &str| resolve(Path::new(name), Path::new(directory), search);
        assert_eq!(found("sh", "/"), Some("/bin/sh".into()));
        assert_eq!(found("./sh", "/bin"), Some("/bin/./sh".into()));
        assert_eq!(found("bin/sh", "/"), Some("/bin/sh".into()));
        assert_eq!(found("/bin/sh", "/tmp"), Some("/bin/sh".into()));
        assert_eq!(found("no-such-program", "/"), None);
        assert_eq!(found("/etc/passwd", "/"), None);
    }

    #[test]
    fn a_report_is_one_line_with_a_bound() {
        let (reader, writer) = io::pipe().unwrap();
        Report(OwnedFd::from(writer).into()).failed(&"\u{fc}\nx".repeat(5_000));
        let mut text = String::new();
        File::from(OwnedFd::from(reader))
            .read_to_string(&mut text)
            .unwrap();
        assert!(text.len() <= ANSWER_BYTES_MAX && text.ends_with('\n'));
        assert_eq!(text.lines().count(), 1);
    }
}
