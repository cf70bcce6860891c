//! What a codec says of some bytes, and how two such answers can differ.

use std::fmt::Display;

use crate::neutral::Neutral;

/// What stands at the front of the bytes, says one codec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A packet in the first `len` bytes.
    Packet { packet: Box<Neutral>, len: usize },
    /// The front of a packet.
    Incomplete,
    /// No packet. Ours names the statement that is broken; the others have their own words alone.
    Refused { statement: Option<&'static str>, why: String },
}

/// How the peer's answer is another than ours.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    /// It takes what we refuse.
    PeerAccepts,
    /// It refuses what we take.
    PeerRefuses,
    /// It waits for the rest of what we refuse already.
    PeerWaits,
    /// Both take it, as different packets or of a different length.
    Meaning,
    /// They do not agree whether it is all there, and neither refuses it.
    Framing,
    /// It refuses already what we wait for the rest of.
    WeWait,
}

impl Verdict {
    /// A peer's refusal.
    pub(crate) fn refused(why: impl Display) -> Self {
        Verdict::Refused { statement: None, why: why.to_string() }
    }
}

/// How `theirs` differs from `ours`, if it does. Two refusals are alike, whatever their words.
pub(crate) fn difference(ours: &Verdict, theirs: &Verdict) -> Option<Difference> {
    match (ours, theirs) {
        (Verdict::Packet { .. }, Verdict::Packet { .. }) => (ours != theirs).then_some(Difference::Meaning),
        (Verdict::Refused { .. }, Verdict::Refused { .. }) | (Verdict::Incomplete, Verdict::Incomplete) => {
            None
        }
        (Verdict::Refused { .. }, Verdict::Packet { .. }) => Some(Difference::PeerAccepts),
        (Verdict::Packet { .. }, Verdict::Refused { .. }) => Some(Difference::PeerRefuses),
        (Verdict::Refused { .. }, Verdict::Incomplete) => Some(Difference::PeerWaits),
        (Verdict::Incomplete, Verdict::Refused { .. }) => Some(Difference::WeWait),
        (Verdict::Incomplete, Verdict::Packet { .. }) | (Verdict::Packet { .. }, Verdict::Incomplete) => {
            Some(Difference::Framing)
        }
    }
}
