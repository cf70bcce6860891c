//! Expiry of sessions, queue entries and retained messages: when it is due, and who wins against a claim.

use opifex_storage::{
    Due, DueItem, ErrorKind, Op, OpenSession, OpenedSession, Outcome, PageLimit, Persistence, RecordVersion,
    Seq, SessionExpiry,
};

use crate::script::{START, at, connect, expiring, id, message, packet_id, topic};
use crate::{Factory, Subject};

/// A session that goes offline at the beginning and expires so many seconds later.
async fn offline<F: Factory>(s: &Subject<F>, client: &str, expiry: SessionExpiry) -> OpenedSession {
    let opened = s.open(OpenSession { expiry, ..connect(client) }).await;
    s.one(s.by(&opened), Op::GoOffline).await;
    opened
}

fn expired(session: &OpenedSession) -> DueItem {
    DueItem::SessionExpired(id(session))
}

/// Not a moment before.
pub async fn an_offline_session_expires_after_its_interval<F: Factory>(s: Subject<F>) {
    let c = offline(&s, "c", SessionExpiry::Secs(10)).await;
    assert!(s.due(at(9)).await.is_empty());
    let due = s.only_due(at(10)).await;
    assert_eq!((due.item, due.at, due.will), (expired(&c), at(10), None));
}

/// The clock starts when the connection closes.
pub async fn a_connected_session_does_not_expire<F: Factory>(s: Subject<F>) {
    s.open(OpenSession { expiry: SessionExpiry::Secs(10), ..connect("c") }).await;
    assert!(s.due(at(u32::MAX)).await.is_empty());
}

/// 0xFFFFFFFF.
pub async fn a_session_that_never_expires_is_never_due<F: Factory>(s: Subject<F>) {
    offline(&s, "c", SessionExpiry::Never).await;
    assert!(s.due(opifex_storage::Timestamp(i64::MAX as u64)).await.is_empty());
}

/// With its connection.
pub async fn a_session_with_expiry_0_is_due_when_it_goes_offline<F: Factory>(s: Subject<F>) {
    let c = offline(&s, "c", SessionExpiry::WITH_CONNECTION).await;
    assert_eq!(s.only_due(at(0)).await.item, expired(&c));
}

/// The longest interval that is not "never".
pub async fn a_very_long_interval_is_kept<F: Factory>(s: Subject<F>) {
    let c = offline(&s, "c", SessionExpiry::Secs(u32::MAX - 1)).await;
    assert!(s.due(at(u32::MAX - 2)).await.is_empty());
    assert_eq!(s.only_due(at(u32::MAX - 1)).await.item, expired(&c));
}

/// The claim is what ends it: reading does not.
pub async fn a_claim_ends_the_session<F: Factory>(s: Subject<F>) {
    let c = offline(&s, "c", SessionExpiry::Secs(10)).await;
    let due = s.only_due(at(10)).await;
    assert!(s.session(id(&c)).await.is_some());
    s.submit(s.by_claim(&due, at(10))).await;
    assert_eq!(s.session(id(&c)).await, None);
    assert!(s.due(at(10)).await.is_empty());
    s.refuse(s.by_claim(&due, at(10)), ErrorKind::Conflict).await;
    assert!(!s.connect("c").await.present);
}

/// The item was read, and the client is back: the open has ended the session, the claim finds nothing.
pub async fn an_open_before_the_claim_wins<F: Factory>(s: Subject<F>) {
    let c = offline(&s, "c", SessionExpiry::Secs(10)).await;
    let due = s.only_due(at(10)).await;
    let back = s.open(OpenSession { now: at(11), ..connect("c") }).await;
    assert_eq!(back.ended, Some(id(&c)));
    s.refuse(s.by_claim(&due, at(12)), ErrorKind::Conflict).await;
    assert!(s.session(id(&back)).await.is_some());
}

