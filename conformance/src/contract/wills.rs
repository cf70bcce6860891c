//! Wills: written by the open that brought them, due or cancelled as the connection ends.

use std::sync::Arc;

use opifex_packet::{Properties, Property};
use opifex_storage::{
    Due, DueItem, ErrorKind, Message, NewWill, Op, OpenSession, OpenedSession, Outcome, RecordVersion,
    SessionExpiry, WillRecord,
};

use crate::script::{at, connect, delayed_will, id, message, target, will};
use crate::{Factory, Subject};

/// Opens the client's session with this will.
async fn with_will<F: Factory>(s: &Subject<F>, will: NewWill) -> OpenedSession {
    s.open(OpenSession { will: Some(will), ..connect("c") }).await
}

/// The connection closes so many seconds after the beginning.
async fn offline<F: Factory>(s: &Subject<F>, session: &OpenedSession, secs: u32) {
    let mut batch = s.by(session).with(Op::GoOffline);
    batch.now = at(secs);
    s.submit(batch).await;
}

/// A will's deadline, when there is one will.
async fn due_at<F: Factory>(s: &Subject<F>) -> Option<opifex_storage::Timestamp> {
    let wills = s.wills().await;
    assert_eq!(wills.len(), 1, "there is one will: {wills:?}");
    wills[0].due_at
}

/// It belongs to the session and to the open that brought it.
pub async fn an_open_writes_its_will<F: Factory>(s: Subject<F>) {
    let brought = NewWill {
        message: Arc::new(Message {
            properties: Properties::default()
                .with(Property::ContentType("text"))
                .with(Property::UserProperty("k", "v")),
            ..message("w", "gone")
        }),
        retain: true,
        delay_secs: 30,
        expiry_secs: Some(60),
    };
    let c = with_will(&s, brought.clone()).await;
    let record = WillRecord { session: id(&c), epoch: c.session.epoch, will: brought, due_at: None };
    assert_eq!(s.wills().await, [record]);
    assert!(s.due(at(u32::MAX)).await.is_empty(), "its connection lives");
}

/// DISCONNECT 0x00 deletes it.
pub async fn a_will_is_taken_once<F: Factory>(s: Subject<F>) {
    let c = with_will(&s, will("w", "x")).await;
    assert_eq!(s.one(s.by(&c), Op::TakeWill).await, Outcome::Done);
    assert_eq!(s.one(s.by(&c), Op::TakeWill).await, Outcome::Absent);
    offline(&s, &c, 1).await;
    assert!(s.wills().await.is_empty());
    assert!(s.due(at(2)).await.is_empty());
}

/// Without a delay the will is due when the connection closes.
pub async fn a_will_without_delay_is_due_at_the_end_of_the_connection<F: Factory>(s: Subject<F>) {
    let c = with_will(&s, will("w", "x")).await;
    assert!(s.due(at(4)).await.is_empty());
    offline(&s, &c, 5).await;
    let due = s.only_due(at(5)).await;
    assert_eq!((due.item, due.at), (DueItem::Will(id(&c)), at(5)));
    assert_eq!(due.will, s.wills().await.pop());
}

/// (MQTT 5.0, 3.1.3.2.2)
pub async fn a_delayed_will_is_due_after_its_delay<F: Factory>(s: Subject<F>) {
    let c = with_will(&s, delayed_will("w", "x", 30)).await;
    offline(&s, &c, 5).await;
    assert!(s.due(at(34)).await.is_empty());
    assert_eq!(s.only_due(at(35)).await.at, at(35));
}

/// Whichever comes first: the session ends before the delay.
pub async fn a_will_is_due_at_the_expiry_when_that_is_earlier<F: Factory>(s: Subject<F>) {
    let will = Some(delayed_will("w", "x", 30));
    let c = s.open(OpenSession { will, expiry: SessionExpiry::Secs(10), ..connect("c") }).await;
    offline(&s, &c, 5).await;
    assert_eq!(due_at(&s).await, Some(at(15)));
    let mut due = s.due_items(at(15)).await;
    due.sort();
    assert_eq!(due, [DueItem::SessionExpired(id(&c)), DueItem::Will(id(&c))]);
}

