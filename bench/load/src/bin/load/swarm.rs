//! All connections of the load generator, and the turn of its loop.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

use everwire_load::socket::Socket;
use everwire_load::stream::Stream;
#[cfg(feature = "tls")]
use everwire_load::tls;
#[cfg(feature = "tls")]
use openssl::ssl::SslContext;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::sockopt::set_tcp_nodelay;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use crate::client::{Client, Fate, REQUEST_KEY};
use crate::clock::{self, SECOND};
use crate::options::Options;
use crate::tape::Tape;

const EVENTS_PER_TURN: usize = 4096;
/// Bytes of the buffer that all connections read through.
const SCRATCH: usize = 256 * 1024;
/// Handshakes at once while opening many connections: a server's backlog may be short.
const OPENING_AT_ONCE: usize = 64;
/// The longest that one turn waits, in nanoseconds, so that deadlines are noticed.
const LONGEST_WAIT: i64 = 50_000_000;
/// Nothing happened for so long: the server hangs.
const QUIET: u64 = 10 * SECOND;

/// What a sub-command does with its connections.
pub trait Job {
    /// A connection was upgraded.
    fn opened(&mut self, _client: &mut Client, _plan: &Plan, _now: u64) -> io::Result<()> {
        Ok(())
    }

    /// A whole message came.
    fn message(&mut self, index: usize, now: u64) -> io::Result<()>;

    /// How many messages to send, now that all messages of one read were reported.
    fn due(&mut self, _index: usize, _now: u64) -> usize {
        0
    }

    /// A connection is no more; `client` is what it was.
    fn gone(&mut self, _index: usize, client: &Client) -> io::Result<()> {
        let when = if client.is_open() { "after" } else { "before" };
        Err(io::Error::other(format!("a connection was lost {when} its upgrade")))
    }
}

/// What all connections have in common.
pub struct Plan {
    /// The messages to send, and to expect.
    pub tape: Tape,
    /// Whether every byte is compared.
    pub verify: bool,
    /// The upgrade request.
    pub request: Vec<u8>,
    address: SocketAddr,
    #[cfg(feature = "tls")]
    tls: Option<SslContext>,
}

impl Plan {
    /// # Errors
    /// TLS could not be set up.
    pub fn new(options: &Options) -> io::Result<Self> {
        #[cfg(not(feature = "tls"))]
        if options.tls {
            return Err(io::Error::other("built without TLS"));
        }
        Ok(Self {
            tape: Tape::new(options.size, options.binary, options.depth),
            verify: options.verify,
            request: request(options),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, options.port)),
            #[cfg(feature = "tls")]
            tls: options.tls.then(tls::client).transpose()?,
        })
    }

    #[cfg(feature = "tls")]
    fn stream(&self, socket: Socket) -> io::Result<Stream> {
        match &self.tls {
            Some(context) => tls::connect(context, socket),
            None => Ok(Stream::Plain(socket)),
        }
    }

    #[cfg(not(feature = "tls"))]
    fn stream(&self, socket: Socket) -> io::Result<Stream> {
        Ok(Stream::Plain(socket))
    }
}

/// Numbered places for connections, and the poller that watches them.
pub struct Swarm {
    pub plan: Plan,
    pub clients: Vec<Option<Client>>,
    poller: OwnedFd,
    scratch: Vec<u8>,
    events: Vec<Event>,
    last_event: u64,
}

impl Swarm {
    /// `places` for connections, none of them used.
    ///
    /// # Errors
    /// The poller or TLS could not be set up.
    pub fn new(options: &Options, places: usize) -> io::Result<Self> {
        Ok(Self {
            plan: Plan::new(options)?,
            clients: std::iter::repeat_with(|| None).take(places).collect(),
            poller: epoll::create(CreateFlags::CLOEXEC)?,
            scratch: vec![0; SCRATCH],
            events: Vec::with_capacity(EVENTS_PER_TURN),
            last_event: clock::now(),
        })
    }

    /// Begin a connection in a free place.
    ///
    /// # Errors
    /// No socket could be had.
    pub fn connect(&mut self, index: usize) -> io::Result<()> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let descriptor = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        set_tcp_nodelay(&descriptor, true)?;
        match connect(&descriptor, &self.plan.address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let client = Client::new(self.plan.stream(Socket::new(descriptor))?);
        epoll::add(&self.poller, &client, EventData::new_u64(index as u64), EventFlags::IN | EventFlags::OUT)?;
        self.clients[index] = Some(client);
        Ok(())
    }

