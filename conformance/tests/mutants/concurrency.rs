//! Broken stores: right as long as one thread uses them.
//!
//! What they do wrong is not left to chance: the first thread that opens a session is the one that they are right for.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use opifex_storage::{Batch, Op, Outcome};

use crate::broken::honest;
use crate::mutant::mutants;

/// The thread that came first.
#[derive(Clone, Default)]
struct First(Arc<Mutex<Option<ThreadId>>>);

impl First {
    /// Whether this is another thread.
    fn is_another(&self) -> bool {
        let this = thread::current().id();
        *self.0.lock().expect("nobody panics with it").get_or_insert(this) != this
    }
}

mutants! {
    /// each thread's last batch waits for its next
    "CON-01" a_threads_last_batch_waits: {
        let (first, waiting) = (First::default(), Mutex::new(HashMap::<ThreadId, Batch>::new()));
        let also = first.clone();
        honest()
            .opens(move |_, _| {
                first.is_another();
            })
            .submit(move |engine, batch| {
                if !also.is_another() {
                    return engine.submit(batch);
                }
                let last = waiting.lock().expect("nobody panics with it").insert(thread::current().id(), batch);
                let answer = |batch| engine.submit(batch);
                let outcomes = last.map_or(Ok(Vec::new()), answer)?;
                let queued = opifex_storage::TargetOutcome::Queued {
                    seq: opifex_storage::Seq(1),
                    displaced: Vec::new(),
                };
                Ok(if outcomes.is_empty() { vec![Outcome::Enqueued(vec![queued])] } else { outcomes })
            })
    };

    /// a fan-out is applied target by target, and other batches come in between
    "CON-02" a_fan_out_is_not_one_step: {
        let (first, rest) = (First::default(), Mutex::new(None::<(ThreadId, Batch)>));
        let also = first.clone();
        honest()
            .opens(move |_, _| {
                first.is_another();
            })
            .submit(move |engine, mut batch| {
                let (this, mut rest) = (thread::current().id(), rest.lock().expect("nobody panics with it"));
                if !also.is_another() {
                    let last = rest.take().map(|(_, last)| engine.submit(last));
                    last.transpose()?;
                    return engine.submit(batch);
                }
                let mut later = Batch { ops: Vec::new(), ..batch.clone() };
                for op in &mut batch.ops {
                    if let Op::Enqueue { message, targets } = op {
                        let targets = targets.split_off(1);
                        later.ops.push(Op::Enqueue { message: Arc::clone(message), targets });
                    }
                }
                let before = rest.replace((this, later));
                let (own, others): (Vec<_>, Vec<_>) = before.into_iter().partition(|(thread, _)| *thread == this);
                own.into_iter().try_for_each(|(_, batch)| engine.submit(batch).map(drop))?;
                let mut outcomes = engine.submit(batch)?;
                others.into_iter().try_for_each(|(_, batch)| engine.submit(batch).map(drop))?;
                let queued = opifex_storage::TargetOutcome::Queued {
                    seq: opifex_storage::Seq(1),
                    displaced: Vec::new(),
                };
                for outcome in &mut outcomes {
                    if let Outcome::Enqueued(answers) = outcome {
                        answers.push(queued.clone());
                    }
                }
                Ok(outcomes)
            })
    };

    /// each thread counts epochs of its own
    "CON-03" each_thread_counts_its_own_epochs: {
        let counts = Mutex::new(HashMap::<ThreadId, u64>::new());
        honest().opened(move |_, _, opened| {
            let mut counts = counts.lock().expect("nobody panics with it");
            let count = counts.entry(thread::current().id()).or_insert(0);
            *count += 1;
            if opened.present {
                opened.session.epoch.0 = *count;
            }
        })
    };

    /// a message that comes from another thread while its target ends is answered as queued
    "CON-04" who_publishes_to_what_ends_is_told_that_it_is_queued: {
        let first = First::default();
        let also = first.clone();
        let ended = Arc::new((Mutex::new(false), Condvar::new()));
        honest()
            .opens(move |_, _| {
                first.is_another();
            })
            .outcomes(move |_, batch, outcomes| {
                let mut has_ended = ended.0.lock().expect("nobody panics with it");
                if batch.ops.iter().any(|op| matches!(op, Op::EndSession(_))) {
                    *has_ended = true;
                    ended.1.notify_all();
                } else if also.is_another() {
                    // Some come behind the end, whoever is quicker.
                    let wait = ended.1.wait_timeout_while(has_ended, Duration::from_secs(5), |ended| !*ended);
                    // Where nothing ends, that is waited for once.
                    *wait.expect("nobody panics with it").0 = true;
                    for outcome in outcomes {
                        let queued = opifex_storage::TargetOutcome::Queued {
                            seq: opifex_storage::Seq(1),
                            displaced: Vec::new(),
                        };
                        if let Outcome::Enqueued(answers) = outcome {
                            answers.fill(queued);
                        }
                    }
                }
            })
    };

    /// a batch is applied in two steps, and a reader on another thread sees the first
    "CON-05" a_reader_sees_half_a_batch: {
        let half = Arc::new((Mutex::new((0, 0)), Condvar::new()));
        let also = Arc::clone(&half);
        let first = First::default();
        let (opening, reading) = (first.clone(), first.clone());
        let store = honest().opens(move |_, _| {
            opening.is_another();
        });
        let store = store.submit(move |engine, mut batch| {
            let halved = first.is_another() && batch.ops.len() > 2;
            if !halved {
                return engine.submit(batch);
            }
            let rest = Batch { ops: batch.ops.split_off(2), ..batch.clone() };
            let mut outcomes = engine.submit(batch)?;
            let mut seen = half.0.lock().expect("nobody panics with it");
            seen.0 += 1;
            half.1.notify_all();
            if seen.1 == 0 {
                let wait = half.1.wait_timeout_while(seen, Duration::from_secs(5), |seen| seen.1 == 0);
                // Where nobody reads, that is waited for once.
                wait.expect("nobody panics with it").0.1 += 1;
            } else {
                drop(seen);
            }
            outcomes.extend(engine.submit(rest)?);
            Ok(outcomes)
        });
        store.retained(move |engine, (filters, cursor, limit)| {
            let seen = also.0.lock().expect("nobody panics with it");
            let mut seen = if !reading.is_another() && seen.1 == 0 {
                let wait = also.1.wait_timeout_while(seen, Duration::from_secs(5), |seen| seen.0 == 0);
                wait.expect("nobody panics with it").0
            } else {
                seen
            };
            let page = engine.retained(&filters, cursor, limit);
            seen.1 += 1;
            also.1.notify_all();
            page
        })
    };
}
