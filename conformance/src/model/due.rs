//! What is due, and whether a claim holds.
//!
//! A version stands for the state of the record behind an item. Here it is what tells the states apart: the epoch of a
//! session or of a will's connection, a retained message's version, an entry's number. A store may use others.

use opifex_storage::{Due, DueItem, Epoch, RecordVersion, Timestamp};

use super::{Model, queue};

impl Model {
    /// Everything that is due at `now`, earliest first.
    pub(crate) fn due(&self, now: Timestamp) -> Vec<Due> {
        let mut due = self.with_deadlines();
        due.retain(|due| due.at <= now);
        due.sort_by_key(order);
        due
    }

    fn with_deadlines(&self) -> Vec<Due> {
        let mut all = Vec::new();
        let mut push = |item, at, version| {
            all.push(Due { item, at, version: RecordVersion(version), will: None });
        };
        for (id, session) in &self.sessions {
            let head = &session.head;
            match session.ended_at {
                Some(at) => push(DueItem::SessionEnded(*id), at, head.epoch.0),
                None => {
                    if let Some(at) = head.offline_since.and_then(|since| head.expiry.deadline(since)) {
                        push(DueItem::SessionExpired(*id), at, head.epoch.0);
                    }
                }
            }
            for (seq, entry) in &session.queue {
                if let Some(at) = queue::deadline(entry) {
                    push(DueItem::QueuedExpired(*id, *seq), at, seq.0);
                }
            }
        }
        for retained in self.retained.values() {
            if let Some(at) = retained.message.expires_at {
                let topic = retained.message.topic.clone();
                push(DueItem::RetainedExpired(topic), at, retained.version.0);
            }
        }
        for ((id, epoch), will) in &self.wills {
            if let Some(at) = will.due_at {
                let (item, version) = (DueItem::Will(*id), RecordVersion(epoch.0));
                all.push(Due { item, at, version, will: Some(will.clone()) });
            }
        }
        all
    }

    /// Whether an item that was due is still there, unchanged, and due.
    pub(super) fn claim_holds(&self, claimed: &Due, now: Timestamp) -> bool {
        let same = |due: &Due| due.item == claimed.item && due.version == claimed.version;
        self.due(now).iter().any(same)
    }

    /// The first effect of a batch under a claim that holds.
    pub(super) fn carry_out(&mut self, claimed: &Due, now: Timestamp) {
        match &claimed.item {
            DueItem::SessionExpired(id) => {
                self.end(*id, now);
            }
            DueItem::Will(id) => {
                self.wills.remove(&(*id, Epoch(claimed.version.0)));
            }
            DueItem::SessionEnded(_) => {}
            DueItem::QueuedExpired(id, seq) => {
                self.settle(*id, *seq);
            }
            DueItem::RetainedExpired(topic) => {
                self.retained.remove(topic.as_str());
            }
        }
    }
}

/// Earliest first; those of one moment in an order of the model's own.
pub(super) fn order(due: &Due) -> (Timestamp, DueItem, u64) {
    (due.at, due.item.clone(), due.will.as_ref().map_or(0, |will| will.epoch.0))
}
