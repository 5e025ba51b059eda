//! Every limit: its name, unit, default and reason, once.

use std::time::Duration;

/// One row of the table, for documentation and for holding other languages' copies equal to it.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The field's name in [`Limits`].
    pub name: &'static str,
    /// What the number counts.
    pub unit: &'static str,
    /// The value that [`Limits::default`] has.
    pub default: u64,
    /// Why there is a limit, and why this one.
    pub reason: &'static str,
}

macro_rules! limits {
    ($($name:ident = $default:expr, $unit:literal, $reason:literal;)*) => {
        /// What one listener or one outgoing connection allows. See [`TABLE`] for units and reasons.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Limits {
            $(#[doc = concat!($reason, " Unit: ", $unit, ".")] pub $name: u64,)*
        }

        impl Default for Limits {
            fn default() -> Self {
                Limits { $($name: $default,)* }
            }
        }

        impl Limits {
            /// The field called `name`, to read or to set.
            pub fn field(&mut self, name: &str) -> Option<&mut u64> {
                match name {
                    $(stringify!($name) => Some(&mut self.$name),)*
                    _ => None,
                }
            }
        }

        /// The one table of limits.
        pub const TABLE: &[Row] = &[
            $(Row { name: stringify!($name), unit: $unit, default: $default, reason: $reason },)*
        ];
    };
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

limits! {
    connections = 100_000, "connections",
        "One listener takes no more at once; beyond it a handshake is answered 503, because a slow server helps nobody.";
    connections_per_address = 1_000, "connections",
        "One client address (IPv6: one /64) holds no more at once; beyond it 429. Loopback, Unix sockets and trusted proxies are exempt.";
    handshakes_per_second = 100, "handshakes a second and address",
        "A burst of twice as many is let through, then 429: a handshake costs more than anything else a stranger can ask for.";
    hooks = 10_000, "hooks",
        "One server runs no more of process_request and process_response at once; beyond it a handshake is answered 503: what they ask is slow already.";
    head = 16 * KIB, "bytes",
        "The whole request or response head; cookies fit, endless heads do not (431).";
    fields = 100, "header fields",
        "More fields than any browser or proxy sends (431).";
    line = 8 * KIB, "bytes",
        "One line of a head: 414 for the request line, 431 for a field (RFC 9112 section 3 asks for 8000).";
    message = MIB, "bytes",
        "One received message, counted after inflation; beyond it the connection closes with 1009.";
    queue_messages = 16, "messages",
        "Received messages that the application has not taken; beyond it reading stops and TCP slows the peer down.";
    queue_bytes = MIB, "bytes",
        "The same in bytes, so that large messages do not pile up sixteen high.";
    write_high = 64 * KIB, "bytes",
        "Queued output above which send() waits until it has fallen to a quarter.";
    output = 16 * MIB, "bytes",
        "Queued output of those who do not wait: beyond it send_nowait() fails and broadcast() skips or closes (1013) a connection; send() sends a larger message in parts.";
    message_overhead = 64, "bytes",
        "Added to every message that waits for a slow peer, so that a million empty messages are not free.";
    pings_per_second = 100, "pings a second",
        "A burst of ten times as many is answered, then the connection closes with 1008; nobody measures a line that often.";
    memory = 1024 * MIB, "bytes in the whole process",
        "Buffers of all connections together: from 80 % on handshakes are refused (503), from 90 % on reading stops, beyond it, or when nothing else helps within a second, the largest holders close with 1013.";
    addresses = 65_536, "client addresses",
        "How many client addresses are remembered for the limits above; the idlest are forgotten first.";
}

/// Deadlines of a connection's life; `None` turns one off.
#[derive(Clone, Debug, PartialEq)]
pub struct Deadlines {
    /// From accepting to the answered handshake, TLS included. 10 s: slow phones pass, a dripping head does not.
    pub open: Option<Duration>,
    /// Between two pings of ours, shortened at random by up to a tenth. 30 s stays below every proxy's idle limit.
    pub ping_interval: Option<Duration>,
    /// From a ping to its pong. 20 s, then the connection closes with 1011.
    pub ping_timeout: Option<Duration>,
    /// From our close frame to the end of the connection, whatever the peer keeps sending. 10 s.
    pub close: Option<Duration>,
    /// Without a message from the peer. Off, since heartbeats find dead peers.
    pub idle: Option<Duration>,
}

impl Default for Deadlines {
    fn default() -> Self {
        Deadlines {
            open: Some(Duration::from_secs(10)),
            ping_interval: Some(Duration::from_secs(30)),
            ping_timeout: Some(Duration::from_secs(20)),
            close: Some(Duration::from_secs(10)),
            idle: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_and_the_defaults_agree() {
        let mut limits = Limits::default();
        for row in TABLE {
            assert_eq!(limits.field(row.name).copied(), Some(row.default), "{}", row.name);
            assert!(row.default > 0 && !row.reason.is_empty() && !row.unit.is_empty());
        }
        assert_eq!(limits.field("nonsense"), None);
    }
}
