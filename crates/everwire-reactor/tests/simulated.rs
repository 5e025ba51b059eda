//! Time: what happens when, in simulated time and with peers in memory.

mod driver;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use driver::simulation::{Far, STEP, Simulation};
use driver::{CLOSE, Seen, TEXT, frame, settings};
use everwire_reactor::limits::{Deadlines, Limits};
use everwire_reactor::{Cause, Decision, Id, Pause, Peer, Settings, Timeout};
use everwire_wire::Kind;

/// What a slow reader takes in a second. Everything is a sixteenth of what it is in the world: a megabyte, and its systems' buffers.
const PORTION: usize = 64 << 10;
const SECOND: Duration = Duration::from_secs(1);

fn timing(change: impl FnOnce(&mut Deadlines)) -> Arc<Settings> {
    let mut settings = settings();
    settings.limits = Limits { output: 64 << 20, ..Limits::default() };
    change(&mut settings.deadlines);
    Arc::new(settings)
}

fn pings(interval: Duration, timeout: Duration) -> Arc<Settings> {
    timing(|it| (it.ping_interval, it.ping_timeout) = (Some(interval), Some(timeout)))
}

/// A peer that reads at a rate, and answers the pings that it has read.
struct Reader {
    far: Far,
    per_second: usize,
    got: Vec<u8>,
    looked: usize,
}

impl Reader {
    fn new(far: &Far, per_second: usize) -> Self {
        Reader { far: far.clone(), per_second, got: Vec::new(), looked: 0 }
    }

    fn read(&mut self) {
        let share = self.per_second * STEP.as_millis() as usize / 1000;
        self.got.extend(self.far.take(share));
        // Payloads are zeros here: the first byte of a ping stands for nothing else.
        while let Some(at) = self.got[self.looked..].iter().position(|byte| *byte == 0x89) {
            let at = self.looked + at;
            let Some(payload) = self.got.get(at + 2..at + 6) else { return };
            self.far.say(&frame(0x8a, payload));
            self.looked = at + 6;
        }
        self.looked = self.got.len();
    }
}

fn timed_out(simulation: &Simulation, id: Id) -> Option<Timeout> {
    match simulation.ending(id)?.cause {
        Some(Cause::Timeout(timeout)) => Some(timeout),
        _ => None,
    }
}

#[test]
fn a_connection_that_comes_after_hours_of_quiet_has_its_whole_time() {
    let mut simulation = Simulation::new();
    simulation.turn();
    simulation.now += Duration::from_secs(3600 * 24);
    let settings = timing(|_| {});
    let (far, _) = simulation.accept(Peer::Local, &settings);
    simulation.pass(9 * SECOND, |_| {});
    far.say(driver::REQUEST);
    simulation.turn();
    let answer = String::from_utf8(far.take(400)).expect("text");
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(answer.contains("\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"), "{answer}");
}

#[test]
fn a_handshake_has_its_time_and_no_more() {
    let mut simulation = Simulation::new();
    let (far, _) = simulation.accept(Peer::Local, &timing(|_| {}));
    for byte in &driver::REQUEST[..60] {
        far.say(&[*byte]);
        simulation.pass(SECOND / 5, |_| {});
    }
    let answer = String::from_utf8(far.take(400)).expect("text");
    assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nthe opening handshake took longer than open_timeout (10 s)\n"), "{answer}");
}

#[test]
fn a_reader_that_takes_a_large_message_slowly_is_never_cut() {
    let mut simulation = Simulation::new();
    let (far, id) = simulation.open(&pings(SECOND, 3 * SECOND));
    simulation.shard.send(id, Kind::Binary, &vec![0; 15 * PORTION]).expect("below the limit");
    let mut reader = Reader::new(&far, PORTION);
    simulation.pass(30 * SECOND, |_| reader.read());
    assert!(simulation.shard.is_open(id), "{:?}", simulation.seen.last());
    assert!(reader.got.len() > 15 * PORTION);
    assert!(simulation.shard.latency(id).is_some());
}