    /// Fill every place with an open connection.
    ///
    /// # Errors
    /// A connection failed, or the server hangs.
    pub fn connect_all(&mut self, job: &mut impl Job) -> io::Result<()> {
        let (mut begun, mut open) = (0, 0);
        while open < self.clients.len() {
            while begun < self.clients.len() && begun - open < OPENING_AT_ONCE {
                self.connect(begun)?;
                begun += 1;
            }
            self.turn(job)?;
            open = self.clients[..begun].iter().flatten().filter(|client| client.is_open()).count();
        }
        Ok(())
    }

    /// Send messages on one connection, outside of a turn.
    ///
    /// # Errors
    /// The connection failed.
    pub fn send(&mut self, index: usize, count: usize) -> io::Result<()> {
        if let Some(client) = &mut self.clients[index] {
            client.send(count, &self.plan)?;
        }
        self.rearm(index)
    }

    /// Wait for the poller, a little while at most, and handle everything that it reports.
    ///
    /// # Errors
    /// The run is void: the server broke the protocol or hangs, or `job` failed.
    pub fn turn(&mut self, job: &mut impl Job) -> io::Result<()> {
        self.wait(job)?;
        if clock::now() - self.last_event > QUIET {
            return Err(io::Error::other(format!("the server was silent for {} s", QUIET / SECOND)));
        }
        Ok(())
    }

    /// A turn during which nothing needs to happen.
    ///
    /// # Errors
    /// As [`Swarm::turn`], except that the server may be silent.
    pub fn wait(&mut self, job: &mut impl Job) -> io::Result<()> {
        let mut events = std::mem::take(&mut self.events);
        events.clear();
        let timeout = Timespec { tv_sec: 0, tv_nsec: LONGEST_WAIT };
        match epoll::wait(&self.poller, spare_capacity(&mut events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if !events.is_empty() {
            self.last_event = clock::now();
        }
        for event in &events {
            let index = event.data.u64() as usize;
            let Some(client) = &mut self.clients[index] else { continue };
            match client.on_ready(index, event.flags, &mut self.scratch, &self.plan, job)? {
                Fate::Alive => self.rearm(index)?,
                Fate::Gone => self.remove(index, job)?,
            }
        }
        self.events = events;
        Ok(())
    }

    /// Go on until `missing` says that nothing is any more.
    ///
    /// # Errors
    /// As [`Swarm::turn`], or something is still missing after a while.
    pub fn drain<J: Job>(&mut self, job: &mut J, missing: impl Fn(&J) -> usize) -> io::Result<()> {
        let deadline = clock::now() + QUIET;
        while missing(job) > 0 {
            if clock::now() > deadline {
                return Err(io::Error::other(format!("{} messages never came", missing(job))));
            }
            self.wait(job)?;
        }
        Ok(())
    }

    /// Give up a connection and free its place.
    ///
    /// # Errors
    /// `job` did not expect it.
    pub fn remove(&mut self, index: usize, job: &mut impl Job) -> io::Result<()> {
        let Some(client) = self.clients[index].take() else { return Ok(()) };
        let outcome = job.gone(index, &client);
        client.abort();
        outcome
    }

    fn rearm(&mut self, index: usize) -> io::Result<()> {
        let Some(client) = &mut self.clients[index] else { return Ok(()) };
        if let Some(interest) = client.changed_interest() {
            epoll::modify(&self.poller, &*client, EventData::new_u64(index as u64), interest)?;
        }
        Ok(())
    }
}

/// An upgrade request, padded to `options.head` bytes with a cookie if it is shorter.
fn request(options: &Options) -> Vec<u8> {
    let Options { path, port, head, .. } = options;
    let start = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {REQUEST_KEY}\r\nSec-WebSocket-Version: 13\r\n"
    );
    let cookie = match head.saturating_sub(start.len() + "Cookie: \r\n\r\n".len()) {
        0 => String::new(),
        missing => format!("Cookie: {}\r\n", "c".repeat(missing)),
    };
    format!("{start}{cookie}\r\n").into_bytes()
}
