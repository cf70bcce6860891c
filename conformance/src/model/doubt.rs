//! Calls of which nobody knows whether they were done: a future that was dropped, an answer that got lost. The store
//! must be where it was, or where the call leads; which of the two, it is asked.

use opifex_storage::{
    Batch, Certainty, Epoch, ErrorKind, OpenSession, OpenedSession, Outcome, PageLimit, Persistence, Record,
    RecordKind, RecordVersion, StoreError,
};

use super::run::Run;
use super::step::Step;
use super::world::Call;
use crate::Factory;

impl<F: Factory> Run<F> {
    /// Finds out whether a batch was applied: whole or not at all. Answers whether it was.
    pub(crate) async fn was_applied(&mut self, batch: &Batch) -> Result<bool, String> {
        let Err(before) = self.compare(3).await else { return Ok(false) };
        let old = self.world.model.clone();
        let mut versions = Vec::new();
        for op in &batch.ops {
            if let opifex_storage::Op::Retain(message) = op {
                let filter = crate::script::filter(message.topic.as_str());
                let page = self.subject.store().retained(&[filter], None, PageLimit::items(1)).await;
                let page = page.map_err(|error| format!("a retained message cannot be read: {error}"))?;
                versions.push(page.items.first().map_or(RecordVersion(u64::MAX), |found| found.version));
            }
        }
        let mut given = versions.into_iter();
        let expected =
            self.world.model.submit(batch, &mut || given.next().unwrap_or(RecordVersion(u64::MAX)));
        if expected.is_err() {
            return Err(format!("a batch that must be refused changed something: {before}"));
        }
        if let Err(after) = self.compare(3).await {
            self.world.model = old;
            return Err(format!(
                "half of a batch: not what was before, since {before}\nnor all of it, since {after}"
            ));
        }
        Ok(true)
    }

    /// Finds out whether an open was done, by another one. Answers that one.
    pub(crate) async fn was_opened(&mut self, open: &OpenSession) -> Result<OpenedSession, String> {
        let again = OpenSession { will: None, clean_start: false, ..open.clone() };
        let opened = self.subject.store().open_session(again.clone()).await;
        let mut opened = opened.map_err(|error| format!("the open after one in doubt failed: {error}"))?;
        opened.subscriptions.sort_by(|a, b| a.filter.as_str().cmp(b.filter.as_str()));
        let old = self.world.model.clone();
        let mut misfit = Vec::new();
        let mut epochs = vec![opened.session.id.0, opened.session.epoch.0 - 1];
        for record in self.walk(RecordKind::Will).await? {
            if let Record::Will(will) = record {
                epochs.push(will.epoch.0);
            }
        }
        epochs.retain(|epoch| *epoch > self.last_epoch && *epoch < opened.session.epoch.0);
        let candidates = std::iter::once(None).chain(epochs.into_iter().map(Some));
        for first in candidates {
            self.world.model = old.clone();
            if let Some(epoch) = first {
                self.world.model.open(open, Epoch(epoch));
            }
            let expected = self.world.model.open(&again, opened.session.epoch);
            if expected != opened {
                misfit.push(format!("it answers\n  {opened:?}\nand not\n  {expected:?}"));
                continue;
            }
            match self.compare(3).await {
                Ok(()) => {
                    self.last_epoch = opened.session.epoch.0;
                    return Ok(opened);
                }
                Err(what) => misfit.push(what),
            }
        }
        Err(format!("an open in doubt was neither done nor not: {}", misfit.join("\nnor: ")))
    }

