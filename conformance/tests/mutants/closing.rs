//! Broken stores: closed and opened again, with something lost, doubled or taken afterwards.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use opifex_storage::{Batch, ErrorKind, Message, Op, Page, QueuePage, Record, RecordVersion, Seq};

use crate::broken::{Behaviour, honest};
use crate::mutant::{Found, judge, mutants};

/// The batches since the store was opened, durable or not, and a store that keeps them in mind.
fn remembering() -> (Arc<Mutex<Vec<Batch>>>, Behaviour) {
    let batches = Arc::new(Mutex::new(Vec::new()));
    let also = Arc::clone(&batches);
    let store =
        honest().outcomes(move |_, batch, _| also.lock().expect("nobody panics with it").push(batch.clone()));
    (batches, store)
}

mutants! {
    /// a closed store still answers reads
    "CLO-01" a_closed_store_is_read: honest()
        .queue(|engine, (session, after, limit)| {
            let nothing = QueuePage { items: Vec::new(), final_up_to: Seq::ZERO, more: false, damaged: Vec::new() };
            engine.queue(session, after, limit).or(Ok(nothing))
        })
        .due(|engine, (now, cursor, limit)| engine.due(now, cursor, limit).or(Ok(Page::new())));

    /// closing twice is answered as done
    "CLO-01" a_closed_store_closes_again: honest().close(|engine| engine.close().or(Ok(())));

    /// what comes after the close is kept and written when the store is opened again
    "CLO-02" a_closed_store_writes_later: {
        let late = Arc::new(Mutex::new(Vec::new()));
        let also = Arc::clone(&late);
        honest()
            .refusals(move |_, batch, error| {
                if error.kind() == ErrorKind::Closed {
                    late.lock().expect("nobody panics with it").push(batch);
                }
                Err(error)
            })
            .reopen(move |engine| {
                for batch in also.lock().expect("nobody panics with it").drain(..) {
                    let _ = engine.submit(batch);
                }
            })
    };

    /// closing drops what waits to be written: here the last ten messages that nobody waited for
    "CLO-03" closing_drops_what_waits: {
        let pending = Arc::new(Mutex::new(Vec::<Batch>::new()));
        let (submitted, durable) = (Arc::clone(&pending), Arc::clone(&pending));
        let store = honest()
            .outcomes(move |_, batch, _| submitted.lock().expect("nobody panics with it").push(batch.clone()))
            .reopen(move |engine| {
                for batch in pending.lock().expect("nobody panics with it").drain(..).rev().take(10) {
                    for op in batch.ops {
                        let Op::Enqueue { targets, .. } = op else { continue };
                        for target in targets {
                            let last = engine.entries(target.session).pop();
                            engine.write(target.session, batch.now, last.map(|entry| Op::Settle(entry.seq)));
                        }
                    }
                }
            });
        let durable = Arc::new(move || durable.lock().expect("nobody panics with it").clear());
        Behaviour { durable, ..store }
    };

    /// what was written last is written again when the store is opened
    "CLO-04" reopening_writes_the_last_batch_again: {
        let (batches, store) = remembering();
        store.reopen(move |engine| {
            let last = batches.lock().expect("nobody panics with it").pop();
            let enqueue = batches.lock().expect("nobody panics with it").pop().into_iter().chain(last);
            for batch in enqueue {
                let _ = engine.submit(batch);
            }
        })
    };

    /// versions are counted from the beginning when the store is opened
    "CLO-05" reopening_counts_versions_from_the_beginning: honest().forgets(|record| match record {
        Record::Retained(mut retained) => {
            retained.version = RecordVersion(0);
            Some(Record::Retained(retained))
        }
        other => Some(other),
    });

    /// the store may be opened twice at once, and the second one does not see what the first wrote
    "CLO-06" two_that_share_a_store_do_not_see_each_other: {
        let store = honest().forgets(|record| match record {
            Record::Retained(_) => None,
            other => Some(other),
        });
        Behaviour { declared: |declared| declared.exclusive = false, ..store }
    };

    /// retained messages are not there when the store is opened again
    "RET-13" reopening_forgets_retained_messages: honest().forgets(|record| match record {
        Record::Retained(_) => None,
        other => Some(other),
    });

    /// properties are not there when the store is opened again
    "FID-08" reopening_forgets_properties: honest().forgets(|record| match record {
        Record::Queued(id, mut entry) => {
            entry.message = entry
                .message
                .map(|message| Arc::new(Message { properties: Default::default(), ..(*message).clone() }));
            Some(Record::Queued(id, entry))
        }
        other => Some(other),
    });

    /// queues are in the order of their messages' text when the store is opened again
    "QUE-24" reopening_sorts_queues: {
        let reopened = Arc::new(AtomicBool::new(false));
        let also = Arc::clone(&reopened);
        honest().reopen(move |_| reopened.store(true, Ordering::Relaxed)).pages(move |_, _, page| {
            if also.load(Ordering::Relaxed) {
                page.items.sort_by_key(|entry| entry.message.as_ref().map(|message| message.payload.clone()));
            }
        })
    };
}

#[test]
fn a_store_that_is_shared_passes_what_is_said_of_sharing() {
    let shared = || Behaviour { declared: |declared| declared.exclusive = false, ..honest() };
    assert_eq!(judge(shared, "CLO-06"), Found::Passed);
}
