//! A message as the oracle knows it: what it is, and between which moments it was routed.

use std::collections::BTreeSet;
use std::fmt;

use super::{EXPIRY_SLACK, Tick};
use crate::event::{Client, Millis, Publication};

pub(super) struct Message {
    pub(super) publication: Publication,
    pub(super) will: bool,
    /// How often PUBLISH left.
    pub(super) sends: u64,
    pub(super) first_sent: Option<Tick>,
    /// PUBACK or PUBREC came, or a will has become due.
    pub(super) accepted: Option<(Tick, Millis)>,
    /// Members of a shared subscription that got it.
    pub(super) group_members: BTreeSet<Client>,
}

impl Message {
    pub(super) fn new(publication: Publication) -> Message {
        Message {
            publication,
            will: false,
            sends: 0,
            first_sent: None,
            accepted: None,
            group_members: BTreeSet::new(),
        }
    }

    /// Whether whoever matched has to get it.
    pub(super) fn is_promised(&self) -> bool {
        self.accepted.is_some() && self.publication.expiry_secs.is_none() && !self.publication.clears
    }

    /// The last moment at which it can have been routed.
    pub(super) fn routed_by(&self) -> Tick {
        match self.accepted {
            // A will is due at some time from then on.
            Some((tick, _)) if !self.will => tick,
            _ => Tick::MAX,
        }
    }

    pub(super) fn has_expired(&self, now: Millis) -> bool {
        match (self.accepted, self.publication.expiry_secs) {
            (Some((_, at)), Some(secs)) => now > at + Millis::from(secs) * 1_000 + EXPIRY_SLACK,
            _ => false,
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Publication { publisher, topic, qos, .. } = &self.publication;
        write!(f, "{qos:?} of {publisher} on {topic}, sent {} times", self.sends)?;
        match (self.first_sent, self.accepted) {
            (Some(sent), Some((accepted, at))) => {
                write!(f, ", first at #{sent}, acknowledged at #{accepted} ({at} ms)")
            }
            (Some(sent), None) => write!(f, ", first at #{sent}, not acknowledged"),
            _ => Ok(()),
        }
    }
}
