//! Deaths in plugins, as the supervisor and the handler of fatal signals see them.
//!
//! This program starts itself: `culprit play PART FILE` is a supervised process whose workers play a
//! plugin that dies in one way or another, and the program without arguments checks what is said
//! of them. So no harness: forking needs a process with one thread.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Resource, Rlimit, Signal, getpid, getrlimit, kill_process, setrlimit};
use std::fs;
use std::hint::black_box;
use std::io::{BufRead, BufReader, PipeReader};
use std::process::{Child, Command, ExitCode};
use std::time::Duration;
use swiftd::supervisor::{Role, Settings, Worker, run};
use swiftd::sys::crash::{self, FileIdentity, Hook};
use tempfile::NamedTempFile;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, play, part, file] = &arguments[..]
        && play == "play"
    {
        return perform(part, file);
    }
    let tests: [(&str, fn()); 9] = [
        ("abort_is_named", abort_is_named),
        ("sigkill_is_named", sigkill_is_named),
        ("stack_overflow_is_named", stack_overflow_is_named),
        ("exit_is_no_way_out", exit_is_no_way_out),
        ("a_hang_is_ended_and_named", a_hang_is_ended_and_named),
        (
            "a_plugin_that_cannot_be_loaded_does_not_keep_the_server_down",
            a_plugin_that_cannot_be_loaded_does_not_keep_the_server_down,
        ),
        ("a_job_is_named", a_job_is_named),
        (
            "another_thread_is_not_blamed_on_the_hook_at_work",
            another_thread_is_not_blamed_on_the_hook_at_work,
        ),
        (
            "no_descriptor_is_left_by_twenty_deaths",
            no_descriptor_is_left_by_twenty_deaths,
        ),
    ];
    println!("\nrunning {} tests", tests.len());
    for (name, test) in tests {
        test();
        println!("test {name} ... ok");
    }
    ExitCode::SUCCESS
}

/// Nobody is told anything but what goes to standard error.
struct Nobody;

impl swiftd::supervisor::Outside for Nobody {
    fn hear(&mut self, _: &[u8]) {}

    fn log(&mut self, line: std::fmt::Arguments<'_>) {
        eprintln!("swiftd: {line}");
    }

    fn reopen(&mut self) {}
}

const CRASHY: FileIdentity = [64, 4711, 14_000, 1 << 60, 1 << 61];

/// The supervised process.
fn perform(part: &str, file: &str) -> ExitCode {
    let limit = getrlimit(Resource::Core);
    let no_core = Rlimit {
        current: Some(0),
        ..limit
    };
    setrlimit(Resource::Core, no_core).unwrap();
    let settings = Settings {
        plugin_hang: (part == "hang").then_some(Duration::from_millis(100)),
        drain_timeout: Duration::from_secs(3600),
        sign_of_life: None,
    };
    match run(Vec::new(), settings, &mut Nobody).unwrap() {
        Role::Over(code) => ExitCode::from(code),
        Role::Worker(worker) => play(part, file, &worker),
    }
}

/// A worker. It serves when it is to do without the plugin, and else lets it die.
fn play(part: &str, file: &str, worker: &Worker) -> ExitCode {
    crash::install_handler().unwrap();
    let is_alone = worker.left_out.iter().any(|out| out.name == "crashy");
    if is_alone {
        assert_eq!(worker.left_out[0].identity, CRASHY);
    }
    if is_alone || part == "thread" && !worker.is_first {
        return serve(worker);
    }
    crash::set_entry(0, "innocent", [1; 5]);
    crash::set_entry(2, "crashy", CRASHY);
    if part == "load" {
        crash::enter(2, Hook::Load);
        std::process::exit(3);
    }
    crash::set_ready();
    crash::beat();
    crash::enter(0, Hook::UrlRaw);
    crash::leave();
    match part {
        "job" | "thread" => {
            crash::enter(0, Hook::Trigger);
            let is_job = part == "job";
            let thread = std::thread::spawn(move || {
                if is_job {
                    crash::enter_job(2);
                }
                std::process::abort();
            });
            let _ = thread.join();
        }
        "twenty" => die_as_another(file, worker),
        _ => crash::enter(2, Hook::HandleSubrequest),
    }
    match part {
        "abort" => std::process::abort(),
        "kill" => kill_process(getpid(), Signal::KILL).unwrap(),
        "overflow" => println!("{}", overflow(0)),
        "exit" => std::process::exit(0),
        "hang" => loop {
            std::hint::spin_loop();
        },
        _ => {}
    }
    unreachable!("{part} does not die");
}

/// Waits for a signal of the supervisor.
fn serve(worker: &Worker) -> ExitCode {
    crash::set_ready();
    eprintln!("serving, first: {}", worker.is_first);
    while worker.signals.next().is_none() {
        poll(&mut [PollFd::new(&worker.signals, PollFlags::IN)], None).unwrap();
    }
    ExitCode::SUCCESS
}

#[inline(never)]
fn overflow(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if depth == u64::MAX {
        return 0;
    }
    overflow(depth + 1) + black_box(frame)[7]
}

/// Each worker is another plugin, so there is no pause. `file` counts them.
fn die_as_another(file: &str, worker: &Worker) {
    let deaths = fs::read(file).unwrap();
    let descriptors = fs::read_dir("/proc/self/fd").unwrap().count();
    eprintln!("descriptors: {descriptors}");
    if deaths.len() == 20 {
        crash::leave();
        serve(worker);
        std::process::exit(0);
    }
    fs::write(file, [deaths, vec![0]].concat()).unwrap();
    crash::set_entry(1, "changing", [u64::from(std::process::id()); 5]);
    crash::enter(1, Hook::Callback);
    std::process::abort();
}

