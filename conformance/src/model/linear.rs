//! Whether what several tasks saw at once can have happened one after the other.
//!
//! Each call has a moment when it was made and one when it was answered; a call that was answered before another was
//! made came first. Among all orders that keep to this the model looks for one in which every answer is what it would
//! have answered (Wing and Gong, "Testing and Verifying Concurrent Objects", 1993). Calls that touch different clients
//! do not meet, so each client's are judged by themselves. Nothing here explores schedules: they are what the machine
//! makes of them.

use std::collections::HashSet;

use opifex_storage::{
    Batch, Epoch, ErrorKind, OpenSession, OpenedSession, Outcome, RecordVersion, Retained, SessionRecord,
};

use super::Model;

/// A call, when it was made and answered, and what the answer was.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) made: u64,
    pub(crate) answered: u64,
    pub(crate) what: What,
}

/// A call and its answer.
#[derive(Clone, Debug)]
pub(crate) enum What {
    Open(OpenSession, OpenedSession),
    Batch(Batch, Result<Vec<Outcome>, ErrorKind>),
    /// What was there in the end.
    End(Box<End>),
}

/// What there is of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) session: Option<SessionRecord>,
    pub(crate) retained: Option<Retained>,
    /// Entries, subscriptions and inbound ids of the session.
    pub(crate) entries: Vec<String>,
}

impl End {
    /// What the model has of a client; its retained message is that of the topic with the client's name.
    pub(crate) fn of(model: &Model, client: &str) -> End {
        let session = model.of_client(client).and_then(|id| model.live(id));
        let entries = session.map_or(Vec::new(), |session| {
            let queue = session.queue.values().map(|entry| format!("{entry:?}"));
            let subscriptions = session.subscriptions.values().map(|record| format!("{record:?}"));
            let inbound = session.inbound.iter().map(|id| format!("{id:?}"));
            queue.chain(subscriptions).chain(inbound).collect()
        });
        End {
            session: session.map(super::Session::record),
            retained: model.retained.get(client).cloned(),
            entries,
        }
    }
}

/// Looks for an order. `Err`: there is none; the longest that was found, and what did not fit then.
pub(crate) fn linearize(client: &str, calls: &[Seen]) -> Result<(), String> {
    assert!(calls.len() <= 64, "a search among so many does not end");
    let mut search =
        Search { client, calls, dead_ends: HashSet::new(), longest: Vec::new(), misfit: String::new() };
    match search.go(&Model::default(), 0, 0, &mut Vec::new()) {
        true => Ok(()),
        false => Err(search.report()),
    }
}

struct Search<'a> {
    client: &'a str,
    calls: &'a [Seen],
    /// What was done, as bits, and the state after it, where no order went on.
    dead_ends: HashSet<(u64, String)>,
    longest: Vec<usize>,
    misfit: String,
}

impl Search<'_> {
    fn go(&mut self, model: &Model, done: u64, last_epoch: u64, order: &mut Vec<usize>) -> bool {
        if order.len() == self.calls.len() {
            return true;
        }
        let state = (done, format!("{last_epoch} {model:?}"));
        if self.dead_ends.contains(&state) {
            return false;
        }
        let open = |index: &usize| done & (1 << index) == 0;
        let pending: Vec<usize> = (0..self.calls.len()).filter(open).collect();
        let first_answer = pending.iter().map(|index| self.calls[*index].answered).min().unwrap_or(u64::MAX);
        for index in pending {
            let call = &self.calls[index];
            if call.made > first_answer {
                continue;
            }
            let mut after = model.clone();
            match agree(&mut after, self.client, last_epoch, &call.what) {
                Ok(epoch) => {
                    order.push(index);
                    if order.len() > self.longest.len() {
                        self.longest.clone_from(order);
                        self.misfit.clear();
                    }
                    if self.go(&after, done | 1 << index, epoch, order) {
                        return true;
                    }
                    order.pop();
                }
                Err(misfit) => {
                    if order.len() == self.longest.len() {
                        self.misfit.push_str(&format!("\n  not then: {:?}: {misfit}", call.what));
                    }
                }
            }
        }
        self.dead_ends.insert(state);
        false
    }

    fn report(&self) -> String {
        let mut text =
            format!("no order of what was done to {} explains all answers; the longest:", self.client);
        for index in &self.longest {
            text.push_str(&format!("\n  {:?}", self.calls[*index].what));
        }
        text + &self.misfit
    }
}

/// Does a call in the model. Answers the last epoch that was given, or how the answers differ.
fn agree(model: &mut Model, client: &str, last_epoch: u64, what: &What) -> Result<u64, String> {
    let (same, expected) = match what {
        What::Open(open, opened) => {
            let epoch: Epoch = opened.session.epoch;
            if epoch.0 <= last_epoch {
                return Err(format!("an epoch before {last_epoch}"));
            }
            let expected = model.open(open, epoch);
            if expected == *opened {
                return Ok(epoch.0);
            }
            (false, format!("{expected:?}"))
        }
        What::Batch(batch, answer) => {
            let given = answer.iter().flatten().filter_map(|outcome| match outcome {
                Outcome::Retained(version) => Some(*version),
                _ => None,
            });
            let mut given = given.collect::<Vec<_>>().into_iter();
            let expected = model.submit(batch, &mut || given.next().unwrap_or(RecordVersion(u64::MAX)));
            let same = match (&expected, answer) {
                (Ok(expected), Ok(outcomes)) => expected == outcomes,
                (Err(reasons), Err(kind)) => reasons.contains(kind),
                _ => false,
            };
            (same, format!("{expected:?}"))
        }
        What::End(end) => {
            let expected = End::of(model, client);
            (expected == **end, format!("{expected:?}"))
        }
    };
    match same {
        true => Ok(last_epoch),
        false => Err(format!("it would be {expected}")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use opifex_storage::{Author, Durability, Op, Seq, SessionId, TargetOutcome};

    use super::*;
    use crate::script::{START, connect, message, target};

    fn open(made: u64, answered: u64, epoch: u64) -> Seen {
        let open = connect("c");
        let mut model = Model::default();
        let opened = model.open(&open, Epoch(epoch));
        Seen { made, answered, what: What::Open(open, opened) }
    }

    fn enqueue(made: u64, answered: u64, seq: u64) -> Seen {
        let op = Op::Enqueue { message: Arc::new(message("t", "")), targets: vec![target(SessionId(1))] };
        let batch = Batch::new(Author::Broker, Durability::Memory, START).with(op);
        let queued = TargetOutcome::Queued { seq: Seq(seq), displaced: Vec::new() };
        let outcomes = vec![Outcome::Enqueued(vec![queued])];
        Seen { made, answered, what: What::Batch(batch, Ok(outcomes)) }
    }

    #[test]
    fn calls_that_overlap_are_put_in_the_order_that_their_answers_tell() {
        linearize("c", &[open(0, 1, 1), enqueue(2, 6, 3), enqueue(3, 7, 1), enqueue(4, 5, 2)]).unwrap();
    }

    #[test]
    fn a_call_is_not_put_before_one_that_was_answered_earlier() {
        let late = linearize("c", &[open(0, 1, 1), enqueue(2, 3, 2), enqueue(4, 5, 1)]).unwrap_err();
        assert!(late.contains("no order"), "{late}");
    }

    #[test]
    fn an_answer_that_was_given_twice_fits_into_no_order() {
        linearize("c", &[open(0, 1, 1), enqueue(2, 5, 1), enqueue(3, 4, 1)]).unwrap_err();
    }
}
