//! The `Date` of our answers: by the wall clock, and formatted once a second however many are given.

use std::time::Duration;

use everwire_wire::handshake::imf_fixdate;

/// Tells how long ago 1970 began (UTC). The wall clock, which may jump: nothing is measured by it.
pub type WallClock = fn() -> Duration;

/// The newest date, kept for the rest of its second.
pub(crate) struct Date {
    clock: WallClock,
    second: Option<u64>,
    text: String,
}

impl Date {
    pub fn new(clock: WallClock) -> Self {
        Date { clock, second: None, text: String::new() }
    }

    /// The date of an answer that is given now.
    pub fn now(&mut self) -> &str {
        self.at((self.clock)())
    }

    fn at(&mut self, since_1970: Duration) -> &str {
        let second = since_1970.as_secs();
        if self.second != Some(second) {
            self.second = Some(second);
            self.text = imf_fixdate(second);
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_that_of_its_second_also_when_the_clock_is_set_back() {
        let mut date = Date::new(|| Duration::from_secs(784_111_777));
        for (millis, text) in [
            (1_999, "Thu, 01 Jan 1970 00:00:01 GMT"),
            (2_000, "Thu, 01 Jan 1970 00:00:02 GMT"),
            (2_999, "Thu, 01 Jan 1970 00:00:02 GMT"),
            (1_000, "Thu, 01 Jan 1970 00:00:01 GMT"),
        ] {
            assert_eq!(date.at(Duration::from_millis(millis)), text);
        }
        assert_eq!(date.now(), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn it_is_formatted_once_a_second() {
        let mut date = Date::new(|| Duration::ZERO);
        let text = date.now().as_ptr();
        assert_eq!(date.at(Duration::from_millis(999)).as_ptr(), text);
    }
}
