//! The bytes of one connection: straight from the socket, or through OpenSSL.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

#[cfg(feature = "tls")]
use openssl::ssl::SslStream;

use crate::socket::Socket;

/// A connection's bytes; every method may answer `WouldBlock`.
#[derive(Debug)]
pub enum Stream {
    /// No encryption.
    Plain(Socket),
    /// TLS by OpenSSL; the context decides which side this is.
    #[cfg(feature = "tls")]
    Tls(Box<SslStream<Socket>>),
}

impl Stream {
    /// The poller reported the socket: there may be something to read again.
    pub fn wake(&mut self) {
        match self {
            Self::Plain(socket) => socket.wake(),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.get_mut().wake(),
        }
    }

    /// Go on with the TLS handshake; `Ok` once it is complete, and at once for a plain connection.
    pub fn handshake(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => {
                stream.do_handshake().map_err(|error| error.into_io_error().unwrap_or_else(io::Error::other))
            }
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Plain(socket) => socket.as_fd(),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.get_ref().as_fd(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether an error only says "not now".
pub fn is_not_ready(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
