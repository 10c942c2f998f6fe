//! See `swiftd::fuzzing::plugin_config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| swiftd::fuzzing::plugin_config(data));
