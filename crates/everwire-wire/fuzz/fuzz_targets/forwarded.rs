//! What a client makes up at the left of a list never hides the address that a trusted proxy
//! appended.

#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use everwire_wire::handshake::forwarded::{Source, client};
use everwire_wire::handshake::{Limits, Request};
use libfuzzer_sys::fuzz_target;

const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fuzz_target!(|made_up: &[u8]| {
    if made_up.contains(&b'\r') {
        return;
    }
    for (source, name, own) in [
        (Source::XForwardedFor, "X-Forwarded-For", "192.0.2.1"),
        (Source::Forwarded, "Forwarded", "for=\"192.0.2.1:80\";by=x"),
    ] {
        let head = |values: &[&[u8]]| {
            let start = format!("GET / HTTP/1.1\r\n{name}: ");
            let bytes = [start.as_bytes(), &values.join(&b", "[..]), b"\r\n\r\n"].concat();
            Request::parse(&bytes, &Limits::default())
        };
        if let Ok(request) = head(&[made_up]) {
            client(&request, source, PROXY, |address| address.is_ipv4());
        }
        if let Ok(request) = head(&[made_up, own.as_bytes()]) {
            assert_eq!(client(&request, source, PROXY, |address| address == PROXY), CLIENT);
        }
    }
});
