//! The account of memory: what is charged, for how long, and who is closed when it runs full.

mod driver;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use driver::{BINARY, Driver, Peer, Seen, frame, settings};
use everwire_reactor::limits::Limits;
use everwire_reactor::memory::{self, Charge};
use everwire_reactor::{Cause, Frame, Id, Report, Settings};
use everwire_wire::Kind;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// Longer than nobody is read before those who share a burden are asked to leave.
const PATIENCE: Duration = Duration::from_millis(1300);

/// The account is the process's: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn capped(memory: usize) -> Driver {
    let limits = Limits { memory: memory as u64, output: 64 * MIB as u64, ..Limits::default() };
    Driver::new(Settings { limits, ..settings() })
}

fn broadcast(driver: &mut Driver, receivers: &[(Peer, Id)], size: usize) -> Report {
    let (mut frame, mut report) = (Frame::new(Kind::Binary, &vec![7; size]), Report::default());
    for (_, id) in receivers {
        driver.shard.send_frame(*id, &mut frame, &mut report, Instant::now());
    }
    report
}

fn ended(driver: &Driver) -> usize {
    driver.seen.iter().filter(|seen| matches!(seen, Seen::Closed(..)) || is_closing(seen)).count()
}

fn is_closing(seen: &Seen) -> bool {
    matches!(seen, Seen::Other(text) if text.starts_with("Closing"))
}

#[test]
fn a_charge_is_released_on_drop_and_a_forked_child_starts_at_zero() {
    let _alone = alone();
    let before = memory::held();
    let mut charge = Charge::new(1000);
    charge.set(500);
    assert_eq!(memory::held() - before, 500);
    drop(charge);
    assert_eq!(memory::held(), before);

    let mut parents = [Charge::new(1000), Charge::new(2000)];
    memory::forked();
    assert_eq!(memory::held(), 0);
    let childs = Charge::new(10);
    parents[0].set(700);
    assert_eq!(memory::held(), 710);
    drop(parents);
    assert_eq!(memory::held(), 10);
    drop(childs);
    assert_eq!(memory::held(), 0);
}

#[test]
fn a_broadcast_is_charged_once_for_all_who_have_still_to_take_it() {
    let _alone = alone();
    let mut driver = capped(1024 * MIB);
    let peers: Vec<_> = (0..40).map(|_| driver.open()).collect();
    let before = memory::held();
    assert_eq!(broadcast(&mut driver, &peers, 16 * MIB).sent, 40);
    driver.turn_for(Duration::from_millis(20));
    assert!(peers.iter().all(|(_, id)| driver.shard.output_len(*id) > MIB));
    let held = memory::held() - before;
    assert!((16 * MIB..17 * MIB).contains(&held), "{held}");
    drop(peers);
    driver.turn_for(Duration::from_millis(50));
    assert!(memory::held() <= before, "{} {before}", memory::held());
}

#[test]
fn who_shares_a_message_is_not_closed_while_others_hold_more_alone() {
    let _alone = alone();
    let mut driver = capped(48 * MIB);
    let peers: Vec<_> = (0..40).map(|_| driver.open()).collect();
    let (_deaf, whale) = driver.open();
    broadcast(&mut driver, &peers, 20 * MIB);
    driver.turn_for(Duration::from_millis(20));
    for _ in 0..5 {
        driver.shard.send(whale, Kind::Binary, &vec![0; 8 * MIB]).expect("below its limit");
    }
    driver.turn_for(Duration::from_millis(200));
    let cause = driver.until("the end of the whale", |seen| match seen {
        Seen::Closed(id, ending) if *id == whale => Some(format!("{:?}", ending.cause)),
        _ => None,
    });
    assert!(cause.contains("short of memory"), "{cause}");
    assert!(memory::held() < 24 * MIB, "{}", memory::held());
    driver.turn_for(PATIENCE);
    assert!(peers.iter().all(|(_, id)| driver.shard.is_open(*id)));
}

#[test]
fn when_nothing_else_helps_those_who_share_what_they_do_not_take_are_closed() {
    let _alone = alone();
    let mut driver = capped(16 * MIB);
    let peers: Vec<_> = (0..10).map(|_| driver.open()).collect();
    broadcast(&mut driver, &peers, 20 * MIB);
    driver.turn_for(Duration::from_millis(500));
    assert_eq!(ended(&driver), 0);
    driver.turn_for(PATIENCE);
    assert!(memory::held() < 8 * MIB, "{}", memory::held());
    assert!(peers.iter().all(|(_, id)| !driver.shard.is_open(*id)));
}

#[test]
fn messages_that_the_application_leaves_count_and_go_with_their_connection() {
    let _alone = alone();
    let mut driver = capped(8 * MIB);
    let (mut large, small) = (driver.open(), driver.open());
    for (id, size) in [(large.1, 8 * MIB), (small.1, 512 * KIB)] {
        driver.waiting.insert(id.to_bits(), Charge::new(size));
    }
    let end = large.0.read_until(&mut driver, b"too slow: try again later");
    assert_eq!(end[..4], [0x88, 27, 0x03, 0xF5]);
    assert!(driver.shard.is_open(small.1));
    assert_eq!(driver.waiting.len(), 1);
    assert!(memory::held() < MIB);
}

#[test]
fn nobody_who_holds_little_is_blamed_for_what_cannot_be_freed() {
    let _alone = alone();
    let mut driver = capped(10 * MIB);
    let mut peers: Vec<_> = (0..20).map(|_| driver.open()).collect();
    for (peer, _) in &mut peers {
        peer.write(&frame(BINARY, &[0; 20 * KIB])[..10 * KIB]);
    }
    driver.turn_for(Duration::from_millis(20));
    // Somebody else in this process.
    let elsewhere = Charge::new(12 * MIB);
    driver.turn_for(PATIENCE);
    assert_eq!(ended(&driver), 0);
    assert!(peers.iter().all(|(_, id)| driver.shard.is_open(*id)));
    drop(elsewhere);
}

#[test]
fn one_who_does_not_take_a_large_frame_is_not_kept_for_its_rest() {
    let _alone = alone();
    let mut driver = capped(16 * MIB);
    let (mut deaf, id) = driver.open();
    driver.shard.send(id, Kind::Binary, &vec![0; 40 * MIB]).expect("below its limit");
    driver.turn_for(Duration::from_millis(20));
    let cause = driver.until("the end", |seen| match seen {
        Seen::Closed(_, ending) => Some(matches!(ending.cause, Some(Cause::Limit(_)))),
        _ => None,
    });
    assert!(cause);
    assert!(memory::held() < MIB);
    deaf.read_to_end(&mut driver);
}

#[test]
fn a_reader_that_keeps_pace_behind_a_backlog_may_get_any_number_of_small_messages() {
    let _alone = alone();
    let mut driver = Driver::new(settings());
    let (mut peer, id) = driver.open();
    driver.shard.send(id, Kind::Binary, &vec![0; 10 * MIB]).expect("below the limit");
    for count in 0..300_000 {
        while driver.shard.output_len(id) > 5 * MIB {
            peer.read_some(64 * KIB);
            driver.turn();
        }
        let sent = driver.shard.send(id, Kind::Binary, &[1; 200]);
        assert_eq!(sent, Ok(()), "after {count} messages, {} bytes wait", driver.shard.output_len(id));
    }
    assert!(driver.shard.output_len(id) > MIB);
}