#[test]
fn a_reader_that_stops_in_the_middle_is_found() {
    let mut simulation = Simulation::new();
    let (far, id) = simulation.open(&pings(SECOND, 3 * SECOND));
    simulation.shard.send(id, Kind::Binary, &vec![0; 15 * PORTION]).expect("below the limit");
    let mut reader = Reader::new(&far, PORTION);
    simulation.pass(3 * SECOND, |_| reader.read());
    simulation.pass(10 * SECOND, |_| {});
    assert_eq!(timed_out(&simulation, id), Some(Timeout::Pong));
}

#[test]
fn a_peer_that_reads_everything_and_answers_nothing_is_found_in_time() {
    let mut simulation = Simulation::new();
    let (far, id) = simulation.open(&pings(SECOND, 3 * SECOND));
    let mut since = None;
    simulation.pass(20 * SECOND, |simulation| {
        // Messages go on all the time: that they arrive says nothing about the ping.
        let _ = simulation.shard.send(id, Kind::Binary, &[0; 1000]);
        if far.take(PORTION).contains(&0x89) {
            since.get_or_insert(simulation.now);
        }
    });
    assert_eq!(timed_out(&simulation, id), Some(Timeout::Pong));
}

#[test]
fn a_large_page_reaches_a_slow_reader_whole() {
    let mut simulation = Simulation::new();
    let mut asking = settings();
    asking.asks = true;
    let (far, id) = simulation.accept(Peer::Local, &Arc::new(asking));
    far.say(b"GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n");
    simulation.turn();
    let body = vec![0; 9 * PORTION];
    let page = Decision::Respond { status: 200, reason: None, fields: &[], body: &body };
    simulation.shard.decide(id, page, simulation.now).expect("sound fields");
    let mut reader = Reader::new(&far, PORTION);
    simulation.pass(12 * SECOND, |_| reader.read());
    assert!(reader.got.len() > 9 * PORTION, "{}", reader.got.len());
    simulation.pass(5 * SECOND, |_| {});
    assert_eq!(simulation.shard.connections(), 0);
}

#[test]
fn a_closing_handshake_counts_from_when_its_frame_could_be_read() {
    let mut simulation = Simulation::new();
    let (far, id) = simulation.open(&timing(|it| it.close = Some(2 * SECOND)));
    simulation.shard.send(id, Kind::Binary, &vec![0; 9 * PORTION]).expect("below the limit");
    simulation.shard.close(id, Some((1000, "")), simulation.now).expect("open");
    let mut reader = Reader::new(&far, PORTION);
    simulation.pass(10 * SECOND, |_| reader.read());
    assert!(reader.got.ends_with(&[CLOSE, 2, 3, 232]), "{}", reader.got.len());
    far.say(&frame(CLOSE, &[3, 232]));
    simulation.turn();
    assert!(simulation.ending(id).is_some_and(|ending| ending.cause.is_none()));
}

#[test]
fn a_peer_that_takes_nothing_ends_a_closing_handshake_in_time() {
    let mut simulation = Simulation::new();
    let (_far, id) = simulation.open(&timing(|it| it.close = Some(2 * SECOND)));
    simulation.shard.send(id, Kind::Binary, &vec![0; 9 * PORTION]).expect("below the limit");
    simulation.shard.close(id, Some((1000, "")), simulation.now).expect("open");
    simulation.pass(5 * SECOND, |_| {});
    assert_eq!(timed_out(&simulation, id), Some(Timeout::Close));
}

#[test]
fn what_a_peer_goes_on_sending_does_not_put_off_the_end() {
    let mut simulation = Simulation::new();
    let (far, id) = simulation.open(&timing(|it| it.close = Some(2 * SECOND)));
    simulation.shard.close(id, Some((1000, "")), simulation.now).expect("open");
    simulation.pass(5 * SECOND, |_| far.say(&frame(TEXT, b"still here")));
    assert_eq!(timed_out(&simulation, id), Some(Timeout::Close));
}

