//! The parameters of permessage-deflate in the opening handshake (RFC 7692 §7.1).

use super::{Agreed, Config, MAX_WINDOW_BITS, MIN_WINDOW_BITS, NAME};

/// Judge one offer of a client, given as the parameters that follow the extension's name, quotes
/// removed.
///
/// Returns what was agreed and the element for the response's `Sec-WebSocket-Extensions`. `None`
/// declines the offer, because it is malformed or asks for what cannot be honored (a window of
/// 8 bits for us): judge the client's next one, or go without compression.
pub fn accept(config: &Config, params: &[(&str, Option<&str>)]) -> Option<(Agreed, String)> {
    let offer = Params::parse(params).ok()?;
    let our_window_bits = config.server_window().min(offer.server_max_window_bits.bits());
    if our_window_bits < MIN_WINDOW_BITS {
        return None;
    }
    // Without the parameter in the offer the client may know only its full window (§7.1.2.2).
    let peer_window_bits = match offer.client_max_window_bits {
        Bits::Absent => MAX_WINDOW_BITS,
        offered => config.client_window().min(offered.bits()),
    };
    let agreed = Agreed {
        our_no_context_takeover: config.server_no_context_takeover || offer.server_no_context_takeover,
        peer_no_context_takeover: config.client_no_context_takeover || offer.client_no_context_takeover,
        our_window_bits,
        peer_window_bits,
        level: config.level,
        threshold: config.threshold,
    };
    let response = Params {
        server_no_context_takeover: agreed.our_no_context_takeover,
        client_no_context_takeover: agreed.peer_no_context_takeover,
        server_max_window_bits: Bits::limit(our_window_bits, Bits::Absent),
        client_max_window_bits: Bits::limit(peer_window_bits, Bits::Absent),
    };
    Some((agreed, response.element()))
}

/// The element for a client's `Sec-WebSocket-Extensions`.
pub fn offer(config: &Config) -> String {
    Params::offered(config).element()
}

/// Judge a server's response to [`offer`] with the same `config`, given as the parameters that
/// follow the extension's name, quotes removed.
///
/// A server that leaves out what it was asked for is taken: its window is then kept at its full
/// size. One that wants a window of 8 bits from us is honored by sending plain messages only.
///
/// # Errors
/// What is wrong with the response; the connection has to be failed (RFC 7692 §7.1).
pub fn check(config: &Config, params: &[(&str, Option<&str>)]) -> Result<Agreed, String> {
    let offered = Params::offered(config);
    let response = Params::parse(params)?;
    if response.client_max_window_bits == Bits::Unvalued {
        return Err(format!("{CLIENT_BITS} without a value"));
    }
    for (name, offered, answered) in [
        (SERVER_BITS, offered.server_max_window_bits, response.server_max_window_bits),
        (CLIENT_BITS, offered.client_max_window_bits, response.client_max_window_bits),
    ] {
        if answered != Bits::Absent && answered.bits() > offered.bits() {
            return Err(format!("{name} is greater than what was offered"));
        }
    }
    Ok(Agreed {
        our_no_context_takeover: config.client_no_context_takeover || response.client_no_context_takeover,
        peer_no_context_takeover: response.server_no_context_takeover,
        our_window_bits: config.client_window().min(response.client_max_window_bits.bits()),
        peer_window_bits: response.server_max_window_bits.bits(),
        level: config.level,
        threshold: config.threshold,
    })
}

/// The parameters of an offer or a response.
#[derive(Clone, Copy, Default)]
struct Params {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Bits,
    client_max_window_bits: Bits,
}

/// A parameter that limits a window.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Bits {
    #[default]
    Absent,
    /// Only `client_max_window_bits` of an offer may be so: the client knows the parameter.
    Unvalued,
    Value(u8),
}

const SERVER_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_BITS: &str = "server_max_window_bits";
const CLIENT_BITS: &str = "client_max_window_bits";

impl Params {
    fn offered(config: &Config) -> Self {
        Self {
            server_no_context_takeover: config.server_no_context_takeover,
            client_no_context_takeover: config.client_no_context_takeover,
            server_max_window_bits: Bits::limit(config.server_window(), Bits::Absent),
            client_max_window_bits: Bits::limit(config.client_window(), Bits::Unvalued),
        }
    }

