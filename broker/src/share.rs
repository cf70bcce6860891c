//! A shared subscription (`$share/group/filter`): its members, and whose turn it is.
//!
//! Whoever has matched a topic holds it as it was then; the router changes a copy as long as somebody does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use opifex_packet::QoS;

use crate::router::{Grant, Match};
use crate::session::Session;

/// A shared subscription.
pub(crate) struct Share {
    /// Its whole filter.
    filter: Arc<str>,
    members: Vec<Member>,
    /// How many of the members are durable sessions.
    stored: usize,
    next: AtomicUsize,
}

type Member = (Arc<Session>, Grant);

impl Clone for Share {
    fn clone(&self) -> Share {
        Share {
            filter: self.filter.clone(),
            members: self.members.clone(),
            stored: self.stored,
            next: AtomicUsize::new(self.next.load(Relaxed)),
        }
    }
}

impl Share {
    pub(crate) fn new(filter: Arc<str>) -> Share {
        Share { filter, members: Vec::new(), stored: 0, next: AtomicUsize::new(0) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether a message of QoS 1 or 2 may have to be stored for one of the members.
    pub(crate) fn has_stored(&self) -> bool {
        self.stored > 0
    }

    /// Takes the session in, or gives it other terms; answers whether it was a member.
    pub(crate) fn join(&mut self, session: &Arc<Session>, grant: Grant) -> bool {
        if let Some(member) = self.members.iter_mut().find(|(member, _)| Arc::ptr_eq(member, session)) {
            member.1 = grant;
            return true;
        }
        self.stored += usize::from(session.stored.is_some());
        self.members.push((session.clone(), grant));
        false
    }

    /// Lets the session go; answers what had been granted, if it was a member.
    pub(crate) fn leave(&mut self, session: &Arc<Session>) -> Option<Grant> {
        let at = self.members.iter().position(|(member, _)| Arc::ptr_eq(member, session))?;
        self.stored -= usize::from(session.stored.is_some());
        Some(self.members.remove(at).1)
    }

    /// Chooses the member that gets the next message: connected before offline, for QoS 1 and 2 durable before not, and
    /// in turn among those who are equal. Only a member that `may` take it comes into question. `None`: nobody can take
    /// it.
    pub(crate) fn choose(&self, qos: QoS, may: impl Fn(&Arc<Session>) -> bool) -> Option<Match> {
        let turn = self.next.fetch_add(1, Relaxed);
        let ranked = |member: &Member| if may(&member.0) { rank(member, qos) } else { Rank::Unable };
        // Mostly all are equal, and as good as any can be.
        let best_of_all =
            if self.has_stored() && qos > QoS::AtMostOnce { Rank::ConnectedDurable } else { Rank::Connected };
        if let Some(member) = self.members.get(turn % self.members.len().max(1))
            && ranked(member) == best_of_all
        {
            return Some(self.matched(member));
        }
        let best = self.members.iter().map(ranked).max().filter(|best| *best > Rank::Unable)?;
        let mut equals = self.members.iter().filter(|member| ranked(member) == best);
        let count = equals.clone().count().max(1);
        // A member that has gone between two looks leaves its turn to the first one.
        let member = equals.clone().nth(turn % count).or_else(|| equals.next())?;
        Some(self.matched(member))
    }

    /// How often to choose again when the chosen member has gone: afterwards nobody is left.
    pub(crate) fn tries(&self) -> usize {
        self.members.len()
    }

    fn matched(&self, (session, grant): &Member) -> Match {
        Match::new(session, grant, Some(self.filter.clone()))
    }
}

/// How well a member can take a message.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Unable,
    Offline,
    Connected,
    ConnectedDurable,
}

fn rank((session, grant): &Member, qos: QoS) -> Rank {
    let stored = session.stored.is_some() && qos.min(grant.options.qos) > QoS::AtMostOnce;
    match (session.has_ended(), session.is_connected(), stored) {
        (true, _, _) => Rank::Unable,
        (_, true, true) => Rank::ConnectedDurable,
        (_, true, false) => Rank::Connected,
        (_, false, true) => Rank::Offline,
        (_, false, false) => Rank::Unable,
    }
}

#[cfg(test)]
mod tests {
    use opifex_packet::{SubscriptionOptions, Version};

    use super::*;

    fn share_of(members: &[&Arc<Session>]) -> Share {
        let mut share = Share::new("$share/group/topic".into());
        let options = SubscriptionOptions { qos: QoS::AtLeastOnce, ..SubscriptionOptions::default() };
        for member in members {
            share.join(member, Grant { options, identifier: 0 });
        }
        share
    }

    fn connected(name: &str) -> Arc<Session> {
        let session = Session::transient(name.into(), false);
        session.set_version(Some(Version::V5_0));
        session
    }

    fn chosen(share: &Share, times: usize) -> Vec<Box<str>> {
        let choose = || share.choose(QoS::AtLeastOnce, |_| true);
        (0..times).filter_map(|_| choose()).map(|found| found.session.client_id.clone()).collect()
    }

    #[test]
    fn members_have_their_turns() {
        let (a, b, c) = (connected("a"), connected("b"), connected("c"));
        let names: Vec<_> = chosen(&share_of(&[&a, &b, &c]), 6);
        assert_eq!(names.concat(), "abcabc");
    }

    #[test]
    fn who_is_not_connected_leaves_its_turns_to_the_others_alike() {
        let (a, b, gone) = (connected("a"), connected("b"), Session::transient("gone".into(), false));
        let names = chosen(&share_of(&[&a, &gone, &b]), 300);
        let of_a = names.iter().filter(|name| &***name == "a").count();
        assert!(names.len() == 300 && (140..=160).contains(&of_a), "{of_a} of {}", names.len());
        assert!(names.iter().all(|name| &**name != "gone"));
    }

    #[test]
    fn nobody_is_chosen_where_nobody_can_take_it() {
        let gone = Session::transient("gone".into(), false);
        assert!(chosen(&share_of(&[&gone]), 3).is_empty());
        assert!(chosen(&share_of(&[]), 3).is_empty());
    }

    #[test]
    fn a_copy_goes_on_where_the_turns_were() {
        let (a, b) = (connected("a"), connected("b"));
        let share = share_of(&[&a, &b]);
        chosen(&share, 1);
        assert_eq!(chosen(&share.clone(), 1).concat(), "b");
    }
}
