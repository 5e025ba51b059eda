//! The `Origin` of a request: which site's page opens the connection (RFC 6454, RFC 6455 §10.2).

use std::fmt;

use super::host::{self, Host};

/// An origin: scheme, host and port, or `null`. Kept without a port that the scheme implies and
/// in lower case, so that two are equal exactly when they are the same origin; `null` is equal
/// only to itself, and whoever allows it allows every sandboxed page.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    text: String,
}

impl Origin {
    /// Reads a serialized origin (RFC 6454 §6.2); `None` if it is none.
    ///
    /// One trailing slash is taken off: browsers never send it, but some client libraries send
    /// the URL they were given. The host may be missing where there is none, as in the `file://` of some web views.
    pub fn parse(text: &str) -> Option<Self> {
        if text == NULL {
            return Some(Self { text: NULL.to_owned() });
        }
        let (scheme, authority) = text.split_once("://")?;
        if !is_scheme(scheme) {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if authority.is_empty() {
            let is_complete = default_port(&scheme).is_none();
            return is_complete.then(|| Self { text: format!("{scheme}://") });
        }
        let host = Host::parse(authority)?;
        let text = if host.port().is_some() && host.port() == default_port(&scheme) {
            format!("{scheme}://{}", host.name())
        } else {
            format!("{scheme}://{host}")
        };
        Some(Self { text })
    }

    /// The origin as a browser would serialize it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether this is `null`: a sandboxed frame, a local file, some redirects.
    pub fn is_null(&self) -> bool {
        self.text == NULL
    }

    /// Such as `https`; empty for `null`.
    pub fn scheme(&self) -> &str {
        self.text.split_once("://").map_or("", |(scheme, _)| scheme)
    }

    /// The host without a port; IPv6 addresses in brackets. Empty for `null`, and for origins
    /// that have none.
    pub fn host(&self) -> &str {
        host::split(self.authority()).0
    }

    /// The port, or else the scheme's own one.
    pub fn port(&self) -> Option<u16> {
        match host::split(self.authority()).1 {
            Some(port) => port.parse().ok(),
            None => default_port(self.scheme()),
        }
    }

    /// Whether its page came from the machine it is shown on.
    pub fn is_loopback(&self) -> bool {
        host::is_loopback(self.host())
    }

    /// Whether its page was loaded from where the connection is opened to: `host` by its
    /// request, by TLS if `secure`. Always false for `null`.
    pub fn same_origin(&self, host: &Host, secure: bool) -> bool {
        let scheme = if secure { "https" } else { "http" };
        self.scheme() == scheme && self.host() == host.name() && self.port() == host.port().or(default_port(scheme))
    }

    fn authority(&self) -> &str {
        self.text.split_once("://").map_or("", |(_, authority)| authority)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

const NULL: &str = "null";

/// RFC 3986 §3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        Origin::parse(text).expect(text)
    }

    fn is_same(text: &str, host: &str, secure: bool) -> bool {
        origin(text).same_origin(&Host::parse(host).expect(host), secure)
    }

    #[test]
    fn equality_is_that_of_origins() {
        assert_eq!(origin("HTTPS://Example.com:443"), origin("https://example.com"));
        assert_eq!(origin("http://[0::1]:80/"), origin("http://[::1]"));
        assert_ne!(origin("http://example.com"), origin("https://example.com"));
        assert_ne!(origin("http://example.com"), origin("http://example.com:81"));
        assert_ne!(origin("https://example.com:80"), origin("https://example.com"));
        assert_eq!(origin("null"), origin("null"));
        assert_eq!(origin("file://").as_str(), "file://");
        assert_eq!(origin("chrome-extension://abc").as_str(), "chrome-extension://abc");
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in [
            "",
            "Null",
            "NULL",
            "example.com",
            "//example.com",
            "http:example.com",
            "http:/a",
            "http://a/b",
            "http://a//",
            "http://user@a",
            "http://a?b",
            "http://a#b",
            "http://a http://b",
            "1a://b",
            "://a",
            "http://a:x",
            "http://:80",
            "https://",
        ] {
            assert_eq!(Origin::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn same_origin_compares_scheme_host_and_port() {
        assert!(is_same("http://a", "a", false));
        assert!(is_same("http://a", "A:80", false));
        assert!(is_same("https://a", "a:443", true));
        assert!(is_same("http://a:8080", "a:8080", false));
        assert!(!is_same("http://a", "a", true));
        assert!(!is_same("https://a", "a", false));
        assert!(!is_same("http://a:8080", "a", false));
        assert!(!is_same("http://a", "a.b", false));
        assert!(!is_same("https://a:80", "a:80", false));
    }

    #[test]
    fn null_is_nobodys_origin() {
        assert!(origin("null").is_null());
        assert!(!is_same("null", "null", false));
        assert!(!origin("null").is_loopback());
        assert!(origin("http://localhost:3000").is_loopback());
        assert!(!origin("file://").is_loopback());
    }
}
