//! One connection after its opening handshake (RFC 6455 §5–§7).
//!
//! # Theory of operation
//!
//! Input is a sequence of frames, cut anywhere by the network. `Progress` says where in a frame
//! the last input ended: within its header, whose bytes are then kept, or within its payload. A
//! header is judged as soon as it is whole, before any of its payload is taken.
//!
//! A small message that lies whole in the input takes the short way: it is unmasked where it is
//! and its range is returned. Everything else goes through the open message's `Assembly`, which
//! exists from the first header of a message to its end, and is the only memory that a message
//! needs. Control frames may come between its frames and know nothing of it.
//!
//! Output needs almost no state: whether a fragmented message is open, and whether the close frame
//! was sent. Both directions meet only in the closing handshake:
//!
//! | state | after | may receive | may send |
//! |---|---|---|---|
//! | `Open` | the opening handshake | all | all |
//! | `CloseSent` | our close frame | all | nothing |
//! | `CloseReceived` | the peer's close frame | nothing | a close frame |
//! | `Closed` | both | nothing | nothing |

mod incoming;
mod outgoing;
mod progress;

use crate::assembly::Assembly;
use crate::close::Code;
use crate::deflate::{Agreed, Deflater};
pub use crate::event::{Control, Event};
pub use crate::message::{Kind, Payload};
use outgoing::Sending;
use progress::Progress;

/// Which side of the connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// We mask what we send, and take only what is not masked.
    Client,
    /// We take only what is masked (RFC 6455 §5.1).
    Server,
}

/// How far the closing handshake has come (RFC 6455 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// No close frame was sent or received.
    Open,
    /// Ours was sent; the peer's has not come.
    CloseSent,
    /// The peer's has come; ours was not sent.
    CloseReceived,
    /// One went each way.
    Closed,
}

/// What a connection is made with.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Which side we are.
    pub role: Role,
    /// Bytes of a message, after inflating, above which the connection fails with 1009. Parts that
    /// were handed out while streaming count.
    pub max_message: usize,
    /// What the handshake agreed to about compression.
    pub deflate: Option<Agreed>,
}

/// One connection: bytes in, events out; messages in, bytes out.
///
/// It takes at most 120 bytes while no message of the peer is half here; with context takeover,
/// what later messages may refer to comes on top.
pub struct Connection {
    settings: Settings,
    // The peer's direction.
    progress: Progress,
    message: Option<Box<Assembly>>,
    control: Option<Box<Control>>,
    is_streaming: bool,
    has_failed: bool,
    /// The code of the peer's close frame, once that has come.
    received: Option<Option<Code>>,
    // Our direction.
    sending: Sending,
    close_sent: bool,
    /// What context takeover keeps between messages.
    contexts: Option<Box<Contexts>>,
}

/// What context takeover keeps between messages (RFC 7692 §7.1.1).
#[derive(Default)]
struct Contexts {
    /// The end of what the peer's messages inflated to.
    history: Vec<u8>,
    /// Our compressor.
    deflater: Option<Deflater>,
}

impl Connection {
    /// A connection whose opening handshake has just been completed.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            progress: Progress::START,
            message: None,
            control: None,
            is_streaming: false,
            has_failed: false,
            received: None,
            sending: Sending::Nothing,
            close_sent: false,
            contexts: None,
        }
    }

    /// Which side we are.
    pub fn role(&self) -> Role {
        self.settings.role
    }

    /// How far the closing handshake has come.
    pub fn state(&self) -> State {
        match (self.close_sent, self.received.is_some()) {
            (false, false) => State::Open,
            (true, false) => State::CloseSent,
            (false, true) => State::CloseReceived,
            (true, true) => State::Closed,
        }
    }

    /// What the handshake agreed to about compression.
    pub fn deflate(&self) -> Option<&Agreed> {
        self.settings.deflate.as_ref()
    }

    /// Whether our close frame was sent.
    pub fn close_sent(&self) -> bool {
        self.close_sent
    }

    /// Whether the peer's close frame has come.
    pub fn close_received(&self) -> bool {
        self.received.is_some()
    }

    /// Whether a message of the peer has begun and not ended.
    pub fn is_mid_message(&self) -> bool {
        self.message.is_some()
    }

    /// Whether messages are handed out in parts, see [`set_streaming`](Self::set_streaming).
    pub fn is_streaming(&self) -> bool {
        self.is_streaming
    }

    /// Bytes of memory held for the peer's open message and for context takeover.
    pub fn buffered(&self) -> usize {
        let message = self.message.as_ref().map_or(0, |message| message.memory());
        let contexts = self.contexts.as_ref().map_or(0, |contexts| contexts.memory());
        message + contexts
    }

    fn contexts(&mut self) -> &mut Contexts {
        self.contexts.get_or_insert_default()
    }
}

impl Contexts {
    fn memory(&self) -> usize {
        let deflater = self.deflater.as_ref().map_or(0, Deflater::memory);
        self.history.capacity() + deflater
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_takes_at_most_120_bytes() {
        assert!(size_of::<Connection>() <= 120, "{}", size_of::<Connection>());
    }
}
