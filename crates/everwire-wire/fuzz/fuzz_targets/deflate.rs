//! Compressed messages: any bytes to inflate, and any bytes to compress and inflate again.

#![no_main]

#[path = "../../tests/wire/mod.rs"]
mod wire;

libfuzzer_sys::fuzz_target!(|script: &[u8]| wire::script::deflate(script));
