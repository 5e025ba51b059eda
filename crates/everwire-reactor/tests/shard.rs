//! A shard with real sockets: what a driver is told, and what peers get.

mod driver;

use std::cell::Cell;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use driver::{BINARY, CLOSE, Driver, PING, REQUEST, Seen, TEXT, frame, settings};
use everwire_reactor::limits::{Deadlines, Limits};
use everwire_reactor::{
    Cause, Frame, Id, Origins, Overflow, Pause, Refused, Report, Settings, Socket, Timeout, memory,
};
use everwire_wire::Kind;

fn deadlines(change: impl FnOnce(&mut Deadlines)) -> Settings {
    let mut settings = settings();
    change(&mut settings.deadlines);
    settings
}

fn limits(limits: Limits) -> Settings {
    Settings { limits, ..settings() }
}

fn closed(seen: &Seen) -> Option<(Option<u16>, Option<u16>, Option<String>)> {
    match seen {
        Seen::Closed(_, ending) => Some((
            ending.received.as_ref().and_then(|close| close.code),
            ending.sent.as_ref().and_then(|close| close.code),
            ending.cause.as_ref().map(|cause| format!("{cause:?}")),
        )),
        _ => None,
    }
}

/// Sends until neither the socket nor the outbox takes anything more.
fn fill(driver: &mut Driver, id: Id) {
    while driver.shard.send(id, Kind::Binary, &[0; 50_000]).is_ok() {
        driver.turn();
    }
    while driver.shard.send(id, Kind::Binary, b"").is_ok() {}
}

#[test]
fn messages_come_out_as_they_went_in() {
    let mut driver = Driver::new(settings());
    let (mut peer, id) = driver.open();
    for size in [0, 1, 125, 126, 65_535, 65_536, 70_000, 1 << 20] {
        let payload: Vec<u8> = (0..size).map(|n| (n * 7) as u8).collect();
        peer.write_all(&mut driver, &frame(BINARY, &payload));
        assert_eq!(driver.message(), (id, Kind::Binary, payload));
    }
    let small = [frame(TEXT, b"one"), frame(TEXT, b"two"), frame(TEXT, b"three")].concat();
    peer.write_all(&mut driver, &small);
    for text in ["one", "two", "three"] {
        assert_eq!(driver.message(), (id, Kind::Text, text.as_bytes().to_vec()));
    }
}

#[test]
fn frames_behind_the_head_in_one_segment_are_the_first_messages() {
    let mut driver = Driver::new(settings());
    let mut peer = driver.connect();
    peer.write(&[REQUEST, &frame(TEXT, b"early")].concat());
    assert_eq!(driver.message().2, b"early");
}

#[test]
fn a_head_that_drips_byte_by_byte_is_answered() {
    let mut driver = Driver::new(settings());
    let mut peer = driver.connect();
    for byte in REQUEST {
        peer.write(&[*byte]);
        driver.turn();
    }
    assert!(peer.read_until(&mut driver, b"\r\n\r\n").starts_with(b"HTTP/1.1 101 "));
}

#[test]
fn a_paused_connection_is_not_read_and_loses_nothing() {
    let mut driver = Driver::new(settings());
    let (mut peer, id) = driver.open();
    driver.shard.pause(id, Pause::Application);
    peer.write(&frame(TEXT, b"later"));
    driver.turn_for(Duration::from_millis(50));
    assert!(driver.seen.is_empty(), "{:?}", driver.seen);
    driver.shard.resume(id, Pause::Application);
    assert_eq!(driver.message().2, b"later");
}

#[test]
fn a_peer_that_never_reads_costs_no_more_than_the_output_limit() {
    let output = 1 << 20;
    let mut driver = Driver::new(limits(Limits { output, ..Limits::default() }));
    let (_peer, id) = driver.open();
    let payload = vec![b'x'; 10_000];
    let mut refused = 0;
    for _ in 0..3_000 {
        refused += usize::from(driver.shard.send(id, Kind::Binary, &payload) == Err(Refused::Full));
        driver.turn();
        assert!(driver.shard.output_len(id) <= output as usize);
    }
    assert!(refused > 0, "the socket took 30 MB");
    assert!(driver.shard.is_full(id) && driver.shard.is_open(id));
}

