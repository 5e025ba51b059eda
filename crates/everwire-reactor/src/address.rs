//! Who a client is, by address: trusted networks, and a bounded table of what each address holds and asks for.

use std::collections::HashMap;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use crate::limits::Limits;
use crate::moment::Moment;

/// A block of addresses, such as `10.0.0.0/8`; a lone address is a block of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: u128,
    mask: u128,
    is_v4: bool,
}

impl Network {
    /// Whether the block contains `address`; IPv4 addresses inside IPv6 count as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (bits, is_v4) = bits(address);
        is_v4 == self.is_v4 && bits & self.mask == self.base
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not an IP address or network such as 10.0.0.0/8 or ::1");
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u32>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let (bits, is_v4) = bits(address.parse().map_err(|_| wrong())?);
        let width = if is_v4 { 32 } else { 128 };
        let length = length.unwrap_or(width);
        if length > width {
            return Err(wrong());
        }
        let ones = if length == 0 { 0 } else { u128::MAX << (width - length) };
        let mask = if is_v4 { ones & u128::from(u32::MAX) } else { ones };
        if bits & mask != bits {
            return Err(format!("{text:?} has bits set beyond its prefix length"));
        }
        Ok(Network { base: bits, mask, is_v4 })
    }
}

/// How often the table is searched for addresses to forget.
const SWEEP: Duration = Duration::from_secs(1);
/// How long an address that holds nothing is remembered: by then it has earned its whole burst again.
const QUIET: Duration = Duration::from_secs(2);

/// Why an address is not let in right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// It holds `connections_per_address` already.
    Connections,
    /// It asked for more than `handshakes_per_second` for some time.
    Handshakes,
}

/// What each client address holds and asks for; an IPv6 client is its /64.
#[derive(Default)]
pub struct Addresses {
    entries: HashMap<Key, Entry>,
    swept: Moment,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key(u64, bool);

struct Entry {
    connections: u64,
    /// Handshakes that may come at once, in thousandths.
    credit: u64,
    seen: Moment,
}

impl Addresses {
    /// Counts one more handshake and connection of `address`, or says what it has too many of. A table that is full of
    /// addresses in use counts no new ones (`false`): the limits that know no address still hold.
    pub fn admit(&mut self, address: IpAddr, limits: &Limits, now: Moment) -> Result<bool, Excess> {
        let burst = limits.handshakes_per_second.saturating_mul(2_000);
        if self.entries.len() as u64 >= limits.addresses && !self.entries.contains_key(&key(address)) {
            self.sweep(now);
            if self.entries.len() as u64 >= limits.addresses {
                return Ok(false);
            }
        }
        let entry = self.entries.entry(key(address)).or_insert(Entry { connections: 0, credit: burst, seen: now });
        let earned = (now.since(entry.seen).as_millis() as u64).saturating_mul(limits.handshakes_per_second);
        entry.credit = entry.credit.saturating_add(earned).min(burst);
        entry.seen = now;
        if entry.credit < 1000 {
            return Err(Excess::Handshakes);
        }
        entry.credit -= 1000;
        if entry.connections >= limits.connections_per_address {
            return Err(Excess::Connections);
        }
        entry.connections += 1;
        Ok(true)
    }

    /// Counts one connection of `address`, which was counted, less.
    pub fn release(&mut self, address: IpAddr) {
        if let Some(entry) = self.entries.get_mut(&key(address)) {
            entry.connections = entry.connections.saturating_sub(1);
        }
    }

    /// Forgets addresses that hold nothing and have been quiet; at most once a second, because it looks at all of them.
    fn sweep(&mut self, now: Moment) {
        if self.swept.is_set() && now.since(self.swept) < SWEEP {
            return;
        }
        self.swept = now;
        self.entries.retain(|_, entry| entry.connections > 0 || now.since(entry.seen) < QUIET);
    }
}

fn key(address: IpAddr) -> Key {
    let (bits, is_v4) = bits(address);
    if is_v4 { Key(bits as u64, true) } else { Key((bits >> 64) as u64, false) }
}

fn bits(address: IpAddr) -> (u128, bool) {
    match address.to_canonical() {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), true),
        IpAddr::V6(v6) => (v6.to_bits(), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("a literal address")
    }

    #[test]
    fn networks_contain_what_their_prefix_says() {
        let ten: Network = "10.0.0.0/8".parse().expect("valid");
        assert!(ten.contains(ip("10.255.0.1")) && ten.contains(ip("::ffff:10.0.0.1")));
        assert!(!ten.contains(ip("11.0.0.1")) && !ten.contains(ip("::a00:1")));
        let all: Network = "::/0".parse().expect("valid");
        assert!(all.contains(ip("2001:db8::1")) && !all.contains(ip("1.2.3.4")));
        let one: Network = "::1".parse().expect("valid");
        assert!(one.contains(ip("::1")) && !one.contains(ip("::2")));
        for wrong in ["", "10.0.0.0/33", "10.0.0.1/8", "::/129", "localhost", "10.0.0.0/-1", "10.0.0.0/"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_address_is_held_to_its_connections_and_gets_them_back() {
        let limits = Limits { connections_per_address: 2, ..Limits::default() };
        let mut addresses = Addresses::default();
        let neighbors = [ip("2001:db8::1"), ip("2001:db8::2"), ip("2001:db8::3")];
        assert_eq!(addresses.admit(neighbors[0], &limits, at(0)), Ok(true));
        assert_eq!(addresses.admit(neighbors[1], &limits, at(0)), Ok(true));
        assert_eq!(addresses.admit(neighbors[2], &limits, at(0)), Err(Excess::Connections));
        assert_eq!(addresses.admit(ip("2001:db8:0:1::1"), &limits, at(0)), Ok(true));
        addresses.release(neighbors[0]);
        assert_eq!(addresses.admit(neighbors[2], &limits, at(0)), Ok(true));
    }

    #[test]
    fn handshakes_come_in_bursts_of_two_seconds_and_then_at_the_rate() {
        let limits = Limits { handshakes_per_second: 10, ..Limits::default() };
        let mut addresses = Addresses::default();
        let came = (0..100).filter(|_| addresses.admit(ip("192.0.2.1"), &limits, at(0)).is_ok()).count();
        assert_eq!(came, 20);
        assert_eq!(addresses.admit(ip("192.0.2.1"), &limits, at(99)), Err(Excess::Handshakes));
        let later = (0..100).filter(|_| addresses.admit(ip("192.0.2.1"), &limits, at(1000)).is_ok()).count();
        assert!((9..=10).contains(&later), "{later}");
    }

    #[test]
    fn the_table_forgets_the_idle_and_stays_within_its_bound() {
        let limits = Limits { addresses: 3, ..Limits::default() };
        let mut addresses = Addresses::default();
        for (n, text) in ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"].into_iter().enumerate() {
            assert_eq!(addresses.admit(ip(text), &limits, at(n as u64)), Ok(n < 3));
        }
        assert_eq!(addresses.entries.len(), 3);
        addresses.release(ip("192.0.2.1"));
        assert_eq!(addresses.admit(ip("192.0.2.5"), &limits, at(10_000)), Ok(true));
        assert_eq!(addresses.entries.len(), 3);
    }
}
