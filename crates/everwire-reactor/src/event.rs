//! What a shard tells its driver, in batches.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;

use everwire_wire::handshake::{Request, Response};
use everwire_wire::{Control, Kind, close};

use crate::slots::Id;

/// Where the bytes of a message are.
#[derive(Debug)]
pub enum Payload {
    /// In the batch's scratch buffer.
    Scratch(Range<usize>),
    /// Here.
    Owned(Vec<u8>),
}

/// Something that happened to a connection or listener.
#[derive(Debug)]
pub enum Event {
    /// A server's request is complete: look at it, then [`decide`](crate::Shard::decide). Only if the settings ask.
    Request(Id),
    /// The opening handshake succeeded.
    Opened(Id),
    /// The opening handshake failed; the last event of this connection.
    Failed(Id, Box<Failure>),
    /// A whole message came.
    Message(Id, Kind, Payload),
    /// A part of a message came, the last part if the flag is set; only while streaming.
    Fragment(Id, Kind, Payload, bool),
    /// A pong came that does not belong to a heartbeat.
    Pong(Id, Box<Control>),
    /// The closing handshake began, or the connection failed: nothing can be sent any more.
    Closing(Id),
    /// Memory is short, and this connection is closed for it: what waits of it for the application is to be dropped.
    Shed(Id),
    /// Output fell below the low-water mark after having been above the high one.
    Drained(Id),
    /// The application need not decide about this request any more: its time is over, or nobody is let in now.
    Withdrawn(Id),
    /// No message came within the idle limit: [`close_idle`](crate::Shard::close_idle), unless the application has one that waits.
    Idle(Id),
    /// Ciphertext came for the driver that does this connection's TLS: [`unwrapped`](crate::Shard::unwrapped) takes its answer.
    Ciphertext(Id, Payload),
    /// The connection is gone; its last event.
    Closed(Id, Box<Ending>),
    /// A listener stopped accepting for a moment, because descriptors or memory ran out.
    Starved(Id, io::Error),
}

/// How an opening handshake failed.
#[derive(Debug)]
pub struct Failure {
    /// The listener that accepted the connection, for a server.
    pub listener: Option<Id>,
    /// Whose fault, and what it was.
    pub cause: Cause,
    /// The server's answer, for a client that got one.
    pub response: Option<Response>,
    /// What came of the answer's body before the connection was given up.
    pub body: Vec<u8>,
}

/// How a connection ended.
#[derive(Debug, Default)]
pub struct Ending {
    /// The peer's close frame.
    pub received: Option<close::Received>,
    /// Our close frame.
    pub sent: Option<close::Received>,
    /// The peer's came before ours.
    pub received_first: bool,
    /// Why the connection ended without a complete closing handshake.
    pub cause: Option<Cause>,
    /// The request that a server's connection began with, unless it was dropped.
    pub request: Option<Request>,
    /// Where the client was, as far as proxies can be trusted.
    pub client: Option<SocketAddr>,
}

/// Why something ended that should have gone on.
#[derive(Debug)]
pub enum Cause {
    /// The peer ended the connection without a close frame.
    Eof,
    /// The socket failed.
    Io(io::Error),
    /// TLS failed.
    Tls(String),
    /// The peer broke the protocol.
    Protocol(String),
    /// A limit or policy of ours.
    Limit(String),
    /// The handshake was refused with this status: by us as a server, by the server if we are the client.
    Refused(u16, String),
    /// A deadline passed.
    Timeout(Timeout),
    /// The application gave up.
    Aborted,
    /// A defect of ours, contained to this connection.
    Defect,
}

/// Which deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// The opening handshake.
    Open,
    /// A pong, or any other sign of life after a ping.
    Pong,
    /// The closing handshake.
    Close,
    /// Nothing was said for the idle limit.
    Idle,
}

impl Timeout {
    /// What to tell people.
    pub fn describe(self) -> &'static str {
        match self {
            Timeout::Open => "the opening handshake took too long",
            Timeout::Pong => "no answer to a ping",
            Timeout::Close => "no answer to the close frame",
            Timeout::Idle => "no message within the idle limit",
        }
    }
}

/// Events in order, and the buffer that their payloads may be in.
pub struct Batch {
    /// What happened, in order.
    pub events: Vec<Event>,
    /// What [`Payload::Scratch`] refers to.
    pub scratch: Box<[u8]>,
}
