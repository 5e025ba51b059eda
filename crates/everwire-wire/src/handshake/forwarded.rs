//! Who the client is when proxies stand in between: `X-Forwarded-For`, and `Forwarded`
//! (RFC 7239).
//!
//! Each proxy appends whom it got the request from, so only the right end of the list can be
//! believed, and only as far as those who wrote it are trusted. The list is read from its right
//! end, too: whatever a client put at the left cannot change how the elements of trusted proxies
//! are read.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::field;
use super::request::Request;

/// The field in which the trusted proxies write. It has to be known from the configuration: a
/// proxy that sets one of them passes the other on as the client made it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `X-Forwarded-For: client, proxy`.
    XForwardedFor,
    /// `Forwarded: for=client, for=proxy` (RFC 7239).
    Forwarded,
}

/// The address of the client that sent `request` to us through `peer`.
///
/// Walks from the peer to the client for as long as `is_trusted` holds, and gives the first
/// address for which it does not; the last trusted one when the list ends, or goes on with what
/// is no address (`unknown`, an obfuscated identifier, garbage). IPv4 addresses in IPv6 form are
/// taken for what they are. Cost: linear in the fields that are read; no address but those walked
/// over is parsed.
pub fn client(request: &Request, source: Source, peer: IpAddr, is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let name = match source {
        Source::XForwardedFor => "X-Forwarded-For",
        Source::Forwarded => "Forwarded",
    };
    let values: Vec<_> = request.all(name).collect();
    let mut client = peer.to_canonical();
    for element in values.into_iter().rev().flat_map(Elements::new) {
        if !is_trusted(client) {
            break;
        }
        let address = match source {
            Source::XForwardedFor => address(element),
            Source::Forwarded => forwarded_for(element),
        };
        match address {
            Some(address) => client = address.to_canonical(),
            None => break,
        }
    }
    client
}

/// The elements of a comma-separated list with quoted strings, from its right end.
struct Elements<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Elements<'a> {
    fn new(value: &'a [u8]) -> Self {
        Self { rest: Some(value) }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.rest.take()?;
        let mut is_quoted = false;
        let mut end = text.len();
        while let Some((byte, before)) = text.get(..end).and_then(<[u8]>::split_last) {
            match byte {
                b',' if !is_quoted => {
                    self.rest = Some(before);
                    break;
                }
                b'"' => is_quoted = !is_quoted || is_escaped(before),
                _ => {}
            }
            end -= 1;
        }
        text.get(end..).map(field::trim)
    }
}

/// Whether an odd number of backslashes comes before a quote.
fn is_escaped(before: &[u8]) -> bool {
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// The address in the one `for` parameter of an element (RFC 7239 §4).
fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    let mut found = None;
    let mut rest = element;
    loop {
        let (name, tail) = field::split_token(rest);
        let tail = tail.strip_prefix(b"=")?;
        let (value, tail) = match tail.first() {
            Some(b'"') => field::split_quoted(tail)?,
            _ => {
                let (token, tail) = field::split_token(tail);
                (token.to_vec(), tail)
            }
        };
        if name.eq_ignore_ascii_case(b"for") && found.replace(address(&value)?).is_some() {
            return None;
        }
        match field::trim(tail) {
            [] => return found,
            [b';', tail @ ..] => rest = field::trim(tail),
            _ => return None,
        }
    }
}

