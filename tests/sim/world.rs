//! One run: a server, its clients, and the clock that moves from one event to the next.

use super::client::Client;
use super::script;
use super::server::Server;
use super::stage::{Event, Shared, Stage, Trace};
use super::wire::Wire;
use std::time::Duration;
use swiftd::conn::{BodyBounds, Limits, Point};
use swiftd::http::parse::Bounds;

/// The bounds of a run, drawn from its seed: small, so that they are met.
#[derive(Clone)]
pub struct Settings {
    pub limits: Limits,
    pub read_bytes: usize,
    /// Bytes that one connection may move in one turn.
    pub budget: usize,
    pub has_plugin: bool,
}

impl Settings {
    fn draw(stage: &mut Stage) -> Self {
        let rng = &mut stage.rng;
        let mut secs = |low, high| Duration::from_secs(rng.between(low, high));
        let (head_timeout, body_timeout) = (secs(2, 5), secs(2, 5));
        let (idle_timeout, write_timeout) = (secs(2, 6), secs(2, 5));
        let (disk_timeout, hook_timeout) = (secs(2, 6), secs(2, 6));
        let linger_timeout = secs(1, 3);
        Self {
            limits: Limits {
                head: Bounds {
                    head_bytes_max: 700,
                    target_bytes_max: 200,
                    fields_max: 20,
                },
                body: BodyBounds {
                    body_bytes_max: 4000,
                    memory_bytes_max: 500,
                    trailer_bytes_max: 100,
                },
                requests_max: if rng.one_in(4) {
                    rng.between(1, 6) as u32
                } else {
                    1000
                },
                output_bytes_max: rng.size(500, 4000),
                linger_bytes_max: rng.between(500, 5000) as u32,
                head_timeout,
                body_timeout,
                idle_timeout,
                write_timeout,
                linger_timeout,
                disk_timeout,
                hook_timeout,
                half_close_timeout: hook_timeout,
                rate_min: rng.between(20, 60) as u32,
            },
            read_bytes: rng.size(64, 2000),
            budget: rng.size(500, 8000),
            has_plugin: !rng.one_in(4),
        }
    }
}

/// How long a run may last after which nobody can be waiting for anything, milliseconds: each
/// request of each client may meet each timeout, and take its response as slowly as it may.
const END: u64 = 20_000_000;

/// How many turns a run may take; far more than any does.
const TURNS_MAX: u64 = 2_000_000;

/// Runs a seed to its end.
pub fn run(seed: u64, is_loud: bool) -> Trace {
    let stage = Stage::new(seed, is_loud);
    let (settings, mut clients, mut wires) = set_up(&mut stage.borrow_mut());
    let mut server = Server::new(settings, &stage);
    let mut turn_count = 0;
    while let Some(now) = next_time(&server, &stage) {
        server.set_clock(now);
        let mut connecting = Vec::new();
        loop {
            let event = stage.borrow_mut().next_event(now);
            match event {
                None => break,
                Some(Event::Connect(number)) => connecting.push(number),
                Some(Event::Client(number)) => {
                    clients[number].step(&mut wires[number], &mut stage.borrow_mut());
                }
                Some(event) => server.handle_event(event, &wires),
            }
        }
        server.turn(&mut wires, &connecting);
        turn_count += 1;
        assert!(
            turn_count < TURNS_MAX && now < END,
            "turn {turn_count} at {now} ms"
        );
    }
    assert_eq!(server.connection_count(), 0, "connections wait for nothing");
    let stage = stage.borrow();
    for plan in &stage.plans {
        let resets = u32::from(plan.record.is_seen);
        assert!(plan.record.resets >= resets, "an exchange was never reset");
        let is_told = plan.record.last_point == Some(Point::SubrequestEnd);
        assert!(is_told || !plan.record.is_seen, "an end was never told");
    }
    stage.trace.clone()
}

fn set_up(stage: &mut Stage) -> (Settings, Vec<Client>, Vec<Wire>) {
    let settings = Settings::draw(stage);
    let (mut clients, mut wires) = (Vec::new(), Vec::new());
    for number in 0..stage.rng.size(1, 6) {
        stage.parties.push(Default::default());
        let stream = script::write(stage, &settings, number);
        clients.push(Client::new(number, stream, &mut stage.rng));
        wires.push(Wire::new(&mut stage.rng));
        let delay = stage.rng.between(0, 3000);
        stage.after(delay, Event::Connect(number));
        stage.after(delay, Event::Client(number));
        for _ in 0..stage.rng.between(0, 3) {
            let later = delay + stage.rng.between(0, 3000);
            stage.after(later, Event::SpuriousWake(number));
        }
    }
    if stage.rng.one_in(3) {
        let delay = stage.rng.between(0, 6000);
        stage.after(delay, Event::Stop);
        let patience = stage.rng.between(0, 10_000);
        stage.after(delay + patience, Event::Halt);
    }
    (settings, clients, wires)
}

/// When the next turn is: at the next event or deadline, a little later, or after a jump.
fn next_time(server: &Server, stage: &Shared) -> Option<u64> {
    let stage = &mut *stage.borrow_mut();
    let event = stage.next_time();
    let time = event
        .into_iter()
        .chain(server.next_time())
        .min()?
        .max(server.now());
    if stage.rng.one_in(3000) {
        let jump = stage.rng.between(500, 10_000);
        stage.jumped += jump;
        stage.trace.count("clock jumped");
        return Some(time + jump);
    }
    Some(
        time + if stage.rng.one_in(10) {
            stage.rng.between(1, 5)
        } else {
            0
        },
    )
}
