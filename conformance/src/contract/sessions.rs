//! Sessions: created, continued, taken over, ended; what their record says.

use std::sync::Arc;

use opifex_storage::{
    Epoch, ErrorKind, Op, OpenSession, Outcome, Persistence, Seq, SessionExpiry, SessionId,
};

use crate::script::{at, connect, filter, id, message, packet_id, subscription, target};
use crate::{Factory, Subject};

/// A client without stored state gets a session that is empty and bears the epoch of its open.
pub async fn a_new_client_gets_a_new_session<F: Factory>(s: Subject<F>) {
    let opened = s.open(OpenSession { expiry: SessionExpiry::Secs(60), ..connect("c") }).await;
    assert!(!opened.present);
    assert_eq!(opened.ended, None);
    assert!(!opened.will_due);
    assert!(opened.subscriptions.is_empty() && opened.inbound.is_empty());
    let session = &opened.session;
    assert_eq!(&*session.client_id, "c");
    assert_ne!(session.epoch, Epoch(0));
    assert_eq!(session.id, SessionId(session.epoch.0));
    assert_eq!(session.expiry, SessionExpiry::Secs(60));
    assert_eq!(session.offline_since, None);
    assert_eq!(session.next_seq, Seq(1));
    assert_eq!((session.queued_items, session.queued_bytes), (0, 0));
    assert_eq!(s.session(id(&opened)).await.as_ref(), Some(session));
}

/// The same session under a new epoch.
pub async fn opening_again_continues_the_session<F: Factory>(s: Subject<F>) {
    let first = s.connect("c").await;
    s.enqueue(id(&first), "kept").await;
    let second = s.connect("c").await;
    assert!(second.present);
    assert_eq!(second.ended, None);
    assert_eq!(id(&second), id(&first));
    assert!(second.session.epoch > first.session.epoch);
    assert_eq!(second.session.queued_items, 1);
    assert_eq!(s.payloads(id(&first)).await, ["kept"]);
}

/// Epochs come from one counter for all sessions, ended ones too.
pub async fn every_open_takes_an_epoch_that_none_had_before<F: Factory>(s: Subject<F>) {
    let mut last = Epoch(0);
    for client in ["a", "b", "a", "c", "b", "a"] {
        let opened = s.open(OpenSession { clean_start: client == "b", ..connect(client) }).await;
        assert!(opened.session.epoch > last, "{} comes after {last}", opened.session.epoch);
        last = opened.session.epoch;
    }
}

/// [MQTT-3.1.2-4]
pub async fn clean_start_ends_what_is_stored<F: Factory>(s: Subject<F>) {
    let old = s.connect("c").await;
    let batch = s.by(&old).with(Op::Subscribe(subscription("a"))).with(Op::PutInbound(packet_id(1)));
    s.submit(batch).await;
    s.enqueue(id(&old), "lost").await;
    let new = s.open(OpenSession { clean_start: true, ..connect("c") }).await;
    assert!(!new.present);
    assert_eq!(new.ended, Some(id(&old)));
    assert_ne!(id(&new), id(&old));
    assert!(new.subscriptions.is_empty() && new.inbound.is_empty());
    assert_eq!((new.session.next_seq, new.session.queued_items), (Seq(1), 0));
    assert!(s.queue(id(&new)).await.is_empty());
    assert_eq!(s.session(id(&old)).await, None);
}

/// There is nothing to end.
pub async fn clean_start_of_an_unknown_client_ends_nothing<F: Factory>(s: Subject<F>) {
    let opened = s.open(OpenSession { clean_start: true, ..connect("c") }).await;
    assert_eq!(opened.ended, None);
    assert!(!opened.present);
}

/// After a clean start the next open continues the new session.
pub async fn the_session_of_a_clean_start_is_continued<F: Factory>(s: Subject<F>) {
    s.connect("c").await;
    let new = s.open(OpenSession { clean_start: true, ..connect("c") }).await;
    let again = s.connect("c").await;
    assert!(again.present);
    assert_eq!(id(&again), id(&new));
}

/// The one read that includes all that is ordered, durable or not.
pub async fn an_open_includes_what_was_ordered_before_it<F: Factory>(s: Subject<F>) {
    let opened = s.connect("c").await;
    let enqueue = Op::Enqueue { message: Arc::new(message("t", "1")), targets: vec![target(id(&opened))] };
    let batch = s.by(&opened).with(Op::Subscribe(subscription("a"))).with(Op::PutInbound(packet_id(9)));
    let receipt = s.store().submit(batch.with(enqueue)).await.expect("the batch is applied");
    let again = s.connect("c").await;
    assert_eq!(again.subscriptions, [subscription("a")]);
    assert_eq!(again.inbound, [packet_id(9)]);
    assert_eq!((again.session.next_seq, again.session.queued_items), (Seq(2), 1));
    receipt.durable().await.expect("the batch becomes durable");
}

/// The new open's expiry counts from then on.
pub async fn an_open_brings_its_own_expiry<F: Factory>(s: Subject<F>) {
    let opened = s.connect("c").await;
    let again = s.open(OpenSession { expiry: SessionExpiry::Secs(7), ..connect("c") }).await;
    assert_eq!(again.session.expiry, SessionExpiry::Secs(7));
    assert_eq!(s.session(id(&opened)).await.expect("it is there").expiry, SessionExpiry::Secs(7));
}

/// As DISCONNECT may do (MQTT 5.0, 3.14.2.2.2).
pub async fn a_session_changes_its_expiry<F: Factory>(s: Subject<F>) {
    let opened = s.connect("c").await;
    assert_eq!(s.one(s.by(&opened), Op::SetExpiry(SessionExpiry::Secs(3))).await, Outcome::Done);
    assert_eq!(s.session(id(&opened)).await.expect("it is there").expiry, SessionExpiry::Secs(3));
}

