//! TLS of one connection, in either role.

use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::{CommonState, Error, ProtocolVersion};

use super::machine::{self, Machine, Output, Progress, Unwritten};
use super::server::Requested;
use super::{ClientContext, Failure, ServerContext};

/// TLS state of one connection, either role. No sockets: ciphertext in, plaintext out, and the reverse.
///
/// About a kilobyte by value: keep it boxed where most connections have none.
pub struct Session {
    role: Role,
    /// Ciphertext that waits for its rest: the start of a record or of a handshake message.
    kept: Vec<u8>,
    /// `kept` was copied out since the last `receive`.
    restored: bool,
    outgoing: Vec<u8>,
    /// How much of `outgoing` the socket has taken.
    sent: usize,
    state: State,
    peer_closed: bool,
}

enum Role {
    Server(UnbufferedServerConnection, Arc<Requested>),
    Client(UnbufferedClientConnection),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// close_notify was queued, or could not be.
    Closed,
    /// Nothing works anymore; the alert is queued.
    Failed,
}

/// What one buffer of ciphertext contained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Bytes of plaintext, at the front of the buffer.
    pub plain: usize,
    /// The peer has sent close_notify: nothing follows, and the end of the stream is genuine.
    pub closed: bool,
}

impl Session {
    /// The most ciphertext that is ever kept between two reads, in bytes: one handshake message
    /// (rustls' own limit), which is far more than one record. Read buffers must be larger.
    pub const KEPT: usize = 0xffff;

    /// A session that waits for a client's first bytes.
    pub fn server(context: &ServerContext) -> Result<Self, Failure> {
        let (config, requested) = context.session();
        let machine = UnbufferedServerConnection::new(config).map_err(setup)?;
        Ok(Session::new(Role::Server(machine, requested)))
    }

    /// A session with the server `name`, a host name or an IP address; [`start`](Self::start) begins it.
    ///
    /// Errors: `name` is neither ([`Fault::Usage`](super::Fault)).
    pub fn client(context: &ClientContext, name: &str) -> Result<Self, Failure> {
        let name = ServerName::try_from(name.to_owned()).map_err(|_| {
            Failure::usage(format!("{name:?} is neither a host name nor an IP address (international names as xn--…)"))
        })?;
        let machine = UnbufferedClientConnection::new(Arc::clone(&context.config), name).map_err(setup)?;
        Ok(Session::new(Role::Client(machine)))
    }

    fn new(role: Role) -> Self {
        Session {
            role,
            kept: Vec::new(),
            restored: false,
            outgoing: Vec::new(),
            sent: 0,
            state: State::Open,
            peer_closed: false,
        }
    }

    /// Whether nothing can be encrypted yet.
    pub fn is_handshaking(&self) -> bool {
        self.common().is_handshaking()
    }

    /// The application protocol that was agreed on (RFC 7301).
    pub fn alpn(&self) -> Option<&[u8]> {
        self.common().alpn_protocol()
    }