/// The item of an earlier time offline does not claim the session of this time.
pub async fn a_claim_of_an_earlier_expiry_is_refused<F: Factory>(s: Subject<F>) {
    let c = offline(&s, "c", SessionExpiry::Secs(10)).await;
    let due = s.only_due(at(10)).await;
    s.one(s.by(&c), Op::SetExpiry(SessionExpiry::Secs(20))).await;
    let back = offline(&s, "c", SessionExpiry::Secs(5)).await;
    assert!(back.present);
    let again = s.only_due(at(15)).await;
    assert_eq!(again.item, due.item);
    s.refuse(s.by_claim(&due, at(15)), ErrorKind::Conflict).await;
    assert!(s.session(id(&c)).await.is_some());
    s.submit(s.by_claim(&again, at(15))).await;
    assert_eq!(s.session(id(&c)).await, None);
}

/// Nobody has claimed it yet, and it is over all the same.
pub async fn an_open_behind_the_expiry_begins_a_new_session<F: Factory>(s: Subject<F>) {
    let c = offline(&s, "c", SessionExpiry::Secs(10)).await;
    s.enqueue(id(&c), "late").await;
    let back = s.open(OpenSession { now: at(10), ..connect("c") }).await;
    assert!(!back.present);
    assert_eq!(back.ended, Some(id(&c)));
    assert_eq!(back.session.queued_items, 0);
    assert_eq!(s.due_items(at(10)).await, [DueItem::SessionEnded(id(&c))]);
}

/// The last moment.
pub async fn an_open_before_the_expiry_continues_the_session<F: Factory>(s: Subject<F>) {
    let c = offline(&s, "c", SessionExpiry::Secs(10)).await;
    let back = s.open(OpenSession { now: at(9), ..connect("c") }).await;
    assert!(back.present);
    assert_eq!(id(&back), id(&c));
}

/// Its clock has stopped.
pub async fn a_session_that_came_back_does_not_expire<F: Factory>(s: Subject<F>) {
    offline(&s, "c", SessionExpiry::Secs(10)).await;
    s.open(OpenSession { now: at(5), expiry: SessionExpiry::Secs(10), ..connect("c") }).await;
    assert!(s.due(at(1000)).await.is_empty());
}

/// Administration, or a DISCONNECT that is written late.
pub async fn an_expiry_that_changes_offline_moves_the_deadline<F: Factory>(s: Subject<F>) {
    let c = offline(&s, "c", SessionExpiry::Secs(10)).await;
    s.one(s.by(&c), Op::SetExpiry(SessionExpiry::Secs(20))).await;
    assert!(s.due(at(19)).await.is_empty());
    assert_eq!(s.only_due(at(20)).await.item, expired(&c));
    s.one(s.by(&c), Op::SetExpiry(SessionExpiry::Never)).await;
    assert!(s.due(at(u32::MAX)).await.is_empty());
    s.one(s.by(&c), Op::SetExpiry(SessionExpiry::Secs(5))).await;
    assert_eq!(s.only_due(at(5)).await.at, at(5));
}

/// A claim that was read before the interval became longer.
pub async fn a_claim_is_refused_when_the_deadline_moved_away<F: Factory>(s: Subject<F>) {
    let c = offline(&s, "c", SessionExpiry::Secs(10)).await;
    let due = s.only_due(at(10)).await;
    s.one(s.by(&c), Op::SetExpiry(SessionExpiry::Secs(100))).await;
    s.refuse(s.by_claim(&due, at(10)), ErrorKind::Conflict).await;
    assert!(s.session(id(&c)).await.is_some());
}

/// Clocks that had started run on.
pub async fn a_deadline_is_there_after_reopening<F: Factory>(mut s: Subject<F>) {
    let c = offline(&s, "c", SessionExpiry::Secs(10)).await;
    s.enqueue_message(id(&c), expiring("t", "x", at(7))).await;
    s.retain(expiring("r", "x", at(8))).await;
    s.reopen().await;
    let expected =
        [DueItem::QueuedExpired(id(&c), Seq(1)), DueItem::RetainedExpired(topic("r")), expired(&c)];
    assert_eq!(s.due_items(at(10)).await, expected);
}

