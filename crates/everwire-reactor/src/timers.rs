//! A hierarchical timer wheel: thousands of deadlines, constant cost each, no clock of its own.
//!
//! A tick is 8 ms; each of the levels has 64 places, and a place of one level spans the whole level below it. An entry sits in the lowest level whose span reaches its deadline and sinks as time passes.
//! Entries are never removed: their owner remembers which deadline it waits for and ignores an entry that comes too early
//! (it arms a new one) or for a deadline it no longer has. A deadline that moves later therefore costs nothing at all.

use crate::moment::Moment;
use crate::slots::Id;

/// Milliseconds.
const TICK: u64 = 8;
const PLACES: usize = 64;
const LEVELS: usize = 5;

/// Deadlines of connections, in order of time as far as anyone asks.
pub struct Wheel {
    /// The tick up to which everything was handed out.
    now: u64,
    levels: [Level; LEVELS],
}

#[derive(Default)]
struct Level {
    occupied: u64,
    places: Vec<Vec<Entry>>,
}

#[derive(Clone, Copy)]
struct Entry {
    tick: u64,
    id: Id,
}

impl Default for Wheel {
    fn default() -> Self {
        let level = || Level { occupied: 0, places: (0..PLACES).map(|_| Vec::new()).collect() };
        Wheel { now: 0, levels: std::array::from_fn(|_| level()) }
    }
}

impl Wheel {
    /// A time not after the earliest deadline, and close to it when it is near: when to call [`Wheel::advance`] next.
    pub fn next(&self) -> Option<Moment> {
        self.next_tick().map(|tick| Moment::from_millis(tick * TICK))
    }

    fn next_tick(&self) -> Option<u64> {
        let mut earliest: Option<u64> = None;
        for (number, level) in self.levels.iter().enumerate() {
            if level.occupied == 0 {
                continue;
            }
            let shift = number as u32 * PLACES.ilog2();
            let position = self.now >> shift;
            let ahead = level.occupied.rotate_right((position % PLACES as u64) as u32).trailing_zeros();
            let at = if ahead == 0 && number > 0 {
                // The place that time stands in was emptied when time entered it: what is there belongs to the next round.
                let rest = level.occupied.rotate_right((position % PLACES as u64) as u32) & !1;
                let steps = if rest == 0 { PLACES as u32 } else { rest.trailing_zeros() };
                (position + u64::from(steps)) << shift
            } else {
                (position + u64::from(ahead)) << shift
            };
            earliest = Some(earliest.map_or(at, |e| e.min(at)));
        }
        earliest
    }

    /// Asks for `id` to come out of [`Wheel::advance`] at `at` or up to a tick later, never earlier.
    pub fn arm(&mut self, id: Id, at: Moment) {
        let tick = at.ceil_millis().div_ceil(TICK).max(self.now + 1);
        self.place(Entry { tick, id });
    }

    /// Moves time on and appends every id whose deadline has come to `due`.
    pub fn advance(&mut self, now: Moment, due: &mut Vec<Id>) {
        let target = now.millis() / TICK;
        while self.now < target {
            let next = match self.next_tick() {
                Some(next) => next.max(self.now + 1),
                None => target,
            };
            if next > target {
                self.now = target;
                return;
            }
            self.now = next;
            self.sink();
            let place = (self.now % PLACES as u64) as usize;
            let level = &mut self.levels[0];
            if level.occupied & 1 << place != 0 {
                level.occupied &= !(1 << place);
                due.extend(level.places[place].drain(..).map(|entry| entry.id));
            }
        }
    }

    /// Redistributes the places of the higher levels that time has just entered.
    fn sink(&mut self) {
        for number in (1..LEVELS).rev() {
            let shift = number as u32 * PLACES.ilog2();
            if self.now.trailing_zeros() < shift {
                continue;
            }
            let place = ((self.now >> shift) % PLACES as u64) as usize;
            if self.levels[number].occupied & 1 << place == 0 {
                continue;
            }
            self.levels[number].occupied &= !(1 << place);
            for entry in std::mem::take(&mut self.levels[number].places[place]) {
                self.place(entry);
            }
        }
    }

    fn place(&mut self, entry: Entry) {
        let distance = entry.tick.saturating_sub(self.now);
        let mut number = 0;
        while number + 1 < LEVELS && distance >> ((number as u32 + 1) * PLACES.ilog2()) != 0 {
            number += 1;
        }
        let shift = number as u32 * PLACES.ilog2();
        // A deadline beyond the whole wheel waits in its farthest place and is placed anew from there.
        let farthest = (self.now >> shift) + PLACES as u64 - 1;
        let place = ((entry.tick >> shift).min(farthest) % PLACES as u64) as usize;
        let level = &mut self.levels[number];
        level.occupied |= 1 << place;
        level.places[place].push(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::Slots;

    fn ms(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    fn ids(count: usize) -> Vec<Id> {
        let mut slots = Slots::default();
        (0..count).map(|n| slots.insert(n)).collect()
    }

    #[test]
    fn a_deadline_comes_out_on_time_and_never_early() {
        let id = ids(1)[0];
        for at in [1, 7, 8, 9, 500, 511, 512, 513, 4_095, 30_000, 32_768, 2_097_152, 99_999_999] {
            for start in [0, 5, 8, 500, 511, 512, 32_767, 40_000, 2_097_151] {
                let mut wheel = Wheel::default();
                let mut due = Vec::new();
                wheel.advance(ms(start), &mut due);
                wheel.arm(id, ms(start + at));
                let mut now = start;
                let mut rounds = 0;
                while due.is_empty() {
                    now = wheel.next().expect("something is armed").millis().max(now);
                    wheel.advance(ms(now), &mut due);
                    rounds += 1;
                    assert!(rounds < 300, "at {at} from {start}: no progress at {now}");
                }
                assert!(now >= start + at && now <= start + at + 2 * TICK, "{at} from {start} came at {now}");
                assert_eq!(wheel.next(), None);
            }
        }
    }

    #[test]
    fn a_jump_over_many_deadlines_hands_out_all_of_them() {
        let all = ids(1000);
        let mut wheel = Wheel::default();
        for (n, id) in all.iter().enumerate() {
            wheel.arm(*id, ms((n as u64 * 7919) % 600_000 + 1));
        }
        let mut due = Vec::new();
        wheel.advance(ms(700_000), &mut due);
        assert_eq!(due.len(), 1000);
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn any_sequence_matches_a_sorted_list() {
        let all = ids(64);
        let mut seed = 88_172_645_463_325_252_u64;
        let mut random = move |bound: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % bound
        };
        let mut wheel = Wheel::default();
        let mut expected: Vec<(u64, Id)> = Vec::new();
        let mut now = 0;
        for round in 0..20_000 {
            let id = all[round % all.len()];
            let at = now + 1 + random(if round % 50 == 0 { 5_000_000 } else { 40_000 });
            wheel.arm(id, ms(at));
            expected.push((at, id));
            now += random(300);
            let mut due = Vec::new();
            wheel.advance(ms(now), &mut due);
            let (came, waiting): (Vec<_>, Vec<_>) =
                expected.into_iter().partition(|(at, _)| at.div_ceil(TICK) <= now / TICK);
            expected = waiting;
            assert_eq!(due.len(), came.len(), "round {round} at {now}");
            let next = wheel.next();
            match expected.iter().map(|(at, _)| at.div_ceil(TICK) * TICK).min() {
                Some(earliest) => assert!(next.is_some_and(|next| next.millis() <= earliest), "round {round}"),
                None => assert_eq!(next, None),
            }
        }
    }
}
