//! Where the codecs differ, and are known to: each difference by name, as narrow as its bytes allow,
//! with the rule that decides and who keeps it. Whatever is not listed here is a failure, and so is
//! an exception that none of its examples hits.

mod acks;
mod connecting;
mod framing;
mod properties;
mod publishing;
mod repeating;
mod subscribing;

use opifex_packet::{Role, Version};

use crate::anatomy::Anatomy;
use crate::mutate::Input;
use crate::peers::Peer;
use crate::verdict::{Difference, Verdict};

/// One known difference.
pub(crate) struct Exception {
    /// What is different, said of the peer.
    pub(crate) name: &'static str,
    pub(crate) peers: &'static [Peer],
    pub(crate) differences: &'static [Difference],
    /// The statements or sections that decide. Where we refuse, ours is one of these.
    pub(crate) statements: &'static [&'static str],
    pub(crate) right: Right,
    pub(crate) why: &'static str,
    /// Whether the bytes are of that kind.
    pub(crate) applies: fn(&Anatomy<'_>, &Input) -> bool,
    /// Bytes that show it: each peer and each statement at least once.
    pub(crate) examples: &'static [Example],
}

/// Who reads the bytes as the standard has it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    Opifex,
    /// The standard leaves it open, or the peer leaves it to a layer above.
    Both,
}

/// Bytes that show an exception: written out, so that nothing here depends on a generator.
pub(crate) struct Example(pub(crate) Version, pub(crate) Role, pub(crate) &'static [u8]);

impl Exception {
    /// All of them.
    pub(crate) fn all() -> impl Iterator<Item = &'static Exception> {
        [
            framing::ALL,
            properties::ALL,
            repeating::ALL,
            connecting::ALL,
            publishing::ALL,
            acks::ALL,
            subscribing::ALL,
        ]
        .into_iter()
        .flatten()
    }

    /// Whether this is the difference between the two answers to `input`.
    pub(crate) fn covers(&self, peer: Peer, difference: Difference, ours: &Verdict, input: &Input) -> bool {
        let is_ours = match ours {
            Verdict::Refused { statement: Some(statement), .. } => self.statements.contains(statement),
            _ => true,
        };
        is_ours
            && self.peers.contains(&peer)
            && self.differences.contains(&difference)
            && (self.applies)(&Anatomy::of(&input.bytes, input.version), input)
    }
}

impl Example {
    pub(crate) fn input(&self) -> Input {
        Input { version: self.0, role: self.1, bytes: self.2.to_vec() }
    }
}

/// What the tables use.
mod prelude {
    pub(super) use opifex_packet::Role::{Client, Server};
    pub(super) use opifex_packet::Version::{V3_1, V3_1_1, V5_0};

    pub(super) use super::{Example, Exception, Right};
    pub(super) use crate::anatomy::Text;
    pub(super) use crate::peers::Peer::{MqttProto, MqttProtocolCore, RumqttcNext};
    pub(super) use crate::verdict::Difference::{Meaning, PeerAccepts, PeerRefuses, PeerWaits, WeWait};
}