    /// Does a step as a careful caller does: what was not applied is tried again, what is in doubt is asked for, and a
    /// store that is closed is opened. Answers how many failures there were.
    pub(crate) async fn carefully(&mut self, step: &Step) -> Result<usize, String> {
        if let Step::Wait(secs) = step {
            self.world.now = self.world.now.plus_secs(*secs);
        }
        let mut failures = 0;
        loop {
            let Some(call) = self.world.call(step) else { break };
            let failure = match call {
                Call::Nothing => break,
                Call::Move | Call::SubmitAgain(..) => unreachable!("careful callers stay where they are"),
                Call::Reopen => {
                    self.open_again().await?;
                    break;
                }
                Call::Open(open) => match self.subject.store().open_session(open.clone()).await {
                    Ok(opened) => {
                        let opened = self.check_opened(&open, opened)?;
                        self.note(step, &opened);
                        break;
                    }
                    Err(error) => {
                        self.after(&error).await?;
                        if error.certainty() == Certainty::Unknown {
                            let opened = self.was_opened(&open).await?;
                            self.note(step, &opened);
                            failures += 1;
                            break;
                        }
                        error
                    }
                },
                Call::Submit(batch) => match self.submit_carefully(&batch).await? {
                    Done::Applied => break,
                    Done::Refused => break,
                    Done::InDoubt(error, told) => {
                        failures += 1;
                        let is_still_open = !self.after(&error).await?;
                        let was_applied = self.was_applied(&batch).await?;
                        if was_applied && error.certainty() == Certainty::NotApplied {
                            return Err(format!(
                                "it was applied, and the answer was that it was not: {error}"
                            ));
                        }
                        if was_applied {
                            break;
                        }
                        if is_still_open {
                            self.spend(&batch, &told)?;
                        }
                        error
                    }
                },
            };
            self.compare(3).await.map_err(|what| format!("after {failure}: {what}"))?;
            failures += 1;
            if failures > 10 {
                return Err(format!("it fails again and again: {failure}"));
            }
        }
        self.read_again().await?;
        self.compare_due(PageLimit::items(3)).await?;
        self.world.note_due();
        Ok(failures)
    }

    async fn submit_carefully(&mut self, batch: &Batch) -> Result<Done, String> {
        let asked = self.as_the_store_knows(batch)?;
        match self.subject.store().submit(asked).await {
            Ok(receipt) => {
                let outcomes = receipt.outcomes().to_vec();
                match receipt.durable().await {
                    Ok(_) => {
                        self.check_submitted(batch, Ok(outcomes))?;
                        Ok(Done::Applied)
                    }
                    // It is not durable, and will never be: it is not there then, or it is in doubt.
                    Err(error) => {
                        self.check_told(batch, &outcomes)?;
                        Ok(Done::InDoubt(error, outcomes))
                    }
                }
            }
            Err(error) => match self.world.model.clone().submit(batch, &mut || RecordVersion(u64::MAX)) {
                Err(reasons) if reasons.contains(&error.kind()) => Ok(Done::Refused),
                _ => Ok(Done::InDoubt(error, Vec::new())),
            },
        }
    }

    fn note(&mut self, step: &Step, opened: &OpenedSession) {
        if let Step::Open { client, .. } = step {
            self.world.note_open(*client, opened.session.id, opened.session.epoch);
        }
    }

    /// A store that is closed, or says that it has to be, is opened again. Answers whether it was.
    async fn after(&mut self, error: &StoreError) -> Result<bool, String> {
        match error.kind() {
            ErrorKind::Closed | ErrorKind::Fatal => self.open_again().await.map(|()| true),
            _ => self.read_again().await,
        }
    }

    /// Opens the store again if it cannot be read. Answers whether it was.
    pub(crate) async fn read_again(&mut self) -> Result<bool, String> {
        let is_closed = self.subject.store().due(self.now(), None, PageLimit::items(1)).await.is_err();
        if is_closed {
            self.open_again().await?;
        }
        Ok(is_closed)
    }

    async fn open_again(&mut self) -> Result<(), String> {
        // One that has failed may not be able to close.
        let _ = self.subject.store().close().await;
        self.subject.open_again().await;
        self.forget_told().await
    }
}

enum Done {
    Applied,
    /// As the model does.
    Refused,
    /// And what it told before it failed.
    InDoubt(StoreError, Vec<Outcome>),
}
