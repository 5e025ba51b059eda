//! Errors by blame: what the peer did wrong, and what the caller may not do.

use std::borrow::Cow;
use std::fmt;

use crate::code::{self, Code};
use crate::limits;
use crate::utf8;

/// What the peer did wrong; the connection is to be failed with this code and reason
/// (RFC 6455 §7.1.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// 1002, 1007, 1008 or 1009.
    pub code: Code,
    /// What exactly was wrong, in a few words that may be sent to the peer.
    pub reason: Cow<'static, str>,
}

/// Why something was not sent. Nothing was appended to the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// A close frame was sent, or the peer's was received: nothing may follow.
    Closing,
    /// A fragmented message is open: finish it first.
    MidMessage,
    /// A ping or pong has more than 125 bytes of payload.
    ControlTooLong,
    /// A close code that may not be sent (RFC 6455 §7.4).
    CloseCode(Code),
    /// A close reason of more than 123 bytes.
    ReasonTooLong,
}

impl Violation {
    /// The peer broke the protocol: 1002.
    pub(crate) fn protocol(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code: code::PROTOCOL_ERROR, reason: reason.into() }
    }

    /// The payload is not what its kind promises: 1007.
    pub(crate) fn payload(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code: code::INVALID_PAYLOAD, reason: reason.into() }
    }

    /// The peer uses what is allowed in a way that no honest one does: 1008.
    pub(crate) fn policy(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code: code::POLICY, reason: reason.into() }
    }

    /// The message is larger than `limit` bytes: 1009.
    #[cold]
    pub(crate) fn too_big(limit: usize) -> Self {
        Self { code: code::TOO_BIG, reason: format!("message of more than {limit} bytes").into() }
    }
}

impl From<utf8::Invalid> for Violation {
    fn from(_: utf8::Invalid) -> Self {
        Self::payload("text is not UTF-8")
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.reason, self.code)
    }
}

impl std::error::Error for Violation {}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closing => f.write_str("the connection is closing"),
            Self::MidMessage => f.write_str("a fragmented message of another kind is open"),
            Self::ControlTooLong => {
                write!(f, "the payload has more than {} bytes", limits::CONTROL)
            }
            Self::CloseCode(code) => write!(f, "close code {code} may not be sent"),
            Self::ReasonTooLong => {
                write!(f, "the close reason has more than {} bytes", limits::REASON)
            }
        }
    }
}

impl std::error::Error for SendError {}
