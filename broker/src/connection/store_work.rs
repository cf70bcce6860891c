//! What a connection has under way with the store: one submission, receipts that are not durable yet, one page of its
//! queue, and jobs (replays of retained messages, re-authentication) one after the other.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use opifex_packet::{ReasonCode, TopicFilter};
use opifex_storage::{
    Author, ErrorKind, Op, PageLimit, Persistence, QueuePage, QueuedState, Result, Seq, StoreError,
};

use super::replay::{Replay, Waits};
use super::{BoxFuture, End, State};
use crate::access::{Action, Verdict};
use crate::ordered::Ordered;
use crate::outbox::{Outbox, OwnerWork, Step};
use crate::router::Grant;
use crate::stats::{DropCause, Tally};
use crate::submission::{Group, Submitted, submit};

/// Groups that one read may collect before it stops for the store.
const GROUPS_PER_READ: usize = 1_024;
/// There is room for so many of them from the second one on.
const FIRST_GROUPS: usize = 16;
/// Submissions that may wait for their durability before reading stops.
const WAITING_SUBMISSIONS: usize = 64;
/// Jobs that may wait. Beyond them replays become one: to stop reading would keep the acknowledgements from being read
/// that a replay may wait for.
const WAITING_JOBS: usize = 256;
/// Entries a page of the queue.
const PAGE_ITEMS: usize = 128;

/// See the module's documentation.
#[derive(Default)]
pub(super) struct StoreWork {
    groups: Vec<Group>,
    owner: Option<OwnerWork>,
    submitting: Option<BoxFuture<Submitted>>,
    /// Submissions so far; what is collected now gets the next ticket.
    submitted: u64,
    waiting: VecDeque<Waiting>,
    /// What the client has given up and the store may still have, with the ticket at which it has not.
    unsubscribed: VecDeque<(u64, TopicFilter<'static>, Grant)>,
    /// Batches of a submission that failed later on.
    unsettled: Vec<Ordered>,
    /// Everything up to this ticket is durable.
    pub(super) durable: u64,
    want_page: Option<Seq>,
    page: Option<BoxFuture<Result<QueuePage>>>,
    jobs: VecDeque<Job>,
    job: Option<BoxFuture<JobDone>>,
    /// Of the replay that runs.
    replay_waits: Option<Waits>,
    jobs_made: u64,
    pub(super) jobs_done: u64,
    /// The client does not take our answers.
    pub(super) outlet_full: bool,
    /// Reading waits, and keep-alive with it.
    pub(super) paused: bool,
    /// Reading was stopped; whole packets may wait in the inbox.
    pub(super) resumed: bool,
}

/// An ordered submission.
struct Waiting {
    ticket: u64,
    batches: VecDeque<Ordered>,
    owner: Option<OwnerWork>,
}

/// Something that takes its time beside the reading.
pub(super) enum Job {
    Replay(Replay),
    Authenticate(BoxFuture<Verdict>),
}

pub(super) enum JobDone {
    Replayed(Result<()>),
    Authenticated(Verdict),
}

impl StoreWork {
    /// Nothing is under way. Whole packets may have come in one read with CONNECT.
    pub(super) fn at_start() -> StoreWork {
        StoreWork { resumed: true, ..StoreWork::default() }
    }

    /// Adds a group to the next submission; answers the ticket at which it is durable.
    pub(super) fn push(&mut self, group: Group) -> u64 {
        if self.groups.len() == 1 {
            // Where there are two there are more.
            self.groups.reserve(FIRST_GROUPS);
        }
        self.groups.push(group);
        self.submitted + 1
    }

    /// Remembers a subscription whose removal is in the next submission.
    pub(super) fn unsubscribed(&mut self, filter: TopicFilter<'static>, granted: Grant) {
        self.unsubscribed.push_back((self.submitted + 1, filter, granted));
    }

