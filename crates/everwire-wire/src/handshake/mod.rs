//! The opening handshake (RFC 6455 §4): two HTTP/1.1 heads, one each way, read strictly (RFC 9112)
//! and written so that nothing a caller passes can break out of a line.
//!
//! A server finds the end of the head with a [`HeadReader`] while bytes arrive, parses it into a
//! [`Request`], asks for its [`Upgrade`], and answers with [`write_accept`] or a [`Refusal`]. A
//! client writes an [`Offer`], reads the [`Response`] and has the offer [check](Offer::check) it.
//! What lies behind the head's end in the same buffer is the first frames: the lengths given here
//! are exact.
//!
//! | file | what it knows |
//! |---|---|
//! | `scan` | how to find a byte quickly |
//! | `malformed` | what can be wrong with a head, in a sentence |
//! | `head` | where a head ends, and that its lines are sound |
//! | `field` | names, values, tokens and lists of tokens |
//! | `status` | reason phrases |
//! | `date`, `stamp` | the fields that every answer of a server has |
//! | `chunked`, `body` | where the body of an answer ends |
//! | `refusal` | a server's "no", said so that a developer knows the fix |
//! | `host`, `origin` | the two values that decide who may connect |
//! | `key` | `Sec-WebSocket-Key` and `-Accept` |
//! | `extension` | the grammar of `Sec-WebSocket-Extensions` |
//! | `request`, `upgrade`, `accept` | the server's side |
//! | `response`, `offer` | the client's side |
//! | [`forwarded`], [`proxy`] | who the client is when proxies stand between |

pub mod forwarded;
pub mod proxy;

mod accept;
mod body;
mod chunked;
mod date;
mod extension;
mod field;
mod head;
mod host;
mod key;
mod malformed;
mod offer;
mod origin;
mod refusal;
mod request;
mod response;
mod scan;
mod stamp;
mod status;
mod upgrade;

pub use accept::{Acceptance, Answer, write_accept, write_answer};
pub use body::{Body, BodyReader};
pub use date::imf_fixdate;
pub use extension::Extension;
pub use field::{BadField, Fields};
pub use head::{HeadReader, Limits};
pub use host::Host;
pub use key::Key;
pub use malformed::Malformed;
pub use offer::{Agreement, Offer, Rejected};
pub use origin::Origin;
pub use refusal::Refusal;
pub use request::Request;
pub use response::Response;
pub use stamp::Stamp;
pub use status::reason_phrase;
pub use upgrade::Upgrade;
