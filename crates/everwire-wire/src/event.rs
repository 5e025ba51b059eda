//! What a connection tells its driver.

use std::fmt;
use std::ops::Deref;

use crate::close;
use crate::limits;
use crate::message::{Kind, Payload};

/// What the peer sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole message.
    Message {
        /// Text or binary.
        kind: Kind,
        /// Valid UTF-8 if text.
        payload: Payload,
    },
    /// A part of a message; only while streaming, see
    /// [`set_streaming`](crate::Connection::set_streaming).
    Fragment {
        /// Text or binary.
        kind: Kind,
        /// Whole code points of valid UTF-8 if text; may be empty in the last part.
        payload: Payload,
        /// Whether this is the last part.
        fin: bool,
    },
    /// A ping; answer it with [`send_pong`](crate::Connection::send_pong) and the same payload
    /// (RFC 6455 §5.5.2).
    Ping(Control),
    /// A pong, asked for or not (RFC 6455 §5.5.3).
    Pong(Control),
    /// The peer's close frame, the last event of a connection (RFC 6455 §5.5.1); answer it with
    /// [`answer_close`](crate::Connection::answer_close).
    Close(close::Received),
}

/// The payload of a ping or pong, at most 125 bytes (RFC 6455 §5.5), held in place.
#[derive(Clone, Copy)]
pub struct Control {
    bytes: [u8; limits::CONTROL],
    len: u8,
}

impl Control {
    /// A payload that begins with `bytes`, of which there are at most 125: frame headers that
    /// claim more are refused.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let mut control = Self { bytes: [0; limits::CONTROL], len: 0 };
        control.extend(bytes);
        control
    }

    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        let start = usize::from(self.len);
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len() as u8;
    }
}

impl Deref for Control {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Control").field(&self.escape_ascii().to_string()).finish()
    }
}

impl PartialEq for Control {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Control {}