    /// The subscriptions whose removal is not on record, the last one first.
    pub(super) fn take_unsubscribed(
        &mut self,
    ) -> impl Iterator<Item = (TopicFilter<'static>, Grant)> + use<> {
        std::mem::take(&mut self.unsubscribed).into_iter().rev().map(|(_, filter, granted)| (filter, granted))
    }

    /// Adds a job; answers its number.
    pub(super) fn push_job(&mut self, job: Job) -> u64 {
        self.jobs.push_back(job);
        self.jobs_made += 1;
        self.jobs_made
    }

    /// Adds a replay; answers the number of the job that it is part of.
    pub(super) fn push_replay(&mut self, replay: Replay) -> u64 {
        if self.jobs.len() >= WAITING_JOBS
            && let Some(Job::Replay(waiting)) = self.jobs.back_mut()
        {
            waiting.append(replay);
            return self.jobs_made;
        }
        self.push_job(Job::Replay(replay))
    }

    /// The client has given this filter up: replays that have not begun leave it out. So they never have more filters
    /// than the session has subscriptions.
    pub(super) fn forget_replay(&mut self, filter: &TopicFilter<'static>) {
        for job in &mut self.jobs {
            if let Job::Replay(replay) = job {
                replay.remove(filter);
            }
        }
    }

    /// Whether SUBACKs of replays need not wait for them: the one that runs waits for room in the session's queue, and
    /// those behind it would. What they still bring comes when there is room, as long as the connection lasts.
    pub(super) fn replay_waits(&self) -> bool {
        self.replay_waits.as_ref().is_some_and(|waits| waits.load(Relaxed))
    }

    /// Whether nothing is collected or being submitted.
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.submitting.is_none()
    }

    /// Whether reading has to wait for the store.
    pub(super) fn is_full(&self) -> bool {
        !self.is_empty() || self.waiting.len() >= WAITING_SUBMISSIONS
    }

    /// Whether a read that is being taken apart has to stop here.
    pub(super) fn must_stop_reading(&mut self) -> bool {
        let stop = self.groups.len() >= GROUPS_PER_READ;
        self.resumed |= stop;
        stop
    }

    /// Takes what the own outbox wants written and read.
    pub(super) fn take_over(&mut self, outbox: &mut Outbox) {
        if self.owner.is_none() && self.submitting.is_none() {
            self.owner = outbox.take_owner_work();
        }
        if self.page.is_none() && self.want_page.is_none() {
            self.want_page = outbox.start_page();
        }
    }

    /// What was collected and not submitted, for the last batch of the connection.
    pub(super) fn take_rest(&mut self) -> (Option<BoxFuture<Submitted>>, Vec<Group>) {
        let mut groups = std::mem::take(&mut self.groups);
        if let Some(owner) = self.owner.take() {
            groups.push(Group::of_ops(owner.ops));
        }
        (self.submitting.take(), groups)
    }

    /// What was ordered and is not durable yet.
    pub(super) fn take_ordered(&mut self) -> Vec<Ordered> {
        let waiting = std::mem::take(&mut self.waiting);
        let waiting = waiting.into_iter().flat_map(|waiting| waiting.batches);
        waiting.chain(std::mem::take(&mut self.unsettled)).collect()
    }
}

impl<P: Persistence> State<P> {
    /// In whose name this connection writes.
    pub(super) fn author(&self) -> Author {
        match self.author {
            Some((session, epoch)) => Author::Session(session, epoch),
            None => Author::Broker,
        }
    }

    /// Moves the store's work on; answers whether anything has changed.
    pub(super) fn poll_store(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut progress = false;
        loop {
            let round = self.poll_submission(cx)?
                | self.poll_receipts(cx)?
                | self.poll_page(cx)?
                | self.poll_job(cx)?;
            progress |= round;
            if !round {
                return Ok(progress);
            }
        }
    }

