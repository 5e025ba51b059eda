//! What a server sends, taken apart without being stored: payloads are counted, and compared when asked to.

use std::io;

use everwire_load::frame::{self, CLOSE, Header, LONGEST_CONTROL, LONGEST_HEADER, PING};

/// What came.
pub enum Incoming<'a> {
    /// One whole message, equal to the expected one in length (and in every byte, when verifying).
    Message,
    /// A ping with its payload.
    Ping(&'a [u8]),
    /// A close frame.
    Close,
}

/// The state between two reads.
#[derive(Default)]
pub struct Parser {
    head: Vec<u8>,
    frame: Option<Header>,
    left: usize,
    received: usize,
    control: Vec<u8>,
}

impl Parser {
    /// Report everything that `bytes` completes; each message must be `expected`.
    ///
    /// # Errors
    /// The server broke the protocol or sent another message, or `report` failed.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        expected: &[u8],
        verify: bool,
        mut report: impl FnMut(Incoming<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        loop {
            let Some(header) = self.frame.or_else(|| self.header(&mut bytes)) else { return Ok(()) };
            if self.frame.is_none() {
                check(&header)?;
                self.frame = Some(header);
                self.left = header.length;
            }
            let (chunk, rest) = bytes.split_at(self.left.min(bytes.len()));
            if header.is_control() {
                self.control.extend_from_slice(chunk);
            } else {
                self.payload(chunk, expected, verify)?;
            }
            self.left -= chunk.len();
            bytes = rest;
            if self.left > 0 {
                return Ok(());
            }
            self.frame = None;
            self.finish(header, expected, &mut report)?;
        }
    }

    /// The next header, taken off `bytes` and whatever came of it before.
    fn header(&mut self, bytes: &mut &[u8]) -> Option<Header> {
        if self.head.is_empty()
            && let Some(header) = frame::decode(bytes)
        {
            *bytes = &bytes[header.size..];
            return Some(header);
        }
        while let Some((&byte, rest)) = bytes.split_first() {
            *bytes = rest;
            self.head.push(byte);
            if let Some(header) = frame::decode(&self.head) {
                self.head.clear();
                return Some(header);
            }
            debug_assert!(self.head.len() < LONGEST_HEADER);
        }
        None
    }

    fn payload(&mut self, chunk: &[u8], expected: &[u8], verify: bool) -> io::Result<()> {
        let wanted = expected.get(self.received..).unwrap_or_default();
        if verify && !wanted.starts_with(chunk) {
            let equal = chunk.iter().zip(wanted).take_while(|(came, wanted)| came == wanted).count();
            return Err(io::Error::other(format!("byte {} of a message is wrong", self.received + equal)));
        }
        self.received += chunk.len();
        Ok(())
    }

    fn finish(
        &mut self,
        header: Header,
        expected: &[u8],
        report: &mut impl FnMut(Incoming<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        if header.is_control() {
            match header.opcode() {
                CLOSE => report(Incoming::Close)?,
                PING => report(Incoming::Ping(&self.control))?,
                _ => {}
            }
            self.control.clear();
        } else if header.is_final() {
            let length = std::mem::take(&mut self.received);
            if length != expected.len() {
                return Err(io::Error::other(format!("a message of {length} bytes instead of {}", expected.len())));
            }
            report(Incoming::Message)?;
        }
        Ok(())
    }
}

fn check(header: &Header) -> io::Result<()> {
    let problem = if header.key.is_some() {
        "a masked frame from the server"
    } else if header.first & 0x70 != 0 {
        "reserved bits, though no extension was offered"
    } else if header.is_control() && (header.length > LONGEST_CONTROL || !header.is_final()) {
        "a control frame that is too long or in pieces"
    } else {
        return Ok(());
    };
    Err(io::Error::other(problem))
}

#[cfg(test)]
mod tests {
    use super::*;
    use everwire_load::frame::{FIN, TEXT};

    fn parse(pieces: &[&[u8]], expected: &[u8]) -> io::Result<(usize, Vec<u8>)> {
        let (mut parser, mut messages, mut pings) = (Parser::default(), 0, Vec::new());
        for piece in pieces {
            parser.feed(piece, expected, true, |incoming| {
                match incoming {
                    Incoming::Message => messages += 1,
                    Incoming::Ping(payload) => pings.extend_from_slice(payload),
                    Incoming::Close => {}
                }
                Ok(())
            })?;
        }
        Ok((messages, pings))
    }

    fn stream(message: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let half = message.len() / 2;
        frame::append(&mut bytes, FIN | TEXT, message, None);
        frame::append(&mut bytes, TEXT, &message[..half], None);
        frame::append(&mut bytes, FIN | PING, b"alive?", None);
        frame::append(&mut bytes, FIN, &message[half..], None);
        bytes
    }

    #[test]
    fn whole_fragmented_and_byte_by_byte_are_the_same() {
        let message = vec![b'x'; 300];
        let bytes = stream(&message);
        let bytewise: Vec<&[u8]> = bytes.chunks(1).collect();
        let expected = (2, b"alive?".to_vec());
        assert_eq!(parse(&[&bytes], &message).expect("valid"), expected);
        assert_eq!(parse(&bytewise, &message).expect("valid"), expected);
    }

    #[test]
    fn an_empty_message_is_a_message() {
        assert_eq!(parse(&[&[FIN | TEXT, 0, FIN | TEXT, 0]], b"").expect("valid").0, 2);
    }

    #[test]
    fn a_wrong_byte_a_wrong_length_and_a_mask_are_noticed() {
        assert!(parse(&[&stream(b"right")], b"wrong").is_err());
        assert!(parse(&[&stream(b"right")], b"right!").is_err());
        assert!(parse(&[&[FIN | TEXT, 0x80, 1, 2, 3, 4]], b"").is_err());
    }
}
