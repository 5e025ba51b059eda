//! `load echo`: every connection keeps `depth` messages in flight.

use std::collections::VecDeque;
use std::io;

use crate::clock;
use crate::options::Options;
use crate::swarm::{Job, Swarm};
use crate::window::Window;

/// Send, receive and measure until the time is over.
///
/// # Errors
/// A message came back wrong or not at all, or a connection was lost.
pub fn run(options: &Options) -> io::Result<()> {
    let mut swarm = Swarm::new(options, options.connections)?;
    let mut echo = Echo {
        sent: vec![VecDeque::with_capacity(options.depth); options.connections],
        returned: 0,
        is_over: false,
        window: Window::new(options),
    };
    swarm.connect_all(&mut echo)?;
    echo.window = Window::new(options);
    for index in 0..options.connections {
        echo.sent[index].extend(std::iter::repeat_n(clock::now(), options.depth));
        swarm.send(index, options.depth)?;
    }
    while echo.window.goes_on() {
        swarm.turn(&mut echo)?;
    }
    echo.window.close();
    echo.is_over = true;
    swarm.drain(&mut echo, |echo| echo.sent.iter().map(VecDeque::len).sum())?;
    echo.window.report(&[]);
    Ok(())
}

struct Echo {
    /// When the messages in flight were sent, oldest first, for each connection.
    sent: Vec<VecDeque<u64>>,
    /// Messages of the current read.
    returned: usize,
    /// Whether nothing more is sent.
    is_over: bool,
    window: Window,
}

impl Job for Echo {
    fn message(&mut self, index: usize, now: u64) -> io::Result<()> {
        let Some(began) = self.sent[index].pop_front() else {
            return Err(io::Error::other("more messages came back than were sent"));
        };
        self.window.record(began, now);
        self.returned += 1;
        Ok(())
    }

    fn due(&mut self, index: usize, now: u64) -> usize {
        let returned = std::mem::take(&mut self.returned);
        let count = if self.is_over { 0 } else { returned };
        self.sent[index].extend(std::iter::repeat_n(now, count));
        count
    }
}
