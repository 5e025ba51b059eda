//! A server reads a head that arrives in pieces: any split ends the same way, and whatever is
//! taken for a handshake can be answered.

#![no_main]

use everwire_wire::deflate;
use everwire_wire::handshake::{Acceptance, HeadReader, Limits, Request, Stamp, write_accept};
use libfuzzer_sys::fuzz_target;

const STAMP: Stamp<'static> = Stamp { date: "Sun, 06 Nov 1994 08:49:37 GMT", server: Some("everwire") };
const LIMITS: Limits = Limits { head: 1024, line: 400, fields: 20 };

fuzz_target!(|input: (u8, &[u8])| {
    let (step, bytes) = input;
    let whole = HeadReader::default().find_end(bytes, &LIMITS);
    let mut reader = HeadReader::default();
    let split = (0..bytes.len())
        .step_by(usize::from(step) + 1)
        .chain([bytes.len()])
        .map(|end| reader.find_end(&bytes[..end], &LIMITS))
        .find(|found| *found != Ok(None))
        .unwrap_or(Ok(None));
    assert_eq!(split, whole);

    let Ok(Some(end)) = whole else { return };
    let Ok(request) = Request::parse(&bytes[..end], &LIMITS) else {
        return;
    };
    assert_eq!(request.as_bytes(), &bytes[..end]);
    assert!(request.path().starts_with('/') && request.fields().count() <= LIMITS.fields);
    match request.upgrade() {
        Ok(upgrade) => {
            let deflate = upgrade.deflate(&deflate::Config::default());
            let acceptance = Acceptance {
                subprotocol: upgrade.protocols.first().map(String::as_str),
                extension: deflate.as_ref().map(|(_, element)| element.as_str()),
                ..Acceptance::default()
            };
            let written = write_accept(&upgrade.key, &acceptance, &STAMP, &mut Vec::new());
            assert_eq!(written, Ok(()));
            if let Some(origin) = &upgrade.origin {
                origin.same_origin(&upgrade.host, step % 2 == 0);
            }
        }
        Err(refusal) => {
            let mut out = Vec::new();
            refusal.write(&STAMP, false, &mut out);
            assert!(refusal.status >= 400 && out.starts_with(b"HTTP/1.1 "));
        }
    }
});
