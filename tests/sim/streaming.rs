//! Responses that the plugin sends while it makes them: in pieces of any size, with pauses, with
//! wakes that come too late, with failures.

use super::plan::Cause;
use super::stage::{Event, Stage};
use swiftd::conn::{Exchange, Flow};

/// What a stream of so many bytes consists of.
pub fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at ^ (at >> 8)) as u8).collect()
}

/// The plugin is called for its stream.
pub fn write(stage: &mut Stage, number: usize, bytes: usize, exchange: &mut Exchange) -> Flow {
    let client = stage.plans[number].client;
    stage.parties[client].is_hook_waiting = true;
    if stage.plans[number].record.is_streaming && stage.rng.one_in(40) {
        stage.blame(client, Cause::Cut("hook failed within its response"));
        return Flow::Error;
    }
    let is_calm = stage.rng.one_in(3);
    let content = content(bytes);
    let stream = &mut exchange.stream;
    stream.start();
    while stage.plans[number].record.written < bytes {
        let written = stage.plans[number].record.written;
        let piece_bytes = stage.rng.size(16, 4_000);
        match stream.write(&content[written..bytes.min(written + piece_bytes)]) {
            Some(count) => stage.plans[number].record.written += count,
            None => {
                stage.note("stream held back", client, written as u64);
                return wait(stage, number, true);
            }
        }
        if !is_calm && stage.rng.one_in(8) {
            pause(stage, number);
            return wait(stage, number, false);
        }
    }
    stream.end();
    stage.note("stream ended", client, bytes as u64);
    let was_ended = stage.plans[number].record.is_stream_ended;
    stage.plans[number].record.is_stream_ended = true;
    if !was_ended && stage.rng.one_in(4) {
        // It has something left to do.
        pause(stage, number);
        return wait(stage, number, false);
    }
    Flow::Finished
}

/// Something will wake the plugin: once, twice, or never.
fn pause(stage: &mut Stage, number: usize) {
    let client = stage.plans[number].client;
    let id = stage.parties[client]
        .id
        .expect("a connection that is served");
    let wakes = match stage.rng.between(0, 30) {
        0 => 0,
        1..=5 => 2,
        _ => 1,
    };
    stage.note("stream waits", client, wakes);
    for _ in 0..wakes {
        let delay = stage.rng.between(0, 500);
        stage.after(delay, Event::Wake(id, number));
    }
}

fn wait(stage: &mut Stage, number: usize, is_held_back: bool) -> Flow {
    let record = &mut stage.plans[number].record;
    record.is_streaming = true;
    record.is_woken = false;
    record.is_held_back = is_held_back;
    Flow::Wait
}

/// How many bytes the chunks take, and their content; more than there are if some are missing.
pub fn unchunked(bytes: &[u8]) -> (usize, Vec<u8>) {
    let mut content = Vec::new();
    let mut at = 0;
    loop {
        let missing = (bytes.len() + 1, Vec::new());
        let Some(line) = bytes[at..].windows(2).position(|two| two == b"\r\n") else {
            return missing;
        };
        let size = str::from_utf8(&bytes[at..at + line]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size");
        let start = at + line + 2;
        let end = start + size;
        let Some(after) = bytes.get(end..end + 2) else {
            return (end + 2, Vec::new());
        };
        assert_eq!(after, b"\r\n", "a chunk is longer than it says");
        content.extend_from_slice(&bytes[start..end]);
        at = end + 2;
        if size == 0 {
            return (at, content);
        }
    }
}
