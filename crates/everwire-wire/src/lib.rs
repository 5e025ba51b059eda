//! RFC 6455 and RFC 7692 as bytes in, events out.
//!
//! This crate knows no socket, no clock, no Python and no log. A driver reads bytes, hands them to
//! [`Connection::receive`] and gets [`Event`]s; what it wants to say it appends to a buffer with
//! [`Connection::send`] and its siblings, and writes that buffer whenever it likes. The opening
//! handshake is in [`handshake`]; everything after it is in [`connection`].
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use everwire_wire::{Codec, Connection, Event, Kind, Role, Settings};
//!
//! let settings = |role| Settings { role, max_message: 1 << 20, deflate: None };
//! let mut client = Connection::new(settings(Role::Client));
//! let mut server = Connection::new(settings(Role::Server));
//! let (mut codec, mut wire) = (Codec::new(), Vec::new());
//!
//! client.send(Kind::Text, b"hello", &mut codec, &mut wire)?;
//! let (used, event) = server.receive(&mut wire, &mut codec)?;
//! assert_eq!(used, wire.len());
//! let Some(Event::Message { kind: Kind::Text, payload }) = event else { panic!() };
//! assert_eq!(payload.bytes(&wire), b"hello");
//! # Ok(())
//! # }
//! ```
//!
//! Nothing that a peer sends can make this crate panic, recurse, or allocate more than a small
//! multiple of the bytes which that peer has really sent (or of what they inflate to, up to the
//! limit on messages).
//!
//! The files, from the ground up; each imports only from those before it:
//!
//! | file | what it knows |
//! |---|---|
//! | [`limits`] | every number that bounds something, with its unit and reason |
//! | [`code`] | the status codes of close frames |
//! | [`utf8`] | UTF-8 that arrives in pieces |
//! | [`error`] | what a peer did wrong, and what a caller may not send |
//! | [`close`] | the payload of a close frame |
//! | [`mask`] | masking keys and the XOR |
//! | [`deflate`] | permessage-deflate: negotiation, inflating, deflating |
//! | [`codec`] | what the connections of one shard share |
//! | [`message`] | the kinds of messages, and where their payloads are |
//! | [`frame`] | frame headers, and whole frames for broadcasts |
//! | [`event`] | what a connection tells its driver |
//! | `assembly` | a message of which only a part has come |
//! | [`connection`] | the state of one connection, both directions |
//! | [`handshake`] | the HTTP heads that come before the first frame |

#![forbid(unsafe_code)]

pub mod close;
pub mod code;
pub mod codec;
pub mod connection;
pub mod deflate;
pub mod error;
pub mod event;
pub mod frame;
pub mod handshake;
pub mod limits;
pub mod mask;
pub mod message;
pub mod utf8;

mod assembly;

pub use codec::Codec;
pub use connection::{Connection, Role, Settings, State};
pub use error::{SendError, Violation};
pub use event::{Control, Event};
pub use message::{Kind, Payload};