/// A claim settles it.
pub async fn a_queued_message_expires<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    s.enqueue_message(id(&c), expiring("t", "1", at(10))).await;
    s.enqueue(id(&c), "2").await;
    assert!(s.due(at(9)).await.is_empty());
    let due = s.only_due(at(10)).await;
    assert_eq!((&due.item, due.at), (&DueItem::QueuedExpired(id(&c), Seq(1)), at(10)));
    s.submit(s.by_claim(&due, at(10))).await;
    assert_eq!(s.payloads(id(&c)).await, ["2"]);
    assert!(s.due(at(10)).await.is_empty());
    s.refuse(s.by_claim(&due, at(10)), ErrorKind::Conflict).await;
}

/// Its client may have it already.
pub async fn a_message_with_a_packet_id_does_not_expire<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let seq = s.enqueue_message(id(&c), expiring("t", "x", at(10))).await;
    s.one(s.by(&c), Op::Assign { seq, packet_id: packet_id(1) }).await;
    assert!(s.due(at(1000)).await.is_empty());
    assert_eq!(s.payloads(id(&c)).await, ["x"]);
}

/// It was sent between the read and the claim.
pub async fn a_claim_is_refused_when_the_entry_got_a_packet_id<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let seq = s.enqueue_message(id(&c), expiring("t", "x", at(10))).await;
    let due = s.only_due(at(10)).await;
    s.one(s.by(&c), Op::Assign { seq, packet_id: packet_id(1) }).await;
    s.refuse(s.by_claim(&due, at(10)), ErrorKind::Conflict).await;
    assert_eq!(s.payloads(id(&c)).await, ["x"]);
}

/// It went before it expired.
pub async fn a_settled_message_does_not_expire<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let seq = s.enqueue_message(id(&c), expiring("t", "x", at(10))).await;
    let due = s.only_due(at(10)).await;
    s.one(s.by(&c), Op::Settle(seq)).await;
    assert!(s.due(at(10)).await.is_empty());
    s.refuse(s.by_claim(&due, at(10)), ErrorKind::Conflict).await;
}

/// Each session's entry is its own item.
pub async fn a_fanned_out_message_expires_in_each_queue<F: Factory>(s: Subject<F>) {
    let (a, b) = (s.connect("a").await, s.connect("b").await);
    let message = std::sync::Arc::new(expiring("t", "x", at(10)));
    let targets = [&a, &b].map(|to| crate::script::target(id(to))).to_vec();
    s.one(s.by_broker(), Op::Enqueue { message, targets }).await;
    let due = s.due(at(10)).await;
    assert_eq!(due.len(), 2);
    let of_a = due.iter().find(|due| due.item == DueItem::QueuedExpired(id(&a), Seq(1))).expect("a's entry");
    s.submit(s.by_claim(of_a, at(10))).await;
    assert!(s.queue(id(&a)).await.is_empty());
    assert_eq!(s.payloads(id(&b)).await, ["x"]);
}

/// A claim removes it.
pub async fn a_retained_message_expires<F: Factory>(s: Subject<F>) {
    let version = s.retain(expiring("r", "x", at(10))).await;
    s.retain(message("r/other", "x")).await;
    assert!(s.due(at(9)).await.is_empty());
    let due = s.only_due(at(10)).await;
    assert_eq!(due, Due { item: DueItem::RetainedExpired(topic("r")), at: at(10), version, will: None });
    s.submit(s.by_claim(&due, at(10))).await;
    assert_eq!(s.topics(&["#"]).await, ["r/other"]);
    assert!(s.due(at(10)).await.is_empty());
    s.refuse(s.by_claim(&due, at(10)), ErrorKind::Conflict).await;
}

/// The claim was for the message that was there before.
pub async fn a_claim_is_refused_when_the_retained_message_was_replaced<F: Factory>(s: Subject<F>) {
    s.retain(expiring("r", "old", at(10))).await;
    let due = s.only_due(at(10)).await;
    s.retain(expiring("r", "new", at(10))).await;
    s.refuse(s.by_claim(&due, at(10)), ErrorKind::Conflict).await;
    assert_eq!(&s.retained(&["r"]).await.0[0].message.payload[..], b"new");
}

