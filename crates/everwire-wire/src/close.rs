//! The payload of a close frame (RFC 6455 §5.5.1). Its codes are in [`code`](crate::code), and here
//! too.

pub use crate::code::*;
use crate::error::Violation;
use crate::limits;

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
            [] => {
                return Ok(Self { code: None, reason: String::new() });
            }
            [_] => {
                return Err(Violation::protocol("close frame with a payload of one byte"));
            }
            [high, low, reason @ ..] => (Code::from_be_bytes([*high, *low]), reason),
        };
        if !is_valid_on_wire(code) {
            return Err(Violation::protocol(format!("close code {code} may not be sent")));
        }
        let reason = std::str::from_utf8(reason).map_err(|_| Violation::payload("close reason is not UTF-8"))?;
        Ok(Self { code: Some(code), reason: reason.to_owned() })
    }
}

/// The payload of a close frame: the code, and as much of the reason as fits, cut between
/// characters.
pub(crate) fn payload(close: Option<(Code, &str)>) -> Vec<u8> {
    let Some((code, reason)) = close else {
        return Vec::new();
    };
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
}
