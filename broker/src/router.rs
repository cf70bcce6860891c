//! Routing: which sessions a topic goes to, and under which terms. A table behind one lock; matching allocates only
//! what the caller keeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use opifex_packet::{QoS, SubscriptionOptions, TopicFilter, TopicName};
use parking_lot::{RwLock, RwLockReadGuard};

use crate::pending::SubscriptionIds;
use crate::session::Session;
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
    Shared(Box<Group>),
}

/// The options of one subscription as granted.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) options: SubscriptionOptions,
    /// The subscription identifier; 0: none.
    pub(crate) identifier: u32,
}

/// The members of a shared subscription.
pub(crate) struct Group {
    members: Vec<(Arc<Session>, Grant)>,
    next: AtomicUsize,
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
        if let Some(Terms::Shared(group)) = table.get_mut(&plain, &key) {
            if let Some(member) = group.members.iter_mut().find(|(member, _)| Arc::ptr_eq(member, session)) {
                member.1 = grant;
                return true;
            }
            group.members.push((session.clone(), grant));
            return false;
        }
        let group = Group { members: vec![(session.clone(), grant)], next: AtomicUsize::new(0) };
        table.insert(&plain, key, Terms::Shared(Box::new(group)));
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
        let Some(Terms::Shared(group)) = table.get_mut(&plain, &key) else { return None };
        let at = group.members.iter().position(|(member, _)| Arc::ptr_eq(member, session))?;
        let (_, grant) = group.members.remove(at);
        if group.members.is_empty() {
            table.remove(&plain, &key);
        }
        Some(grant)
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
    /// Filters of shared subscriptions that match, to be chosen from with `choose`.
    pub(crate) shares: Vec<Arc<str>>,
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
}

impl LookedUp {
    pub(crate) fn clear(&mut self) {
        self.matches.clear();
        self.table_version = None;
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
        (Subscriber::Group(filter), Terms::Shared(_)) => found.shares.push(filter.clone()),
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

/// Chooses the member of a shared subscription that gets the next message: connected before offline, for QoS 1 and 2
/// durable before not, and in turn among those who are equal. Only a member that `may` take it comes into question.
/// `None`: nobody can take it.
pub(crate) fn choose(
    table: &Table,
    share: &Arc<str>,
    qos: QoS,
    may: impl Fn(&Arc<Session>) -> bool,
) -> Option<Match> {
    let filter = TopicFilter::new(share.as_ref()).ok()?;
    let plain = TopicFilter::new(filter.shared()?.filter).ok()?;
    let Some(Terms::Shared(group)) = table.get(&plain, &Subscriber::Group(share.clone())) else {
        return None;
    };
    let ranked = |member: &(Arc<Session>, Grant)| match may(&member.0) {
        true => rank(member, qos),
        false => 0,
    };
    let (mut best, mut equals) = (1, 0);
    for member in &group.members {
        let rank = ranked(member);
        if rank > best {
            (best, equals) = (rank, 1);
        } else if rank == best {
            equals += 1;
        }
    }
    if equals == 0 {
        return None;
    }
    let turn = group.next.fetch_add(1, Relaxed) % equals;
    // A member that has gone between the two looks leaves its turn to the first one.
    let mut in_turn = group.members.iter().filter(|member| ranked(member) == best);
    let (session, grant) = in_turn.clone().nth(turn).or_else(|| in_turn.next())?;
    Some(Match::new(session, grant, Some(share.clone())))
}

/// How well a member of a shared subscription can take a message; 0: not at all.
fn rank((session, grant): &(Arc<Session>, Grant), qos: QoS) -> u8 {
    let stored = session.stored.is_some() && qos.min(grant.options.qos) > QoS::AtMostOnce;
    match (session.has_ended(), session.is_connected(), stored) {
        (true, _, _) => 0,
        (_, true, true) => 3,
        (_, true, false) => 2,
        (_, false, true) => 1,
        (_, false, false) => 0,
    }
}
