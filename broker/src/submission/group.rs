//! Operations that belong together, with the message that they store and whom it goes to. How they become batches is not
//! here.

use std::sync::Arc;

use opifex_storage::{FullPolicy, Message, Op, Outcome, QueueLimits, Target, TargetOutcome};

use crate::router::Match;
use crate::session::Session;

/// Operations that are never split over batches: those of one packet.
#[derive(Default)]
pub(crate) struct Group {
    /// But for the enqueue of what is routed, which is made for each batch and stands behind them.
    pub(crate) ops: Vec<Op>,
    /// The message that is delivered when they are ordered.
    pub(crate) routed: Option<Routed>,
    /// The number of the acknowledgement that waits for them.
    pub(crate) ack: Option<u64>,
}

/// A message and whom it goes to.
pub(crate) struct Routed {
    pub(crate) message: Arc<Message>,
    pub(crate) matches: Vec<Match>,
    /// The publisher's RETAIN flag.
    pub(crate) retain: bool,
    /// How the matches of a message that becomes its topic's retained one were found.
    pub(crate) found: Option<Found>,
    /// Sent for a new subscription: it carries RETAIN whatever the subscription says, and is no new retained message.
    pub(crate) replayed: bool,
}

impl Routed {
    /// Those in whose stored queues it gets an entry.
    pub(super) fn stored(&self) -> impl Iterator<Item = &Match> {
        self.matches.iter().filter(|found| found.is_stored(self.message.qos))
    }

    /// The RETAIN flag that goes there.
    pub(crate) fn retain_for(&self, found: &Match) -> bool {
        self.replayed || (self.retain && found.retain_as_published)
    }

    pub(super) fn enqueue(&self, limits: QueueLimits) -> Option<Op> {
        // A replay waits for room, and takes nobody's.
        let policy = if self.replayed { FullPolicy::DropNewest } else { limits.policy };
        let targets: Vec<Target> = self
            .stored()
            .filter_map(|found| {
                Some(Target {
                    session: found.session.stored?,
                    qos: found.effective_qos(self.message.qos),
                    retain: self.retain_for(found),
                    subscription_ids: found.ids.as_deref().map(Vec::from).unwrap_or_default(),
                    share: found.share.clone(),
                    limits: QueueLimits { policy, ..limits },
                })
            })
            .collect();
        (!targets.is_empty()).then(|| Op::Enqueue { message: self.message.clone(), targets })
    }
}

/// The look at the routing table that gave a message its matches.
pub(crate) struct Found {
    pub(crate) table_version: u64,
    pub(crate) publisher: Option<Arc<Session>>,
}

impl Group {
    pub(crate) fn of_ops(ops: Vec<Op>) -> Group {
        Group { ops, ..Group::default() }
    }

    /// Whether it has an enqueue behind its other operations.
    pub(super) fn enqueues(&self) -> bool {
        self.routed.as_ref().is_some_and(|routed| routed.stored().next().is_some())
    }

    /// What it counts against the engine's limits: operations (with targets) and bytes of messages.
    pub(super) fn weight(&self) -> (usize, usize) {
        let others = self.ops.iter().fold((0, 0), |(ops, bytes), op| match op {
            Op::Retain(message) => (ops + 1, bytes + message.size_bytes()),
            _ => (ops + 1, bytes),
        });
        match &self.routed {
            Some(routed) if self.enqueues() => {
                (others.0 + 1 + routed.stored().count(), others.1 + routed.message.size_bytes())
            }
            _ => others,
        }
    }

    /// Parts what became of its operations from that of the groups behind it; answers what became of its enqueue.
    pub(crate) fn take_outcomes<'o>(&self, rest: &mut &'o [Outcome]) -> &'o [TargetOutcome] {
        let count = self.ops.len() + usize::from(self.enqueues());
        let (own, later) = rest.split_at(count.min(rest.len()));
        *rest = later;
        match own.get(self.ops.len()) {
            Some(Outcome::Enqueued(targets)) => targets,
            _ => &[],
        }
    }
}
