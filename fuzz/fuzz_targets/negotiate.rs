//! See `swiftd::fuzzing::negotiate`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| swiftd::fuzzing::negotiate(data));
