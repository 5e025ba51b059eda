//! What a connection is doing, in three words.

/// How `recv()` and its relatives differ.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Text as `str`, binary as `bytes`; or all of one kind.
    Message { decode: Option<bool> },
    /// The same, but a normal closure ends the iteration.
    Iteration,
    /// A part of a message and whether it is the last.
    Part,
}

/// RFC 6455 §4 and §7, with the numbers that `websockets` and browsers use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Connecting = 0,
    Open = 1,
    Closing = 2,
    Closed = 3,
}

impl State {
    /// The state that a number stands for.
    pub fn of(number: u8) -> Self {
        match number {
            0 => State::Connecting,
            1 => State::Open,
            2 => State::Closing,
            _ => State::Closed,
        }
    }
}

/// Whether somebody reads a message in parts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Streaming {
    No,
    /// None of its parts was taken yet.
    Fresh,
    /// Some were.
    Begun,
}
