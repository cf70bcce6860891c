//! Broken stores: packet ids of QoS 2 messages that come in.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use opifex_storage::{Op, Outcome, QueuedState};

use crate::broken::honest;
use crate::mutant::mutants;

mutants! {
    /// an inbound id that is there is answered as new: a QoS 2 message is routed twice
    "INB-01" a_duplicate_is_not_noticed: honest().outcomes(|_, _, outcomes| {
        for outcome in outcomes {
            if *outcome == Outcome::Present {
                *outcome = Outcome::Done;
            }
        }
    });

    /// PUBREL does not remove the inbound id: the next message under it is lost
    "INB-02" inbound_ids_are_never_removed:
        honest().skips(|_, _, op| matches!(op, Op::DeleteInbound(_)).then_some(Outcome::Done));

    /// an inbound id that is there ends the batch
    "INB-03" nothing_is_applied_behind_a_duplicate: honest().submit(|engine, mut batch| {
        let own = batch.author.session().map(|id| engine.inbound(id)).unwrap_or_default();
        let duplicate = batch.ops.iter().position(|op| matches!(op, Op::PutInbound(id) if own.contains(id)));
        let left_out = duplicate.map(|place| batch.ops.split_off(place + 1)).unwrap_or_default();
        let mut outcomes = engine.submit(batch)?;
        outcomes.extend(left_out.iter().map(|_| Outcome::Done));
        Ok(outcomes)
    });

    /// inbound ids come in the order of their text
    "INB-04" inbound_ids_are_ordered_as_text:
        honest().opened(|_, _, opened| opened.inbound.sort_by_key(|id| id.get().to_string()));

    /// there is room for 32,768 inbound ids
    "INB-05" half_of_the_inbound_ids_are_answered: honest().opened(|_, _, opened| opened.inbound.truncate(32_768));

    /// an inbound id that another session has is there
    "INB-06" inbound_ids_are_the_stores: {
        let ids = Mutex::new(HashSet::new());
        honest().skips(move |_, _, op| {
            let mut ids = ids.lock().expect("nobody panics with it");
            match op {
                Op::PutInbound(id) => (!ids.insert(*id)).then_some(Outcome::Present),
                Op::DeleteInbound(id) => {
                    ids.remove(id);
                    None
                }
                _ => None,
            }
        })
    };

    /// a delivery's end removes the inbound id of the same number
    "INB-07" the_two_directions_share_their_ids: honest().batches(|engine, batch| {
        let Some(id) = batch.author.session() else { return };
        for op in batch.ops.clone() {
            let Op::Settle(seq) = op else { continue };
            let entry = engine.entries(id).into_iter().find(|entry| entry.seq == seq);
            if let Some(QueuedState::Assigned(packet_id)) = entry.map(|entry| entry.state) {
                engine.write(id, batch.now, [Op::DeleteInbound(packet_id)]);
            }
        }
    });

    /// the client's new session has the inbound ids of the old one
    "INB-08" inbound_ids_hang_on_the_client: {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let also = Arc::clone(&kept);
        honest()
            .opens(move |engine, open| {
                let old = engine.session_of(&open.client_id);
                let own = old.map(|old| engine.inbound(old.id)).unwrap_or_default();
                *kept.lock().expect("nobody panics with it") = own;
            })
            .opened(move |engine, open, opened| {
                let kept = std::mem::take(&mut *also.lock().expect("nobody panics with it"));
                if opened.ended.is_some() {
                    engine.write(opened.session.id, open.now, kept.into_iter().map(Op::PutInbound));
                }
            })
    };

    /// a batch that routes a QoS 2 message writes its id and leaves the rest to another batch
    "INB-09" an_incoming_publish_is_split: honest().skips(|_, batch, op| {
        let incoming = batch.ops.len() == 3 && matches!(batch.ops[0], Op::PutInbound(_));
        match op {
            Op::Enqueue { .. } if incoming => Some(Outcome::Enqueued(Vec::new())),
            _ => None,
        }
    });
}
