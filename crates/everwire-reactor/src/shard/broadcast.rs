//! One message to many connections: encoded and compressed once.

use std::sync::Arc;
use std::time::Instant;

use everwire_wire::{Kind, frame};

use super::Shard;
use crate::connection::Refused;
use crate::outbox::Shared;
use crate::settings::Overflow;
use crate::slots::Id;

/// A message in the forms in which connections take it.
pub struct Frame {
    plain: Arc<Shared>,
    /// The compressed form, once somebody asked for it; `None` inside if compressing does not pay.
    compressed: Option<Option<Arc<Shared>>>,
    kind: Kind,
    payload: std::ops::Range<usize>,
}

/// What became of a broadcast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Connections that will get the message.
    pub sent: usize,
    /// Connections that it passed by, because they are not open or in the middle of a fragmented message.
    pub closed: usize,
    /// Connections that were beyond their output limit.
    pub slow: usize,
}

impl Frame {
    /// Encodes a message for [`Shard::broadcast`].
    pub fn new(kind: Kind, payload: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(payload.len() + frame::Header::MAX);
        frame::encode(kind, payload, &mut bytes);
        let payload = bytes.len() - payload.len()..bytes.len();
        Frame { plain: Shared::new(bytes), compressed: None, kind, payload }
    }
}

impl Shard {
    /// Queues a message for one of its receivers.
    pub fn send_frame(&mut self, id: Id, frame: &mut Frame, report: &mut Report, now: Instant) {
        let now = self.moment(now);
        let Some(conn) = self.conns.get_mut(id) else {
            report.closed += 1;
            return;
        };
        let result = match conn.shares_frames() {
            None => conn.send(frame.kind, &frame.plain.bytes()[frame.payload.clone()], &mut self.ws),
            Some(false) => conn.send_shared(&frame.plain, &mut self.ws),
            Some(true) => {
                let compressed = frame.compressed.get_or_insert_with(|| {
                    let mut bytes = Vec::new();
                    let payload = &frame.plain.bytes()[frame.payload.clone()];
                    let pays = frame::encode_compressed(frame.kind, payload, &mut self.ws.codec, &mut bytes);
                    pays.then(|| Shared::new(bytes))
                });
                let bytes = compressed.as_ref().unwrap_or(&frame.plain);
                conn.send_shared(bytes, &mut self.ws)
            }
        };
        match result {
            Ok(()) => report.sent += 1,
            Err(Refused::Full) => {
                report.slow += 1;
                self.ws.metrics.slow += 1;
                if conn.settings.overflow == Overflow::Close {
                    conn.shed(now, &mut self.ws);
                }
                self.collect_over(id);
            }
            Err(Refused::Wire(_)) => report.closed += 1,
        }
    }
}
