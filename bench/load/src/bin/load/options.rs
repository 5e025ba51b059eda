//! The command line.

use lexopt::{Arg, Parser, ValueExt};

/// What the command line may say.
pub const USAGE: &str = "\
usage: load echo|fanout|handshake|idle --port PORT [options]
  --path PATH          request target [/echo; fanout: /broadcast]
  --connections N      connections, subscribers, or handshakes at once [100]
  --size BYTES         payload of each message [64]
  --depth N            messages in flight on each connection, or publications in flight [1]
  --head BYTES         pad the request's head to this size [as it is]
  --seconds S          measured time [2]
  --warmup S           time before it [0.5]
  --binary             binary messages instead of text
  --verify             compare every byte that comes back
  --tls                connect through TLS, trusting any certificate";

/// The sub-commands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Send messages and wait for them to come back.
    Echo,
    /// Publish messages that every subscriber gets.
    Fanout,
    /// Connect, upgrade, close, again and again.
    Handshake,
    /// Open connections and do nothing until standard input closes.
    Idle,
}

/// The command line, with its defaults filled in.
pub struct Options {
    pub work: Work,
    pub port: u16,
    pub path: String,
    pub connections: usize,
    pub size: usize,
    pub depth: usize,
    pub head: usize,
    pub seconds: f64,
    pub warmup: f64,
    pub binary: bool,
    pub verify: bool,
    pub tls: bool,
}

impl Options {
    /// What this process was asked to do.
    pub fn parse() -> Result<Self, lexopt::Error> {
        let mut parser = Parser::from_env();
        let work = match parser.next()? {
            Some(Arg::Value(name)) => match name.string()?.as_str() {
                "echo" => Work::Echo,
                "fanout" => Work::Fanout,
                "handshake" => Work::Handshake,
                "idle" => Work::Idle,
                other => return Err(format!("no such work: {other}").into()),
            },
            _ => return Err("say what to do".into()),
        };
        let mut options = Self::new(work);
        while let Some(argument) = parser.next()? {
            options.set(&argument.to_owned_long()?, &mut parser)?;
        }
        if options.port == 0 || options.connections == 0 || options.depth == 0 {
            return Err("--port is needed, and --connections and --depth are at least 1".into());
        }
        Ok(options)
    }

    fn new(work: Work) -> Self {
        Self {
            work,
            port: 0,
            path: if work == Work::Fanout { "/broadcast" } else { "/echo" }.to_owned(),
            connections: 100,
            size: 64,
            depth: 1,
            head: 0,
            seconds: 2.0,
            warmup: 0.5,
            binary: false,
            verify: false,
            tls: false,
        }
    }

    fn set(&mut self, name: &str, parser: &mut Parser) -> Result<(), lexopt::Error> {
        match name {
            "port" => self.port = parser.value()?.parse()?,
            "path" => self.path = parser.value()?.string()?,
            "connections" => self.connections = parser.value()?.parse()?,
            "size" => self.size = parser.value()?.parse()?,
            "depth" => self.depth = parser.value()?.parse()?,
            "head" => self.head = parser.value()?.parse()?,
            "seconds" => self.seconds = parser.value()?.parse()?,
            "warmup" => self.warmup = parser.value()?.parse()?,
            "binary" => self.binary = true,
            "verify" => self.verify = true,
            "tls" => self.tls = true,
            other => return Err(format!("no such option: --{other}").into()),
        }
        Ok(())
    }
}

/// The name of a long option, free of the parser that it was borrowed from.
trait Long {
    fn to_owned_long(self) -> Result<String, lexopt::Error>;
}

impl Long for Arg<'_> {
    fn to_owned_long(self) -> Result<String, lexopt::Error> {
        match self {
            Arg::Long(name) => Ok(name.to_owned()),
            other => Err(other.unexpected()),
        }
    }
}
