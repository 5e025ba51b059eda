//! Any sequence of calls gives only documented errors, and valid output.

#![no_main]

#[path = "../../tests/wire/mod.rs"]
mod wire;

libfuzzer_sys::fuzz_target!(|script: &[u8]| wire::script::operations(script));
