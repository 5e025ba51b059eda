//! Close codes and the payload of a close frame (RFC 6455 §5.5.1, §7.4).

use crate::error::Violation;
use crate::limits;

/// A status code of a close frame (RFC 6455 §7.4).
pub type Code = u16;

/// The purpose of the connection is fulfilled.
pub const NORMAL: Code = 1000;
/// The endpoint goes away: a server shuts down, a browser leaves the page.
pub const GOING_AWAY: Code = 1001;
/// The peer broke the protocol.
pub const PROTOCOL_ERROR: Code = 1002;
/// The peer sent a kind of data that this endpoint does not take.
pub const UNSUPPORTED: Code = 1003;
/// Never sent: the close frame that arrived had no code.
pub const NO_CODE: Code = 1005;
/// Never sent: the connection was lost without a close frame.
pub const ABNORMAL: Code = 1006;
/// The payload is not what its kind promises: text that is not UTF-8, data that does not inflate.
pub const INVALID_PAYLOAD: Code = 1007;
/// The peer broke a rule of the application.
pub const POLICY: Code = 1008;
/// The message is larger than this endpoint takes.
pub const TOO_BIG: Code = 1009;
/// The client needed an extension that the server did not agree to.
pub const MISSING_EXTENSION: Code = 1010;
/// This endpoint met an error of its own.
pub const INTERNAL_ERROR: Code = 1011;
/// The service restarts; reconnect after a random delay.
pub const SERVICE_RESTART: Code = 1012;
/// The service is overloaded; reconnect later.
pub const TRY_AGAIN_LATER: Code = 1013;
/// A gateway got an invalid answer from the server behind it.
pub const BAD_GATEWAY: Code = 1014;
/// Never sent: the TLS handshake failed.
pub const TLS_FAILED: Code = 1015;

/// The content of a close frame that the peer sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The peer's code; `None` when its frame had none, which is reported as 1005.
    pub code: Option<Code>,
    /// The peer's reason, often empty; at most 123 bytes.
    pub reason: String,
}

impl Received {
    /// Read the payload of a close frame (RFC 6455 §5.5.1).
    ///
    /// # Errors
    /// 1002 for a payload of one byte or a code that may not be sent; 1007 for a reason that is
    /// not UTF-8.
    pub fn parse(payload: &[u8]) -> Result<Self, Violation> {
        let (code, reason) = match payload {
            [] => return Ok(Self { code: None, reason: String::new() }),
            [_] => return Err(Violation::protocol("close frame with a payload of one byte")),
            [high, low, reason @ ..] => (Code::from_be_bytes([*high, *low]), reason),
        };
        if !is_valid_on_wire(code) {
            return Err(Violation::protocol(format!("close code {code} may not be sent")));
        }
        let reason = std::str::from_utf8(reason)
            .map_err(|_| Violation::payload("close reason is not UTF-8"))?;
        Ok(Self { code: Some(code), reason: reason.to_owned() })
    }
}

/// Whether a close frame may carry this code (RFC 6455 §7.4, and the IANA registry for
/// 1012–1014): 1000–1003, 1007–1014 and 3000–4999.
pub fn is_valid_on_wire(code: Code) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// A few words for a log or an error text about what the code means.
pub fn describe(code: Code) -> &'static str {
    match code {
        NORMAL => "normal closure",
        GOING_AWAY => "going away",
        PROTOCOL_ERROR => "protocol error",
        UNSUPPORTED => "unsupported data",
        NO_CODE => "no close code received",
        ABNORMAL => "connection lost",
        INVALID_PAYLOAD => "invalid payload",
        POLICY => "policy violation",
        TOO_BIG => "message too big",
        MISSING_EXTENSION => "extension missing",
        INTERNAL_ERROR => "internal error",
        SERVICE_RESTART => "service restart",
        TRY_AGAIN_LATER => "try again later",
        BAD_GATEWAY => "bad gateway",
        TLS_FAILED => "TLS handshake failed",
        3000..=3999 => "registered code",
        4000..=4999 => "private code",
        _ => "unknown code",
    }
}

/// The payload of a close frame: the code, and as much of the reason as fits, cut between
/// characters.
pub(crate) fn payload(close: Option<(Code, &str)>) -> Vec<u8> {
    let Some((code, reason)) = close else { return Vec::new() };
    let fits = (0..=limits::REASON).rev().find(|&end| reason.is_char_boundary(end));
    let reason = &reason[..fits.unwrap_or(0)];
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_payload_has_no_code() {
        assert_eq!(Received::parse(b""), Ok(Received { code: None, reason: String::new() }));
    }

    #[test]
    fn code_and_reason_are_read() {
        let received = Received::parse(b"\x03\xe8bye").expect("valid");
        assert_eq!((received.code, received.reason.as_str()), (Some(1000), "bye"));
    }

    #[test]
    fn a_single_byte_is_a_protocol_error() {
        assert_eq!(Received::parse(b"\x03").map_err(|v| v.code), Err(PROTOCOL_ERROR));
    }

    #[test]
    fn codes_that_may_not_be_sent_are_protocol_errors() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535u16] {
            let result = Received::parse(&code.to_be_bytes());
            assert_eq!(result.map_err(|v| v.code), Err(PROTOCOL_ERROR), "{code}");
        }
        for code in [1000, 1001, 1002, 1003, 1007, 1011, 1012, 1014, 3000, 3999, 4000, 4999u16] {
            assert_eq!(Received::parse(&code.to_be_bytes()).map(|r| r.code), Ok(Some(code)));
        }
    }

    #[test]
    fn a_reason_that_is_not_utf8_is_an_invalid_payload() {
        let result = Received::parse(b"\x03\xe8\xff");
        assert_eq!(result.map_err(|v| v.code), Err(INVALID_PAYLOAD));
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let payload = payload(Some((1002, &"€".repeat(100))));
        assert_eq!(payload.len(), 2 + 123);
        assert!(Received::parse(&payload).is_ok());
        let payload = super::payload(Some((1002, &format!("a{}", "€".repeat(100)))));
        assert_eq!(payload.len(), 2 + 121);
        assert!(Received::parse(&payload).is_ok());
    }

    #[test]
    fn every_code_has_a_description() {
        assert!((0..=u16::MAX).all(|code| !describe(code).is_empty()));
    }
}