    fn poll_submission(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let work = &mut self.work;
        if work.submitting.is_none() {
            if work.groups.is_empty() && work.owner.is_none() {
                return Ok(false);
            }
            let mut groups = std::mem::take(&mut work.groups);
            if let Some(owner) = &mut work.owner {
                groups.push(Group::of_ops(std::mem::take(&mut owner.ops)));
            }
            work.submitted += 1;
            let author = self.author();
            self.work.submitting = Some(Box::pin(submit(self.shared.clone(), author, groups)));
        }
        let Some(submitting) = &mut self.work.submitting else { return Ok(false) };
        let Poll::Ready(done) = submitting.as_mut().poll(cx) else {
            self.note_store_wait(true);
            return Ok(false);
        };
        self.note_store_wait(false);
        self.work.submitting = None;
        if let Some(error) = done.error {
            self.work.unsettled.extend(done.ordered);
            return Err(self.store_failed(&error));
        }
        if self.refuse(done.refused) {
            self.work.unsettled.extend(done.ordered);
            return Err(End::Store(ReasonCode::QuotaExceeded));
        }
        let waiting = Waiting {
            ticket: self.work.submitted,
            batches: done.ordered.into(),
            owner: self.work.owner.take(),
        };
        self.work.waiting.push_back(waiting);
        Ok(true)
    }

    fn poll_receipts(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut progress = false;
        while let Some(waiting) = self.work.waiting.front_mut() {
            while let Some(batch) = waiting.batches.front_mut() {
                match batch.poll_durable(cx) {
                    Poll::Pending => {
                        self.note_store_wait(true);
                        return Ok(progress);
                    }
                    Poll::Ready(Err(error)) => return Err(self.store_failed(&error)),
                    Poll::Ready(Ok(())) => waiting.batches.pop_front(),
                };
            }
            let durable = waiting.ticket;
            self.work.durable = durable;
            while self.work.unsubscribed.front().is_some_and(|(ticket, ..)| *ticket <= durable) {
                self.work.unsubscribed.pop_front();
            }
            self.note_store_wait(false);
            let owner = self.work.waiting.pop_front().and_then(|waiting| waiting.owner);
            self.durable(owner);
            progress = true;
        }
        Ok(progress)
    }

    /// A submission is durable: what waited for it leaves.
    fn durable(&mut self, owner: Option<OwnerWork>) {
        let mut acks = Vec::new();
        self.ready_acks(&mut acks);
        let mut tally = Tally::default();
        {
            let mut outbox = self.session.outbox.lock();
            if let Some(link) = &mut outbox.link {
                link.outlet.append(&acks);
            }
            if let Some(owner) = owner {
                let mut step =
                    Step { limits: &self.shared.limits, now: self.shared.now(), tally: &mut tally };
                outbox.send_assigned(owner.assigned, &mut step);
                outbox.send_released(owner.released);
                outbox.note_written();
            }
            self.work.take_over(&mut outbox);
        }
        self.shared.counters.add(&tally);
    }

    fn poll_page(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if let (Some(after), Some((session, _))) = (self.work.want_page.take(), self.author) {
            let shared = self.shared.clone();
            let limit = PageLimit::items(PAGE_ITEMS);
            self.work.page = Some(Box::pin(async move { shared.store.queue(session, after, limit).await }));
        }
        let Some(page) = &mut self.work.page else { return Ok(false) };
        let Poll::Ready(page) = page.as_mut().poll(cx) else { return Ok(false) };
        self.work.page = None;
        let mut page = page.map_err(|error| self.store_failed(&error))?;
        self.shared.damage.note(&page.damaged);
        let mut tally = Tally::default();
        self.withhold_queued(&mut page, &mut tally);
        let mut step = Step { limits: &self.shared.limits, now: self.shared.now(), tally: &mut tally };
        let mut outbox = self.session.outbox.lock();
        outbox.take_page(page, &mut step);
        self.work.take_over(&mut outbox);
        drop(outbox);
        self.shared.counters.add(&tally);
        Ok(true)
    }

