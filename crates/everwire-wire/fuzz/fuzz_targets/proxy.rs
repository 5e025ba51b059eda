//! Headers of the PROXY protocol: a part of one is incomplete or refused for the reason that the
//! whole is refused for.

#![no_main]

use everwire_wire::handshake::proxy::parse;
use everwire_wire::limits;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, u16, &[u8])| {
    let (is_signed, at, rest) = input;
    let signature: &[u8] = if is_signed { b"\r\n\r\n\0\r\nQUIT\n" } else { b"" };
    let bytes = [signature, rest].concat();
    let whole = parse(&bytes);
    let part = parse(&bytes[..usize::from(at).min(bytes.len())]);
    assert!(part == Ok(None) || part == whole);
    if let Ok(Some((_, used))) = whole {
        assert!((16..=limits::PROXY.min(bytes.len())).contains(&used));
    }
    if bytes.len() >= limits::PROXY {
        assert_ne!(whole, Ok(None));
    }
});
