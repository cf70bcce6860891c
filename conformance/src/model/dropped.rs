//! Futures that are dropped at their k-th wait.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use opifex_storage::{
    Author, Batch, Op, OpenSession, PageLimit, Persistence, RecordKind, Seq, SessionExpiry,
};

use super::run::Run;
use crate::Factory;
use crate::script::{connect, filter, message, packet_id, subscription, target, will};

/// Drops each kind of call at its k-th wait, and asks what became of it. `tag` tells the rounds apart. Answers whether
/// all of them ended before.
pub(crate) async fn each_call<F: Factory>(run: &mut Run<F>, tag: u64, k: usize) -> Result<bool, String> {
    let batch = batch(run, tag).await?;
    let mut ended = dropped_submit(run, &batch, k).await.map_err(|what| format!("a submit: {what}"))?;
    ended &= dropped_wait(run, tag, k).await.map_err(|what| format!("a wait for durability: {what}"))?;
    ended &= dropped_open(run, tag, k).await.map_err(|what| format!("an open: {what}"))?;
    ended &= dropped_reads(run, k).await;
    run.compare(3).await.map_err(|what| format!("after all calls: {what}"))?;
    Ok(ended)
}

/// A batch of every kind, by a session that was opened for it.
async fn batch<F: Factory>(run: &mut Run<F>, tag: u64) -> Result<Batch, String> {
    let open = OpenSession { client_id: "dropper".into(), ..run.connect() };
    let opened = run.subject().store().open_session(open.clone()).await;
    let opened = opened.map_err(|error| format!("the open failed: {error}"))?;
    let opened = run.check_opened(&open, opened)?;
    let id = opened.session.id;
    let author = Author::Session(id, opened.session.epoch);
    let text = format!("{tag}");
    let ops = [
        Op::PutInbound(packet_id(tag as u16 + 1)),
        Op::Retain(Arc::new(message("dropped", &text))),
        Op::Enqueue { message: Arc::new(message("a/b", &text)), targets: vec![target(id)] },
        Op::Subscribe(subscription(&format!("dropped/{tag}"))),
        Op::Settle(Seq(opened.session.next_seq.0.saturating_sub(1))),
    ];
    Ok(ops.into_iter().fold(Batch::new(author, open.durability, open.now), Batch::with))
}

async fn dropped_submit<F: Factory>(run: &mut Run<F>, batch: &Batch, k: usize) -> Result<bool, String> {
    match give_up(run.subject().store().submit(batch.clone()), k).await {
        Some(Ok(receipt)) => {
            // The receipt is dropped, too: that takes nothing back.
            let outcomes = receipt.outcomes().to_vec();
            drop(receipt);
            run.check_submitted(batch, Ok(outcomes))?;
            behind(run, batch).await?;
            Ok(true)
        }
        Some(Err(error)) => Err(format!("it failed: {error}")),
        None => {
            behind(run, batch).await?;
            run.was_applied(batch).await?;
            Ok(false)
        }
    }
}

async fn dropped_wait<F: Factory>(run: &mut Run<F>, tag: u64, k: usize) -> Result<bool, String> {
    let batch = batch(run, tag + 20_000).await?;
    let receipt = run.subject().store().submit(batch.clone()).await;
    let receipt = receipt.map_err(|error| format!("the submit failed: {error}"))?;
    let outcomes = receipt.outcomes().to_vec();
    let waited = give_up(receipt.durable(), k).await;
    run.check_submitted(&batch, Ok(outcomes))?;
    behind(run, &batch).await?;
    run.compare(3).await?;
    Ok(waited.is_some())
}

/// Waits for everything that the author of this batch has submitted before.
async fn behind<F: Factory>(run: &Run<F>, batch: &Batch) -> Result<(), String> {
    let barrier = Batch::new(batch.author.clone(), batch.durability, batch.now);
    let receipt = run.subject().store().submit(barrier).await;
    let receipt = receipt.map_err(|error| format!("the next submit failed: {error}"))?;
    receipt.durable().await.map(drop).map_err(|error| format!("the next batch is not durable: {error}"))
}

async fn dropped_open<F: Factory>(run: &mut Run<F>, tag: u64, k: usize) -> Result<bool, String> {
    let open = OpenSession {
        client_id: "opener".into(),
        clean_start: tag.is_multiple_of(2),
        expiry: SessionExpiry::Secs(100 + tag as u32),
        will: Some(will("a", &format!("{tag}"))),
        ..run.connect()
    };
    match give_up(run.subject().store().open_session(open.clone()), k).await {
        Some(Ok(opened)) => run.check_opened(&open, opened).map(|_| true),
        Some(Err(error)) => Err(format!("it failed: {error}")),
        None => run.was_opened(&open).await.map(|_| false),
    }
}

async fn dropped_reads<F: Factory>(run: &Run<F>, k: usize) -> bool {
    let (store, limit) = (run.subject().store(), PageLimit::items(5));
    let filters = [filter("#")];
    let mut ended = give_up(store.retained(&filters, None, limit), k).await.is_some();
    ended &= give_up(store.scan(RecordKind::Queued, None, limit), k).await.is_some();
    ended &= give_up(store.due(run.now(), None, limit), k).await.is_some();
    for id in run.sessions_ever() {
        ended &= give_up(store.queue(id, Seq::ZERO, limit), k).await.is_some();
    }
    ended
}

/// Polls a future until it is ready or has waited so many times; then it is dropped.
async fn give_up<T>(future: impl Future<Output = T>, waits: usize) -> Option<T> {
    let mut future = Box::pin(future);
    let mut left = waits;
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => {
            left -= 1;
            match left {
                0 => Poll::Ready(None),
                _ => Poll::Pending,
            }
        }
    })
    .await
}

impl<F: Factory> Run<F> {
    /// An open now, at the level that everything asks for.
    fn connect(&self) -> OpenSession {
        OpenSession { durability: self.subject().strongest(), now: self.now(), ..connect("") }
    }
}
