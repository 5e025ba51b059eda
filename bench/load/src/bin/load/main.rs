//! The load generator: `load echo|fanout|handshake|idle --port PORT ...`.
//!
//! One thread, so that it fits the one core it is pinned to. It prints one JSON object a line: `{"event": "measuring"}`
//! when the warm-up is over, `{"event": "measured"}` when the measured time is, `{"event": "done", ...}` with the figures
//! once everything that was in flight has come, and for `idle` `{"event": "open", ...}`.

mod client;
mod clock;
mod echo;
mod fanout;
mod handshake;
mod histogram;
mod idle;
mod options;
mod parser;
mod swarm;
mod tape;
mod window;

use std::io;
use std::process::ExitCode;

use options::{Options, Work};

fn main() -> ExitCode {
    let outcome = match Options::parse() {
        Ok(options) => run(&options),
        Err(error) => Err(io::Error::other(format!("{error}\n{}", options::USAGE))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<()> {
    match options.work {
        Work::Echo => echo::run(options),
        Work::Fanout => fanout::run(options),
        Work::Handshake => handshake::run(options),
        Work::Idle => idle::run(options),
    }
}
