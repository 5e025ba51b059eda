//! What we send: messages in, bytes out.

use super::{Connection, Role};
use crate::close::{self, Code};
use crate::codec::Codec;
use crate::deflate::{Agreed, Deflater};
use crate::error::{SendError, Violation};
use crate::frame::{self, Header, Opcode};
use crate::limits;
use crate::message::Kind;

/// The fragmented message that we have begun and not ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sending {
    Nothing,
    Message { kind: Kind, compressed: bool },
}

impl Connection {
    /// Append a whole message as one frame to `out` (RFC 6455 §5.6). The payload of a text has to
    /// be UTF-8; that is not checked again.
    ///
    /// It is compressed if that was agreed, the payload reaches the agreed threshold and, without
    /// context takeover, the result is smaller.
    ///
    /// # Errors
    /// [`SendError::Closing`], and [`SendError::MidMessage`] while a fragmented message is open.
    #[inline]
    pub fn send(&mut self, kind: Kind, payload: &[u8], codec: &mut Codec, out: &mut Vec<u8>) -> Result<(), SendError> {
        self.may_send()?;
        if self.is_mid_send() {
            return Err(SendError::MidMessage);
        }
        let mask = self.next_mask(codec);
        if let Some(agreed) = self.compression(payload) {
            let packed = self.pack(agreed, payload, true, codec);
            // With context takeover the peer has to see what our compressor has seen.
            if packed.len() < payload.len() || !agreed.our_no_context_takeover {
                frame::write(kind.into(), true, true, mask, packed, out);
                return Ok(());
            }
        }
        frame::write(kind.into(), false, true, mask, payload, out);
        Ok(())
    }