/// Whichever comes first: the delay passes before the session ends.
pub async fn a_will_is_due_after_its_delay_when_that_is_earlier<F: Factory>(s: Subject<F>) {
    let will = Some(delayed_will("w", "x", 10));
    let c = s.open(OpenSession { will, expiry: SessionExpiry::Secs(30), ..connect("c") }).await;
    offline(&s, &c, 5).await;
    assert_eq!(s.due_items(at(34)).await, [DueItem::Will(id(&c))]);
    assert_eq!(due_at(&s).await, Some(at(15)));
}

/// DISCONNECT with expiry 0 and "with will".
pub async fn an_expiry_that_is_changed_before_the_end_counts_for_the_will<F: Factory>(s: Subject<F>) {
    let c = with_will(&s, delayed_will("w", "x", 30)).await;
    let mut batch = s.by(&c).with(Op::SetExpiry(SessionExpiry::Secs(20))).with(Op::GoOffline);
    batch.now = at(1);
    s.submit(batch).await;
    assert_eq!(due_at(&s).await, Some(at(21)));
}

/// Clocks that run already run on.
pub async fn going_offline_again_does_not_put_a_will_off<F: Factory>(s: Subject<F>) {
    let c = with_will(&s, delayed_will("w", "x", 30)).await;
    offline(&s, &c, 5).await;
    offline(&s, &c, 20).await;
    assert_eq!(due_at(&s).await, Some(at(35)));
}

/// The old connection did not say goodbye, and its will does not wait.
pub async fn taking_over_makes_a_will_without_delay_due<F: Factory>(s: Subject<F>) {
    let old = with_will(&s, will("w", "old")).await;
    let new = s.open(OpenSession { now: at(3), ..connect("c") }).await;
    assert!(new.present && new.will_due);
    let due = s.only_due(at(3)).await;
    assert_eq!((due.item, due.at), (DueItem::Will(id(&old)), at(3)));
    assert_eq!(due.will.expect("a will comes with it").epoch, old.session.epoch);
}

/// [MQTT-3.1.3-9]: the session goes on before the delay has passed.
pub async fn taking_over_cancels_a_delayed_will<F: Factory>(s: Subject<F>) {
    with_will(&s, delayed_will("w", "x", 30)).await;
    let new = s.connect("c").await;
    assert!(new.present && !new.will_due);
    assert!(s.wills().await.is_empty());
    assert!(s.due(at(1000)).await.is_empty());
}

/// The same with a while in between.
pub async fn coming_back_before_the_delay_cancels_the_will<F: Factory>(s: Subject<F>) {
    let c = with_will(&s, delayed_will("w", "x", 30)).await;
    offline(&s, &c, 0).await;
    let new = s.open(OpenSession { now: at(29), ..connect("c") }).await;
    assert!(!new.will_due);
    assert!(s.wills().await.is_empty());
    assert!(s.due(at(1000)).await.is_empty());
}

/// It is owed, though nobody has claimed it yet.
pub async fn coming_back_after_the_delay_leaves_the_will_due<F: Factory>(s: Subject<F>) {
    let c = with_will(&s, delayed_will("w", "x", 30)).await;
    offline(&s, &c, 0).await;
    let new = s.open(OpenSession { now: at(31), ..connect("c") }).await;
    assert!(new.present && new.will_due);
    let due = s.only_due(at(31)).await;
    assert_eq!((due.item, due.at), (DueItem::Will(id(&c)), at(30)));
}

/// The session ends, and with it the wait, of a delay too.
pub async fn clean_start_makes_a_delayed_will_due<F: Factory>(s: Subject<F>) {
    let old = with_will(&s, delayed_will("w", "x", 30)).await;
    let new = s.open(OpenSession { clean_start: true, now: at(3), ..connect("c") }).await;
    assert!(new.will_due);
    let due = s.only_due(at(3)).await;
    assert_eq!((due.item, due.at), (DueItem::Will(id(&old)), at(3)));
}

/// A session that ends with its connection ends when another takes it over.
pub async fn taking_over_a_session_that_ends_makes_its_delayed_will_due<F: Factory>(s: Subject<F>) {
    let will = Some(delayed_will("w", "x", 30));
    let expiry = SessionExpiry::WITH_CONNECTION;
    let old = s.open(OpenSession { will, expiry, ..connect("c") }).await;
    let new = s.open(OpenSession { now: at(3), ..connect("c") }).await;
    assert!(!new.present && new.will_due);
    assert_eq!(new.ended, Some(id(&old)));
    assert_eq!(s.only_due(at(3)).await.item, DueItem::Will(id(&old)));
}

