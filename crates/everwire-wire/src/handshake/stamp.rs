//! The fields that every answer of a server has: when it was given, and by what.

use super::field::{self, BadField};

/// When an answer is given, and by what. A field of that name that a program adds to its answer takes the place of ours.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    /// The value of `Date` (RFC 9110 §6.6.1), as [`imf_fixdate`](super::imf_fixdate) writes it.
    pub date: &'a str,
    /// The value of `Server` (RFC 9110 §10.2.4), if it is told.
    pub server: Option<&'a str>,
}

impl Stamp<'_> {
    pub(super) fn check(&self) -> Result<(), BadField> {
        self.fields().try_for_each(|(name, value)| field::check(name, value))
    }

    /// Appends what is not among the fields `given`. What cannot stand on a line is left out rather than let it break out.
    pub(super) fn write(&self, given: &[(String, String)], out: &mut Vec<u8>) {
        for (name, value) in self.fields() {
            let is_given = given.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
            if !is_given && field::check(name, value).is_ok() {
                field::write(name, value, out);
            }
        }
    }

    fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [("Date", Some(self.date)), ("Server", self.server)]
            .into_iter()
            .filter_map(|(name, value)| value.map(|value| (name, value)))
    }
}
