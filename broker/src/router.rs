//! Routing: which sessions a topic goes to, and under which terms. A table behind one lock; matching allocates only
//! what the caller keeps.

use std::sync::Arc;

use opifex_packet::{QoS, SubscriptionOptions, TopicFilter, TopicName};
use parking_lot::{RwLock, RwLockReadGuard};

use crate::pending::SubscriptionIds;
use crate::session::Session;
use crate::share::Share;
use crate::topic_tree::TopicTree;

/// The subscription table.
pub(crate) struct Router {
    table: RwLock<Table>,
}

pub(crate) type Table = TopicTree<Subscriber, Terms>;

/// Who stands at a filter.
#[derive(Clone)]
pub(crate) enum Subscriber {
    /// A session of its own.
    Session(Arc<Session>),
    /// A shared subscription, by its whole filter (`$share/group/filter`).
    Group(Arc<str>),
}

impl PartialEq for Subscriber {
    fn eq(&self, other: &Subscriber) -> bool {
        match (self, other) {
            (Subscriber::Session(a), Subscriber::Session(b)) => Arc::ptr_eq(a, b),
            (Subscriber::Group(a), Subscriber::Group(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Subscriber {}

/// What a subscription asks for.
pub(crate) enum Terms {
    Single(Grant),
    Shared(Arc<Share>),
}

/// The options of one subscription as granted.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) options: SubscriptionOptions,
    /// The subscription identifier; 0: none.
    pub(crate) identifier: u32,
}

/// One session that a topic goes to; overlapping subscriptions of a session are one match.
#[derive(Clone, Debug)]
pub(crate) struct Match {
    pub(crate) session: Arc<Session>,
    /// The highest QoS that one of its matching subscriptions grants.
    pub(crate) qos: QoS,
    pub(crate) retain_as_published: bool,
    pub(crate) ids: SubscriptionIds,
    /// The shared subscription through which it was chosen.
    pub(crate) share: Option<Arc<str>>,
}

impl Match {
    pub(crate) fn new(session: &Arc<Session>, grant: &Grant, share: Option<Arc<str>>) -> Match {
        Match {
            session: session.clone(),
            qos: grant.options.qos,
            retain_as_published: grant.options.retain_as_published,
            ids: (grant.identifier != 0).then(|| Box::from([grant.identifier])),
            share,
        }
    }

    /// Takes in the session's other matches. All at once: a session may have as many as it has subscriptions.
    pub(crate) fn merge(&mut self, others: &[Match]) {
        if others.is_empty() {
            return;
        }
        let mut ids = self.ids.take().map(Vec::from).unwrap_or_default();
        for other in others {
            self.qos = self.qos.max(other.qos);
            self.retain_as_published |= other.retain_as_published;
            ids.extend(other.ids.iter().flatten());
        }
        ids.sort_unstable();
        ids.dedup();
        self.ids = (!ids.is_empty()).then(|| ids.into_boxed_slice());
    }

    /// The QoS at which a message of `published` goes there ([MQTT-3.8.4-8] of 5.0).
    pub(crate) fn effective_qos(&self, published: QoS) -> QoS {
        self.qos.min(published)
    }

    /// Whether a message of `published` is stored for it.
    pub(crate) fn is_stored(&self, published: QoS) -> bool {
        self.session.stored.is_some() && self.effective_qos(published) > QoS::AtMostOnce
    }
}

impl Router {
    pub(crate) fn new() -> Router {
        Router { table: RwLock::new(TopicTree::new()) }
    }

    /// Locks the table for matching. Whoever holds it may take outbox locks; nobody takes it holding one.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read()
    }

    /// Subscribes; answers whether the session had a subscription with this filter.
    pub(crate) fn subscribe(&self, session: &Arc<Session>, filter: &TopicFilter<'_>, grant: Grant) -> bool {
        let mut table = self.table.write();
        let Some(shared) = filter.shared() else {
            return table
                .insert(filter, Subscriber::Session(session.clone()), Terms::Single(grant))
                .is_some();
        };
        let Ok(plain) = TopicFilter::new(shared.filter) else { return false };
        let key = Subscriber::Group(filter.as_str().into());
        if let Some(Terms::Shared(share)) = table.get_mut(&plain, &key) {
            return Arc::make_mut(share).join(session, grant);
        }
        let mut share = Share::new(filter.as_str().into());
        share.join(session, grant);
        table.insert(&plain, key, Terms::Shared(Arc::new(share)));
        false
    }

    /// Unsubscribes; answers what had been granted, if there was such a subscription.
    pub(crate) fn unsubscribe(&self, session: &Arc<Session>, filter: &TopicFilter<'_>) -> Option<Grant> {
        let mut table = self.table.write();
        let Some(shared) = filter.shared() else {
            return match table.remove(filter, &Subscriber::Session(session.clone())) {
                Some(Terms::Single(grant)) => Some(grant),
                _ => None,
            };
        };
        let plain = TopicFilter::new(shared.filter).ok()?;
        let key = Subscriber::Group(filter.as_str().into());
        let Some(Terms::Shared(share)) = table.get_mut(&plain, &key) else { return None };
        let share = Arc::make_mut(share);
        let grant = share.leave(session)?;
        if share.is_empty() {
            table.remove(&plain, &key);
        }
        Some(grant)
    }

    /// A shared subscription, by its whole filter.
    pub(crate) fn share(&self, filter: &Arc<str>) -> Option<Arc<Share>> {
        let whole = TopicFilter::new(filter.as_ref()).ok()?;
        let plain = TopicFilter::new(whole.shared()?.filter).ok()?;
        match self.table.read().get(&plain, &Subscriber::Group(filter.clone()))? {
            Terms::Shared(share) => Some(share.clone()),
            Terms::Single(_) => None,
        }
    }

    /// Subscription filters now; a shared subscription counts once.
    pub(crate) fn len(&self) -> usize {
        self.table.read().len()
    }
}

/// Who publishes, for what depends on it.
#[derive(Copy, Clone, Default)]
pub(crate) struct Publisher<'a> {
    /// The publishing session: subscriptions with "no local" leave it out ([MQTT-3.8.3-3] of 5.0).
    pub(crate) session: Option<&'a Arc<Session>>,
}

/// What a topic matches: single sessions, and shared subscriptions of which one member is chosen a message.
#[derive(Default)]
pub(crate) struct Matches {
    pub(crate) singles: Vec<Match>,
    pub(crate) shares: Vec<Arc<Share>>,
}

impl Matches {
    pub(crate) fn clear(&mut self) {
        self.singles.clear();
        self.shares.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.singles.is_empty() && self.shares.is_empty()
    }
}

/// What a topic has matched, as long as the table does not change.
#[derive(Default)]
pub(crate) struct LookedUp {
    pub(crate) matches: Matches,
    /// Of the table that was looked at; `None`: none was.
    pub(crate) table_version: Option<u64>,
    /// The topic, where messages of it are kept.
    pub(crate) topic: Option<TopicName<'static>>,
}

impl LookedUp {
    pub(crate) fn clear(&mut self) {
        self.matches.clear();
        self.table_version = None;
        self.topic = None;
    }
}

/// Fills `found` with what the topic matches.
pub(crate) fn find_matches(
    table: &Table,
    topic: &TopicName<'_>,
    publisher: Publisher<'_>,
    found: &mut Matches,
) {
    found.clear();
    table.matches(topic, |subscriber, terms| match (subscriber, terms) {
        (Subscriber::Session(session), Terms::Single(grant)) => {
            let own = publisher.session.is_some_and(|publisher| Arc::ptr_eq(publisher, session));
            if !(own && grant.options.no_local) {
                found.singles.push(Match::new(session, grant, None));
            }
        }
        (Subscriber::Group(_), Terms::Shared(share)) => found.shares.push(share.clone()),
        _ => {}
    });
    merge_overlapping(&mut found.singles);
}

/// All overlapping subscriptions of a session give one match.
fn merge_overlapping(matches: &mut Vec<Match>) {
    if matches.len() < 2 {
        return;
    }
    let address = |m: &Match| Arc::as_ptr(&m.session) as usize;
    if !matches.is_sorted_by_key(address) {
        matches.sort_unstable_by_key(address);
    }
    let same = |a: &Match, b: &Match| Arc::ptr_eq(&a.session, &b.session);
    if !matches.windows(2).any(|pair| same(&pair[0], &pair[1])) {
        return;
    }
    let merged: Vec<Match> = matches
        .chunk_by(same)
        .map(|overlapping| {
            let mut kept = overlapping[0].clone();
            kept.merge(&overlapping[1..]);
            kept
        })
        .collect();
    matches.clear();
    matches.extend(merged);
}
