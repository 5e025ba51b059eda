//! TLS without sockets: ciphertext in, plaintext out, and the reverse, in either role.
//!
//! A [`ServerContext`] or [`ClientContext`] holds what many connections share: certificates, trust,
//! tickets. A [`Session`] is the state of one connection. The driver owns the socket and lends its
//! read buffer:
//!
//! ```text
//! let kept = session.restore(&mut buffer);                  // a partial record, if there is one
//! let read = kept + socket.read(&mut buffer[kept..])?;
//! let received = session.receive(&mut buffer[..read])?;     // plaintext: buffer[..received.plain]
//! let sent = socket.write(session.outgoing())?;             // handshake answers, records, alerts
//! session.sent(sent);
//! ```
//!
//! After a [`Failure`] the session is over, but its last alert still waits in
//! [`outgoing`](Session::outgoing): write it once, then close the socket.

mod certificate;
mod client;
mod failure;
mod machine;
mod server;
mod session;
mod trust;
mod verifier;
mod x509;

#[cfg(test)]
mod tests;

pub use client::{ClientContext, ClientOptions};
pub use failure::{Failure, Fault};
pub use server::{ServerContext, ServerOptions};
pub use session::{Received, Session};
pub use trust::Trust;

/// What is negotiated unless told otherwise: WebSocket handshakes are HTTP/1.1 (RFC 6455 §4.1).
fn default_alpn() -> Vec<Vec<u8>> {
    vec![b"http/1.1".to_vec()]
}
