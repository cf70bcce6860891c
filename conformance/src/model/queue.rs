//! A session's queue: what fits, what gives way, how far an entry has come.

use std::sync::Arc;

use opifex_packet::PacketId;
use opifex_storage::{
    DropReason, FullPolicy, Message, Queued, QueuedState, Seq, SessionId, Target, TargetOutcome, Timestamp,
};

use super::{Model, Session};

/// The bytes that an entry counts for.
pub(super) fn size(entry: &Queued) -> u64 {
    entry.message.as_ref().map_or(0, |message| message.size_bytes() as u64)
}

/// When an entry expires: those with a packet id never do.
pub(super) fn deadline(entry: &Queued) -> Option<Timestamp> {
    if entry.state != QueuedState::Waiting {
        return None;
    }
    entry.message.as_ref()?.expires_at
}

impl Model {
    /// Numbers below this one are given to nothing any more. Answers the one that was next, if that makes a difference.
    pub(super) fn skip_to(&mut self, id: SessionId, next: Seq) -> Option<Seq> {
        let head = &mut self.sessions.get_mut(&id)?.head;
        (head.next_seq < next).then(|| std::mem::replace(&mut head.next_seq, next))
    }

    /// The next number is this one after all.
    pub(super) fn go_back_to(&mut self, id: SessionId, next: Seq) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.head.next_seq = next;
        }
    }
}

impl Session {
    pub(super) fn enqueue(&mut self, message: &Arc<Message>, target: &Target) -> TargetOutcome {
        let displaced = match self.make_room(message.size_bytes() as u64, target) {
            Ok(displaced) => displaced,
            Err(reason) => return TargetOutcome::Dropped(reason),
        };
        let seq = self.head.next_seq;
        self.head.next_seq = seq.next();
        let entry = Queued {
            seq,
            message: Some(Arc::clone(message)),
            qos: target.qos,
            retain: target.retain,
            subscription_ids: target.subscription_ids.clone(),
            share: target.share.clone(),
            state: QueuedState::Waiting,
        };
        self.queue.insert(seq, entry);
        TargetOutcome::Queued { seq, displaced }
    }

    /// Removes what has to give way for so many bytes, or nothing when that is not enough.
    fn make_room(&mut self, bytes: u64, target: &Target) -> Result<Vec<Seq>, DropReason> {
        let limits = target.limits;
        let mut kept = self.queue.clone();
        let mut displaced = Vec::new();
        loop {
            let items_over = kept.len() as u64 + 1 > limits.items;
            let bytes_over = kept.values().map(size).sum::<u64>() + bytes > limits.bytes;
            if !items_over && !bytes_over {
                self.queue = kept;
                return Ok(displaced);
            }
            let oldest =
                kept.values().find(|entry| entry.state == QueuedState::Waiting).map(|entry| entry.seq);
            match oldest {
                Some(seq) if limits.policy == FullPolicy::DropOldest => {
                    kept.remove(&seq);
                    displaced.push(seq);
                }
                _ if items_over => return Err(DropReason::QueueItems),
                _ => return Err(DropReason::QueueBytes),
            }
        }
    }

    pub(super) fn assign(&mut self, seq: Seq, packet_id: PacketId) -> bool {
        let Some(entry) = self.queue.get_mut(&seq) else { return false };
        entry.state = match entry.state {
            QueuedState::Released(_) => QueuedState::Released(packet_id),
            _ => QueuedState::Assigned(packet_id),
        };
        true
    }

    pub(super) fn release(&mut self, seq: Seq) -> bool {
        let Some(entry) = self.queue.get_mut(&seq) else { return false };
        match entry.state {
            QueuedState::Waiting => false,
            QueuedState::Assigned(id) | QueuedState::Released(id) => {
                entry.state = QueuedState::Released(id);
                entry.message = None;
                true
            }
        }
    }
}