#[test]
fn pongs_that_lie_unread_while_we_are_busy_count() {
    let mut simulation = Simulation::new();
    let (far, id) = simulation.open(&pings(SECOND, 3 * SECOND));
    simulation.pass(2 * SECOND, |_| {});
    let ping = far.take(100);
    let at = ping.iter().position(|byte| *byte == 0x89).expect("a ping");
    far.say(&frame(0x8a, &ping[at + 2..at + 6]));
    // Nobody has read it when the deadline is looked at.
    simulation.now += 10 * SECOND;
    let now = simulation.now;
    simulation.shard.expire(|| now, Duration::ZERO, now + SECOND);
    assert!(simulation.shard.is_open(id));
    simulation.turn();
    assert!(simulation.shard.latency(id).is_some());
}

#[test]
fn silence_is_not_what_waits_with_us() {
    let mut simulation = Simulation::new();
    let (far, id) = simulation.open(&timing(|it| (it.idle, it.ping_interval) = (Some(SECOND), None)));
    simulation.shard.pause(id, Pause::Queue);
    far.say(&frame(TEXT, b"waits"));
    simulation.pass(5 * SECOND, |_| {});
    assert!(simulation.shard.is_open(id) && simulation.seen.is_empty(), "{:?}", simulation.seen);
    simulation.shard.resume(id, Pause::Queue);
    simulation.pass(2 * SECOND, |_| {});
    assert!(simulation.seen.iter().any(|seen| matches!(seen, Seen::Other(text) if text.starts_with("Idle"))));
    simulation.shard.close_idle(id, simulation.now);
    simulation.pass(3 * SECOND, |_| {});
    assert_eq!(timed_out(&simulation, id), Some(Timeout::Idle));
}

/// A connection whose application takes nothing, with messages that wait.
fn paused(simulation: &mut Simulation, reason: Pause) -> (Far, Id) {
    let (far, id) = simulation.open(&pings(10 * SECOND, 5 * SECOND));
    simulation.shard.pause(id, reason);
    for _ in 0..100 {
        far.say(&frame(TEXT, b"text"));
    }
    simulation.pass(SECOND, |_| {});
    assert!(simulation.seen.is_empty());
    (far, id)
}

fn texts(simulation: &Simulation) -> usize {
    simulation.seen.iter().filter(|seen| matches!(seen, Seen::Message(..))).count()
}

#[test]
fn a_paused_connection_notices_the_close_frame_behind_which_the_peer_hung_up() {
    for reason in [Pause::Application, Pause::Queue] {
        let mut simulation = Simulation::new();
        let (far, id) = paused(&mut simulation, reason);
        far.say(&frame(CLOSE, &[3, 232]));
        far.wire().ended = true;
        simulation.pass(SECOND, |_| {});
        assert_eq!(texts(&simulation), 100, "nothing that came before is lost");
        assert!(simulation.ending(id).is_some_and(|ending| ending.received.is_some()));
    }
}

#[test]
fn a_paused_connection_notices_the_end_and_a_reset() {
    for reset in [false, true] {
        let mut simulation = Simulation::new();
        let (far, id) = paused(&mut simulation, Pause::Queue);
        if reset {
            far.wire().reset = true;
        } else {
            far.wire().ended = true;
        }
        simulation.pass(SECOND, |_| {});
        assert_eq!(texts(&simulation), 100);
        assert!(simulation.ending(id).is_some_and(|ending| ending.cause.is_some()));
    }
}

#[test]
fn a_paused_connection_notices_that_its_peer_has_vanished() {
    let mut simulation = Simulation::new();
    for quiet in [0, 1, 60, 600] {
        let (far, id) = paused(&mut simulation, Pause::Queue);
        simulation.pass(quiet * SECOND, |_| drop(far.take(PORTION)));
        assert!(simulation.shard.is_open(id));
        far.wire().vanished = true;
        simulation.pass(20 * SECOND, |_| {});
        assert_eq!(timed_out(&simulation, id), Some(Timeout::Pong), "after {quiet} s");
    }
}

