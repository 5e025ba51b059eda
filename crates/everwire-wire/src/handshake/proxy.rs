//! The PROXY protocol, version 2: how a load balancer that knows no HTTP says who connected to
//! it, in a binary header before everything else.
//!
//! It may be believed only from addresses that are configured to speak it, and then has to be
//! demanded from them: the driver knows. Version 1, a line of text, is not accepted.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::limits;

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The proxy speaks for itself (LOCAL, such as a health check), or does not know: the peer's
    /// own address holds.
    Peer,
    /// A client over TCP.
    Tcp {
        /// The client's address.
        client: SocketAddr,
        /// The address it connected to, at the proxy.
        server: SocketAddr,
    },
    /// A client on the proxy's own machine, over a Unix socket.
    Unix,
}

/// Why bytes are no header of the PROXY protocol, version 2; the connection has to be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid(pub &'static str);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Invalid {}

/// Reads the header at the front of `bytes`: who connected, and the number of bytes it takes;
/// `None` while it is incomplete.
///
/// # Errors
/// As soon as a byte says that this is no such header, or one of more than [`limits::PROXY`]
/// bytes.
pub fn parse(bytes: &[u8]) -> Result<Option<(Source, usize)>, Invalid> {
    if !SIGNATURE.iter().zip(bytes).all(|(expected, byte)| expected == byte) {
        return Err(Invalid("no PROXY protocol header of version 2, which the settings demand"));
    }
    let is_local = match bytes.get(12) {
        None => return Ok(None),
        Some(0x20) => true,
        Some(0x21) => false,
        Some(_) => {
            return Err(Invalid("the PROXY header has an unknown version or command"));
        }
    };
    let family = match bytes.get(13) {
        None => return Ok(None),
        Some(family) => Family::parse(*family, is_local)?,
    };
    let Some(&[high, low]) = bytes.get(14..FIXED) else {
        return Ok(None);
    };
    let end = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if end > limits::PROXY {
        return Err(Invalid("the PROXY header is too long"));
    }
    let Some(addresses) = bytes.get(FIXED..end) else {
        return Ok(None);
    };
    Ok(Some((family.source(addresses)?, end)))
}

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Bytes of the part that every header has.
const FIXED: usize = 16;

#[derive(Clone, Copy)]
enum Family {
    /// Whatever the addresses are, they do not count.
    None,
    Tcp4,
    Tcp6,
    Unix,
}

impl Family {
    fn parse(byte: u8, is_local: bool) -> Result<Self, Invalid> {
        match byte {
            _ if is_local => Ok(Self::None),
            0x00 => Ok(Self::None),
            0x11 => Ok(Self::Tcp4),
            0x21 => Ok(Self::Tcp6),
            0x31 => Ok(Self::Unix),
            _ => Err(Invalid("the PROXY header names a transport other than TCP")),
        }
    }

    fn source(self, addresses: &[u8]) -> Result<Source, Invalid> {
        let mut rest = addresses;
        let source = match self {
            Self::None => Some(Source::Peer),
            Self::Unix => take::<216>(&mut rest).map(|_| Source::Unix),
            Self::Tcp4 => tcp::<4, Ipv4Addr>(&mut rest),
            Self::Tcp6 => tcp::<16, Ipv6Addr>(&mut rest),
        };
        source.ok_or(Invalid("the PROXY header is too short for its addresses"))
    }
}

/// Two addresses of `N` bytes, then two ports.
fn tcp<const N: usize, A: From<[u8; N]> + Into<IpAddr>>(rest: &mut &[u8]) -> Option<Source> {
    let client: IpAddr = A::from(take(rest)?).into();
    let server: IpAddr = A::from(take(rest)?).into();
    let client = SocketAddr::new(client.to_canonical(), u16::from_be_bytes(take(rest)?));
    let server = SocketAddr::new(server.to_canonical(), u16::from_be_bytes(take(rest)?));
    Some(Source::Tcp { client, server })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).expect("short").to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, content].concat()
    }

    /// Parses the header, after making sure that each part of it only asks for more.
    fn parse_in_parts(bytes: &[u8]) -> Result<Option<(Source, usize)>, Invalid> {
        let whole = parse(bytes);
        if whole.is_ok() {
            for end in 0..bytes.len() {
                assert_eq!(parse(&bytes[..end]), Ok(None), "{end} bytes");
            }
            assert_eq!(parse(&[bytes, b"GET /"].concat()), whole);
        }
        whole
    }

    #[test]
    fn tcp_over_ipv4() {
        let bytes = header(0x21, 0x11, b"\x0A\0\0\x01\x0A\0\0\x02\x30\x39\x01\xBB");
        let client = "10.0.0.1:12345".parse().expect("valid");
        let server = "10.0.0.2:443".parse().expect("valid");
        assert_eq!(parse_in_parts(&bytes), Ok(Some((Source::Tcp { client, server }, 28))));
    }

    #[test]
    fn tcp_over_ipv6_with_additions_that_are_skipped() {
        let mut content = Vec::new();
        content.extend("2001:db8::1".parse::<Ipv6Addr>().expect("valid").octets());
        content.extend("::ffff:10.0.0.2".parse::<Ipv6Addr>().expect("valid").octets());
        content.extend([0x30, 0x39, 0x01, 0xBB]);
        content.extend(b"\x04\0\x03abc");
        let client = "[2001:db8::1]:12345".parse().expect("valid");
        let server = "10.0.0.2:443".parse().expect("valid");
        let bytes = header(0x21, 0x21, &content);
        assert_eq!(parse_in_parts(&bytes), Ok(Some((Source::Tcp { client, server }, 58))));
    }

    #[test]
    fn unix_sockets() {
        assert_eq!(parse_in_parts(&header(0x21, 0x31, &[0; 216])), Ok(Some((Source::Unix, 232))));
        assert!(parse(&header(0x21, 0x31, &[0; 215])).is_err());
    }

    #[test]
    fn a_proxy_that_speaks_for_itself_is_the_peer() {
        assert_eq!(parse_in_parts(&header(0x20, 0x00, b"")), Ok(Some((Source::Peer, 16))));
        assert_eq!(parse_in_parts(&header(0x20, 0x11, &[1; 12])), Ok(Some((Source::Peer, 28))));
        assert_eq!(parse_in_parts(&header(0x21, 0x00, &[1; 7])), Ok(Some((Source::Peer, 23))));
    }

    #[test]
    fn length_is_bounded_before_it_is_waited_for() {
        let bytes = header(0x21, 0x11, &[0; 521]);
        assert!(parse(&bytes[..FIXED]).is_err());
        assert!(parse(&header(0x21, 0x11, &[0; 520])).is_ok_and(|parsed| parsed.is_some()));
    }

    #[test]
    fn anything_else_is_refused_at_its_first_wrong_byte() {
        for bytes in [&b"P"[..], b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", b"GET / HTTP/1.1\r\n", b"\r\n\r\n\r"] {
            assert!(parse(bytes).is_err(), "{bytes:?}");
        }
        for (command, family) in [(0x11, 0x11), (0x22, 0x11), (0x31, 0x11), (0x21, 0x12), (0x21, 0x41), (0x21, 0x32)] {
            assert!(parse(&header(command, family, &[0; 216])).is_err(), "{command:x} {family:x}");
        }
        assert!(parse(&header(0x21, 0x11, &[0; 11])).is_err());
        assert!(parse(&header(0x21, 0x21, &[0; 35])).is_err());
    }
}
