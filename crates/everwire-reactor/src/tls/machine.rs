//! The only file that drives rustls' unbuffered connections, the same way in both roles.
//!
//! `process_tls_records` hands out one state at a time: something to encode, a decrypted record, or
//! "nothing more to do". It must see the same bytes again until it discards them, because it joins
//! handshake messages inside the caller's buffer and remembers where they lie. Two facts of rustls
//! 0.23 carry this file, and the tests of this module fail if they change:
//!
//! - A record waits inside the connection until it is taken. So the state that announces it, which
//!   borrows the whole buffer, is dropped, and the record is taken by a second call that borrows no
//!   buffer. That lets the plaintext go straight to the front of the buffer.
//! - What waits to be sent (`wants_write`) is handed out before any input is looked at. So a failed
//!   connection gives up its alert without being shown the peer's bytes again.

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError, UnbufferedStatus, WriteTraffic,
};
use rustls::{CommonState, Error};

/// Plaintext of one record (RFC 8446 §5.1).
const RECORD: usize = 16 * 1024;
/// More than header, nonce, type and tag of one record take, with every cipher of the provider.
const OVERHEAD: usize = 32;

/// What both roles of a connection can do.
pub(super) trait Machine {
    type Data;
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
    fn common(&self) -> &CommonState;
}

impl Machine for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn common(&self) -> &CommonState {
        self
    }
}

impl Machine for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn common(&self) -> &CommonState {
        self
    }
}

/// How far one buffer of ciphertext led.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Bytes of plaintext at the front of the buffer.
    pub(super) plain: usize,
    /// Bytes of ciphertext that are done with; what follows them must be seen again.
    pub(super) used: usize,
    /// The peer's close_notify is among them.
    pub(super) closed: bool,
}

/// What to write once a connection can encrypt.
pub(super) enum Output<'a> {
    Data(&'a [u8]),
    CloseNotify,
}

/// Why nothing was written.
#[derive(Debug)]
pub(super) enum Unwritten {
    /// The handshake has not come that far.
    Early,
    /// The keys of this connection may not encrypt more (RFC 8446 §5.5).
    Exhausted,
    /// The connection failed.
    Failed(Error),
}

/// Decrypts all complete records of `buffer`, moves their plaintext to its front and appends answers.
pub(super) fn receive<M: Machine>(
    machine: &mut M,
    buffer: &mut [u8],
    outgoing: &mut Vec<u8>,
) -> Result<Progress, Error> {
    enum Next {
        Take,
        Again,
        Wait,
    }

    let mut progress = Progress::default();
    loop {
        let UnbufferedStatus { discard, state, .. } = machine.process(&mut buffer[progress.used..]);
        let next = match state? {
            ConnectionState::ReadTraffic(_) => Next::Take,
            ConnectionState::EncodeTlsData(mut data) => {
                encode(&mut data, outgoing)?;
                Next::Again
            }
            ConnectionState::TransmitTlsData(data) => {
                data.done();
                Next::Again
            }
            ConnectionState::PeerClosed => {
                progress.closed = true;
                Next::Again
            }
            // Early data is never offered nor accepted.
            _ => Next::Wait,
        };
        progress.used += discard;
        match next {
            Next::Take => progress.plain = take(machine, buffer, &progress)?,
            Next::Again => {}
            Next::Wait => return Ok(progress),
        }
    }
}

/// Copies the waiting records behind the plaintext so far; says where that now ends.
fn take<M: Machine>(machine: &mut M, buffer: &mut [u8], progress: &Progress) -> Result<usize, Error> {
    let mut end = progress.plain;
    if let ConnectionState::ReadTraffic(mut traffic) = machine.process(&mut []).state? {
        while let Some(record) = traffic.next_record() {
            let payload = record?.payload;
            // Plaintext is shorter than the record that it came in, so it never reaches unread bytes.
            let room = buffer.get_mut(end..end + payload.len()).filter(|_| end + payload.len() <= progress.used);
            room.ok_or_else(|| Error::General("a record grew when it was decrypted".into()))?.copy_from_slice(payload);
            end += payload.len();
        }
    }
    Ok(end)
}

/// Appends what waits to be sent, without looking at any input: the first flight, or a last alert.
pub(super) fn flush<M: Machine>(machine: &mut M, outgoing: &mut Vec<u8>) -> Result<(), Error> {
    while machine.common().wants_write() {
        match machine.process(&mut []).state? {
            ConnectionState::EncodeTlsData(mut data) => encode(&mut data, outgoing)?,
            _ => break,
        }
    }
    Ok(())
}

/// Appends `output`, encrypted. `kept` is the ciphertext that waits for its rest.
pub(super) fn write<M: Machine>(
    machine: &mut M,
    kept: &mut [u8],
    output: &Output<'_>,
    outgoing: &mut Vec<u8>,
) -> Result<(), Unwritten> {
    loop {
        match machine.process(kept).state.map_err(Unwritten::Failed)? {
            ConnectionState::EncodeTlsData(mut data) => encode(&mut data, outgoing).map_err(Unwritten::Failed)?,
            ConnectionState::TransmitTlsData(data) => data.done(),
            ConnectionState::WriteTraffic(traffic) => return encrypt(traffic, output, outgoing),
            _ => return Err(Unwritten::Early),
        }
    }
}

fn encrypt<D>(mut traffic: WriteTraffic<'_, D>, output: &Output<'_>, outgoing: &mut Vec<u8>) -> Result<(), Unwritten> {
    let start = outgoing.len();
    let mut room = match output {
        Output::Data(plain) => plain.len() + plain.len().div_ceil(RECORD) * OVERHEAD,
        Output::CloseNotify => 2 * OVERHEAD,
    };
    loop {
        outgoing.resize(start + room, 0);
        let written = match output {
            Output::Data(plain) => traffic.encrypt(plain, &mut outgoing[start..]),
            Output::CloseNotify => traffic.queue_close_notify(&mut outgoing[start..]),
        };
        outgoing.truncate(start + *written.as_ref().unwrap_or(&0));
        match written {
            Ok(_) => return Ok(()),
            Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) if required_size > room => {
                room = required_size;
            }
            Err(_) => return Err(Unwritten::Exhausted),
        }
    }
}

fn encode<D>(data: &mut EncodeTlsData<'_, D>, outgoing: &mut Vec<u8>) -> Result<(), Error> {
    let start = outgoing.len();
    let needed = match data.encode(&mut []) {
        Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => required_size,
        _ => return Ok(()),
    };
    outgoing.resize(start + needed, 0);
    match data.encode(&mut outgoing[start..]) {
        Ok(written) => outgoing.truncate(start + written),
        Err(error) => return Err(Error::General(error.to_string())),
    }
    Ok(())
}