#[test]
fn a_paused_connection_whose_peer_is_there_stays() {
    let mut simulation = Simulation::new();
    let (far, id) = paused(&mut simulation, Pause::Queue);
    simulation.pass(300 * SECOND, |_| drop(far.take(PORTION)));
    assert!(simulation.shard.is_open(id));
    simulation.shard.resume(id, Pause::Queue);
    simulation.turn();
    assert_eq!(texts(&simulation), 100);
}

#[test]
fn reading_goes_on_when_no_reason_is_left() {
    let mut simulation = Simulation::new();
    let (_far, id) = paused(&mut simulation, Pause::Queue);
    simulation.shard.pause(id, Pause::Application);
    simulation.shard.resume(id, Pause::Queue);
    simulation.turn();
    assert_eq!(texts(&simulation), 0);
    simulation.shard.resume(id, Pause::Application);
    simulation.turn();
    assert_eq!(texts(&simulation), 100);
}

#[test]
fn what_is_read_past_a_pause_is_bounded() {
    let mut simulation = Simulation::new();
    let mut settings = settings();
    settings.limits.message = 4 << 20;
    let (far, id) = simulation.open(&Arc::new(settings));
    simulation.shard.pause(id, Pause::Queue);
    for _ in 0..20 {
        far.say(&frame(0x82, &vec![0; 2 << 20]));
    }
    far.wire().ended = true;
    simulation.pass(SECOND, |_| {});
    assert!((8..=9).contains(&texts(&simulation)), "{}", texts(&simulation));
    assert!(simulation.shard.is_open(id));
    simulation.shard.resume(id, Pause::Queue);
    simulation.pass(SECOND, |_| {});
    assert_eq!(texts(&simulation), 20);
    assert!(simulation.ending(id).is_some());
}

#[test]
fn a_hook_that_takes_its_time_is_told_when_the_client_leaves_or_its_time_is_over() {
    let mut settings = settings();
    settings.asks = true;
    let settings = Arc::new(settings);
    let mut simulation = Simulation::new();
    let (far, _) = simulation.accept(Peer::Local, &settings);
    far.say(driver::REQUEST);
    simulation.turn();
    far.wire().ended = true;
    simulation.turn();
    assert!(matches!(simulation.seen.last(), Some(Seen::Failed(_))), "{:?}", simulation.seen);

    let (far, _) = simulation.accept(Peer::Local, &settings);
    far.say(driver::REQUEST);
    simulation.pass(11 * SECOND, |_| {});
    assert!(simulation.seen.iter().any(|seen| matches!(seen, Seen::Other(text) if text.starts_with("Withdrawn"))));
    assert!(far.take(100).starts_with(b"HTTP/1.1 408 "));
}

#[test]
fn an_address_is_held_to_its_limits_before_it_says_a_word() {
    let mut simulation = Simulation::new();
    let mut settings = settings();
    settings.limits.connections_per_address = 2;
    settings.limits.handshakes_per_second = 5;
    let settings = Arc::new(settings);
    let stranger = |port| Peer::Tcp(SocketAddr::from(([203, 0, 113, 7], port)));
    let silent: Vec<_> = (0..12).map(|port| simulation.accept(stranger(port), &settings).0).collect();
    simulation.turn();
    let answers: Vec<_> = silent.iter().map(|far| far.take(12)).collect();
    assert!(answers[..2].iter().all(Vec::is_empty));
    assert!(answers[2..].iter().all(|answer| answer == b"HTTP/1.1 429"), "{answers:?}");
    let (other, _) = simulation.accept(Peer::Tcp(SocketAddr::from(([203, 0, 113, 8], 1))), &settings);
    simulation.turn();
    assert!(other.take(12).is_empty());
}
