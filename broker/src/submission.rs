//! What a connection has for the store: groups of operations that belong together, cut into batches that the engine
//! takes, and delivered when they are ordered. A submission runs to its end whatever happens to its connection.

mod group;

use std::sync::Arc;

use opifex_packet::ReasonCode;
use opifex_storage::{Author, Batch, Certainty, ErrorKind, Op, Outcome, Persistence, Receipt, StoreError};

use crate::ordered::{Ordered, all_durable};
use crate::outbox::Step;
use crate::session::Session;
use crate::shared::Shared;
use crate::stats::{DropCause, Tally};

pub(crate) use group::{Found, Group, Routed};

/// What became of a submission.
#[derive(Default)]
pub(crate) struct Submitted {
    /// Its batches, in order; all of them must be durable before anything is acknowledged.
    pub(crate) ordered: Vec<Ordered>,
    /// Acknowledgements that carry a refusal now.
    pub(crate) refused: Vec<(u64, ReasonCode)>,
    /// The store failed: the connection cannot go on.
    pub(crate) error: Option<StoreError>,
}

impl Submitted {
    /// Waits until all of it is durable; answers the first failure.
    pub(crate) async fn durable(self) -> Result<(), StoreError> {
        let durable = all_durable(self.ordered).await;
        self.error.map_or(durable, Err)
    }
}

/// Writes the groups down in order, in as few batches as the engine's limits allow, and delivers each message as soon
/// as it is ordered.
pub(crate) async fn submit<P: Persistence>(
    shared: Arc<Shared<P>>,
    author: Author,
    groups: Vec<Group>,
) -> Submitted {
    let mut done = Submitted::default();
    let (max_ops, max_bytes) = {
        let capabilities = shared.store.capabilities();
        (capabilities.max_batch_ops, capabilities.max_batch_bytes)
    };
    let mut rest = groups;
    while !rest.is_empty() && done.error.is_none() {
        let later = rest.split_off(fitting(&rest, max_ops, max_bytes));
        submit_batch(&shared, &author, std::mem::replace(&mut rest, later), &mut done).await;
    }
    done
}

/// How many of the groups go into one batch; one that does not fit goes alone, and is refused.
fn fitting(groups: &[Group], max_ops: usize, max_bytes: usize) -> usize {
    let (mut ops, mut bytes) = (0, 0);
    let fits = |group: &&Group| {
        let (more_ops, more_bytes) = group.weight();
        (ops, bytes) = (ops + more_ops, bytes + more_bytes);
        ops <= max_ops && bytes <= max_bytes
    };
    groups.iter().take_while(fits).count().max(1)
}

/// A batch of what the groups write.
pub(crate) fn batch_of<P: Persistence>(shared: &Shared<P>, author: Author, groups: &[Group]) -> Batch {
    let mut batch = Batch::new(author, shared.durability, shared.now());
    batch.ops.reserve_exact(groups.iter().map(|group| group.ops.len() + 1).sum());
    for group in groups {
        batch.ops.extend(group.ops.iter().cloned());
        batch.ops.extend(group.routed.as_ref().and_then(|routed| routed.enqueue(shared.queue_limits())));
    }
    batch
}

async fn submit_batch<P: Persistence>(
    shared: &Arc<Shared<P>>,
    author: &Author,
    groups: Vec<Group>,
    done: &mut Submitted,
) {
    match try_batch(shared, author, &groups).await {
        Ok(batch) => ordered(shared, groups, batch, done).await,
        // One message that does not fit does not refuse its neighbours.
        Err(error) if refuses_growth(&error) && groups.len() > 1 => {
            for group in groups {
                let group = vec![group];
                match try_batch(shared, author, &group).await {
                    Ok(batch) => ordered(shared, group, batch, done).await,
                    Err(error) => failed(shared, group, error, done),
                }
                if done.error.is_some() {
                    return;
                }
            }
        }
        Err(error) => failed(shared, groups, error, done),
    }
}

async fn try_batch<P: Persistence>(
    shared: &Arc<Shared<P>>,
    author: &Author,
    groups: &[Group],
) -> Result<Ordered, StoreError> {
    let batch = batch_of(shared, author.clone(), groups);
    if batch.ops.is_empty() {
        let commit = opifex_storage::Commit { durability: shared.durability };
        return Ok(Ordered::new(Receipt::committed(Vec::new(), commit), Vec::new(), None));
    }
    write(shared, batch, groups).await
}