    fn parse(params: &[(&str, Option<&str>)]) -> Result<Self, String> {
        let mut parsed = Self::default();
        for &(name, value) in params {
            let repeated = match name {
                SERVER_TAKEOVER => set_flag(&mut parsed.server_no_context_takeover, value),
                CLIENT_TAKEOVER => set_flag(&mut parsed.client_no_context_takeover, value),
                SERVER_BITS if value.is_none() => None,
                SERVER_BITS => parsed.server_max_window_bits.set(value),
                CLIENT_BITS => parsed.client_max_window_bits.set(value),
                _ => return Err(format!("unknown parameter {name}")),
            };
            match repeated {
                Some(false) => {}
                Some(true) => return Err(format!("{name} is given twice")),
                None => return Err(format!("{name} has an invalid value")),
            }
        }
        Ok(parsed)
    }

    /// The extension with these parameters, as an element of `Sec-WebSocket-Extensions`.
    fn element(&self) -> String {
        let mut element = NAME.to_owned();
        for (name, set) in
            [(SERVER_TAKEOVER, self.server_no_context_takeover), (CLIENT_TAKEOVER, self.client_no_context_takeover)]
        {
            if set {
                element.extend(["; ", name]);
            }
        }
        for (name, bits) in [(SERVER_BITS, self.server_max_window_bits), (CLIENT_BITS, self.client_max_window_bits)] {
            match bits {
                Bits::Absent => {}
                Bits::Unvalued => element.extend(["; ", name]),
                Bits::Value(bits) => element.extend(["; ", name, "=", &bits.to_string()]),
            }
        }
        element
    }
}

/// Set a parameter that has no value. Returns whether it was set before; `None` if the value is
/// invalid.
fn set_flag(flag: &mut bool, value: Option<&str>) -> Option<bool> {
    value.is_none().then(|| std::mem::replace(flag, true))
}

impl Bits {
    /// The parameter that limits a window to `bits`; `full` if that is no limit.
    fn limit(bits: u8, full: Self) -> Self {
        if bits < MAX_WINDOW_BITS { Self::Value(bits) } else { full }
    }

    /// The limit, that of the format if there is none.
    fn bits(self) -> u8 {
        match self {
            Self::Value(bits) => bits,
            Self::Absent | Self::Unvalued => MAX_WINDOW_BITS,
        }
    }