/// Whoever ends it.
pub async fn ending_a_session_makes_its_will_due<F: Factory>(s: Subject<F>) {
    let c = with_will(&s, delayed_will("w", "x", 30)).await;
    let mut batch = s.by_broker().with(Op::EndSession(id(&c)));
    batch.now = at(3);
    s.submit(batch).await;
    let due = s.only_due(at(3)).await;
    assert_eq!((due.item, due.at), (DueItem::Will(id(&c)), at(3)));
}

/// Taken and ended in one batch: nothing is owed.
pub async fn a_will_that_was_taken_does_not_come_with_the_end<F: Factory>(s: Subject<F>) {
    let c = with_will(&s, will("w", "x")).await;
    s.submit(s.by(&c).with(Op::TakeWill).with(Op::EndSession(id(&c)))).await;
    assert!(s.wills().await.is_empty());
    assert!(s.due(at(1000)).await.is_empty());
}

/// Publishing one: claim, retained message and fan-out, once.
pub async fn a_will_is_published_in_one_batch_and_once<F: Factory>(s: Subject<F>) {
    let (c, subscriber) = (with_will(&s, will("w", "x")).await, s.connect("s").await);
    offline(&s, &c, 0).await;
    let due = s.only_due(at(0)).await;
    let body = Arc::clone(&due.will.as_ref().expect("a will comes with it").will.message);
    let batch = s
        .by_claim(&due, at(0))
        .with(Op::Retain(Arc::clone(&body)))
        .with(Op::Enqueue { message: body, targets: vec![target(id(&subscriber))] });
    s.submit(batch.clone()).await;
    assert_eq!(s.payloads(id(&subscriber)).await, ["x"]);
    assert_eq!(s.topics(&["w"]).await, ["w"]);
    assert!(s.wills().await.is_empty());
    assert!(s.due(at(0)).await.is_empty());
    s.refuse(batch, ErrorKind::Conflict).await;
    assert_eq!(s.payloads(id(&subscriber)).await, ["x"]);
}

/// One is due of the old connection, one waits of the new: claiming and taking hit their own.
pub async fn wills_of_two_connections_are_told_apart<F: Factory>(s: Subject<F>) {
    let old = with_will(&s, will("w", "old")).await;
    let new = with_will(&s, will("w", "new")).await;
    assert_eq!(s.wills().await.len(), 2);
    let due = s.only_due(at(0)).await;
    assert_eq!(due.will.as_ref().expect("a will comes with it").epoch, old.session.epoch);
    s.submit(s.by_claim(&due, at(0))).await;
    assert_eq!(s.wills().await[0].epoch, new.session.epoch);
    assert_eq!(s.wills().await.len(), 1);
    assert_eq!(s.one(s.by(&new), Op::TakeWill).await, Outcome::Done);
}

/// Taking the new connection's will leaves what the old one owes.
pub async fn a_due_will_is_not_taken_by_the_next_connection<F: Factory>(s: Subject<F>) {
    let old = with_will(&s, will("w", "old")).await;
    let new = s.connect("c").await;
    assert_eq!(s.one(s.by(&new), Op::TakeWill).await, Outcome::Absent);
    assert_eq!(s.only_due(at(0)).await.will.expect("a will comes with it").epoch, old.session.epoch);
}

/// Neither before its time nor while its connection lives, whatever the claim says of itself.
pub async fn a_will_that_is_not_due_cannot_be_claimed<F: Factory>(s: Subject<F>) {
    let c = with_will(&s, delayed_will("w", "x", 30)).await;
    let version = RecordVersion(c.session.epoch.0);
    let early = Due { item: DueItem::Will(id(&c)), at: at(0), version, will: None };
    s.refuse(s.by_claim(&early, at(0)), ErrorKind::Conflict).await;
    offline(&s, &c, 0).await;
    s.refuse(s.by_claim(&early, at(29)), ErrorKind::Conflict).await;
    assert_eq!(s.wills().await.len(), 1);
}

/// Clocks that had started run on.
pub async fn a_will_and_its_deadline_are_there_after_reopening<F: Factory>(mut s: Subject<F>) {
    let c = with_will(&s, delayed_will("w", "x", 30)).await;
    offline(&s, &c, 5).await;
    let before = s.wills().await;
    s.reopen().await;
    assert_eq!(s.wills().await, before);
    assert_eq!(s.only_due(at(35)).await.item, DueItem::Will(id(&c)));
}
