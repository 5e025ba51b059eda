//! What a message is, and where its payload lies.

use std::ops::Range;

/// What a message's payload is (RFC 6455 §5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// Any bytes.
    Binary,
}

/// Where the payload of a message, or of a part of it, lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// In the very `input` that was given to [`receive`](crate::Connection::receive), unmasked in
    /// place.
    Input(Range<usize>),
    /// In a buffer of its own.
    Owned(Vec<u8>),
}

impl Payload {
    /// The bytes; `input` is what was given to the call of
    /// [`receive`](crate::Connection::receive) that returned this payload.
    pub fn bytes<'a>(&'a self, input: &'a [u8]) -> &'a [u8] {
        match self {
            Payload::Input(range) => &input[range.clone()],
            Payload::Owned(bytes) => bytes,
        }
    }
}

impl Payload {
    /// Bytes of it.
    pub fn len(&self) -> usize {
        match self {
            Payload::Input(range) => range.len(),
            Payload::Owned(bytes) => bytes.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
