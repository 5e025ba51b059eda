//! One connection of the reference server: bytes to frames, frames to answers.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use everwire_load::frame::{self, CLOSE, FIN, Header, PING, PONG};
use everwire_load::stream::Stream;
use rustix::event::epoll::EventFlags;

use crate::handshake::Request;

/// Room for reading beyond the frame that is waited for, so that a whole frame is a short read (see `Socket`).
const READ_AHEAD: usize = 4096;
/// Bytes that may wait for a slow subscriber before it is dropped.
const OUTPUT_LIMIT: usize = 64 << 20;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Opening,
    Echo,
    Broadcast,
}

/// A connection and what is unfinished on it.
pub struct Connection {
    stream: Stream,
    role: Role,
    /// An incomplete frame or request in `input[..filled]`; the buffer is kept, so it grows only once.
    input: Vec<u8>,
    filled: usize,
    /// What the kernel did not take; while there is something, nothing more is read for an echo.
    output: Vec<u8>,
    /// Bytes of the output that were written since.
    written: usize,
    interest: EventFlags,
}

impl Connection {
    /// A connection that was just accepted and is watched for reading.
    pub fn new(stream: Stream) -> Self {
        let (input, output) = (Vec::new(), Vec::new());
        Self { stream, role: Role::Opening, input, filled: 0, output, written: 0, interest: EventFlags::IN }
    }

    /// Whether broadcast messages go here.
    pub fn is_subscribed(&self) -> bool {
        self.role == Role::Broadcast
    }

    /// What the poller should watch for from now on, if that is not what it watches for already.
    pub fn changed_interest(&mut self) -> Option<EventFlags> {
        let interest = match (self.output.is_empty(), self.role) {
            (true, _) => EventFlags::IN,
            (false, Role::Broadcast) => EventFlags::IN | EventFlags::OUT,
            (false, _) => EventFlags::OUT,
        };
        let changed = interest != self.interest;
        self.interest = interest;
        changed.then_some(interest)
    }

    /// Write and read what can be written and read, and answer it; broadcast messages are appended to `log`.
    ///
    /// # Errors
    /// `WouldBlock` is the normal end; with anything else the connection is over.
    pub fn on_ready(&mut self, flags: EventFlags, scratch: &mut [u8], log: &mut Vec<u8>) -> io::Result<()> {
        self.stream.wake();
        if flags.contains(EventFlags::OUT) {
            self.drain()?;
        }
        while self.output.is_empty() || self.is_subscribed() {
            self.read(scratch, log)?;
        }
        Ok(())
    }

    /// Send bytes, or keep what the kernel does not take until the socket is writable.
    ///
    /// # Errors
    /// The connection is over.
    pub fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while self.output.is_empty() && !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.output.extend_from_slice(bytes);
        if self.output.len() > OUTPUT_LIMIT {
            return Err(io::Error::other("the peer does not read"));
        }
        Ok(())
    }

    fn drain(&mut self) -> io::Result<()> {
        while self.written < self.output.len() {
            self.written += self.stream.write(&self.output[self.written..])?;
        }
        self.output.clear();
        self.written = 0;
        Ok(())
    }

    fn read(&mut self, scratch: &mut [u8], log: &mut Vec<u8>) -> io::Result<()> {
        if self.filled == 0 {
            let count = at_least_one(self.stream.read(scratch)?)?;
            let (used, wanted) = self.take(&mut scratch[..count], log)?;
            self.keep(&scratch[used..count], wanted);
            return Ok(());
        }
        let mut input = std::mem::take(&mut self.input);
        let outcome = self.read_more(&mut input, log);
        self.input = input;
        outcome
    }

    /// Read on after an incomplete frame or request.
    fn read_more(&mut self, input: &mut Vec<u8>, log: &mut Vec<u8>) -> io::Result<()> {
        let end = self.filled + at_least_one(self.stream.read(&mut input[self.filled..])?)?;
        self.filled = end;
        let (used, wanted) = self.take(&mut input[..end], log)?;
        input.copy_within(used..end, 0);
        self.filled = end - used;
        reserve(input, wanted.max(self.filled));
        Ok(())
    }

    fn keep(&mut self, rest: &[u8], wanted: usize) {
        if !rest.is_empty() {
            reserve(&mut self.input, wanted.max(rest.len()));
            self.input[..rest.len()].copy_from_slice(rest);
            self.filled = rest.len();
        }
    }

    /// Answer all that is complete in `bytes`; returns how many were used, and the size of the frame that is not.
    fn take(&mut self, bytes: &mut [u8], log: &mut Vec<u8>) -> io::Result<(usize, usize)> {
        let mut used = 0;
        if self.role == Role::Opening {
            let Some(request) = Request::parse(bytes) else { return Ok((0, 0)) };
            self.role = if request.path == "/broadcast" { Role::Broadcast } else { Role::Echo };
            used = request.size;
            let answer = request.answer();
            self.send(answer.as_bytes())?;
        }
        let mut answers = Answers::default();
        let mut wanted = 0;
        let mut is_closing = false;
        while let Some(header) = frame::decode(&bytes[used..]) {
            let (start, end) = (used + header.size, used + header.size + header.length);
            if bytes.len() < end {
                wanted = end - used;
                break;
            }
            used = end;
            match header.opcode() {
                PONG => {}
                opcode if self.role == Role::Broadcast && opcode < CLOSE => {
                    frame::mask(&mut bytes[start..end], header.key.unwrap_or_default());
                    frame::append(log, header.first, &bytes[start..end], None);
                }
                opcode => {
                    answers.push(bytes, header, start);
                    is_closing |= opcode == CLOSE;
                }
            }
        }
        self.send(&bytes[answers.start..answers.end])?;
        if is_closing {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok((used, wanted))
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// The answers to one read, built in the buffer that was read into: an answer is four bytes shorter than its question.
#[derive(Default)]
struct Answers {
    start: usize,
    end: usize,
}

impl Answers {
    fn push(&mut self, bytes: &mut [u8], header: Header, payload: usize) {
        let size = frame::unmasked_size(header.length);
        if self.end == 0 {
            // The first payload stays where it is, so that one large message is not copied.
            self.start = payload - size;
            self.end = self.start;
        }
        let first = if header.opcode() == PING { FIN | PONG } else { header.first };
        let target = self.end + size;
        if target != payload {
            bytes.copy_within(payload..payload + header.length, target);
        }
        frame::encode(first, header.length, None, &mut bytes[self.end..]);
        self.end = target + header.length;
        frame::mask(&mut bytes[target..self.end], header.key.unwrap_or_default());
    }
}

fn at_least_one(count: usize) -> io::Result<usize> {
    if count == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(count) }
}

fn reserve(buffer: &mut Vec<u8>, wanted: usize) {
    if buffer.len() < wanted + READ_AHEAD {
        buffer.resize(wanted + READ_AHEAD, 0);
    }
}
