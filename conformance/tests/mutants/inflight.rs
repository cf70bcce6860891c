//! Broken stores: packet ids of messages that go out, and how far their delivery has come.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use opifex_packet::PacketId;
use opifex_storage::{Op, Outcome, QueuedState, Record};

use crate::broken::honest;
use crate::mutant::mutants;

mutants! {
    /// the packet id of an outgoing message is not recorded: after a reconnect it comes under another one
    "INF-01" assigned_ids_are_forgotten: honest().skips(|engine, batch, op| match (op, batch.author.session()) {
        (Op::Assign { seq, .. }, Some(id)) => {
            let there = engine.entries(id).iter().any(|entry| entry.seq == *seq);
            Some(if there { Outcome::Done } else { Outcome::Absent })
        }
        _ => None,
    });

    /// assigning to what was settled is answered as done
    "INF-02" assigning_always_finds_something: honest().outcomes(|_, batch, outcomes| {
        for (op, outcome) in batch.ops.iter().zip(outcomes) {
            if matches!(op, Op::Assign { .. }) {
                *outcome = Outcome::Done;
            }
        }
    });

    /// the first packet id of an entry stays
    "INF-03" the_first_packet_id_stays: honest().skips(|engine, batch, op| match (op, batch.author.session()) {
        (Op::Assign { seq, .. }, Some(id)) => {
            let entries = engine.entries(id);
            let entry = entries.iter().find(|entry| entry.seq == *seq)?;
            (entry.state != QueuedState::Waiting).then_some(Outcome::Done)
        }
        _ => None,
    });

    /// packet ids are kept in 15 bits and a sign
    "INF-04" packet_ids_end_at_32767: honest().batches(|_, batch| {
        for op in &mut batch.ops {
            if let Op::Assign { packet_id, .. } = op {
                *packet_id = PacketId::new(packet_id.get() & 0x7fff).unwrap_or(*packet_id);
            }
        }
    });

    /// PUBREC is not recorded: after a reconnect the message comes again, with another PUBREC to follow
    "INF-05" a_release_is_forgotten: honest().skips(|engine, batch, op| match (op, batch.author.session()) {
        (Op::Release(seq), Some(id)) => {
            let there = engine.entries(id).iter().any(|entry| entry.seq == *seq);
            Some(if there { Outcome::Done } else { Outcome::Absent })
        }
        _ => None,
    });

    /// PUBREC ends the delivery: there is no packet id left for PUBREL
    "INF-05" a_release_settles: honest().batches(|_, batch| {
        for op in &mut batch.ops {
            if let Op::Release(seq) = op {
                *op = Op::Settle(*seq);
            }
        }
    });

    /// a message that was never sent can be released
    "INF-06" what_waits_is_released: honest().outcomes(|_, batch, outcomes| {
        for (op, outcome) in batch.ops.iter().zip(outcomes) {
            if matches!(op, Op::Release(_)) {
                *outcome = Outcome::Done;
            }
        }
    });

    /// a second PUBREC finds nothing
    "INF-08" a_release_is_done_once: honest().skips(|engine, batch, op| match (op, batch.author.session()) {
        (Op::Release(seq), Some(id)) => {
            let seq = *seq;
            let before = batch.ops.iter().take_while(|other| !std::ptr::eq(*other, op));
            let twice = before.clone().any(|other| *other == Op::Release(seq));
            let released = engine
                .entries(id)
                .iter()
                .any(|entry| entry.seq == seq && matches!(entry.state, QueuedState::Released(_)));
            (twice || released).then_some(Outcome::Absent)
        }
        _ => None,
    });

    /// the window is read in the order in which it was sent
    "INF-10" the_window_is_read_in_the_order_of_assigning: {
        let order = Arc::new(Mutex::new(Vec::new()));
        let also = Arc::clone(&order);
        honest()
            .outcomes(move |_, batch, _| {
                let assigned = batch.ops.iter().filter_map(|op| match op {
                    Op::Assign { seq, .. } => Some((batch.author.session(), *seq)),
                    _ => None,
                });
                order.lock().expect("nobody panics with it").extend(assigned);
            })
            .pages(move |_, (id, ..), page| {
                let order = also.lock().expect("nobody panics with it");
                let place = |seq| order.iter().position(|other| *other == (Some(id), seq));
                page.items.sort_by_key(|entry| (place(entry.seq).unwrap_or(usize::MAX), entry.seq));
            })
    };

    /// packet ids of outgoing messages are gone when the store is opened again
    "INF-11" reopening_forgets_packet_ids: honest().forgets(|record| match record {
        Record::Queued(id, mut entry) => {
            if matches!(entry.state, QueuedState::Assigned(_)) {
                entry.state = QueuedState::Waiting;
            }
            Some(Record::Queued(id, entry))
        }
        other => Some(other),
    });

    /// a message that was let go is taken to be delivered when the store is opened again
    "INF-11" reopening_settles_what_was_released: honest().forgets(|record| match record {
        Record::Queued(_, entry) if matches!(entry.state, QueuedState::Released(_)) => None,
        other => Some(other),
    });

    /// entries are settled up to a number
    "INF-12" settling_settles_all_before: honest().outcomes(|engine, batch, _| {
        let Some(id) = batch.author.session() else { return };
        for op in &batch.ops {
            if let Op::Settle(up_to) = op {
                let before = engine.entries(id).into_iter().filter(|entry| entry.seq < *up_to);
                engine.write(id, batch.now, before.map(|entry| Op::Settle(entry.seq)));
            }
        }
    });

    /// one session's release releases what others sent under the same id
    "INF-13" packet_ids_are_the_stores: honest().outcomes(|engine, batch, _| {
        let Some(id) = batch.author.session() else { return };
        for op in &batch.ops {
            let Op::Release(seq) = op else { continue };
            let Some(entry) = engine.entries(id).into_iter().find(|entry| entry.seq == *seq) else { continue };
            let QueuedState::Released(packet_id) = entry.state else { continue };
            for session in engine.sessions() {
                let same = engine.entries(session.id).into_iter().filter(|other| {
                    other.state == QueuedState::Assigned(packet_id)
                });
                engine.write(session.id, batch.now, same.map(|entry| Op::Release(entry.seq)));
            }
        }
    });

    /// a body goes with the first of its references
    "INF-14" a_body_goes_with_the_first_release: {
        let gone = Arc::new(Mutex::new(HashSet::new()));
        let also = Arc::clone(&gone);
        honest()
            .batches(move |engine, batch| {
                let Some(id) = batch.author.session() else { return };
                for op in &batch.ops {
                    let Op::Release(seq) = op else { continue };
                    let entry = engine.entries(id).into_iter().find(|entry| entry.seq == *seq);
                    if let Some(message) = entry.and_then(|entry| entry.message) {
                        gone.lock().expect("nobody panics with it").insert(message.payload.clone());
                    }
                }
            })
            .pages(move |_, _, page| {
                let gone = also.lock().expect("nobody panics with it");
                for entry in &mut page.items {
                    entry.message = entry.message.take().filter(|message| !gone.contains(&message.payload));
                }
            })
    };
}
