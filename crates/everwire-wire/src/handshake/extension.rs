//! The grammar of `Sec-WebSocket-Extensions` (RFC 6455 §9.1).

use super::field;
use crate::limits;

/// One extension of a list, with its parameters in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Its token, as it was sent.
    pub name: String,
    /// Names and values; quotes are removed.
    pub params: Vec<(String, Option<String>)>,
}

impl Extension {
    /// Reads the value of one field and appends its extensions to `list`. Empty elements are
    /// skipped (RFC 9110 §5.6.1.2).
    ///
    /// # Errors
    /// What is wrong: not the grammar, or more than [`limits::LIST`] elements in all of `list`,
    /// which then holds what came before.
    pub fn parse_list(value: &[u8], list: &mut Vec<Self>) -> Result<(), &'static str> {
        let mut text = Text { rest: field::trim(value) };
        let mut room = limits::LIST;
        for extension in list.iter() {
            room = room.saturating_sub(1 + extension.params.len());
        }
        loop {
            while text.take(b',') {}
            if text.rest.is_empty() {
                return Ok(());
            }
            room = room.checked_sub(1).ok_or(TOO_MANY)?;
            let mut extension = Self { name: text.token()?, params: Vec::new() };
            while text.take(b';') {
                room = room.checked_sub(1).ok_or(TOO_MANY)?;
                extension.params.push(text.param()?);
            }
            list.push(extension);
            if !text.rest.is_empty() && !text.take(b',') {
                return Err("an extension is followed by neither \";\" nor \",\"");
            }
        }
    }

    /// The parameters as [`deflate`](crate::deflate) takes them.
    pub fn params(&self) -> Vec<(&str, Option<&str>)> {
        self.params.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect()
    }
}

const TOO_MANY: &str = "too many extensions or parameters";

/// What is left of a value to be read.
struct Text<'a> {
    rest: &'a [u8],
}

impl Text<'_> {
    /// Takes a delimiter and the white space around it, if it comes next.
    fn take(&mut self, delimiter: u8) -> bool {
        match field::trim_start(self.rest) {
            [first, rest @ ..] if *first == delimiter => {
                self.rest = field::trim_start(rest);
                true
            }
            _ => false,
        }
    }

    fn token(&mut self) -> Result<String, &'static str> {
        let (token, rest) = field::split_token(self.rest);
        if token.is_empty() {
            return Err("a name or value is no token");
        }
        self.rest = rest;
        Ok(String::from_utf8_lossy(token).into_owned())
    }

    fn param(&mut self) -> Result<(String, Option<String>), &'static str> {
        let name = self.token()?;
        if !self.take(b'=') {
            return Ok((name, None));
        }
        let value = if self.rest.first() == Some(&b'"') { self.quoted()? } else { self.token()? };
        Ok((name, Some(value)))
    }

    /// A quoted string, whose content has to be a token once it is unquoted.
    fn quoted(&mut self) -> Result<String, &'static str> {
        let (content, rest) = field::split_quoted(self.rest).ok_or("a quoted string has no end")?;
        self.rest = rest;
        String::from_utf8(content)
            .ok()
            .filter(|content| field::is_token(content.as_bytes()))
            .ok_or("a quoted value is no token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> Result<Vec<Extension>, &'static str> {
        let mut list = Vec::new();
        Extension::parse_list(value.as_bytes(), &mut list).map(|()| list)
    }

    fn extension(name: &str, params: &[(&str, Option<&str>)]) -> Extension {
        let params = params.iter().map(|(name, value)| (name.to_string(), value.map(str::to_owned)));
        Extension { name: name.to_owned(), params: params.collect() }
    }

    #[test]
    fn lists_are_read() {
        assert_eq!(parse("a"), Ok(vec![extension("a", &[])]));
        assert_eq!(parse(""), Ok(vec![]));
        assert_eq!(parse(" , a,,b ,"), Ok(vec![extension("a", &[]), extension("b", &[])]));
        assert_eq!(
            parse("a; b; c=1 ;d = \"2\", a;e=\"\\3\""),
            Ok(vec![
                extension("a", &[("b", None), ("c", Some("1")), ("d", Some("2"))]),
                extension("a", &[("e", Some("3"))]),
            ])
        );
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for value in [
            "a b",
            "a;",
            "a;;b",
            ";",
            "a;=1",
            "a;b=",
            "a;b=\"",
            "a;b=\"c",
            "a;b=\"c\\",
            "a;b=\"\"",
            "a;b=\"c d\"",
            "a;b=\"c,d\"",
            "a=1",
            "\"a\"",
            "a;\"b\"",
            "a;b=c=d",
            "a;b=\"c\"d",
            "\u{e9}",
            "a;b=\u{e9}",
            "a/b",
            "(a)",
        ] {
            assert!(parse(value).is_err(), "{value:?}");
        }
    }

    #[test]
    fn a_list_is_bounded() {
        assert!(parse(&vec!["a"; limits::LIST].join(",")).is_ok());
        assert!(parse(&vec!["a"; limits::LIST + 1].join(",")).is_err());
        assert!(parse(&vec!["a"; limits::LIST + 1].join(";")).is_err());
    }
}