    /// Set the parameter: 8 to 15, in decimal, without leading zeros (§7.1.2). Returns whether it
    /// was set before; `None` if the value is invalid.
    fn set(&mut self, value: Option<&str>) -> Option<bool> {
        let bits = match value {
            None => Self::Unvalued,
            Some(value) => Self::Value((8..=MAX_WINDOW_BITS).find(|bits| bits.to_string() == value)?),
        };
        Some(std::mem::replace(self, bits) != Self::Absent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Config {
        Config { server_no_context_takeover: false, client_no_context_takeover: false, ..Config::default() }
    }

    #[test]
    fn a_browsers_offer_is_accepted() {
        let (agreed, response) = accept(&Config::default(), &[(CLIENT_BITS, None)]).expect("accepted");
        assert_eq!(response, "permessage-deflate; server_no_context_takeover; client_no_context_takeover");
        assert!(agreed.our_no_context_takeover && agreed.peer_no_context_takeover);
        assert_eq!((agreed.our_window_bits, agreed.peer_window_bits), (15, 15));
    }

    #[test]
    fn an_offer_without_parameters_is_accepted() {
        let (agreed, response) = accept(&plain(), &[]).expect("accepted");
        assert_eq!(response, "permessage-deflate");
        assert!(!agreed.our_no_context_takeover && !agreed.peer_no_context_takeover);
    }

    #[test]
    fn the_smaller_window_counts() {
        let config = Config { server_max_window_bits: Some(12), client_max_window_bits: Some(11), ..plain() };
        let params = [(SERVER_BITS, Some("10")), (CLIENT_BITS, Some("13"))];
        let (agreed, response) = accept(&config, &params).expect("accepted");
        assert_eq!((agreed.our_window_bits, agreed.peer_window_bits), (10, 11));
        assert_eq!(response, "permessage-deflate; server_max_window_bits=10; client_max_window_bits=11");
    }

    #[test]
    fn a_client_that_does_not_know_the_parameter_is_not_limited() {
        let config = Config { client_max_window_bits: Some(10), ..plain() };
        let (agreed, response) = accept(&config, &[]).expect("accepted");
        assert_eq!((agreed.peer_window_bits, response.as_str()), (15, "permessage-deflate"));
    }

    #[test]
    fn a_small_window_of_the_client_is_no_trouble() {
        let (agreed, _) = accept(&plain(), &[(CLIENT_BITS, Some("8"))]).expect("accepted");
        assert_eq!(agreed.peer_window_bits, 8);
    }

    #[test]
    fn what_cannot_be_honored_is_declined() {
        let cases: &[&[(&str, Option<&str>)]] = &[
            &[(SERVER_BITS, Some("8"))],
            &[(SERVER_BITS, Some("7"))],
            &[(SERVER_BITS, Some("16"))],
            &[(SERVER_BITS, Some("0"))],
            &[(SERVER_BITS, Some("1000000000"))],
            &[(SERVER_BITS, Some("09"))],
            &[(SERVER_BITS, Some("+9"))],
            &[(SERVER_BITS, Some(""))],
            &[(SERVER_BITS, None)],
            &[(CLIENT_BITS, Some("16"))],
            &[(CLIENT_BITS, Some("0"))],
            &[(CLIENT_BITS, None), (CLIENT_BITS, Some("10"))],
            &[(SERVER_BITS, Some("10")), (SERVER_BITS, Some("10"))],
            &[(SERVER_TAKEOVER, None), (SERVER_TAKEOVER, None)],
            &[(SERVER_TAKEOVER, Some("true"))],
            &[(CLIENT_TAKEOVER, Some(""))],
            &[("window", None)],
        ];
        for params in cases {
            assert_eq!(accept(&plain(), params), None, "{params:?}");
        }
    }

    #[test]
    fn an_offer_says_what_the_config_says() {
        assert_eq!(
            offer(&Config::default()),
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
             client_max_window_bits"
        );
        let config = Config { server_max_window_bits: Some(10), client_max_window_bits: Some(12), ..plain() };
        assert_eq!(offer(&config), "permessage-deflate; server_max_window_bits=10; client_max_window_bits=12");
    }

    #[test]
    fn a_response_within_the_offer_is_taken() {
        let params = [(SERVER_TAKEOVER, None), (CLIENT_BITS, Some("9")), (SERVER_BITS, Some("12"))];
        let agreed = check(&plain(), &params).expect("valid");
        assert!(agreed.peer_no_context_takeover && !agreed.our_no_context_takeover);
        assert_eq!((agreed.our_window_bits, agreed.peer_window_bits), (9, 12));
    }

    #[test]
    fn a_server_may_ignore_what_it_was_asked_for() {
        let config = Config { server_max_window_bits: Some(10), ..Config::default() };
        let agreed = check(&config, &[]).expect("valid");
        assert_eq!(agreed.peer_window_bits, 15);
        assert!(agreed.our_no_context_takeover && !agreed.peer_no_context_takeover);
    }

    #[test]
    fn a_window_of_eight_bits_is_honored_by_not_compressing() {
        let agreed = check(&plain(), &[(CLIENT_BITS, Some("8"))]).expect("valid");
        assert!(!agreed.compresses(1 << 20));
    }

    #[test]
    fn a_response_that_was_not_offered_is_an_error() {
        let config = Config { server_max_window_bits: Some(10), client_max_window_bits: Some(10), ..plain() };
        let cases: &[&[(&str, Option<&str>)]] = &[
            &[(SERVER_BITS, Some("11"))],
            &[(CLIENT_BITS, Some("11"))],
            &[(CLIENT_BITS, None)],
            &[(SERVER_BITS, None)],
            &[(SERVER_TAKEOVER, Some("1"))],
            &[(CLIENT_TAKEOVER, None), (CLIENT_TAKEOVER, None)],
            &[("window", Some("9"))],
        ];
        for params in cases {
            assert!(check(&config, params).is_err(), "{params:?}");
        }
    }
}