/// An address as proxies write it: IPv4, or IPv6 with or without brackets, perhaps with a port,
/// perhaps in quotes.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?;
    let text = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    text.parse::<SocketAddr>().ok().map(|address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::Limits;

    /// The client behind a peer 10.0.0.1, with 10.0.0.0/8 trusted.
    fn client_of(source: Source, fields: &str) -> String {
        let head = format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n");
        let request = Request::parse(head.as_bytes(), &Limits::default()).expect("valid");
        let peer = "10.0.0.1".parse().expect("valid");
        client(&request, source, peer, is_ten).to_string()
    }

    fn is_ten(address: IpAddr) -> bool {
        matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 10)
    }

    #[test]
    fn x_forwarded_for_is_walked_from_the_right() {
        for (value, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1, 10.0.0.2", "192.0.2.1"),
            ("198.51.100.9, 192.0.2.1,10.0.0.3 , 10.0.0.2", "192.0.2.1"),
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("\"[2001:db8::1]:4711\"", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("192.0.2.1, ::ffff:10.0.0.2", "192.0.2.1"),
        ] {
            assert_eq!(client_of(Source::XForwardedFor, &format!("X-Forwarded-For: {value}")), expected, "{value}");
        }
    }

    #[test]
    fn garbage_stops_at_the_last_trusted_hop() {
        for value in [
            "",
            ",",
            "unknown",
            "_hidden",
            "192.0.2.1, unknown",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.4:",
            "[::1",
            "\"",
            "\u{e9}",
        ] {
            assert_eq!(client_of(Source::XForwardedFor, &format!("X-Forwarded-For: {value}")), "10.0.0.1", "{value}");
        }
        for value in [
            "",
            "for=",
            "for=unknown",
            "for=_x",
            "proto=https",
            "192.0.2.1",
            "for:192.0.2.1",
            "for=\"192.0.2.1",
            "for=192.0.2.1;for=192.0.2.2",
            "for=192.0.2.1;",
            "for=192.0.2.1 x=y",
            "=192.0.2.1",
        ] {
            assert_eq!(client_of(Source::Forwarded, &format!("Forwarded: {value}")), "10.0.0.1", "{value}");
        }
    }

    #[test]
    fn forwarded_is_walked_from_the_right() {
        for (value, expected) in [
            ("for=192.0.2.1", "192.0.2.1"),
            ("For=\"192.0.2.1:4711\";proto=https;host=\"a,b\"", "192.0.2.1"),
            ("by=10.0.0.9; FOR=192.0.2.1", "192.0.2.1"),
            ("for=\"[2001:db8::1]:4711\", for=10.0.0.2", "2001:db8::1"),
            ("for=\"\\1\\92.0.2.1\"", "192.0.2.1"),
            ("for=198.51.100.9, for=192.0.2.1;host=\"a\\\",b\", for=10.0.0.2", "192.0.2.1"),
        ] {
            assert_eq!(client_of(Source::Forwarded, &format!("Forwarded: {value}")), expected, "{value}");
        }
    }

    #[test]
    fn what_a_client_made_up_changes_nothing() {
        for made_up in ["\"", "for=\"", "for=\"a\\", "\\\"", ",,,", "for=10.0.0.7;host=\"", "for=10.0.0.7\", \""] {
            let value = format!("Forwarded: {made_up}, for=192.0.2.1, for=10.0.0.2");
            assert_eq!(client_of(Source::Forwarded, &value), "192.0.2.1", "{made_up}");
        }
    }

    #[test]
    fn repeated_fields_are_one_list() {
        let fields = "X-Forwarded-For: 198.51.100.9\r\nx-forwarded-for: 192.0.2.1\r\nX-FORWARDED-FOR: 10.0.0.2";
        assert_eq!(client_of(Source::XForwardedFor, fields), "192.0.2.1");
    }

    #[test]
    fn an_untrusted_peer_is_the_client() {
        let text = b"GET / HTTP/1.1\r\nX-Forwarded-For: 198.51.100.9\r\n\r\n";
        let request = Request::parse(text, &Limits::default()).expect("valid");
        let peer = "::ffff:192.0.2.1".parse().expect("valid");
        assert_eq!(client(&request, Source::XForwardedFor, peer, is_ten).to_string(), "192.0.2.1");
    }

    #[test]
    fn the_field_that_was_not_configured_does_not_count() {
        assert_eq!(client_of(Source::Forwarded, "X-Forwarded-For: 192.0.2.1"), "10.0.0.1");
        assert_eq!(client_of(Source::XForwardedFor, "Forwarded: for=192.0.2.1"), "10.0.0.1");
    }
}
