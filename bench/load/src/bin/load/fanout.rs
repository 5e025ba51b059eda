//! `load fanout`: one publisher keeps `depth` publications in flight; each goes to every subscriber.

use std::collections::VecDeque;
use std::io;

use crate::clock::{self, SECOND};
use crate::options::Options;
use crate::swarm::{Job, Swarm};
use crate::window::Window;

/// The answer to an upgrade may precede the server's own bookkeeping: nanoseconds for it to finish.
const SETTLE: u64 = SECOND / 4;

/// Publish, receive and measure until the time is over. A delivery is what is counted.
///
/// # Errors
/// A delivery was wrong or missing, or a connection was lost.
pub fn run(options: &Options) -> io::Result<()> {
    let publisher = options.connections;
    let mut swarm = Swarm::new(options, options.connections + 1)?;
    let mut fanout = Fanout {
        publications: VecDeque::with_capacity(options.depth),
        received: vec![0; options.connections],
        completed: 0,
        window: Window::new(options),
    };
    swarm.connect_all(&mut fanout)?;
    let settled = clock::now() + SETTLE;
    while clock::now() < settled {
        swarm.wait(&mut fanout)?;
    }
    fanout.window = Window::new(options);
    while fanout.window.goes_on() {
        while fanout.publications.len() < options.depth {
            fanout.publications.push_back(Publication { began: clock::now(), missing: options.connections });
            swarm.send(publisher, 1)?;
        }
        swarm.turn(&mut fanout)?;
    }
    fanout.window.close();
    swarm.drain(&mut fanout, |fanout| fanout.publications.iter().map(|publication| publication.missing).sum())?;
    fanout.window.report(&[("publications", fanout.completed)]);
    Ok(())
}

struct Publication {
    began: u64,
    /// Subscribers that do not have it yet.
    missing: usize,
}

struct Fanout {
    /// Those in flight, oldest first.
    publications: VecDeque<Publication>,
    /// Deliveries to each subscriber; the publisher, which gets its own messages as well, is not among them.
    received: Vec<u64>,
    /// Publications that everyone has; they complete in order, since each subscriber gets them in order.
    completed: u64,
    window: Window,
}

impl Job for Fanout {
    fn message(&mut self, index: usize, now: u64) -> io::Result<()> {
        let Some(received) = self.received.get_mut(index) else { return Ok(()) };
        let at = (*received - self.completed) as usize;
        *received += 1;
        let Some(publication) = self.publications.get_mut(at) else {
            return Err(io::Error::other("a subscriber got more messages than were published"));
        };
        publication.missing -= 1;
        self.window.record(publication.began, now);
        if publication.missing == 0 {
            self.publications.pop_front();
            self.completed += 1;
        }
        Ok(())
    }
}
