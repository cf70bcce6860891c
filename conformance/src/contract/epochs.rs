//! Epochs: who took a session over writes for it, nobody else; and nobody is fenced for another's sake.

use std::sync::Arc;

use opifex_storage::{
    Author, Batch, Epoch, ErrorKind, Op, OpenSession, OpenedSession, Outcome, Persistence, Seq,
    SessionExpiry, SessionId,
};

use crate::script::{START, connect, filter, id, message, packet_id, subscription, target, topic};
use crate::{Factory, Subject};

/// Everything that an author can ask for.
fn ops(of: &OpenedSession) -> Vec<Op> {
    let body = Arc::new(message("t", "stale"));
    vec![
        Op::SetExpiry(SessionExpiry::Secs(1)),
        Op::GoOffline,
        Op::EndSession(id(of)),
        Op::Subscribe(subscription("stale")),
        Op::Unsubscribe(filter("a")),
        Op::Enqueue { message: Arc::clone(&body), targets: vec![target(id(of))] },
        Op::Assign { seq: Seq(1), packet_id: packet_id(9) },
        Op::Release(Seq(1)),
        Op::Settle(Seq(1)),
        Op::PutInbound(packet_id(9)),
        Op::DeleteInbound(packet_id(1)),
        Op::Retain(body),
        Op::Unretain(topic("kept")),
        Op::TakeWill,
    ]
}

/// Whatever the connection that was taken over still wants to write.
pub async fn an_author_that_was_taken_over_is_fenced<F: Factory>(s: Subject<F>) {
    let old = s.connect("c").await;
    s.submit(s.by(&old).with(Op::Subscribe(subscription("a"))).with(Op::PutInbound(packet_id(1)))).await;
    s.enqueue(id(&old), "kept").await;
    s.retain(message("kept", "")).await;
    let will = Some(crate::script::will("w", "kept"));
    let new = s.open(OpenSession { will, ..connect("c") }).await;
    let before = s.session(id(&new)).await;
    for op in ops(&old) {
        s.refuse(s.by(&old).with(op), ErrorKind::Fenced).await;
    }
    s.refuse(s.by(&old), ErrorKind::Fenced).await;
    assert_eq!(s.session(id(&new)).await, before);
    assert_eq!(s.payloads(id(&new)).await, ["kept"]);
    assert_eq!(s.subscriptions(id(&new)).await, [subscription("a")]);
    assert_eq!(s.inbound(id(&new)).await, [1]);
    assert_eq!(s.topics(&["#"]).await, ["kept"]);
    assert_eq!(s.wills().await.len(), 1);
}

/// The new owner writes where the old one may not.
pub async fn the_author_that_took_over_writes<F: Factory>(s: Subject<F>) {
    s.connect("c").await;
    let new = s.connect("c").await;
    assert_eq!(s.one(s.by(&new), Op::PutInbound(packet_id(1))).await, Outcome::Done);
}

/// There is nobody left to write for.
pub async fn the_author_of_an_ended_session_is_fenced<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    s.enqueue(id(&c), "remains").await;
    s.one(s.by_broker(), Op::EndSession(id(&c))).await;
    for op in ops(&c) {
        s.refuse(s.by(&c).with(op), ErrorKind::Fenced).await;
    }
    assert_eq!(s.payloads(id(&c)).await, ["remains"]);
}

/// The same client with another session.
pub async fn the_author_before_a_clean_start_is_fenced<F: Factory>(s: Subject<F>) {
    let old = s.connect("c").await;
    let new = s.open(OpenSession { clean_start: true, ..connect("c") }).await;
    s.refuse(s.by(&old).with(Op::PutInbound(packet_id(1))), ErrorKind::Fenced).await;
    assert!(s.inbound(id(&new)).await.is_empty());
}

/// Epochs of other sessions, of the future, and of sessions that never were.
pub async fn an_epoch_that_is_not_the_sessions_is_fenced<F: Factory>(s: Subject<F>) {
    let (a, b) = (s.connect("a").await, s.connect("b").await);
    let next = Epoch(b.session.epoch.0 + 1);
    for (session, epoch) in [
        (id(&a), b.session.epoch),
        (id(&b), a.session.epoch),
        (id(&b), next),
        (id(&b), Epoch(0)),
        (SessionId(next.0), next),
        (SessionId(0), Epoch(0)),
    ] {
        let batch = Batch::new(Author::Session(session, epoch), s.strongest(), START);
        s.refuse(batch.with(Op::Retain(Arc::new(message("t", "")))), ErrorKind::Fenced).await;
    }
}

/// A flapping subscriber cannot fence its publishers: an enqueue carries no epoch of its target.
pub async fn a_publisher_is_not_fenced_when_its_subscriber_is_taken_over<F: Factory>(s: Subject<F>) {
    let (publisher, subscriber) = (s.connect("p").await, s.connect("s").await);
    for n in 0..3 {
        s.connect("s").await;
        let message = Arc::new(message("t", n.to_string()));
        let op = Op::Enqueue { message, targets: vec![target(id(&subscriber))] };
        s.one(s.by(&publisher), op).await;
    }
    assert_eq!(s.payloads(id(&subscriber)).await, ["0", "1", "2"]);
}

/// Another client's open is no takeover.
pub async fn an_author_is_not_fenced_by_other_sessions<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    s.connect("d").await;
    s.open(OpenSession { clean_start: true, ..connect("d") }).await;
    assert_eq!(s.one(s.by(&c), Op::PutInbound(packet_id(1))).await, Outcome::Done);
}

/// Batches that are ordered stay applied; the open comes behind them.
pub async fn a_takeover_undoes_nothing<F: Factory>(s: Subject<F>) {
    let old = s.connect("c").await;
    let receipt =
        s.store().submit(s.by(&old).with(Op::PutInbound(packet_id(1)))).await.expect("it is applied");
    let new = s.connect("c").await;
    receipt.durable().await.expect("it becomes durable");
    assert_eq!(new.inbound, [packet_id(1)]);
    assert_eq!(s.inbound(id(&new)).await, [1]);
}

/// The counter goes on, over sessions that have ended too.
pub async fn epochs_go_on_after_reopening<F: Factory>(mut s: Subject<F>) {
    s.connect("a").await;
    let last = s.connect("b").await;
    s.one(s.by(&last), Op::EndSession(id(&last))).await;
    s.reopen().await;
    let next = s.connect("b").await;
    assert!(next.session.epoch > last.session.epoch);
    assert_ne!(id(&next), id(&last));
}

/// Which epoch a session is at is stored.
pub async fn a_stale_author_is_fenced_after_reopening<F: Factory>(mut s: Subject<F>) {
    let old = s.connect("c").await;
    s.connect("c").await;
    s.reopen().await;
    s.refuse(s.by(&old).with(Op::PutInbound(packet_id(1))), ErrorKind::Fenced).await;
}
