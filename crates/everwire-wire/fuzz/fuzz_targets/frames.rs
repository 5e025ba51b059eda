//! Bytes of a peer, cut anywhere, are always seen alike.

#![no_main]

#[path = "../../tests/wire/mod.rs"]
mod wire;

libfuzzer_sys::fuzz_target!(|script: &[u8]| wire::script::frames(script));
