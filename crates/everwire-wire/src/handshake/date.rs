//! The date of an answer, as HTTP writes it (RFC 9110 §5.6.7).

/// The moment that many seconds after the beginning of 1970 (UTC, without leap seconds), such as
/// `Sun, 06 Nov 1994 08:49:37 GMT`. What lies beyond 9999, for which the form has no room, is the
/// last second of that year.
pub fn imf_fixdate(seconds: u64) -> String {
    let seconds = seconds.min(LAST);
    let (days, time) = (seconds / DAY, seconds % DAY);
    let (year, month, day) = civil(days);
    let weekday = name(&WEEKDAYS, days % 7);
    let month = name(&MONTHS, month);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// Year, month (from 0) and day (from 1) of a day counted from the beginning of 1970.
///
/// Years are taken to begin with March: the leap day is then the last of its year, and the months before
/// it follow one rhythm of 153 days in five.
fn civil(days: u64) -> (u64, u64, u64) {
    let since_march_0 = days + FROM_MARCH_0;
    let (era, day_of_era) = (since_march_0 / ERA, since_march_0 % ERA);
    // Without the leap days that came before it in its 400 years.
    let leapless = day_of_era - day_of_era / (4 * YEAR) + day_of_era / CENTURY - day_of_era / (ERA - 1);
    let year_of_era = leapless / YEAR;
    let day_of_year = day_of_era - (YEAR * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let is_next_year = month_from_march >= 10;
    (era * 400 + year_of_era + u64::from(is_next_year), (month_from_march + 2) % 12, day)
}

fn name(names: &[&'static str], index: u64) -> &'static str {
    names.get(index as usize).copied().unwrap_or_default()
}

const DAY: u64 = 24 * 60 * 60;
const YEAR: u64 = 365;
/// Days of a century that ends with a February of 28 days, as three of four do.
const CENTURY: u64 = 36_524;
/// Days of 400 years, after which the calendar repeats.
const ERA: u64 = 146_097;
/// Days from the 1st of March of the year 0 to the beginning of 1970.
const FROM_MARCH_0: u64 = 719_468;
/// The last second of the year 9999.
const LAST: u64 = 253_402_300_799;

/// The first day of 1970 was a Thursday.
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (978_307_199, "Sun, 31 Dec 2000 23:59:59 GMT"),
            (978_307_200, "Mon, 01 Jan 2001 00:00:00 GMT"),
            (1_709_208_000, "Thu, 29 Feb 2024 12:00:00 GMT"),
            (2_147_483_648, "Tue, 19 Jan 2038 03:14:08 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (13_574_563_200, "Tue, 29 Feb 2400 00:00:00 GMT"),
            (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (253_402_300_800, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(imf_fixdate(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn every_day_follows_the_one_before_it() {
        let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let (mut year, mut month, mut day) = (1970, 0, 1);
        for days in 0..=LAST / DAY {
            assert_eq!(civil(days), (year, month, day), "{days}");
            let length = match month {
                1 if is_leap(year) => 29,
                1 => 28,
                3 | 5 | 8 | 10 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (day, month) = (1, month + 1);
            }
            if month == 12 {
                (month, year) = (0, year + 1);
            }
        }
        assert_eq!((year, month, day), (10_000, 0, 1));
    }
}
