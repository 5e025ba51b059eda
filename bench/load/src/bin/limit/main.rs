//! The reference server: about the least that a WebSocket server can do on this kernel.
//!
//! `limit PORT [CERTIFICATE KEY]` echoes on every path but `/broadcast`, where each message goes to everyone. It trusts
//! its peers (no validation, no limits, no deadlines), so it is not a server for anything else.
//!
//! One turn reads every ready connection; an echo leaves in one write per read. Broadcast messages of a turn gather in
//! one log, which leaves in one write per subscriber at the turn's end.

mod connection;
mod handshake;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use everwire_load::socket::Socket;
use everwire_load::stream::{Stream, is_not_ready};
#[cfg(feature = "tls")]
use everwire_load::tls;
#[cfg(feature = "tls")]
use openssl::ssl::SslContext;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::net::sockopt::{set_socket_reuseaddr, set_tcp_nodelay};
use rustix::net::{AddressFamily, SocketFlags, SocketType, accept_with, bind, listen, socket_with};

use connection::Connection;

/// The listener's token; connections are numbered from zero.
const LISTENER: u64 = u64::MAX;
/// Waiting connections that one turn accepts, so that a storm of them does not starve the others.
const ACCEPTS_PER_TURN: usize = 64;
const BACKLOG: i32 = 4096;
const EVENTS_PER_TURN: usize = 1024;
/// Bytes of the buffer that all connections read through.
const SCRATCH: usize = 256 * 1024;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.as_slice() {
        [port] => Server::new(port, None),
        [port, certificate, key] => Server::new(port, Some((certificate, key))),
        _ => Err(io::Error::other("usage: limit PORT [CERTIFICATE KEY]")),
    };
    let Err(error) = outcome.and_then(Server::run);
    eprintln!("limit: {error}");
    ExitCode::FAILURE
}

struct Server {
    poller: OwnedFd,
    listener: OwnedFd,
    #[cfg(feature = "tls")]
    tls: Option<SslContext>,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    subscribers: Vec<usize>,
    scratch: Vec<u8>,
    log: Vec<u8>,
}

impl Server {
    fn new(port: &str, tls: Option<(&String, &String)>) -> io::Result<Self> {
        let port = port.parse().map_err(io::Error::other)?;
        let nonblocking = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let listener = socket_with(AddressFamily::INET, SocketType::STREAM, nonblocking, None)?;
        set_socket_reuseaddr(&listener, true)?;
        set_tcp_nodelay(&listener, true)?; // accepted sockets inherit it
        bind(&listener, &SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        listen(&listener, BACKLOG)?;
        let poller = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&poller, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        #[cfg(not(feature = "tls"))]
        if tls.is_some() {
            return Err(io::Error::other("built without TLS"));
        }
        Ok(Self {
            poller,
            listener,
            #[cfg(feature = "tls")]
            tls: tls.map(|(certificate, key)| tls::server(certificate, key)).transpose()?,
            connections: Vec::new(),
            free: Vec::new(),
            subscribers: Vec::new(),
            scratch: vec![0; SCRATCH],
            log: Vec::new(),
        })
    }

    fn run(mut self) -> io::Result<std::convert::Infallible> {
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS_PER_TURN);
        loop {
            events.clear();
            epoll::wait(&self.poller, spare_capacity(&mut events), None)?;
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    token => self.serve(token as usize, event.flags)?,
                }
            }
            self.publish()?;
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        for _ in 0..ACCEPTS_PER_TURN {
            let Ok(descriptor) = accept_with(&self.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) else {
                break;
            };
            let connection = Connection::new(self.stream(Socket::new(descriptor))?);
            let index = self.free.pop().unwrap_or(self.connections.len());
            epoll::add(&self.poller, &connection, EventData::new_u64(index as u64), EventFlags::IN)?;
            if index == self.connections.len() {
                self.connections.push(Some(connection));
            } else {
                self.connections[index] = Some(connection);
            }
        }
        Ok(())
    }

    #[cfg(feature = "tls")]
    fn stream(&self, socket: Socket) -> io::Result<Stream> {
        match &self.tls {
            Some(context) => tls::accept(context, socket),
            None => Ok(Stream::Plain(socket)),
        }
    }

    #[cfg(not(feature = "tls"))]
    fn stream(&self, socket: Socket) -> io::Result<Stream> {
        Ok(Stream::Plain(socket))
    }

    fn serve(&mut self, index: usize, flags: EventFlags) -> io::Result<()> {
        let Some(connection) = self.connections[index].as_mut() else { return Ok(()) };
        let was_subscribed = connection.is_subscribed();
        match connection.on_ready(flags, &mut self.scratch, &mut self.log) {
            Err(error) if !is_not_ready(&error) => return self.remove(index),
            _ => {}
        }
        if connection.is_subscribed() && !was_subscribed {
            self.subscribers.push(index);
        }
        self.rearm(index)
    }

    /// Send the log of this turn to every subscriber.
    fn publish(&mut self) -> io::Result<()> {
        if self.log.is_empty() {
            return Ok(());
        }
        for at in (0..self.subscribers.len()).rev() {
            let index = self.subscribers[at];
            let Some(connection) = self.connections[index].as_mut() else { continue };
            match connection.send(&self.log) {
                Ok(()) => self.rearm(index)?,
                Err(_) => self.remove(index)?,
            }
        }
        self.log.clear();
        Ok(())
    }

    /// Have the poller watch for what the connection now waits for.
    fn rearm(&mut self, index: usize) -> io::Result<()> {
        let Some(connection) = self.connections[index].as_mut() else { return Ok(()) };
        if let Some(interest) = connection.changed_interest() {
            epoll::modify(&self.poller, &*connection, EventData::new_u64(index as u64), interest)?;
        }
        Ok(())
    }

    fn remove(&mut self, index: usize) -> io::Result<()> {
        if let Some(connection) = self.connections[index].take() {
            epoll::delete(&self.poller, &connection)?;
            self.subscribers.retain(|&subscriber| subscriber != index);
            self.free.push(index);
        }
        Ok(())
    }
}
