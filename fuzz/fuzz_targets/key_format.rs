//! Runs the property of this name under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| keyward_gateway::fuzzing::key_format(input));
