//! How long requests wait because plugins are reloaded, or because one has killed the server.
//!
//! A client asks at a fixed rate, for a file and of a plugin in turns, and times each answer from
//! the moment at which its request was due: so a stall counts for every request that it held up.
//! Meanwhile the plugin is reloaded as often as the server can. `run.sh` beside this file pins the
//! server to one processor and this program to another; see it for how to run this.

#[path = "../../tests/support/server.rs"]
mod server;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use server::{Client, Server};
use std::fs::{File, FileTimes};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};
use std::{env, fs, thread};
use tempfile::TempDir;

/// What is measured, unless the environment says otherwise.
struct Settings {
    /// Seconds of each measurement.
    seconds: u64,
    /// How often each is repeated; the rounds are gathered.
    rounds: u64,
    /// Requests a second.
    rate: u64,
    /// What the server is started through, as `taskset -c 0`.
    wrapper: Vec<String>,
    /// The plugins, by name.
    libraries: Vec<(&'static str, PathBuf)>,
}

impl Settings {
    fn from_environment() -> Self {
        let number = |name, default| {
            let text = env::var(name).ok();
            text.map_or(default, |text| text.parse().expect("a number"))
        };
        let wrapper = env::var("WRAPPER").unwrap_or_default();
        let library = |name| env::var_os(name).map(PathBuf::from);
        let libraries = [
            ("a", library("LIBRARY_C")),
            ("hello", library("LIBRARY_RUST")),
        ];
        Self {
            seconds: number("SECONDS_EACH", 2),
            rounds: number("ROUNDS", 6),
            rate: number("RATE", 2000),
            wrapper: wrapper.split_whitespace().map(str::to_owned).collect(),
            libraries: libraries
                .into_iter()
                .filter_map(|(name, library)| Some((name, library?)))
                .collect(),
        }
    }
}

fn main() {
    let settings = Settings::from_environment();
    assert!(!settings.libraries.is_empty(), "use benches/plugins/run.sh");
    println!(
        "\n{:24}{:>9}{:>9} |{:>8}{:>8}{:>8} |{:>8}{:>8} |{:>12}",
        "microseconds", "requests", "reloads", "p50", "p99", "p99.9", "p99.9", "max", "loop/reload"
    );
    println!(
        "{:42} |{:>24} |{:>16} |",
        "", "of all rounds", "quietest round"
    );
    for (name, library) in &settings.libraries {
        let mut ways = [
            Way::new("no reloads", None),
            Way::new("reloads", Some("on")),
            Way::new("reloads, no trial", Some("off")),
        ];
        // In turns, because the machine is not the same all the time.
        for _ in 0..settings.rounds {
            for way in &mut ways {
                way.measure(name, library, &settings);
            }
        }
        // What a request costs the loop when nothing is reloaded.
        let request_ns = ways[0].loop_ns / ways[0].delays.len() as u64;
        for way in &mut ways {
            way.print(name, request_ns);
        }
    }
    measure_deaths(&settings);
}

/// A measurement.
struct Way {
    title: &'static str,
    trial: Option<&'static str>,
    delays: Vec<Duration>,
    /// Of the round whose 99.9th percentile was the least: that and the longest, microseconds.
    quietest: (u128, u128),
    reloads: u64,
    /// Processor time of the loop's thread, nanoseconds.
    loop_ns: u64,
}

impl Way {
    fn new(title: &'static str, trial: Option<&'static str>) -> Self {
        Self {
            title,
            trial,
            delays: Vec::new(),
            quietest: (u128::MAX, 0),
            reloads: 0,
            loop_ns: 0,
        }
    }

    /// One round.
    fn measure(&mut self, name: &str, library: &Path, settings: &Settings) {
        let place = place_with(name, library);
        let options = ["--plugin-trial", self.trial.unwrap_or("on")];
        let mut server = start(&place, settings, &options);
        let pid = Pid::from_raw(server.pid().cast_signed()).expect("it runs");
        let generations = Arc::new(AtomicU64::new(0));
        let is_over = Arc::new(AtomicBool::new(false));
        let mut client = server.connect();
        let reader = {
            let (generations, is_over) = (Arc::clone(&generations), Arc::clone(&is_over));
            thread::spawn(move || {
                while !is_over.load(Ordering::Acquire) {
                    let Some(line) = server.next_line() else {
                        break;
                    };
                    assert!(!line.contains("rejected"), "{line}");
                    if line.contains("plugins: generation") {
                        generations.fetch_add(1, Ordering::AcqRel);
                    }
                }
                server
            })
        };
        let file = File::options()
            .append(true)
            .open(place.path().join(format!("lib/{name}.so")));
        let file = file.expect("the library is there");
        while generations.load(Ordering::Acquire) == 0 {
            thread::yield_now();
        }
        let targets = [format!("/{name}"), "/small.txt".to_owned()];
        let mut asked = 1;
        let mut reload = || {
            if self.trial.is_some() && generations.load(Ordering::Acquire) == asked {
                let now = FileTimes::new().set_modified(SystemTime::now());
                file.set_times(now).expect("the library is ours");
                kill_process(pid, Signal::HUP).expect("the server runs");
                asked += 1;
            }
        };
        let step = Duration::from_nanos(1_000_000_000 / settings.rate);
        let mut delays = Vec::new();
        let ran_before = loop_ns(pid);
        let begin = Instant::now();
        for number in 0..settings.seconds * settings.rate {
            reload();
            let due = begin + step * number as u32;
            let left = due.saturating_duration_since(Instant::now());
            thread::sleep(left.saturating_sub(Duration::from_micros(80)));
            while Instant::now() < due {
                std::hint::spin_loop();
            }
            let response = client.get(&targets[number as usize % 2]);
            assert_eq!(response.status, 200);
            delays.push(due.elapsed());
        }
        self.loop_ns += loop_ns(pid) - ran_before;
        delays.sort_unstable();
        self.quietest = self.quietest.min((at(&delays, 0.999), at(&delays, 1.0)));
        self.delays.append(&mut delays);
        self.reloads += generations.load(Ordering::Acquire) - 1;
        is_over.store(true, Ordering::Release);
        // One more line, for whoever waits for it.
        File::set_times(&file, FileTimes::new().set_modified(SystemTime::now())).expect("ours");
        kill_process(pid, Signal::HUP).expect("the server runs");
        drop(client);
        let server = reader.join().expect("the reader ends");
        server.finish_with_log(2);
    }

