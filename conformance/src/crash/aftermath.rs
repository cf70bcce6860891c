//! Behind a crash a store goes on: every session opens with an epoch that none had before, who wrote before is fenced,
//! queues go on with their numbers, and what ended sessions left can be removed.

use std::sync::Arc;

use opifex_storage::{
    Author, Batch, Durability, Epoch, ErrorKind, Op, Outcome, PageLimit, Persistence, RecordKind, Seq,
    SessionId, TargetOutcome,
};

use super::books::{Body, Books, Entry, Progress};
use super::scribe;
use crate::script::{START, connect, message, target};

/// A number that no history gives a body, and that one more behind each crash takes.
const FIRST_BODY: u64 = 1 << 60;

/// Writes a little to a store that holds `books`, and answers what it holds then.
///
/// # Errors
/// The first thing that is not as it has to be.
pub(crate) async fn goes_on(
    store: &impl Persistence,
    books: &Books,
    highest_epoch: u64,
    durability: Durability,
) -> Result<Books, String> {
    let mut expected = books.clone();
    let mut highest =
        books.sessions.values().map(|session| session.epoch).max().unwrap_or_default().max(highest_epoch);
    for (client, session) in &mut expected.sessions {
        let stale = (SessionId(session.id), Epoch(session.epoch));
        let open = opifex_storage::OpenSession { durability, ..connect(client) };
        let opened =
            store.open_session(open).await.map_err(|error| format!("{client} does not open: {error}"))?;
        let (id, epoch) = (opened.session.id, opened.session.epoch.0);
        if !opened.present || id.0 != session.id {
            return Err(format!(
                "{client} was {} and opens as {id}, present: {}",
                session.id, opened.present
            ));
        }
        if epoch <= highest {
            return Err(format!("{client} opens at epoch {epoch}, and {highest} was given before"));
        }
        highest = epoch;
        (session.epoch, session.is_offline, session.will) = (epoch, false, None);

        let body = Body { n: FIRST_BODY + epoch, len: 60 };
        let enqueue =
            Op::Enqueue { message: Arc::new(message("queued", body.payload())), targets: vec![target(id)] };
        let by_stale = Batch::new(Author::Session(stale.0, stale.1), durability, START).with(enqueue.clone());
        match store.submit(by_stale).await {
            Err(error) if error.kind() == ErrorKind::Fenced => {}
            other => return Err(format!("who wrote for {client} before the crash is not fenced: {other:?}")),
        }
        let batch = Batch::new(Author::Broker, durability, START).with(enqueue);
        let receipt = store.submit(batch).await.map_err(|error| format!("nothing can be queued: {error}"))?;
        let next = TargetOutcome::Queued { seq: Seq(session.next_seq), displaced: Vec::new() };
        if receipt.outcomes() != [Outcome::Enqueued(vec![next])] {
            let (outcomes, next) = (receipt.outcomes(), session.next_seq);
            return Err(format!("{client}'s queue goes on with {outcomes:?}, the next number is {next}"));
        }
        receipt.durable().await.map_err(|error| format!("nothing becomes durable: {error}"))?;
        let entry = Entry { body: Some(body), qos: 1, progress: Progress::Waiting };
        session.queue.insert(session.next_seq, entry);
        session.next_seq += 1;
    }
    remove_remains(store, durability).await?;
    let is = Books::read(store).await?;
    if is != expected {
        return Err(format!(
            "what was written behind the crash is not what is read: {is:?} instead of {expected:?}"
        ));
    }
    Ok(is)
}

async fn remove_remains(store: &impl Persistence, durability: Durability) -> Result<(), String> {
    for _ in 0..1_000 {
        let ended = store.scan(RecordKind::Ended, None, PageLimit::items(1)).await;
        let ended = ended.map_err(|error| format!("ended sessions cannot be read: {error}"))?;
        if ended.items.is_empty() && ended.next.is_none() {
            return Ok(());
        }
        scribe::purge(store, durability, 1_000).await?;
    }
    Err("what ended sessions left does not go".to_owned())
}
