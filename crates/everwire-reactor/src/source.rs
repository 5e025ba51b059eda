//! What carries a connection's bytes: a socket, or anything else that does not block.

use std::io::{self, IoSlice};
use std::os::fd::RawFd;

/// Where bytes come from and go to, as a non-blocking socket behaves. One whose readiness no poller can tell (no descriptor) is
/// told by its driver: [`Shard::readable`](crate::Shard::readable), [`Shard::writable`](crate::Shard::writable).
pub trait Source: Send {
    /// Reads what is there; 0 is the end, [`WouldBlock`](io::ErrorKind::WouldBlock) means that nothing is there now.
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes as much as is taken.
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Writes as much of several pieces as is taken.
    fn write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Whether there is something to read that was not read yet; the end is nothing.
    fn has_unread(&self) -> bool;

    /// The error that killed the connection while nobody was reading, if one did.
    fn take_error(&self) -> Option<io::Error>;

    /// What became of the bytes that were taken, if that can be known.
    fn outflow(&self) -> Option<Outflow>;

    /// Says that nothing more comes.
    fn shutdown_write(&self);

    /// Ends it in both directions, for every process that shares it.
    fn shutdown(&self);

    /// The descriptor to poll, if there is one.
    fn descriptor(&self) -> Option<RawFd>;
}

/// How far the other end has come with what was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outflow {
    /// Bytes that have arrived there.
    pub arrived: u64,
    /// Some are still on their way.
    pub is_pending: bool,
    /// Bytes that the other end has room for: more than before means that its application has read.
    pub window: u32,
}
