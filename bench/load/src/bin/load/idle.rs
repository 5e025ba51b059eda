//! `load idle`: open connections and hold them, so that the server's memory can be read.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::options::Options;
use crate::swarm::{Job, Swarm};

/// Hold the connections until standard input is closed.
///
/// # Errors
/// A connection could not be opened or was lost.
pub fn run(options: &Options) -> io::Result<()> {
    static IS_OVER: AtomicBool = AtomicBool::new(false);
    let mut swarm = Swarm::new(options, options.connections)?;
    swarm.connect_all(&mut Idle)?;
    println!(r#"{{"event": "open", "connections": {}}}"#, options.connections);
    thread::spawn(|| {
        // Whether it ends or fails: there is nobody any more who could end this process otherwise.
        let _ = io::stdin().read_to_end(&mut Vec::new());
        IS_OVER.store(true, Ordering::Relaxed);
    });
    while !IS_OVER.load(Ordering::Relaxed) {
        swarm.wait(&mut Idle)?;
    }
    Ok(())
}

struct Idle;

impl Job for Idle {
    fn message(&mut self, _index: usize, _now: u64) -> io::Result<()> {
        Err(io::Error::other("a message though none was sent"))
    }
}
