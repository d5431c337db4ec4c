#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| keyway_fuzz::fault(input));