    fn print(&mut self, name: &str, request_ns: u64) {
        self.delays.sort_unstable();
        let all = &self.delays;
        let title = format!("{name}: {}", self.title);
        let (count, reloads) = (all.len(), self.reloads);
        let (p50, p99, p999) = (at(all, 0.5), at(all, 0.99), at(all, 0.999));
        let (quiet, quiet_max) = self.quietest;
        let own = self.loop_ns.saturating_sub(request_ns * count as u64);
        let own = own.checked_div(reloads * 1000).unwrap_or_default();
        println!(
            "{title:24}{count:9}{reloads:9} |{p50:8}{p99:8}{p999:8} |{quiet:8}{quiet_max:8} |{own:12}"
        );
    }
}

/// A percentile of sorted times, microseconds.
fn at(sorted: &[Duration], share: f64) -> u128 {
    sorted[((sorted.len() - 1) as f64 * share) as usize].as_micros()
}

/// How long the loop, a process's first thread, has run.
fn loop_ns(process: Pid) -> u64 {
    let path = format!("/proc/{0}/task/{0}/schedstat", process.as_raw_nonzero());
    let text = fs::read_to_string(path).expect("the server runs");
    let run = text.split_whitespace().next();
    run.and_then(|number| number.parse().ok())
        .expect("a number")
}

/// A site and a list with one plugin.
fn place_with(name: &str, library: &Path) -> TempDir {
    let place = TempDir::new().expect("there is room");
    let path = |name: &str| place.path().join(name);
    for name in ["site", "lib"] {
        fs::create_dir(path(name)).expect("there is room");
    }
    fs::write(path("site/small.txt"), "small").expect("there is room");
    fs::copy(library, path(&format!("lib/{name}.so"))).expect("the library is there");
    let list = format!("{name}:{}/$\n", path("lib").display());
    fs::write(path("list"), list).expect("there is room");
    place
}

fn start(place: &TempDir, settings: &Settings, options: &[&str]) -> Server {
    let own = server::program();
    let mut words = settings.wrapper.iter();
    let mut command = match words.next() {
        Some(first) => {
            let mut command = Command::new(first);
            command.args(words).arg(own.get_program());
            command
        }
        None => own,
    };
    command.arg(place.path().join("site")).args(["--port", "0"]);
    command.arg("--plugins").arg(place.path().join("list"));
    Server::spawn({
        command.args(options);
        command
    })
}

/// From a request that kills the server to the answer to the next one, over a connection that is
/// made at once.
fn measure_deaths(settings: &Settings) {
    let limit = getrlimit(Resource::Core);
    setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            ..limit
        },
    )
    .expect("less is allowed");
    let Some((name, library)) = settings.libraries.iter().find(|(name, _)| *name == "a") else {
        return;
    };
    for trial in ["on", "off"] {
        let mut times = Vec::new();
        for _ in 0..5 {
            let place = place_with(name, library);
            let server = start(&place, settings, &["--supervise", "--plugin-trial", trial]);
            // A third one would leave the plugin out.
            for _ in 0..2 {
                assert_eq!(server.get(&format!("/{name}")).status, 200);
                let mut victim = server.connect();
                let begin = Instant::now();
                victim.ask(&format!("/{name}/null"));
                assert!(victim.all_there_is().is_empty());
                let mut next = Client::connect(server.address());
                assert_eq!(next.get("/small.txt").status, 200);
                times.push(begin.elapsed().as_micros());
            }
            server.signal(Signal::TERM);
            server.wait();
        }
        times.sort_unstable();
        println!("death to next answer, trial {trial}: {times:?} microseconds");
    }
}
