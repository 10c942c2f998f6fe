//! See `swiftd::fuzzing::elf`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| swiftd::fuzzing::elf(data));