    /// The header of a frame that holds a whole message of `length` bytes as it is, for a driver that
    /// writes a large payload from where it lies. `None` if the payload has to be masked or
    /// compressed: use [`send`](Self::send).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn plain_header(&self, kind: Kind, length: usize) -> Result<Option<Header>, SendError> {
        self.may_send()?;
        if self.is_mid_send() {
            return Err(SendError::MidMessage);
        }
        let compresses = self.settings.deflate.is_some_and(|agreed| agreed.compresses(length));
        if compresses || self.settings.role == Role::Client {
            return Ok(None);
        }
        let opcode = Opcode::from(kind);
        Ok(Some(Header { fin: true, rsv1: false, opcode, mask: None, length: length as u64 }))
    }

    /// Whether a fragmented message of ours is open: no other message may come in between.
    pub fn is_mid_send(&self) -> bool {
        self.sending != Sending::Nothing
    }

    /// Append a part of a message as one frame (RFC 6455 §5.4): the first call begins the message,
    /// the one with `fin` ends it. The parts of a text may be cut anywhere.
    ///
    /// The first part decides whether the message is compressed, by its length.
    ///
    /// # Errors
    /// [`SendError::Closing`], and [`SendError::MidMessage`] if the message was begun as another
    /// kind.
    pub fn send_fragment(
        &mut self,
        kind: Kind,
        payload: &[u8],
        fin: bool,
        codec: &mut Codec,
        out: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        self.may_send()?;
        let (opcode, compression) = match self.sending {
            Sending::Nothing => (Opcode::from(kind), self.compression(payload)),
            Sending::Message { kind: open, .. } if open != kind => {
                return Err(SendError::MidMessage);
            }
            Sending::Message { compressed, .. } => (Opcode::Continuation, self.settings.deflate.filter(|_| compressed)),
        };
        let mask = self.next_mask(codec);
        if let Some(agreed) = compression {
            let begins = opcode != Opcode::Continuation;
            let packed = self.pack(agreed, payload, fin, codec);
            frame::write(opcode, begins, fin, mask, packed, out);
        } else {
            frame::write(opcode, false, fin, mask, payload, out);
        }
        let compressed = compression.is_some();
        self.sending = if fin { Sending::Nothing } else { Sending::Message { kind, compressed } };
        Ok(())
    }

    /// Append a ping (RFC 6455 §5.5.2); allowed within a fragmented message.
    ///
    /// # Errors
    /// [`SendError::Closing`], and [`SendError::ControlTooLong`] above 125 bytes.
    pub fn send_ping(&mut self, payload: &[u8], codec: &mut Codec, out: &mut Vec<u8>) -> Result<(), SendError> {
        self.send_control(Opcode::Ping, payload, codec, out)
    }

    /// Append a pong (RFC 6455 §5.5.3); allowed within a fragmented message.
    ///
    /// # Errors
    /// [`SendError::Closing`], and [`SendError::ControlTooLong`] above 125 bytes.
    pub fn send_pong(&mut self, payload: &[u8], codec: &mut Codec, out: &mut Vec<u8>) -> Result<(), SendError> {
        self.send_control(Opcode::Pong, payload, codec, out)
    }

    /// Append our close frame (RFC 6455 §5.5.1), with a code and a reason, or empty. Nothing can
    /// be sent after it. It also answers the peer's.
    ///
    /// # Errors
    /// [`SendError::Closing`] if it was sent before, [`SendError::CloseCode`] unless
    /// [`close::is_valid_on_wire`], [`SendError::ReasonTooLong`] above 123 bytes.
    pub fn send_close(
        &mut self,
        close: Option<(Code, &str)>,
        codec: &mut Codec,
        out: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        if self.close_sent {
            return Err(SendError::Closing);
        }
        if let Some((code, reason)) = close {
            if !close::is_valid_on_wire(code) {
                return Err(SendError::CloseCode(code));
            }
            if reason.len() > limits::REASON {
                return Err(SendError::ReasonTooLong);
            }
        }
        self.write_close(close, codec, out);
        Ok(())
    }

    /// Answer the peer's close frame with its own code (RFC 6455 §5.5.1). Does nothing if it has
    /// not come, or if ours was sent.
    pub fn answer_close(&mut self, codec: &mut Codec, out: &mut Vec<u8>) {
        if let Some(code) = self.received
            && !self.close_sent
        {
            self.write_close(code.map(|code| (code, "")), codec, out);
        }
    }

    /// Fail the connection (RFC 6455 §7.1.7): append a close frame that names the violation, its
    /// reason cut to what fits, unless one was sent; all further input is ignored.
    pub fn fail(&mut self, violation: &Violation, codec: &mut Codec, out: &mut Vec<u8>) {
        self.stop_listening();
        if !self.close_sent {
            self.write_close(Some((violation.code, &violation.reason)), codec, out);
        }
    }

    /// Free the compressor that context takeover keeps, 135–370 KiB; allowed at any time. The next
    /// compressed message makes a new one, and cannot refer to earlier messages.
    pub fn free_compressor(&mut self) {
        if let Some(contexts) = &mut self.contexts {
            contexts.deflater = None;
        }
    }

    #[inline]
    fn may_send(&self) -> Result<(), SendError> {
        if self.close_sent || self.received.is_some() { Err(SendError::Closing) } else { Ok(()) }
    }

    fn send_control(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
        codec: &mut Codec,
        out: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        self.may_send()?;
        if payload.len() > limits::CONTROL {
            return Err(SendError::ControlTooLong);
        }
        frame::write(opcode, false, true, self.next_mask(codec), payload, out);
        Ok(())
    }

    fn write_close(&mut self, close: Option<(Code, &str)>, codec: &mut Codec, out: &mut Vec<u8>) {
        self.close_sent = true;
        self.free_compressor();
        let mask = self.next_mask(codec);
        frame::write(Opcode::Close, false, true, mask, &close::payload(close), out);
    }

    /// What was agreed, if a message that begins with this payload is to be compressed.
    #[inline]
    fn compression(&self, payload: &[u8]) -> Option<Agreed> {
        self.settings.deflate.filter(|agreed| agreed.compresses(payload.len()))
    }

    /// Compress a message, or a part of one. Without context takeover no part refers back to
    /// another, so that nothing need be kept between the calls.
    fn pack<'a>(&mut self, agreed: Agreed, payload: &[u8], fin: bool, codec: &'a mut Codec) -> &'a [u8] {
        let Agreed { level, our_window_bits, our_no_context_takeover, .. } = agreed;
        if our_no_context_takeover {
            return codec.deflate(level, our_window_bits, payload, fin);
        }
        let own = self.contexts().deflater.get_or_insert_with(|| Deflater::new(level, our_window_bits));
        codec.deflate_with(own, payload, fin)
    }

    /// The key for our next frame; servers do not mask.
    #[inline]
    fn next_mask(&self, codec: &mut Codec) -> Option<[u8; 4]> {
        (self.settings.role == Role::Client).then(|| codec.masks.next_key())
    }
}
