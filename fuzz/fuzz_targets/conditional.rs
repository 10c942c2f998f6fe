//! See `swiftd::fuzzing::conditional`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| swiftd::fuzzing::conditional(data));
