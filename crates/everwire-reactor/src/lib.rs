//! Sockets, TLS, timers and limits around `everwire-wire`, driven turn by turn by somebody else's event loop.
//!
//! | module | noun |
//! |---|---|
//! | [`shard`] | one poller and the connections on it: the turn, the commands |
//! | `connection` | one connection, by what it does: opening, reading, writing, heartbeat, closing |
//! | [`event`] | what the driver is told |
//! | [`settings`], [`limits`] | what it decides |
//! | [`source`], [`socket`], `outflow`, `listener`, `poller` | the system's side |
//! | [`tls`] | rustls |
//! | `moment`, `date`, `outbox`, `timers`, [`slots`], [`address`], [`memory`], [`metrics`], `workspace` | the parts |

#![deny(unsafe_code)]

pub mod address;
pub mod event;
pub mod limits;
pub mod memory;
pub mod metrics;
pub mod settings;
pub mod shard;
pub mod slots;
pub mod socket;
pub mod source;
pub mod tls;

mod connection;
mod date;
mod listener;
mod moment;
mod outbox;
mod outflow;
mod poller;
mod timers;
mod workspace;

pub use connection::phase::{Stage, TRANSITIONS, diagram};
pub use connection::{Pause, Refused};
pub use date::WallClock;
pub use event::{Batch, Cause, Ending, Event, Failure, Payload, Timeout};
pub use settings::{Origins, Overflow, Settings, Tls};
pub use shard::{ClientTls, Decision, Frame, Report, Shard, Unwrapped};
pub use slots::Id;
pub use socket::{Peer, Socket};
pub use source::{Outflow, Source};
