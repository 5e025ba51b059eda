//! Status codes of close frames (RFC 6455 §7.4).

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_only_describe_are_not_valid_on_the_wire() {
        for code in [0, 999, 1004, NO_CODE, ABNORMAL, TLS_FAILED, 1016, 2999, 5000, 65535] {
            assert!(!is_valid_on_wire(code), "{code}");
        }
        for code in [NORMAL, UNSUPPORTED, INVALID_PAYLOAD, BAD_GATEWAY, 3000, 4999] {
            assert!(is_valid_on_wire(code), "{code}");
        }
    }

    #[test]
    fn every_code_has_a_description() {
        assert!((0..=u16::MAX).all(|code| !describe(code).is_empty()));
    }
}
