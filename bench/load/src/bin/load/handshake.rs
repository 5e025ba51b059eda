//! `load handshake`: connect, upgrade, close; `connections` of them at once.

use std::io;

use crate::client::Client;
use crate::clock::{self, SECOND};
use crate::options::Options;
use crate::swarm::{Job, Plan, Swarm};
use crate::window::Window;

/// A handshake or a close that takes longer has failed, in nanoseconds.
const DEADLINE: u64 = 5 * SECOND;
/// How often deadlines are looked at, in nanoseconds.
const SWEEP: u64 = SECOND / 5;

/// Shake hands and measure until the time is over. An upgrade is what is counted.
///
/// # Errors
/// An upgrade was refused, or the server hangs.
pub fn run(options: &Options) -> io::Result<()> {
    let mut swarm = Swarm::new(options, options.connections)?;
    let mut handshake = Handshake { window: Window::new(options), failed: 0, unanswered: 0 };
    let mut next_sweep = clock::now() + SWEEP;
    while handshake.window.goes_on() {
        for index in 0..options.connections {
            if swarm.clients[index].is_none() {
                swarm.connect(index)?;
            }
        }
        swarm.turn(&mut handshake)?;
        if clock::now() > next_sweep {
            sweep(&mut swarm, &mut handshake)?;
            next_sweep = clock::now() + SWEEP;
        }
    }
    handshake.window.close();
    handshake.window.report(&[("failed", handshake.failed), ("unanswered_closes", handshake.unanswered)]);
    Ok(())
}

fn sweep(swarm: &mut Swarm, handshake: &mut Handshake) -> io::Result<()> {
    let now = clock::now();
    for index in 0..swarm.clients.len() {
        let Some(client) = &swarm.clients[index] else { continue };
        if now - client.started() > DEADLINE {
            handshake.unanswered += u64::from(client.is_open());
            swarm.remove(index, handshake)?;
        }
    }
    Ok(())
}

struct Handshake {
    window: Window,
    failed: u64,
    unanswered: u64,
}

impl Job for Handshake {
    fn opened(&mut self, client: &mut Client, plan: &Plan, now: u64) -> io::Result<()> {
        self.window.record(client.started(), now);
        client.close(plan)
    }

    fn message(&mut self, _index: usize, _now: u64) -> io::Result<()> {
        Err(io::Error::other("a message though none was sent"))
    }

    fn gone(&mut self, _index: usize, client: &Client) -> io::Result<()> {
        self.failed += u64::from(!client.is_open());
        Ok(())
    }
}
