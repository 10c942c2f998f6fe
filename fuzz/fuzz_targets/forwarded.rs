//! See `swiftd::fuzzing::forwarded`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| swiftd::fuzzing::forwarded(data));