#[test]
fn a_million_empty_messages_are_not_free() {
    let mut driver = Driver::new(limits(Limits { output: 100_000, message_overhead: 64, ..Limits::default() }));
    let (_peer, id) = driver.open();
    let sent = (0..1_000_000).take_while(|_| driver.shard.send(id, Kind::Text, b"").is_ok()).count();
    assert_eq!(sent, 100_000 / 66);
}

#[test]
fn output_below_the_low_mark_is_told_once() {
    let mut driver = Driver::new(settings());
    let (mut peer, id) = driver.open();
    let payload = vec![b'x'; 8 << 20];
    driver.shard.send(id, Kind::Binary, &payload).expect("below the limit");
    driver.turn();
    assert!(driver.shard.is_full(id));
    let began = Instant::now();
    while !matches!(driver.seen.last(), Some(Seen::Drained(_))) {
        peer.read();
        driver.turn();
        assert!(began.elapsed() < Duration::from_secs(10));
    }
    assert!(!driver.shard.is_full(id));
    assert_eq!(driver.seen.len(), 1);
}

#[test]
fn of_pings_that_cannot_be_answered_only_the_newest_is_kept() {
    let mut driver = Driver::new(limits(Limits { pings_per_second: 1_000_000, ..Limits::default() }));
    let (mut peer, id) = driver.open();
    driver.shard.send(id, Kind::Binary, &vec![0; 12 << 20]).expect("below the limit");
    driver.turn();
    let before = driver.shard.output_len(id);
    for n in 0..2_000_u32 {
        peer.write_all(&mut driver, &frame(PING, &n.to_be_bytes()));
    }
    let all = (REQUEST.len() + 2_000 * frame(PING, &[0; 4]).len()) as u64;
    while driver.shard.metrics().read < all {
        driver.turn();
    }
    assert_eq!(driver.shard.output_len(id), before);
    let pong = [&[0x8a, 4][..], &1_999_u32.to_be_bytes()].concat();
    let all = peer.read_until(&mut driver, &pong);
    assert_eq!(all.windows(2).filter(|window| *window == [0x8a, 4]).count(), 1);
}

#[test]
fn too_many_pings_are_answered_with_1008() {
    let mut driver = Driver::new(limits(Limits { pings_per_second: 1, ..Limits::default() }));
    let (mut peer, _) = driver.open();
    for _ in 0..11 {
        peer.write_all(&mut driver, &frame(PING, b""));
    }
    let all = peer.read_to_end(&mut driver);
    assert!(all.ends_with(&[&[0x88, 16, 3, 240][..], b"too many pings"].concat()), "{all:?}");
    drop(peer);
    assert_eq!(driver.until("the end", closed).1, Some(1008));
}

#[test]
fn the_closing_handshake_goes_both_ways() {
    let mut driver = Driver::new(settings());
    let (mut peer, _) = driver.open();
    peer.write(&frame(CLOSE, &[3, 232, b'b', b'y', b'e']));
    assert_eq!(driver.until("the end", closed), (Some(1000), Some(1000), None));
    assert_eq!(peer.read_to_end(&mut driver), [0x88, 5, 3, 232, b'b', b'y', b'e']);

    let (mut peer, id) = driver.open();
    driver.shard.close(id, Some((1001, "later")), Instant::now()).expect("open");
    assert_eq!(peer.read_until(&mut driver, b"later")[..2], [0x88, 7]);
    peer.write(&frame(CLOSE, &[3, 233]));
    assert_eq!(driver.until("the end", closed), (Some(1001), Some(1001), None));
    assert!(driver.shard.connections() == 0);
}

#[test]
fn the_end_of_the_connection_without_a_close_frame_is_told_as_such() {
    let mut driver = Driver::new(settings());
    let (peer, _) = driver.open();
    peer.shutdown_write();
    assert_eq!(driver.until("the end", closed), (None, None, Some("Eof".to_owned())));
}

#[test]
fn messages_before_the_end_come_before_it() {
    let mut driver = Driver::new(settings());
    let (mut peer, _) = driver.open();
    peer.write(&frame(TEXT, b"last words"));
    drop(peer);
    assert_eq!(driver.message().2, b"last words");
    driver.until("the end", closed);
}

