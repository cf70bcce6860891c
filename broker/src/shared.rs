//! What all connections and background tasks of one broker share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use opifex_connection::Flush;
use opifex_packet::QoS;
use opifex_storage::{
    Author, Durability, Message, Op, Persistence, QueueLimits, SessionExpiry, TargetOutcome, Timestamp,
};
use tokio::sync::Notify;

use crate::access::{AccessControl, Action, Identity};
use crate::clock::Clock;
use crate::damage::DamageReport;
use crate::fanout::deliver_one;
use crate::limits::Limits;
use crate::outbox::{Command, Step};
use crate::pending::Pending;
use crate::registry::Registry;
use crate::retaining::Retaining;
use crate::router::{LookedUp, Match, Matches, Publisher, Router, find_matches};
use crate::session::Session;
use crate::stats::{Counters, DropCause, Tally};
use crate::store_trouble::StoreTrouble;
use crate::submission::{Found, Group, Routed};
use crate::unrecorded::Unrecorded;

/// A task flushes at most so many outboxes of others a batch itself; the rest it wakes. Waking costs more than flushing:
/// with 64 a lone message to 100 subscribers takes a fifth more processor time than with this.
const FOREIGN_FLUSHES: usize = 256;

/// The state of one broker.
pub(crate) struct Shared<P> {
    pub(crate) store: P,
    pub(crate) limits: Limits,
    pub(crate) durability: Durability,
    pub(crate) access: Arc<dyn AccessControl>,
    pub(crate) checks_receive: bool,
    pub(crate) router: Router,
    pub(crate) registry: Registry,
    pub(crate) counters: Counters,
    /// Changes of retained messages that reads may not show yet.
    pub(crate) retaining: Arc<Retaining>,
    pub(crate) unrecorded: Unrecorded,
    pub(crate) clock: Clock,
    pub(crate) damage: DamageReport,
    pub(crate) trouble: StoreTrouble,
    /// Something may have become due before the next look.
    pub(crate) due: Notify,
    /// A connection has ended.
    pub(crate) ended: Notify,
    pub(crate) stopping: AtomicBool,
    /// Tells those who have not said CONNECT yet.
    pub(crate) stop: Notify,
    pub(crate) assigned_ids: AtomicU64,
    /// Tells the ids that this broker assigns from those of an earlier process.
    pub(crate) instance: u64,
}

impl<P: Persistence> Shared<P> {
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn queue_limits(&self) -> QueueLimits {
        QueueLimits {
            items: self.limits.max_queued_messages,
            bytes: self.limits.max_queued_bytes,
            policy: self.limits.queue_full,
        }
    }

    /// Leaves out those that may not receive the topic; how many.
    pub(crate) fn withhold(&self, topic: &str, matches: &mut Vec<Match>) -> u64 {
        if !self.checks_receive {
            return 0;
        }
        let before = matches.len();
        matches.retain(|found| self.may_receive(&found.session, topic));
        (before - matches.len()) as u64
    }

    pub(crate) fn may_receive(&self, session: &Session, topic: &str) -> bool {
        let identity = session.outbox.lock().identity();
        // Nobody knows yet who a recovered session belongs to: it is asked again when the client is back.
        identity.is_none_or(|identity| self.allows(session, &identity, Action::Receive { topic }))
    }

    /// Whether a session's client may do this. The process itself may do everything.
    pub(crate) fn allows(&self, session: &Session, identity: &Identity, action: Action<'_>) -> bool {
        session.trusted || self.access.authorize(identity, &session.client_id, action)
    }

    fn may_take(&self, session: &Session, topic: &str) -> bool {
        !self.checks_receive || self.may_receive(session, topic)
    }

    /// Routes a message on the store's road: what is to be written, and whom it goes to once that is ordered.
    pub(crate) fn route(
        &self,
        message: Message,
        retain: bool,
        publisher: Publisher<'_>,
        tally: &mut Tally,
    ) -> Group {
        self.route_like(&mut LookedUp::default(), message, retain, publisher, tally)
    }

    /// The same for a message of the topic and publisher that were looked up last.
    pub(crate) fn route_like(
        &self,
        last: &mut LookedUp,
        message: Message,
        retain: bool,
        publisher: Publisher<'_>,
        tally: &mut Tally,
    ) -> Group {
        let table = self.router.read();
        let version = table.version();
        if last.table_version != Some(version) {
            find_matches(&table, &message.topic, publisher, &mut last.matches);
            last.table_version = Some(version);
        }
        let mut singles = last.matches.singles.clone();
        let may = |session: &Arc<Session>| self.may_take(session, message.topic.as_str());
        drop(table);
        singles.extend(last.matches.shares.iter().filter_map(|share| share.choose(message.qos, may)));
        tally.drop_many(DropCause::NotAuthorized, self.withhold(message.topic.as_str(), &mut singles));
        let mut group = self.group(Arc::new(message), retain, singles);
        if let (true, Some(routed)) = (retain, &mut group.routed) {
            routed.found = Some(Found { table_version: version, publisher: publisher.session.cloned() });
        }
        group
    }