/// The new message has its own deadline, or none.
pub async fn replacing_a_retained_message_replaces_its_deadline<F: Factory>(s: Subject<F>) {
    s.retain(expiring("r", "1", at(10))).await;
    s.retain(expiring("r", "2", at(20))).await;
    assert!(s.due(at(19)).await.is_empty());
    assert_eq!(s.only_due(at(20)).await.at, at(20));
    s.retain(message("r", "3")).await;
    assert!(s.due(at(1000)).await.is_empty());
    s.retain(expiring("r", "4", at(5))).await;
    s.one(s.by_broker(), Op::Unretain(topic("r"))).await;
    assert!(s.due(at(1000)).await.is_empty());
}

/// A claim holds at the batch's `now`, whatever it says of itself.
pub async fn a_claim_before_its_time_is_refused<F: Factory>(s: Subject<F>) {
    let c = offline(&s, "c", SessionExpiry::Secs(10)).await;
    let version = s.retain(expiring("r", "x", at(10))).await;
    let session = RecordVersion(c.session.epoch.0);
    let early = |item, version| Due { item, at: START, version, will: None };
    for due in [early(expired(&c), session), early(DueItem::RetainedExpired(topic("r")), version)] {
        s.refuse(s.by_claim(&due, at(9)), ErrorKind::Conflict).await;
    }
    assert_eq!(s.due(at(10)).await.len(), 2);
}

/// Of all kinds, by their time.
pub async fn due_items_come_earliest_first<F: Factory>(s: Subject<F>) {
    let (a, b) =
        (offline(&s, "a", SessionExpiry::Secs(4)).await, offline(&s, "b", SessionExpiry::Secs(1)).await);
    s.retain(expiring("r3", "", at(3))).await;
    s.retain(expiring("r256", "", at(256))).await;
    s.enqueue_message(id(&a), expiring("t", "", at(2))).await;
    s.retain(expiring("r5", "", at(5))).await;
    let expected = [
        expired(&b),
        DueItem::QueuedExpired(id(&a), Seq(1)),
        DueItem::RetainedExpired(topic("r3")),
        expired(&a),
        DueItem::RetainedExpired(topic("r5")),
    ];
    assert_eq!(s.due_items(at(255)).await, expected);
    let page = s.store().due(at(255), None, PageLimit::items(2)).await.expect("due items can be read");
    let items: Vec<_> = page.items.into_iter().map(|due| due.item).collect();
    assert_eq!(items, expected[..2]);
    assert!(page.next.is_some());
}

/// Asking claims nothing.
pub async fn the_same_items_come_again_until_they_are_claimed<F: Factory>(s: Subject<F>) {
    s.retain(expiring("r", "", at(1))).await;
    let first = s.due(at(1)).await;
    assert_eq!(s.due(at(1)).await, first);
    assert_eq!(s.due(at(2)).await, first);
    assert_eq!(first.len(), 1);
}

/// A batch that is refused for something else leaves its item unclaimed.
pub async fn a_refused_batch_claims_nothing<F: Factory>(s: Subject<F>) {
    let c = offline(&s, "c", SessionExpiry::Secs(10)).await;
    let due = s.only_due(at(10)).await;
    s.refuse(s.by_claim(&due, at(10)).with(Op::Purge { limit: 1 }), ErrorKind::Unsupported).await;
    assert!(s.session(id(&c)).await.is_some());
    assert_eq!(s.due(at(10)).await, [due]);
}

/// What comes in the claim's batch finds the session ended.
pub async fn behind_a_claimed_expiry_the_session_is_absent<F: Factory>(s: Subject<F>) {
    let c = offline(&s, "c", SessionExpiry::Secs(10)).await;
    s.enqueue(id(&c), "x").await;
    let due = s.only_due(at(10)).await;
    let batch = s
        .by_claim(&due, at(10))
        .with(Op::SetExpiry(SessionExpiry::Never))
        .with(Op::PutInbound(packet_id(1)))
        .with(Op::Settle(Seq(1)));
    assert_eq!(s.submit(batch).await, [Outcome::Absent, Outcome::Absent, Outcome::Done]);
}