#[test]
fn a_violation_is_answered_and_nothing_after_it_is_looked_at() {
    let mut driver = Driver::new(settings());
    let (mut peer, _) = driver.open();
    peer.write(&[frame(0x83, b"reserved"), frame(TEXT, b"ignored")].concat());
    let all = peer.read_to_end(&mut driver);
    assert_eq!(all[2..4], 1002_u16.to_be_bytes());
    drop(peer);
    let (received, sent, cause) = driver.until("the end", closed);
    assert_eq!((received, sent), (None, Some(1002)));
    assert!(cause.is_some_and(|cause| cause.starts_with("Protocol")));
    assert!(!driver.seen.iter().any(|seen| matches!(seen, Seen::Message(..))));
}

#[test]
fn a_close_that_is_never_answered_ends_in_time_although_the_peer_goes_on_sending() {
    let mut driver = Driver::new(deadlines(|it| it.close = Some(Duration::from_millis(200))));
    let (mut peer, id) = driver.open();
    driver.shard.close(id, Some((1000, "")), Instant::now()).expect("open");
    let began = Instant::now();
    while !driver.seen.iter().any(|seen| closed(seen).is_some()) {
        if began.elapsed() < Duration::from_millis(150) {
            peer.write(&frame(TEXT, b"still here"));
        }
        driver.turn();
        assert!(began.elapsed() < Duration::from_secs(5));
    }
    assert!(began.elapsed() >= Duration::from_millis(190));
    let timeout = format!("{:?}", Cause::Timeout(Timeout::Close));
    assert_eq!(driver.until("the end", closed).2, Some(timeout));
}

#[test]
fn a_handshake_that_drips_is_given_up_in_time() {
    let mut driver = Driver::new(deadlines(|it| it.open = Some(Duration::from_millis(200))));
    let mut peer = driver.connect();
    peer.write(b"GET / HTTP/1.1\r\n");
    let began = Instant::now();
    let answer = peer.read_to_end(&mut driver);
    assert!(answer.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answer));
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn dead_peers_are_found_and_live_ones_are_not_bothered() {
    let mut driver = Driver::new(deadlines(|it| {
        it.ping_interval = Some(Duration::from_millis(100));
        it.ping_timeout = Some(Duration::from_millis(200));
    }));
    let (mut dead, _) = driver.open();
    let (mut alive, living) = driver.open();
    let began = Instant::now();
    while !driver.seen.iter().any(|seen| closed(seen).is_some()) {
        alive.read();
        while let Some(at) = alive.input.windows(2).position(|window| window == [0x89, 4]) {
            if alive.input.len() < at + 6 {
                break;
            }
            let payload = alive.input[at + 2..at + 6].to_vec();
            alive.input.drain(..at + 6);
            alive.write(&frame(0x8a, &payload));
        }
        driver.turn();
        assert!(began.elapsed() < Duration::from_secs(5));
    }
    let (_, sent, cause) = driver.until("the end", closed);
    assert_eq!(sent, Some(1011));
    assert_eq!(cause, Some(format!("{:?}", Cause::Timeout(Timeout::Pong))));
    assert!(dead.read_to_end(&mut driver).ends_with(b"keepalive ping timeout"));
    assert!(driver.shard.is_open(living));
    assert!(driver.shard.latency(living).is_some());
    assert_eq!(driver.shard.metrics().dead, 1);
}

#[test]
fn a_late_turn_blames_nobody() {
    let mut driver = Driver::new(deadlines(|it| {
        it.ping_interval = Some(Duration::from_millis(50));
        it.ping_timeout = Some(Duration::from_millis(50));
    }));
    let (_peer, id) = driver.open();
    driver.turn_for(Duration::from_millis(70));
    std::thread::sleep(Duration::from_millis(300));
    driver.shard.expire(Instant::now, Duration::from_millis(300), Instant::now() + Duration::from_millis(1));
    assert!(driver.shard.is_open(id), "nobody was listening when the pong could have come");
    driver.until("the end", closed);
}

#[test]
fn an_idle_connection_ends_with_1001() {
    let mut driver = Driver::new(deadlines(|it| it.idle = Some(Duration::from_millis(100))));
    let (mut peer, _) = driver.open();
    assert!(peer.read_to_end(&mut driver).ends_with(b"idle"));
    assert_eq!(driver.until("the end", closed).1, Some(1001));
}