    /// `"TLSv1.3"` or `"TLSv1.2"`, once negotiated.
    pub fn version(&self) -> Option<&'static str> {
        match self.common().protocol_version()? {
            ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
            ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
            _ => None,
        }
    }

    /// The cipher suite by its IANA name, once negotiated.
    pub fn cipher(&self) -> Option<String> {
        let name = self.common().negotiated_cipher_suite()?.suite().as_str()?;
        // rustls names the suites of TLS 1.3 apart.
        Some(name.strip_prefix("TLS13_").map_or_else(|| name.to_owned(), |rest| format!("TLS_{rest}")))
    }

    /// Server: the host name that the client asked for (SNI, RFC 6066 §3).
    pub fn server_name(&self) -> Option<&str> {
        match &self.role {
            Role::Server(_, requested) => requested.name.get().map(AsRef::as_ref),
            Role::Client(_) => None,
        }
    }

    /// The peer's own certificate, as DER.
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        self.common().peer_certificates()?.first().map(AsRef::as_ref)
    }

    /// Bytes in buffers of its own: nothing while idle.
    pub fn held(&self) -> usize {
        self.kept.capacity() + self.outgoing.capacity()
    }

    /// Ciphertext that waits for the socket.
    pub fn outgoing(&self) -> &[u8] {
        &self.outgoing[self.sent..]
    }

    /// Copies a kept partial record to the front of `buffer` and says its length: the driver reads
    /// the socket behind it. May be repeated if the socket had nothing.
    ///
    /// `buffer` must be larger than [`KEPT`](Self::KEPT); if the partial record does not fit with
    /// room to spare, 0 is returned and the next [`receive`](Self::receive) fails.
    pub fn restore(&mut self, buffer: &mut [u8]) -> usize {
        let length = self.kept.len();
        self.restored = length < buffer.len();
        if !self.restored {
            return 0;
        }
        buffer[..length].copy_from_slice(&self.kept);
        length
    }

    /// Takes the ciphertext in `buffer`: what [`restore`](Self::restore) put there and what was read
    /// behind it. The plaintext ends up at its front; an incomplete record is kept for the next
    /// `restore`. Answers to handshakes, and the alert of a failure, are appended to
    /// [`outgoing`](Self::outgoing).
    ///
    /// Cost: rustls copies each decrypted record once, and it is copied once more to its place.
    ///
    /// Errors: [`Fault::Peer`](super::Fault) and [`Fault::Protocol`](super::Fault) end the session, and
    /// plaintext before them in the same buffer is lost; [`Fault::Usage`](super::Fault) if it had ended before, or `restore` was left out.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Result<Received, Failure> {
        if self.state == State::Failed {
            return Err(over());
        }
        let restored = std::mem::take(&mut self.restored);
        let continued = self.kept.is_empty() || (restored && buffer.starts_with(&self.kept));
        if !continued {
            return Err(self.end(Failure::usage("received ciphertext must follow what restore() put into the buffer")));
        }
        self.compact();
        let outcome = match &mut self.role {
            Role::Server(machine, _) => machine::receive(machine, buffer, &mut self.outgoing),
            Role::Client(machine) => machine::receive(machine, buffer, &mut self.outgoing),
        };
        let Progress { plain, used, closed } = outcome.map_err(|error| self.fail(error))?;
        self.peer_closed |= closed;
        let rest = &buffer[used..];
        if self.peer_closed || rest.is_empty() {
            self.kept = Vec::new();
        } else if rest.len() <= Session::KEPT {
            self.kept.clear();
            self.kept.extend_from_slice(rest);
        } else {
            let text = format!("the {}'s handshake message is too long", self.peer());
            return Err(self.end(Failure::protocol(text)));
        }
        Ok(Received { plain, closed: self.peer_closed })
    }

    /// Client: queues the first message. Server: nothing, the client begins.
    pub fn start(&mut self) -> Result<(), Failure> {
        self.flush().map_err(|error| self.fail(error))
    }

    /// Encrypts one piece of plaintext into [`outgoing`](Self::outgoing), in records of at most 16 KiB.
    ///
    /// Errors: [`Fault::Usage`](super::Fault) during the handshake, after [`close`](Self::close) and
    /// after a failure; nothing was queued then.
    pub fn encrypt(&mut self, plain: &[u8]) -> Result<(), Failure> {
        match self.state {
            State::Open if self.is_handshaking() => Err(Failure::usage("the TLS handshake is not finished")),
            State::Open => self.write(&Output::Data(plain)).map_err(|error| match error {
                Unwritten::Early => Failure::usage("the TLS handshake is not finished"),
                Unwritten::Exhausted => {
                    self.end(Failure::protocol("this connection's keys are used up: close it and connect again"))
                }
                Unwritten::Failed(error) => self.fail(error),
            }),
            State::Closed => Err(Failure::usage("close_notify was sent: nothing may follow")),
            State::Failed => Err(over()),
        }
    }

    /// Forgets the first `count` bytes of [`outgoing`](Self::outgoing): the socket took them.
    pub fn sent(&mut self, count: usize) {
        self.sent = self.outgoing.len().min(self.sent.saturating_add(count));
        if self.sent == self.outgoing.len() {
            self.outgoing = Vec::new();
            self.sent = 0;
        }
    }

    /// Queues close_notify, once; during the handshake and after a failure there is nothing to say.
    pub fn close(&mut self) {
        if self.state != State::Open {
            return;
        }
        self.state = State::Closed;
        if !self.is_handshaking() {
            // Best effort: without it the peer sees the end of the stream alone.
            let _ = self.write(&Output::CloseNotify);
        }
    }

    fn write(&mut self, output: &Output<'_>) -> Result<(), Unwritten> {
        self.compact();
        match &mut self.role {
            Role::Server(machine, _) => machine::write(machine, &mut self.kept, output, &mut self.outgoing),
            Role::Client(machine) => machine::write(machine, &mut self.kept, output, &mut self.outgoing),
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        match &mut self.role {
            Role::Server(machine, _) => machine::flush(machine, &mut self.outgoing),
            Role::Client(machine) => machine::flush(machine, &mut self.outgoing),
        }
    }

    fn fail(&mut self, error: Error) -> Failure {
        if self.state == State::Open {
            // The alert of this very error; one that cannot be encoded is not worth another error.
            let _ = self.flush();
        }
        self.end(Failure::from_session(error, self.peer()))
    }

    fn end(&mut self, failure: Failure) -> Failure {
        self.state = State::Failed;
        self.kept = Vec::new();
        failure
    }

    /// Drops sent bytes before more are appended, when they are at least half.
    fn compact(&mut self) {
        if self.sent > self.outgoing.len() / 2 {
            self.outgoing.drain(..self.sent);
            self.sent = 0;
        }
    }

    fn peer(&self) -> &'static str {
        match &self.role {
            Role::Server(..) => "client",
            Role::Client(_) => "server",
        }
    }

    fn common(&self) -> &CommonState {
        match &self.role {
            Role::Server(machine, _) => machine.common(),
            Role::Client(machine) => machine.common(),
        }
    }
}

fn setup(error: Error) -> Failure {
    Failure::configuration(format!("a TLS session cannot be made: {error}"))
}

fn over() -> Failure {
    Failure::usage("this TLS session has failed before: write what is outgoing and close the connection")
}
