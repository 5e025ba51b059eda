//! The `Host` of a request: a name or address, perhaps with a port (RFC 9110 §7.2, RFC 3986 §3.2).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A host that a client asked for. Letters are lower case and IPv6 addresses in their shortest
/// form, so that equal hosts have equal texts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host {
    text: String,
}

impl Host {
    /// Reads `uri-host [ ":" port ]`; `None` if it is anything else, or has no name.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, port) = split(text);
        let name = match name.strip_prefix('[') {
            Some(rest) => format!("[{}]", rest.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?),
            None if is_registered_name(name) => name.to_ascii_lowercase(),
            None => return None,
        };
        let text = match port {
            None | Some("") => name,
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                format!("{name}:{}", port.parse::<u16>().ok()?)
            }
            Some(_) => return None,
        };
        Some(Self { text })
    }

    /// The host as it would be written in a head.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name or address without the port; IPv6 addresses in brackets.
    pub fn name(&self) -> &str {
        split(&self.text).0
    }

    /// The port, if one was given.
    pub fn port(&self) -> Option<u16> {
        split(&self.text).1.and_then(|port| port.parse().ok())
    }

    /// Whether its name can only mean the machine it is spoken on: `localhost` and names below
    /// it (RFC 6761 §6.3), 127.0.0.0/8, ::1.
    pub fn is_loopback(&self) -> bool {
        is_loopback(self.name())
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Splits the port off, if there is a colon for one.
pub(super) fn split(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (authority, None),
    }
}

/// Whether a host's name, as [`Host::name`] gives it, means this machine.
pub(super) fn is_loopback(name: &str) -> bool {
    if let Some(address) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok_and(|v6| v6.to_canonical().is_loopback());
    }
    if let Ok(address) = name.parse::<Ipv4Addr>() {
        return address.is_loopback();
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

/// `reg-name` of RFC 3986 §3.2.2, which IPv4 addresses are too, but not empty.
fn is_registered_name(name: &str) -> bool {
    let mut rest = name.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = match (byte, tail) {
            (b'%', [high, low, tail @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => tail,
            (b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~', _) => tail,
            (b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=', _) => tail,
            _ => return false,
        };
    }
    !name.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_hosts_have_equal_texts() {
        for (given, kept) in [
            ("example.com", "example.com"),
            ("Example.COM:8080", "example.com:8080"),
            ("example.com:", "example.com"),
            ("example.com:080", "example.com:80"),
            ("my_service:1", "my_service:1"),
            ("127.0.0.1:9", "127.0.0.1:9"),
            ("[::1]", "[::1]"),
            ("[0:0:0:0:0:0:0:1]:443", "[::1]:443"),
            ("[2001:DB8::A]", "[2001:db8::a]"),
            ("a%20b", "a%20b"),
        ] {
            assert_eq!(Host::parse(given).expect(given).as_str(), kept);
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            ":80",
            "a b",
            "a/b",
            "user@host",
            "a:b",
            "a:65536",
            "a:-1",
            "a:+1",
            "a:1:2",
            "::1",
            "[::1",
            "::1]",
            "[::1]x",
            "[::1]:x",
            "[1.2.3.4]",
            "[fe80::1%25eth0]",
            "[]",
            "a%2",
            "a%zz",
            "a?b",
            "a#b",
            "\u{e9}",
            "a,b@c",
            "http://a",
        ] {
            assert_eq!(Host::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn name_and_port() {
        let host = Host::parse("[::1]:80").expect("valid");
        assert_eq!((host.name(), host.port()), ("[::1]", Some(80)));
        let host = Host::parse("[::1]").expect("valid");
        assert_eq!((host.name(), host.port()), ("[::1]", None));
    }

    #[test]
    fn loopback_names() {
        for text in
            ["localhost", "LOCALHOST:1", "a.localhost", "localhost.", "127.8.9.1", "[::1]:2", "[::ffff:127.0.0.1]"]
        {
            assert!(Host::parse(text).expect(text).is_loopback(), "{text}");
        }
        for text in ["localhost.evil.com", "notlocalhost", "127.0.0.1.evil.com", "10.0.0.1", "[::2]", "0.0.0.0"] {
            assert!(!Host::parse(text).expect(text).is_loopback(), "{text}");
        }
    }
}
