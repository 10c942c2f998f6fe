//! See `swiftd::fuzzing::proxy_header`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| swiftd::fuzzing::proxy_header(data));
