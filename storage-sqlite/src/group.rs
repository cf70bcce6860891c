//! A transaction that is open: what was applied to it, and who waits for what of it.

use std::sync::Arc;

use opifex_storage::{ErrorKind, Outcome, Result, StoreError};

use crate::answer::Asker;
use crate::command::{Applied, Command, Ordered};
use crate::fault::{Fault, is_of_the_disk, kind_of, told, told_of_held};
use crate::given::Given;
use crate::state::State;
use crate::sync::Waiters;
use crate::tally::Tally;

/// A transaction that is open.
pub(crate) struct Group {
    pub(crate) waiters: Waiters,
    /// What was applied, in order: the transaction can be made again from it.
    pub(crate) work: Vec<Applied>,
    /// Batches that were applied and whose callers do not know it yet.
    pub(crate) applied: Vec<(Asker<Result<Ordered>>, Vec<Outcome>)>,
    pub(crate) batches: usize,
    pub(crate) bytes: usize,
    pub(crate) given: Given,
    /// What is there after it, if it changes something.
    pub(crate) tally: Option<Tally>,
}

impl Group {
    pub(crate) fn new() -> Group {
        Group {
            waiters: Waiters::new(),
            work: Vec::new(),
            applied: Vec::new(),
            batches: 0,
            bytes: 0,
            given: Given::default(),
            tally: None,
        }
    }

    /// Tells what was applied that it is ordered: some at a time, since each telling may wake a thread.
    pub(crate) fn tell_ordered(&mut self) {
        self.given.note_told();
        for (asker, outcomes) in self.applied.drain(..) {
            asker.give(Ok(Ordered { outcomes, commitment: Arc::clone(&self.waiters.commitment) }));
        }
    }

    /// Tells everybody that the transaction failed.
    pub(crate) fn tell_failed(&mut self, error: &StoreError) {
        self.waiters.tell(Err(error.clone()));
        for (asker, _) in self.applied.drain(..) {
            asker.give(Err(error.clone()));
        }
    }

    /// Applies a command and answers it, or refuses it. An error is one of the whole transaction: the engine is in a state
    /// to be trusted no more.
    pub(crate) fn apply(&mut self, state: &State<'_>, command: Command) -> Result<Refused, rusqlite::Error> {
        state.take_changed();
        match command {
            Command::Submit(batch, asker) => match state.submit(&batch) {
                Ok(outcomes) => {
                    self.given.note(&batch, &outcomes);
                    self.applied.push((asker, outcomes));
                    self.work.push(Applied::Batch(batch));
                    Ok(Refused::NoTrace)
                }
                Err(fault) => refuse(state, fault, |error| asker.give(Err(error))),
            },
            Command::Open(open, asker) => match state.open_session(&open) {
                Ok(opened) => {
                    self.given.note_open(&opened);
                    self.waiters.opened.push((asker, opened));
                    self.work.push(Applied::Open(open));
                    Ok(Refused::NoTrace)
                }
                Err(fault) => refuse(state, fault, |error| asker.give(Err(error))),
            },
        }
    }
}

/// What becomes of the transaction when a command was refused.
pub(crate) enum Refused {
    /// Nothing: the command was applied, or left no trace.
    NoTrace,
    /// It left half of itself.
    AndApplyAgain,
}

fn refuse(
    state: &State<'_>,
    fault: Fault,
    tell: impl FnOnce(StoreError),
) -> Result<Refused, rusqlite::Error> {
    match fault {
        Fault::Engine(error)
            if kind_of(&error) == ErrorKind::Fatal || is_of_the_disk(&error) || state.has_lost_held() =>
        {
            tell(if state.has_lost_held() { told_of_held(&error) } else { told(&error) });
            Err(error)
        }
        fault => {
            tell(fault.into());
            Ok(if state.take_changed() { Refused::AndApplyAgain } else { Refused::NoTrace })
        }
    }
}
