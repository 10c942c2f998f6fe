//! See `swiftd::fuzzing::target`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| swiftd::fuzzing::target(data));
