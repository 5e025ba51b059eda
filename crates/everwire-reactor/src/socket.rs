//! A non-blocking stream socket, TCP or Unix, and what the engine does with it.

use std::io::{self, IoSlice, Read};
use std::mem::MaybeUninit;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use crate::outflow;
use crate::source::{Outflow, Source};

/// A connected or listening stream socket; closes when dropped.
pub struct Socket {
    inner: socket2::Socket,
}

/// Whom a socket is connected to, as far as an address says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A TCP peer.
    Tcp(SocketAddr),
    /// A Unix socket, or one without an address: a process on this machine.
    Local,
}

impl Peer {
    /// The IP address, if there is one; IPv4 addresses inside IPv6 come out as IPv4.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Peer::Tcp(address) => Some(address.ip().to_canonical()),
            Peer::Local => None,
        }
    }
}

impl Socket {
    /// Takes over a descriptor of a bound, listening or connected stream socket and makes it non-blocking.
    pub fn adopt(fd: OwnedFd) -> io::Result<Self> {
        let inner = socket2::Socket::from(fd);
        inner.set_nonblocking(true)?;
        inner.set_cloexec(true)?;
        Ok(Socket { inner })
    }

    /// The descriptor, for registration and for telling users.
    pub fn fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }

    /// Where a connected socket leads.
    pub fn peer(&self) -> Peer {
        self.inner.peer_addr().ok().and_then(|address| address.as_socket()).map_or(Peer::Local, Peer::Tcp)
    }

    /// Whether a listening socket is bound to a loopback address.
    pub fn is_loopback(&self) -> bool {
        let address = self.inner.local_addr().ok().and_then(|address| address.as_socket());
        address.is_some_and(|address| address.ip().to_canonical().is_loopback())
    }

    /// Starts listening, if the socket does not listen yet.
    pub fn listen(&self, backlog: i32) -> io::Result<()> {
        self.inner.listen(backlog)
    }

    /// The next connection that waits. New TCP sockets send small messages at once (TCP_NODELAY).
    pub fn accept(&self) -> io::Result<(Socket, Peer)> {
        let (inner, address) = self.inner.accept()?;
        inner.set_nonblocking(true)?;
        let peer = address.as_socket().map_or(Peer::Local, Peer::Tcp);
        let socket = Socket { inner };
        socket.send_at_once();
        Ok((socket, peer))
    }

    /// Turns Nagle's algorithm off where there is one. A socket that has none (Unix) or is already dead says so: no matter.
    pub fn send_at_once(&self) {
        let _ = self.inner.set_tcp_nodelay(true);
    }
}

impl Source for Socket {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.inner).read(buffer)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.send_with_flags(bytes, NO_SIGNAL)
    }

    fn write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.inner.send_vectored_with_flags(pieces, NO_SIGNAL)
    }

    fn has_unread(&self) -> bool {
        self.inner.peek(&mut [MaybeUninit::uninit()]).is_ok_and(|count| count > 0)
    }

    fn take_error(&self) -> Option<io::Error> {
        self.inner.take_error().unwrap_or_else(Some)
    }

    fn outflow(&self) -> Option<Outflow> {
        outflow::of(self.inner.as_raw_fd())
    }

    fn shutdown_write(&self) {
        let _ = self.inner.shutdown(Shutdown::Write);
    }

    fn shutdown(&self) {
        let _ = self.inner.shutdown(Shutdown::Both);
    }

    fn descriptor(&self) -> Option<RawFd> {
        Some(self.inner.as_raw_fd())
    }
}

/// Writing to a closed connection is an error to handle, not a signal that ends the process.
#[cfg(target_os = "linux")]
const NO_SIGNAL: i32 = libc::MSG_NOSIGNAL;
#[cfg(not(target_os = "linux"))]
const NO_SIGNAL: i32 = 0;
