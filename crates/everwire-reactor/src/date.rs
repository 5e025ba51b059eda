//! The `Date` of our answers: by the wall clock, and formatted once a second however many are given.

use std::time::{SystemTime, UNIX_EPOCH};

use everwire_wire::handshake::imf_fixdate;

/// The newest date, kept for the rest of its second.
#[derive(Default)]
pub(crate) struct Date {
    second: Option<u64>,
    text: String,
}

impl Date {
    /// The date of an answer that is given now.
    pub fn now(&mut self) -> &str {
        self.at(SystemTime::now())
    }

    fn at(&mut self, time: SystemTime) -> &str {
        // A clock that was never set may be before 1970.
        let second = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if self.second != Some(second) {
            self.second = Some(second);
            self.text = imf_fixdate(second);
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_date_is_that_of_its_second_also_when_the_clock_is_set_back() {
        let mut date = Date::default();
        for (millis, text) in [
            (1_999, "Thu, 01 Jan 1970 00:00:01 GMT"),
            (2_000, "Thu, 01 Jan 1970 00:00:02 GMT"),
            (2_999, "Thu, 01 Jan 1970 00:00:02 GMT"),
            (1_000, "Thu, 01 Jan 1970 00:00:01 GMT"),
        ] {
            assert_eq!(date.at(UNIX_EPOCH + Duration::from_millis(millis)), text);
        }
        assert_eq!(date.at(UNIX_EPOCH - Duration::from_secs(1)), "Thu, 01 Jan 1970 00:00:00 GMT");
    }

    #[test]
    fn it_is_formatted_once_a_second() {
        let mut date = Date::default();
        let text = date.at(UNIX_EPOCH).as_ptr();
        assert_eq!(date.at(UNIX_EPOCH + Duration::from_millis(999)).as_ptr(), text);
    }
}