/// The batch's `now` is when the connection closed; a second time does not move it.
pub async fn going_offline_is_stamped_once<F: Factory>(s: Subject<F>) {
    let opened = s.connect("c").await;
    let mut batch = s.by(&opened);
    batch.now = at(5);
    assert_eq!(s.one(batch.clone(), Op::GoOffline).await, Outcome::Done);
    batch.now = at(9);
    assert_eq!(s.one(batch, Op::GoOffline).await, Outcome::Done);
    assert_eq!(s.session(id(&opened)).await.expect("it is there").offline_since, Some(at(5)));
}

/// Being connected is part of the record.
pub async fn an_open_brings_the_session_online<F: Factory>(s: Subject<F>) {
    let opened = s.connect("c").await;
    s.one(s.by(&opened), Op::GoOffline).await;
    let again = s.open(OpenSession { now: at(1), ..connect("c") }).await;
    assert_eq!(again.session.offline_since, None);
    assert_eq!(s.session(id(&opened)).await.expect("it is there").offline_since, None);
}

/// DISCONNECT with expiry 0, for one.
pub async fn a_session_ends_itself<F: Factory>(s: Subject<F>) {
    let opened = s.connect("c").await;
    assert_eq!(s.one(s.by(&opened), Op::EndSession(id(&opened))).await, Outcome::Done);
    assert_eq!(s.session(id(&opened)).await, None);
    let next = s.connect("c").await;
    assert!(!next.present);
    assert_eq!(next.ended, None);
    assert_ne!(id(&next), id(&opened));
}

/// Administration.
pub async fn the_broker_ends_any_session<F: Factory>(s: Subject<F>) {
    let opened = s.connect("c").await;
    assert_eq!(s.one(s.by_broker(), Op::EndSession(id(&opened))).await, Outcome::Done);
    assert_eq!(s.one(s.by_broker(), Op::EndSession(id(&opened))).await, Outcome::Absent);
    assert!(!s.connect("c").await.present);
}

/// Towards another session a batch can do one thing: enqueue.
pub async fn a_session_cannot_end_another<F: Factory>(s: Subject<F>) {
    let (opened, other) = (s.connect("c").await, s.connect("d").await);
    s.refuse(s.by(&opened).with(Op::EndSession(id(&other))), ErrorKind::Unsupported).await;
    assert!(s.session(id(&other)).await.is_some());
}

/// The broker has no session of its own.
pub async fn the_broker_cannot_write_for_a_session<F: Factory>(s: Subject<F>) {
    s.connect("c").await;
    let ops = [
        Op::SetExpiry(SessionExpiry::Never),
        Op::GoOffline,
        Op::Subscribe(subscription("a")),
        Op::Unsubscribe(filter("a")),
        Op::Assign { seq: Seq(1), packet_id: packet_id(1) },
        Op::Release(Seq(1)),
        Op::Settle(Seq(1)),
        Op::PutInbound(packet_id(1)),
        Op::DeleteInbound(packet_id(1)),
        Op::TakeWill,
    ];
    for op in ops {
        s.refuse(s.by_broker().with(op), ErrorKind::Unsupported).await;
    }
}

/// A batch that ends its session goes on: what comes behind finds nothing.
pub async fn behind_its_end_a_session_is_absent_in_the_same_batch<F: Factory>(s: Subject<F>) {
    let opened = s.connect("c").await;
    let batch = s
        .by(&opened)
        .with(Op::EndSession(id(&opened)))
        .with(Op::Subscribe(subscription("a")))
        .with(Op::PutInbound(packet_id(1)))
        .with(Op::SetExpiry(SessionExpiry::Never))
        .with(Op::GoOffline)
        .with(Op::TakeWill)
        .with(Op::EndSession(id(&opened)));
    let outcomes = s.submit(batch).await;
    assert_eq!(outcomes[0], Outcome::Done);
    assert!(outcomes[1..].iter().all(|outcome| *outcome == Outcome::Absent), "{outcomes:?}");
}

/// Everything that a session has is there after the store was closed and opened.
pub async fn a_session_is_there_after_reopening<F: Factory>(mut s: Subject<F>) {
    let opened = s.open(OpenSession { expiry: SessionExpiry::Secs(60), ..connect("c") }).await;
    let batch = s.by(&opened).with(Op::Subscribe(subscription("a"))).with(Op::PutInbound(packet_id(1)));
    s.submit(batch.with(Op::GoOffline)).await;
    s.enqueue(id(&opened), "1").await;
    let before = s.session(id(&opened)).await;
    s.reopen().await;
    assert_eq!(s.session(id(&opened)).await, before);
    let again = s.connect("c").await;
    assert!(again.present);
    assert_eq!(id(&again), id(&opened));
    assert_eq!(again.subscriptions, [subscription("a")]);
    assert_eq!(again.inbound, [packet_id(1)]);
    assert_eq!(s.payloads(id(&opened)).await, ["1"]);
}

/// A session that ended does not come back with the store.
pub async fn an_ended_session_is_gone_after_reopening<F: Factory>(mut s: Subject<F>) {
    let opened = s.connect("c").await;
    s.enqueue(id(&opened), "1").await;
    s.one(s.by(&opened), Op::EndSession(id(&opened))).await;
    s.reopen().await;
    assert_eq!(s.session(id(&opened)).await, None);
    let again = s.connect("c").await;
    assert!(!again.present);
    assert!(s.queue(id(&again)).await.is_empty());
}
