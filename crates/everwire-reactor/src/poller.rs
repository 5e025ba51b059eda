//! Which descriptors are ready: the one place that knows mio. Another mechanism (io_uring) would go behind this seam.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

/// What became of one registered descriptor since the last wait. Edge-triggered: said once.
#[derive(Clone, Copy, Debug)]
pub struct Readiness {
    /// The number given at registration.
    pub key: u64,
    /// There is something to read, an error or an end included.
    pub readable: bool,
    /// There is room to write again, or an error to collect.
    pub writable: bool,
    /// The peer will send nothing more, or the connection failed: a short read does not mean "drained".
    pub closed: bool,
}

/// An epoll instance or kqueue that an event loop can watch as one descriptor.
pub struct Poller {
    poll: Poll,
    events: Events,
}

impl Poller {
    /// A poller without descriptors.
    pub fn new() -> io::Result<Self> {
        Ok(Poller { poll: Poll::new()?, events: Events::with_capacity(1024) })
    }

    /// The descriptor that becomes readable when [`Poller::wait`] has something to say.
    pub fn fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }

    /// Everything that became ready, without waiting for more.
    pub fn wait(&mut self) -> io::Result<impl Iterator<Item = Readiness>> {
        match self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            Err(error) => return Err(error),
        }
        Ok(self.events.iter().map(|event: &Event| Readiness {
            key: event.token().0 as u64,
            readable: event.is_readable() || event.is_error() || event.is_read_closed(),
            writable: event.is_writable() || event.is_error() || event.is_write_closed(),
            closed: event.is_read_closed() || event.is_error() || event.is_write_closed(),
        }))
    }

    /// Starts telling when `fd` becomes readable.
    pub fn add(&self, fd: RawFd, key: u64) -> io::Result<()> {
        self.poll.registry().register(&mut SourceFd(&fd), Token(key as usize), Interest::READABLE)
    }

    /// Also tells, or stops telling, when `fd` becomes writable.
    pub fn watch_writable(&self, fd: RawFd, key: u64, on: bool) -> io::Result<()> {
        let interest = if on { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        self.poll.registry().reregister(&mut SourceFd(&fd), Token(key as usize), interest)
    }

    /// Stops telling about `fd`. Must come before closing: a forked child may keep the socket open and its events coming.
    pub fn remove(&self, fd: RawFd) -> io::Result<()> {
        self.poll.registry().deregister(&mut SourceFd(&fd))
    }
}