    /// Leaves out what the client may not receive (any more), and settles it.
    fn withhold_queued(&mut self, page: &mut QueuePage, tally: &mut Tally) {
        if !self.shared.checks_receive {
            return;
        }
        let mut withheld = Vec::new();
        page.items.retain(|queued| {
            let allowed = queued.state != QueuedState::Waiting
                || queued.message.as_ref().is_none_or(|message| {
                    let action = Action::Receive { topic: message.topic.as_str() };
                    self.shared.allows(&self.session, &self.identity, action)
                });
            if !allowed {
                withheld.push(Op::Settle(queued.seq));
            }
            allowed
        });
        if !withheld.is_empty() {
            tally.drop_many(DropCause::NotAuthorized, withheld.len() as u64);
            self.work.push(Group::of_ops(withheld));
        }
    }

    fn poll_job(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if self.work.job.is_none() {
            // A replay begins when its subscription is ordered.
            if !self.work.is_empty() {
                return Ok(false);
            }
            let next = self.work.jobs.pop_front();
            let job: BoxFuture<JobDone> = match next {
                None => return Ok(false),
                Some(Job::Replay(replay)) => {
                    let waits = self.work.replay_waits.insert(Waits::default()).clone();
                    let run = replay.run(self.shared.clone(), self.session.clone(), self.author(), waits);
                    Box::pin(async move { JobDone::Replayed(run.await) })
                }
                Some(Job::Authenticate(verdict)) => {
                    Box::pin(async move { JobDone::Authenticated(verdict.await) })
                }
            };
            self.work.job = Some(job);
        }
        let Some(job) = &mut self.work.job else { return Ok(false) };
        let Poll::Ready(done) = job.as_mut().poll(cx) else {
            if self.work.replay_waits() {
                self.durable(None);
            }
            if self.flush_own() {
                cx.waker().wake_by_ref();
            }
            return Ok(false);
        };
        self.work.job = None;
        self.work.replay_waits = None;
        self.work.jobs_done += 1;
        if self.work.jobs.is_empty() {
            // An idle connection keeps no queue.
            self.work.jobs = VecDeque::new();
        }
        match done {
            JobDone::Replayed(result) => result.map_err(|error| self.store_failed(&error))?,
            JobDone::Authenticated(verdict) => self.reauthenticated(verdict)?,
        }
        self.durable(None);
        Ok(true)
    }

    /// What a job that goes on has appended leaves now. Answers whether that made room: the job may wait for it, and a
    /// transport that takes everything wakes nobody.
    fn flush_own(&self) -> bool {
        let mut outbox = self.session.outbox.lock();
        let before = outbox.outlet_bytes();
        outbox.flush();
        outbox.outlet_bytes() < before
    }

    /// How the connection ends for a failure of the store. What its session has in memory may be ahead of the store.
    pub(super) fn store_failed(&self, error: &StoreError) -> End {
        let client_id = &*self.session.client_id;
        self.shared.trouble.note(error);
        tracing::debug!(client_id, %error, kind = ?error.kind(), "the store failed a connection");
        self.session.distrust();
        End::Store(match error.kind() {
            ErrorKind::Fenced => ReasonCode::SessionTakenOver,
            ErrorKind::Full | ErrorKind::TooLarge => ReasonCode::QuotaExceeded,
            ErrorKind::Closed | ErrorKind::Retry => ReasonCode::ServerUnavailable,
            _ => ReasonCode::ImplementationSpecificError,
        })
    }

    /// Since when this connection waits for the store: the sweep closes it when that takes too long.
    fn note_store_wait(&self, waits: bool) {
        let since = &self.session.store_wait_since_secs;
        if !waits {
            since.store(0, Relaxed);
        } else if since.load(Relaxed) == 0 {
            since.store(self.shared.clock.tick_secs_at(self.shared.now()).max(1), Relaxed);
        }
    }
}