    /// A subscription that was made while a retained message was on its way to the store may have missed it twice: it
    /// was not there when the message was routed, and its replay read the store before the message was ordered. So a
    /// table that has changed is looked at again.
    pub(crate) fn serve_newcomers(&self, routed: &Routed, tally: &mut Tally) -> Option<Group> {
        let before = routed.found.as_ref()?;
        let table = self.router.read();
        if table.version() == before.table_version {
            return None;
        }
        let mut found = Matches::default();
        let publisher = Publisher { session: before.publisher.as_ref() };
        find_matches(&table, &routed.message.topic, publisher, &mut found);
        drop(table);
        let known = |session: &Arc<Session>| routed.matches.iter().any(|m| Arc::ptr_eq(&m.session, session));
        found.singles.retain(|found| !known(&found.session));
        tally.drop_many(
            DropCause::NotAuthorized,
            self.withhold(routed.message.topic.as_str(), &mut found.singles),
        );
        if found.singles.is_empty() {
            return None;
        }
        let mut group = self.group(routed.message.clone(), true, found.singles);
        // The message is retained already: only the deliveries are new.
        group.ops.clear();
        Some(group)
    }

    /// The operations and deliveries for a message that goes to `matches`.
    pub(crate) fn group(&self, message: Arc<Message>, retain: bool, matches: Vec<Match>) -> Group {
        let mut ops = Vec::new();
        if retain {
            ops.push(match message.payload.is_empty() {
                true => Op::Unretain(message.topic.clone()),
                false => Op::Retain(message.clone()),
            });
        }
        let routed = Routed { message, matches, retain, found: None, replayed: false };
        Group { ops, routed: Some(routed), ack: None }
    }

    /// Hands an ordered message to those who are connected. Answers the shares whose chosen member has ended: another
    /// is to be chosen.
    pub(crate) fn deliver(
        &self,
        routed: &Routed,
        queued: &[TargetOutcome],
        touched: &mut Vec<Arc<Session>>,
        step: &mut Step<'_>,
    ) -> Vec<Arc<str>> {
        let mut queued = queued.iter();
        let mut gone = Vec::new();
        for found in &routed.matches {
            if routed.retain {
                found.session.outbox.lock().note_retained(routed.message.topic.as_str());
            }
            if !found.is_stored(routed.message.qos) {
                deliver_one(found.clone(), &routed.message, routed.retain, touched, step);
                continue;
            }
            match queued.next() {
                Some(TargetOutcome::Queued { seq, displaced }) => {
                    step.tally.drop_many(DropCause::QueueFull, displaced.len() as u64);
                    let mut outbox = found.session.outbox.lock();
                    if !displaced.is_empty() {
                        outbox.displaced(displaced);
                    }
                    let pending = || Pending {
                        message: Some(routed.message.clone()),
                        qos: found.effective_qos(routed.message.qos),
                        retain: routed.retain_for(found),
                        ids: found.ids.clone(),
                        share: found.share.clone(),
                        seq: *seq,
                        packet_id: None,
                        dup: false,
                    };
                    outbox.offer(*seq, pending, step);
                    if outbox.touch() {
                        touched.push(found.session.clone());
                    }
                }
                Some(TargetOutcome::Dropped(_)) => step.tally.drop(DropCause::QueueFull),
                Some(TargetOutcome::Gone) | None => match &found.share {
                    Some(share) => gone.push(share.clone()),
                    None => step.tally.drop(DropCause::SessionEnded),
                },
            }
        }
        gone
    }

    /// Chooses another member for messages of shared subscriptions whose member went away.
    pub(crate) fn choose_again(
        &self,
        message: &Arc<Message>,
        share: &Arc<str>,
        tally: &mut Tally,
    ) -> Option<Group> {
        let may = |session: &Arc<Session>| self.may_take(session, message.topic.as_str());
        let Some(chosen) = self.router.share(share).and_then(|share| share.choose(message.qos, may)) else {
            tally.drop(DropCause::SessionEnded);
            return None;
        };
        Some(self.group(message.clone(), false, vec![chosen]))
    }

    /// Flushes every outbox that a batch has filled, once.
    pub(crate) fn flush(&self, touched: &mut Vec<Arc<Session>>) {
        for (index, session) in touched.drain(..).enumerate() {
            let mut outbox = session.outbox.lock();
            if let Some(link) = &mut outbox.link {
                link.touched = false;
            }
            let mut wake = index >= FOREIGN_FLUSHES;
            if !wake {
                wake = match outbox.flush() {
                    Flush::Drained => outbox.wants_owner(&self.limits),
                    Flush::Blocked => outbox.wants_owner(&self.limits),
                    Flush::Failed(_) => true,
                };
            }
            if wake && let Some(link) = &outbox.link {
                link.outlet.wake_owner();
            }
        }
    }

    /// Closes all connections with this reason.
    pub(crate) fn command_all(&self, command: Command) {
        for session in self.registry.select(|session| session.is_connected()) {
            session.command(command);
        }
    }

    /// The author of what the broker itself writes.
    pub(crate) fn author(&self) -> Author {
        Author::Broker
    }

    /// Whether a publish of this QoS to these matches has something to store.
    pub(crate) fn needs_store(&self, matches: &Matches, qos: QoS) -> bool {
        qos > QoS::AtMostOnce
            && (matches.singles.iter().any(|found| found.is_stored(qos))
                || matches.shares.iter().any(|share| share.has_stored()))
    }

    /// The session expiry that is granted for an interval asked for.
    pub(crate) fn session_expiry(&self, interval: u32) -> SessionExpiry {
        SessionExpiry::from_interval(interval.min(self.limits.max_session_expiry_secs))
    }

    /// A name for a client that brought none.
    pub(crate) fn assign_client_id(&self) -> Box<str> {
        let number = self.assigned_ids.fetch_add(1, Relaxed);
        format!("auto-{:x}-{:x}", self.instance, number).into()
    }
}

/// Whether a topic has more levels than the limit allows.
pub(crate) fn too_many_levels(topic: &str, limits: &Limits) -> bool {
    topic.bytes().filter(|byte| *byte == b'/').count() >= limits.max_topic_levels
}
