//! The body of an answer, half of the time behind a sound chunk: any split gives the same bytes, no more than are wanted.

#![no_main]

use everwire_wire::handshake::{Body, BodyReader};
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 200;

fuzz_target!(|input: (bool, u8, u8, &[u8])| {
    let (is_begun, kind, step, bytes) = input;
    let body = match kind % 4 {
        0 => Body::Length(u64::from(step)),
        1 => Body::UntilClose,
        _ => Body::Chunked,
    };
    let mut sent = if is_begun { b"3;a=b\r\nabc\r\n".to_vec() } else { Vec::new() };
    sent.extend_from_slice(bytes);

    let mut whole = BodyReader::new(body, LIMIT);
    whole.take(&sent);
    let mut split = BodyReader::new(body, LIMIT);
    sent.chunks(usize::from(step) % 7 + 1).for_each(|piece| split.take(piece));
    assert_eq!(whole.is_complete(), split.is_complete());
    let whole = whole.into_bytes();
    assert_eq!(whole, split.into_bytes());
    assert!(whole.len() <= LIMIT.min(sent.len()));
});
