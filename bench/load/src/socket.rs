//! A non-blocking TCP socket that does not ask the kernel for what cannot be there.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{RecvFlags, SendFlags, recv, send};

/// One connection to or from a peer on this machine.
///
/// A read that filled less than its buffer has emptied the socket: the next one is answered with `WouldBlock` without
/// a system call, until [`Socket::wake`]. So "read until `WouldBlock`" costs one system call a wake-up, with TLS too.
#[derive(Debug)]
pub struct Socket {
    descriptor: OwnedFd,
    is_drained: bool,
}

impl Socket {
    /// A socket around a descriptor that is already non-blocking.
    pub fn new(descriptor: OwnedFd) -> Self {
        Self { descriptor, is_drained: false }
    }

    /// The poller reported the socket: there may be something to read again.
    pub fn wake(&mut self) {
        self.is_drained = false;
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_drained {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let (count, _) = recv(&self.descriptor, &mut *buffer, RecvFlags::empty())?;
        // A count of zero is the end of the stream, which every later read has to see as well.
        self.is_drained = count > 0 && count < buffer.len();
        Ok(count)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(&self.descriptor, bytes, SendFlags::NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