#[test]
fn a_broadcast_is_encoded_once_and_passes_the_slow_by() {
    let mut driver = Driver::new(limits(Limits { output: 200_000, ..Limits::default() }));
    let mut peers: Vec<_> = (0..3).map(|_| driver.open()).collect();
    let slow = peers[1].1;
    fill(&mut driver, slow);
    let mut all = Frame::new(Kind::Text, b"to everybody");
    let mut report = Report::default();
    for (_, id) in &peers {
        driver.shard.send_frame(*id, &mut all, &mut report, Instant::now());
    }
    assert_eq!((report.sent, report.slow, report.closed), (2, 1, 0));
    for index in [0, 2] {
        assert_eq!(peers[index].0.read_until(&mut driver, b"everybody"), b"\x81\x0cto everybody");
    }
    assert!(driver.shard.is_open(slow));
}

#[test]
fn a_slow_connection_is_closed_with_1013_if_that_is_the_policy() {
    let limits = Limits { output: 200_000, ..Limits::default() };
    let mut driver = Driver::new(Settings { limits, overflow: Overflow::Close, ..settings() });
    let (mut peer, id) = driver.open();
    fill(&mut driver, id);
    let mut report = Report::default();
    driver.shard.send_frame(id, &mut Frame::new(Kind::Text, b"too late"), &mut report, Instant::now());
    assert_eq!(report.slow, 1);
    let all = peer.read_to_end(&mut driver);
    assert!(all.ends_with(b"too slow: try again later"), "{:?}", &all[all.len() - 40..]);
    assert!(!all.windows(8).any(|window| window == b"too late"));
}

#[test]
fn pages_of_other_origins_are_refused_with_a_text_that_names_them() {
    let mut driver = Driver::new(Settings { origins: Origins::Same, loopback: false, ..settings() });
    let mut peer = driver.connect();
    let request = String::from_utf8_lossy(REQUEST).replace("Host", "Origin: https://evil.example\r\nHost");
    peer.write(request.as_bytes());
    let answer = String::from_utf8_lossy(&peer.read_to_end(&mut driver)).into_owned();
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("https://evil.example"), "{answer}");
    let failure = driver.until("the refusal", |seen| match seen {
        Seen::Failed(failure) => Some(matches!(failure.cause, Cause::Refused(403, _))),
        _ => None,
    });
    assert!(failure);
}

#[test]
fn everything_is_given_back_at_the_end() {
    let before = memory::held();
    let mut driver = Driver::new(settings());
    let mut peers: Vec<_> = (0..20).map(|_| driver.open()).collect();
    for (peer, id) in &mut peers {
        peer.write(&frame(BINARY, &[1; 40_000])[..20_000]);
        driver.shard.send(*id, Kind::Binary, &[0; 4 << 20]).expect("below the limit");
    }
    driver.turn_for(Duration::from_millis(50));
    assert!(memory::held() > before + 20 * 20_000);
    drop(peers);
    for _ in 0..20 {
        driver.until("an end", closed);
    }
    assert_eq!(driver.shard.connections(), 0);
    // Other tests of this process hold memory too; what these twenty held is gone.
    assert!(memory::held() < before + 20 * 20_000);
}

#[test]
fn a_busy_listener_does_not_lock_out_another_one() {
    let mut driver = Driver::new(settings());
    let other = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = other.local_addr().expect("bound");
    let quiet = Socket::adopt(other.into()).expect("a socket");
    let quiet = driver.shard.listen(quiet, Arc::new(settings())).expect("listening");
    let _crowd: Vec<_> = (0..100).map(|_| driver.connect()).collect();
    let _one = TcpStream::connect(address).expect("it listens");
    driver.shard.wait().expect("the poller works");
    let now = Instant::now();
    let looks = Cell::new(0);
    let clock = || {
        looks.set(looks.get() + 1);
        now + Duration::from_millis(looks.get())
    };
    let batch = driver.shard.collect(clock, now + Duration::from_millis(6), &|_| 0);
    driver.shard.recycle(batch);
    assert!(driver.shard.connections() < 10, "the crowd is not served first");
    assert_eq!(driver.shard.opening(quiet).len(), 1);
}
