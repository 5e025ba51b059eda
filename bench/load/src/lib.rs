//! What the load generator (`load`) and the reference server (`limit`) share: frames, sockets and TLS.
//!
//! Both are single threads around one level-triggered epoll instance, and both run on loopback only.

pub mod frame;
pub mod socket;
pub mod stream;
#[cfg(feature = "tls")]
pub mod tls;
