//! What a shard counts; read at once, never reset.

/// Counters since the shard began, and gauges of now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Connections accepted, handshakes that failed later included.
    pub accepted: u64,
    /// Handshakes answered with 101, and outgoing ones that succeeded.
    pub opened: u64,
    /// Handshakes that were refused or failed.
    pub refused: u64,
    /// Open connections that ended.
    pub closed: u64,
    /// Messages handed to the application.
    pub received: u64,
    /// Messages given by the application, one for each connection it goes to.
    pub sent: u64,
    /// Bytes read from sockets.
    pub read: u64,
    /// Bytes written to sockets.
    pub written: u64,
    /// Connections closed because their peer did not answer a ping.
    pub dead: u64,
    /// Connections that a broadcast passed over or closed because they were beyond their output limit.
    pub slow: u64,
    /// Times that accepting stopped because descriptors or memory ran out.
    pub starved: u64,
    /// Connections ended by a defect of ours (1011), never by a peer.
    pub defects: u64,
}

impl Metrics {
    /// Every counter with its name.
    pub fn named(&self) -> [(&'static str, u64); 12] {
        [
            ("accepted", self.accepted),
            ("opened", self.opened),
            ("refused", self.refused),
            ("closed", self.closed),
            ("received", self.received),
            ("sent", self.sent),
            ("read", self.read),
            ("written", self.written),
            ("dead", self.dead),
            ("slow", self.slow),
            ("starved", self.starved),
            ("defects", self.defects),
        ]
    }
}