/// Writes a batch that the groups have made.
pub(crate) async fn write<P: Persistence>(
    shared: &Shared<P>,
    batch: Batch,
    groups: &[Group],
) -> Result<Ordered, StoreError> {
    let retains = batch.ops.iter().any(|op| matches!(op, Op::Retain(_) | Op::Unretain(_)));
    let targets = targets(groups);
    match shared.store.submit(batch).await {
        Ok(receipt) => Ok(Ordered::new(receipt, targets, retains.then(|| shared.retaining.begin()))),
        Err(error) => {
            // It may stand in their queues all the same.
            if error.certainty() == Certainty::Unknown {
                targets.iter().for_each(|session| session.distrust());
            }
            Err(error)
        }
    }
}

/// The durable sessions whose queues get messages of these groups.
fn targets(groups: &[Group]) -> Vec<Arc<Session>> {
    let mut sessions: Vec<&Arc<Session>> = groups
        .iter()
        .filter_map(|group| group.routed.as_ref())
        .flat_map(Routed::stored)
        .map(|found| &found.session)
        .collect();
    sessions.sort_unstable_by_key(|session| Arc::as_ptr(session));
    sessions.dedup_by(|a, b| Arc::ptr_eq(a, b));
    sessions.into_iter().cloned().collect()
}

/// Delivers what was ordered.
async fn ordered<P: Persistence>(
    shared: &Arc<Shared<P>>,
    groups: Vec<Group>,
    batch: Ordered,
    done: &mut Submitted,
) {
    let again = deliver(shared, groups, batch.outcomes());
    done.ordered.push(batch);
    // The chosen member of a shared subscription ended meanwhile: choose again, and let the acknowledgement wait for
    // that, too. Each round needs another session to end just now, so this comes to rest.
    let mut again = again;
    while !again.is_empty() {
        match try_batch(shared, &Author::Broker, &again).await {
            Ok(batch) => {
                let next = deliver(shared, std::mem::take(&mut again), batch.outcomes());
                done.ordered.push(batch);
                again = next;
            }
            Err(error) => return failed(shared, again, error, done),
        }
    }
}

/// Delivers ordered groups; answers the groups for members of shared subscriptions that have to be chosen again.
pub(crate) fn deliver<P: Persistence>(
    shared: &Arc<Shared<P>>,
    groups: Vec<Group>,
    outcomes: &[Outcome],
) -> Vec<Group> {
    let mut tally = Tally::default();
    let mut touched: Vec<Arc<Session>> = Vec::new();
    let mut again = Vec::new();
    let (mut rest, now) = (outcomes, shared.now());
    for group in groups {
        let queued = group.take_outcomes(&mut rest);
        let Some(routed) = group.routed else { continue };
        again.extend(shared.serve_newcomers(&routed, &mut tally));
        let mut step = Step { limits: &shared.limits, now, tally: &mut tally };
        for share in shared.deliver(&routed, queued, &mut touched, &mut step) {
            again.extend(shared.choose_again(&routed.message, &share, &mut tally));
        }
    }
    shared.flush(&mut touched);
    shared.counters.add(&tally);
    again
}

/// Whether the store refuses what grows, and nothing else is wrong.
fn refuses_growth(error: &StoreError) -> bool {
    error.certainty() == Certainty::NotApplied
        && matches!(error.kind(), ErrorKind::Full | ErrorKind::TooLarge)
}

fn failed<P: Persistence>(
    shared: &Arc<Shared<P>>,
    groups: Vec<Group>,
    error: StoreError,
    done: &mut Submitted,
) {
    let mut tally = Tally::default();
    tally.drop_many(
        DropCause::StoreFailed,
        groups.iter().filter(|group| group.routed.is_some()).count() as u64,
    );
    shared.counters.add(&tally);
    let acks: Vec<u64> = groups.iter().filter_map(|group| group.ack).collect();
    let only_growth = refuses_growth(&error);
    shared.trouble.note(&error);
    if only_growth && acks.len() == groups.len() {
        done.refused.extend(acks.into_iter().map(|ack| (ack, ReasonCode::QuotaExceeded)));
    } else {
        done.error = Some(error);
    }
}
