//! Where a connection is in its life: the one table of its states. `docs/explain/engine.md` draws it, and a test compares them.

use everwire_wire as wire;

use super::Opening;

/// Where a connection is, with what it needs there. Changed by [`Conn::enter`](super::Conn::enter) only.
pub(crate) enum Phase {
    /// The opening handshake: PROXY header, TLS, head.
    Opening(Box<Opening>),
    /// A server's request waits for a decision.
    Asking,
    /// A client's handshake was refused; the answer's body is still coming.
    Refused,
    /// Frames. The wire knows whose close frame has gone or come.
    Open(wire::Connection),
    /// The last output is leaving; input is discarded until the peer hangs up.
    Lingering,
    /// To be removed.
    Over,
}

/// A [`Phase`] by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The opening handshake.
    Opening,
    /// A decision about a request is awaited.
    Asking,
    /// The body of a refusal is coming.
    Refused,
    /// Messages.
    Open,
    /// Last words are leaving.
    Lingering,
    /// The end.
    Over,
}

/// Every way from one stage to another, and what leads there.
pub const TRANSITIONS: &[(Stage, Stage, &str)] = &[
    (Stage::Opening, Stage::Asking, "server: the request is complete"),
    (Stage::Opening, Stage::Open, "client: 101"),
    (Stage::Opening, Stage::Refused, "client: another answer, with a body"),
    (Stage::Opening, Stage::Lingering, "server: refused, or TLS failed"),
    (Stage::Opening, Stage::Over, "deadline, end or failure"),
    (Stage::Asking, Stage::Open, "answered with 101"),
    (Stage::Asking, Stage::Lingering, "answered otherwise, or deadline"),
    (Stage::Asking, Stage::Over, "the client has gone"),
    (Stage::Refused, Stage::Lingering, "TLS failed"),
    (Stage::Refused, Stage::Over, "the body is complete, deadline, end or failure"),
    (Stage::Open, Stage::Lingering, "failed: the peer is told why"),
    (Stage::Open, Stage::Over, "both close frames, deadline, end or failure"),
    (Stage::Lingering, Stage::Over, "the peer hung up, or deadline"),
];

impl Phase {
    pub fn stage(&self) -> Stage {
        match self {
            Phase::Opening(_) => Stage::Opening,
            Phase::Asking => Stage::Asking,
            Phase::Refused => Stage::Refused,
            Phase::Open(_) => Stage::Open,
            Phase::Lingering => Stage::Lingering,
            Phase::Over => Stage::Over,
        }
    }
}

/// Whether the table has a way from one stage to another.
pub(super) fn is_allowed(from: Stage, to: Stage) -> bool {
    TRANSITIONS.iter().any(|(before, after, _)| (*before, *after) == (from, to))
}

/// The table as a diagram (Mermaid).
#[must_use]
pub fn diagram() -> String {
    let mut text = String::from("stateDiagram-v2\n    [*] --> Opening\n");
    for (from, to, why) in TRANSITIONS {
        text += &format!("    {from:?} --> {to:?}: {}\n", why.replace(": ", ", "));
    }
    text + "    Over --> [*]\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_draws_the_table() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/explain/engine.md");
        let page = std::fs::read_to_string(page).expect("docs/explain/engine.md");
        assert!(page.contains(&diagram()), "put this into docs/explain/engine.md:\n{}", diagram());
    }

    #[test]
    fn nothing_comes_back_and_everything_ends() {
        assert!(TRANSITIONS.iter().all(|(from, to, _)| (*from as u8) < *to as u8 && *from != Stage::Over));
        for stage in [Stage::Opening, Stage::Asking, Stage::Refused, Stage::Open, Stage::Lingering] {
            assert!(is_allowed(stage, Stage::Over), "{stage:?}");
        }
    }
}
