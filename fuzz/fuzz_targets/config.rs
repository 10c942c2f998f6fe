//! See `swiftd::fuzzing::config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| swiftd::fuzzing::config(data));
