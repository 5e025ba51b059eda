//! The head of a request, as a server receives it (RFC 9112 §3).

use std::fmt;

use super::field::{self, Fields};
use super::head::{Head, Limits};
use super::host::Host;
use super::refusal::Refusal;
use super::upgrade::Upgrade;

/// A request's head. Costs one exact allocation, and 24 bytes; everything is parsed on access.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    head: Head,
}

impl Request {
    /// Reads `head`, which is exactly one head with its blank line, as
    /// [`HeadReader::find_end`](super::HeadReader::find_end) delimits it.
    ///
    /// Takes every method, and HTTP/1.0 as well, for the sake of those who also serve HTTP;
    /// [`upgrade`](Self::upgrade) refuses them.
    ///
    /// # Errors
    /// 400 for whatever is no sound HTTP/1 head, 414 for a long request line, 431 for long or
    /// many fields, 505 for another major version.
    pub fn parse(head: &[u8], limits: &Limits) -> Result<Self, Refusal> {
        let head = Head::parse(head, limits)?;
        judge_request_line(head.start_line())?;
        Ok(Self { head })
    }

    /// The head as it was received.
    pub fn as_bytes(&self) -> &[u8] {
        self.head.as_bytes()
    }

    /// Such as `GET`; methods are case-sensitive.
    pub fn method(&self) -> &str {
        let end = self.line().find(' ').unwrap_or_default();
        self.line().get(..end).unwrap_or_default()
    }

    /// The target as it was sent; visible ASCII.
    pub fn target(&self) -> &str {
        self.line().split(' ').nth(1).unwrap_or_default()
    }

    /// The path of the target, not decoded; begins with a slash.
    pub fn path(&self) -> &str {
        match self.resource().split('?').next() {
            None | Some("") => "/",
            Some(path) => path,
        }
    }

    /// What follows the question mark of the target, not decoded.
    pub fn query(&self) -> Option<&str> {
        self.resource().split_once('?').map(|(_, query)| query)
    }

    /// The authority of a target in absolute form, which then counts instead of `Host`
    /// (RFC 9112 §3.2.2).
    pub fn authority(&self) -> Option<&str> {
        split_target(self.target()).0
    }

    /// The x of HTTP/1.x.
    pub fn minor_version(&self) -> u8 {
        self.line().bytes().last().map_or(0, |digit| digit.wrapping_sub(b'0'))
    }

    /// All fields, in the order they were sent in.
    pub fn fields(&self) -> Fields<'_> {
        self.head.fields()
    }

    /// The value of the first field of that name, in any case.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.head.field(name)
    }

    /// The values of all fields of that name, in any case.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.head.all(name)
    }

    /// Whether it asks for the WebSocket protocol, well or badly. Everything else is plain HTTP.
    pub fn is_upgrade(&self) -> bool {
        self.all("Upgrade").any(|value| field::has_token(value, b"websocket"))
    }

    /// Whether bytes of its own follow the head (RFC 9112 §6.3). A length that cannot be understood counts, too.
    pub fn has_body(&self) -> bool {
        self.all("Content-Length").any(|length| length != b"0") || self.all("Transfer-Encoding").next().is_some()
    }

    /// What a client's opening handshake asks for (RFC 6455 §4.2.1).
    ///
    /// # Errors
    /// 405 for another method than GET, 505 for HTTP/1.0, 426 if it is no upgrade or of another
    /// version than 13, 400 for every other fault. Judged are the rules of the protocol, not
    /// whether this origin, host or path is welcome.
    pub fn upgrade(&self) -> Result<Upgrade, Refusal> {
        Upgrade::from_request(self)
    }

    fn line(&self) -> &str {
        str::from_utf8(self.head.start_line()).unwrap_or_default()
    }

    /// Path and query.
    fn resource(&self) -> &str {
        split_target(self.target()).1
    }
}

/// Shows method and path only: queries and fields carry credentials.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("method", &self.method()).field("path", &self.path()).finish_non_exhaustive()
    }
}

fn judge_request_line(line: &[u8]) -> Result<(), Refusal> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refusal::new(400, "the request line is not \"METHOD target HTTP/1.1\""));
    };
    if !field::is_token(method) {
        return Err(Refusal::new(400, "the method is not a token"));
    }
    match version {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'..=b'9'] => judge_target(target),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            Err(Refusal::new(505, "this server speaks HTTP/1.1"))
        }
        _ => Err(Refusal::new(400, "the request line does not end with an HTTP version")),
    }
}

/// Origin form, and absolute form, which a server has to understand (RFC 9112 §3.2). Other bytes
/// than RFC 3986 has them are let through where browsers send them.
fn judge_target(target: &[u8]) -> Result<(), Refusal> {
    let is_sound = |byte: &u8| byte.is_ascii_graphic() && *byte != b'#';
    let Some(target) = str::from_utf8(target).ok().filter(|text| text.bytes().all(|byte| is_sound(&byte))) else {
        return Err(Refusal::new(
            400,
            "the request target holds a fragment or other than visible ASCII: percent-encode it",
        ));
    };
    match split_target(target) {
        (None, resource) if resource.starts_with('/') => Ok(()),
        (Some(authority), _) if Host::parse(authority).is_some() => Ok(()),
        _ => Err(Refusal::new(400, "the request target is neither a path nor an http or ws URL")),
    }
}

/// Splits the authority, if the target is in absolute form, from path and query.
fn split_target(target: &str) -> (Option<&str>, &str) {
    let absolute =
        target.split_once("://").filter(|(scheme, _)| SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(scheme)));
    let Some((_, rest)) = absolute else {
        return (None, target);
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, resource) = rest.split_at(end);
    (Some(authority), resource)
}

const SCHEMES: [&str; 4] = ["http", "https", "ws", "wss"];

#[cfg(test)]
mod tests {
    use super::*;

    fn request(line: &str) -> Result<Request, Refusal> {
        Request::parse(format!("{line}\r\n\r\n").as_bytes(), &Limits::default())
    }

    #[test]
    fn a_request_is_small() {
        assert_eq!(size_of::<Request>(), 24);
    }

    #[test]
    fn parts_of_the_request_line() {
        let request = request("GET /a/b%20c?d=/e?f HTTP/1.1").expect("valid");
        assert_eq!(request.method(), "GET");
        assert_eq!(request.target(), "/a/b%20c?d=/e?f");
        assert_eq!((request.path(), request.query()), ("/a/b%20c", Some("d=/e?f")));
        assert_eq!((request.authority(), request.minor_version()), (None, 1));
    }

    #[test]
    fn absolute_form_is_taken_apart() {
        for (target, authority, path, query) in [
            ("http://a", "a", "/", None),
            ("WSS://a:1/b?c", "a:1", "/b", Some("c")),
            ("ws://[::1]?c", "[::1]", "/", Some("c")),
        ] {
            let request = request(&format!("GET {target} HTTP/1.1")).expect(target);
            assert_eq!(request.authority(), Some(authority), "{target}");
            assert_eq!((request.path(), request.query()), (path, query), "{target}");
        }
    }

    #[test]
    fn a_path_may_hold_a_url() {
        let request = request("GET /http://a/b HTTP/1.1").expect("valid");
        assert_eq!((request.authority(), request.path()), (None, "/http://a/b"));
    }

    #[test]
    fn what_carries_credentials_is_not_shown() {
        let text = b"GET /a?token=secret HTTP/1.1\r\nCookie: secret\r\n\r\n";
        let request = Request::parse(text, &Limits::default()).expect("valid");
        assert!(!format!("{request:?}").contains("secret"));
    }
}
