//! Broken stores: packet ids of QoS 2 messages that come in.

use std::sync::{Arc, Mutex};

use opifex_packet::PacketId;
use opifex_storage::{Inbound, Op, Outcome, QueuedState, Record, RecordKind};

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
    "INB-03" nothing_is_applied_behind_a_duplicate: honest().skips(|engine, batch, op| {
        let own = |id: &PacketId| {
            let records = engine.all(RecordKind::Inbound).into_iter();
            records.into_iter().any(|record| {
                matches!(record, Record::Inbound(inbound)
                    if Some(inbound) == batch.author.session().map(|session| Inbound { session, packet_id: *id }))
            })
        };
        let before = batch.ops.iter().take_while(|other| !std::ptr::eq(*other, op));
        let mut before = before.filter_map(|op| if let Op::PutInbound(id) = op { Some(id) } else { None });
        before.any(own).then_some(Outcome::Done)
    });

    /// inbound ids come in the order of their text
    "INB-04" inbound_ids_are_ordered_as_text:
        honest().opened(|_, _, opened| opened.inbound.sort_by_key(|id| id.get().to_string()));

    /// there is room for 32,768 inbound ids
    "INB-05" half_of_the_inbound_ids_are_answered: honest().opened(|_, _, opened| opened.inbound.truncate(32_768));

    /// an inbound id that another session has is there
    "INB-06" inbound_ids_are_the_stores: honest().skips(|engine, _, op| match op {
        Op::PutInbound(id) => {
            let there = engine.all(RecordKind::Inbound).into_iter();
            let there = there.into_iter().any(|record| matches!(record, Record::Inbound(own) if own.packet_id == *id));
            there.then_some(Outcome::Present)
        }
        _ => None,
    });

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
                let old = engine.session_of(&open.client_id).map(|old| old.id);
                let own = engine.all(RecordKind::Inbound).into_iter().filter_map(|record| match record {
                    Record::Inbound(inbound) if Some(inbound.session) == old => Some(inbound.packet_id),
                    _ => None,
                });
                *kept.lock().expect("nobody panics with it") = own.collect();
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
