//! OpenSSL contexts for both sides.

use std::io;

use openssl::error::ErrorStack;
use openssl::ssl::{Ssl, SslContext, SslContextBuilder, SslFiletype, SslMethod, SslMode, SslStream, SslVerifyMode};

use crate::socket::Socket;
use crate::stream::Stream;

/// The one suite that the client offers, so that every server under test does the same cipher's work.
const SUITE: &str = "TLS_AES_128_GCM_SHA256";

/// A context that offers TLS 1.3 with one suite and trusts any certificate: the server is ours.
///
/// # Errors
/// OpenSSL could not be set up.
pub fn client() -> io::Result<SslContext> {
    let mut context = SslContextBuilder::new(SslMethod::tls_client())?;
    context.set_ciphersuites(SUITE)?;
    context.set_verify(SslVerifyMode::NONE);
    Ok(finish(context))
}

/// A context with a certificate chain and its key, both PEM files.
///
/// # Errors
/// A file is missing or not what it should be.
pub fn server(certificate: &str, key: &str) -> io::Result<SslContext> {
    let mut context = SslContextBuilder::new(SslMethod::tls_server())?;
    context.set_certificate_chain_file(certificate)?;
    context.set_private_key_file(key, SslFiletype::PEM)?;
    Ok(finish(context))
}

/// The client's end of a connection.
///
/// # Errors
/// OpenSSL could not make its state.
pub fn connect(context: &SslContext, socket: Socket) -> io::Result<Stream> {
    let mut ssl = Ssl::new(context)?;
    ssl.set_connect_state();
    stream(ssl, socket)
}

/// The server's end of a connection.
///
/// # Errors
/// OpenSSL could not make its state.
pub fn accept(context: &SslContext, socket: Socket) -> io::Result<Stream> {
    let mut ssl = Ssl::new(context)?;
    ssl.set_accept_state();
    stream(ssl, socket)
}

fn finish(mut context: SslContextBuilder) -> SslContext {
    // Without read-ahead OpenSSL takes two system calls a record: one for its header, one for its body.
    context.set_read_ahead(true);
    context.set_mode(SslMode::ENABLE_PARTIAL_WRITE | SslMode::ACCEPT_MOVING_WRITE_BUFFER);
    context.build()
}

fn stream(ssl: Ssl, socket: Socket) -> io::Result<Stream> {
    let stream = SslStream::new(ssl, socket).map_err(|error: ErrorStack| io::Error::other(error))?;
    Ok(Stream::Tls(Box::new(stream)))
}