/// When a test gives up waiting.
const PATIENCE: Duration = Duration::from_secs(60);

/// A supervised process, and what it says.
struct Play {
    child: Child,
    output: BufReader<PipeReader>,
    _file: NamedTempFile,
}

impl Play {
    fn start(part: &str) -> Self {
        let (reader, writer) = std::io::pipe().unwrap();
        let file = NamedTempFile::new().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["play", part]).arg(file.path()).stderr(writer);
        Self {
            child: command.spawn().unwrap(),
            output: BufReader::new(reader),
            _file: file,
        }
    }

    /// The next line as it is; empty at the end.
    fn raw_line(&mut self) -> String {
        if self.output.buffer().is_empty() {
            let mut ready = [PollFd::new(self.output.get_ref(), PollFlags::IN)];
            let count = poll(&mut ready, Some(&PATIENCE.try_into().unwrap())).unwrap();
            assert_eq!(count, 1, "it neither says anything nor ends");
        }
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line
    }

    /// The next line, without the number of the worker.
    fn line(&mut self) -> String {
        let line = self.raw_line();
        let line = line.strip_suffix('\n').expect("it has ended").to_owned();
        let is_number = |word: &&str| word.parse::<u32>().is_ok();
        match line.strip_prefix("swiftd: worker ") {
            Some(rest) => {
                let (number, rest) = rest.split_once(' ').unwrap();
                assert!(is_number(&number), "{line}");
                format!("worker {rest}")
            }
            None => line,
        }
    }

    /// The plugin has its three deaths, is then left out, and all ends in good order.
    fn expect_three(mut self, last_word: Option<&str>, cause: &str) {
        for decision in [
            "restarting (1 of 3 within 60 s)",
            "restarting (2 of 3 within 60 s)",
            "restarting without it until its file changes (3 of 3 within 60 s)",
        ] {
            if let Some(wanted) = last_word {
                let line = self.line();
                assert!(line.starts_with(wanted), "{line}");
            }
            assert_eq!(self.line(), format!("worker {cause}; {decision}"));
        }
        self.finish(false);
    }

    fn finish(mut self, is_first: bool) {
        assert_eq!(self.line(), format!("serving, first: {is_first}"));
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
        assert_eq!(self.raw_line(), "");
    }
}

impl Drop for Play {
    fn drop(&mut self) {
        // A test that failed; the worker goes with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn abort_is_named() {
    Play::start("abort").expect_three(
        Some("swiftd: fatal signal 6 in plugin crashy hook handle_subrequest"),
        "killed by signal 6 (SIGABRT) in plugin crashy hook handle_subrequest",
    );
}

fn sigkill_is_named() {
    let cause = "killed by signal 9 (SIGKILL) in plugin crashy hook handle_subrequest";
    Play::start("kill").expect_three(None, cause);
}

fn stack_overflow_is_named() {
    Play::start("overflow").expect_three(
        Some("swiftd: fatal signal 11 in plugin crashy hook handle_subrequest address 0x"),
        "killed by signal 11 (SIGSEGV) in plugin crashy hook handle_subrequest",
    );
}

fn exit_is_no_way_out() {
    let cause = "ended with status 0 in plugin crashy hook handle_subrequest";
    Play::start("exit").expect_three(None, cause);
}

fn a_hang_is_ended_and_named() {
    Play::start("hang").expect_three(
        None,
        "hung and was killed by signal 9 (SIGKILL) in plugin crashy hook handle_subrequest",
    );
}

fn a_plugin_that_cannot_be_loaded_does_not_keep_the_server_down() {
    let mut play = Play::start("load");
    for _ in 0..3 {
        let line = play.line();
        let cause = "worker ended with status 3 in plugin crashy hook load; ";
        assert!(line.starts_with(cause), "{line}");
    }
    // Nobody has said yet what is served.
    play.finish(true);
}

fn a_job_is_named() {
    Play::start("job").expect_three(
        Some("swiftd: fatal signal 6 in plugin crashy hook job on a helper thread"),
        "killed by signal 6 (SIGABRT) in plugin crashy hook job",
    );
}

fn another_thread_is_not_blamed_on_the_hook_at_work() {
    let mut play = Play::start("thread");
    assert_eq!(
        play.line(),
        "swiftd: fatal signal 6 outside any plugin on a helper thread"
    );
    assert_eq!(
        play.line(),
        "worker killed by signal 6 (SIGABRT) outside any plugin; restarting"
    );
    play.finish(false);
}

fn no_descriptor_is_left_by_twenty_deaths() {
    let mut play = Play::start("twenty");
    let first = play.line();
    assert!(first.starts_with("descriptors: "), "{first}");
    for _ in 0..20 {
        let line = play.line();
        let wanted = "swiftd: fatal signal 6 in plugin changing hook callback";
        assert_eq!(line, wanted);
        let line = play.line();
        let wanted = "worker killed by signal 6 (SIGABRT) in plugin changing hook callback; \
                      restarting (1 of 3 within 60 s)";
        assert_eq!(line, wanted);
        assert_eq!(play.line(), first);
    }
    play.finish(false);
}
