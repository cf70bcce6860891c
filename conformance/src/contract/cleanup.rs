//! What an ended session leaves: gone for everybody at once, removed in bounded batches.

use std::sync::Arc;

use opifex_storage::{
    Due, DueItem, ErrorKind, Op, OpenSession, OpenedSession, Outcome, RecordKind, RecordVersion, Seq,
    TargetOutcome,
};

use crate::script::{START, at, connect, expiring, id, message, packet_id, subscription, target};
use crate::{Factory, Subject};

/// A session with five entries, two subscriptions and two inbound ids, ended at the beginning.
async fn ended<F: Factory>(s: &Subject<F>) -> (OpenedSession, Due) {
    let c = s.connect("c").await;
    for n in 1..=5 {
        s.enqueue(id(&c), &n.to_string()).await;
    }
    let batch = s
        .by(&c)
        .with(Op::Subscribe(subscription("a")))
        .with(Op::Subscribe(subscription("b")))
        .with(Op::PutInbound(packet_id(1)))
        .with(Op::PutInbound(packet_id(2)));
    s.submit(batch.with(Op::EndSession(id(&c)))).await;
    let due = s.only_due(START).await;
    (c, due)
}

async fn purge<F: Factory>(s: &Subject<F>, due: &Due, limit: usize) -> bool {
    match s.one(s.by_claim(due, START), Op::Purge { limit }).await {
        Outcome::Purged { more } => more,
        other => panic!("a purge answered {other:?}"),
    }
}

/// The end is an item of its own.
pub async fn the_remains_of_a_session_are_due_at_its_end<F: Factory>(s: Subject<F>) {
    let (c, due) = ended(&s).await;
    assert_eq!((&due.item, due.at, &due.will), (&DueItem::SessionEnded(id(&c)), START, &None));
}

/// There would be nothing to do.
pub async fn a_session_that_leaves_nothing_leaves_no_item<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    s.enqueue(id(&c), "x").await;
    s.submit(s.by(&c).with(Op::PutInbound(packet_id(1))).with(Op::Subscribe(subscription("a")))).await;
    let batch = s
        .by(&c)
        .with(Op::Settle(Seq(1)))
        .with(Op::DeleteInbound(packet_id(1)))
        .with(Op::Unsubscribe(crate::script::filter("a")));
    s.submit(batch.with(Op::EndSession(id(&c)))).await;
    assert!(s.due(at(u32::MAX)).await.is_empty());
}

/// Walks show sessions that have not ended, and what hangs on them.
pub async fn walks_do_not_show_what_ended<F: Factory>(s: Subject<F>) {
    ended(&s).await;
    for kind in [RecordKind::Session, RecordKind::Subscription, RecordKind::Queued, RecordKind::Inbound] {
        assert_eq!(s.scan(kind).await, [], "{kind:?}");
    }
}

/// A million entries do not make a batch of a million.
pub async fn a_purge_removes_no_more_than_its_limit<F: Factory>(s: Subject<F>) {
    let (c, due) = ended(&s).await;
    assert!(purge(&s, &due, 2).await);
    assert_eq!(s.seqs(id(&c)).await, [3, 4, 5]);
    assert!(purge(&s, &due, 1).await);
    assert_eq!(s.seqs(id(&c)).await, [4, 5]);
}

/// Nine records, two at a time, are gone in five batches; the item keeps its version and goes with the last.
pub async fn purging_comes_to_an_end<F: Factory>(s: Subject<F>) {
    let (c, due) = ended(&s).await;
    for _ in 0..4 {
        assert!(purge(&s, &due, 2).await, "something is left");
        assert_eq!(s.due(START).await, std::slice::from_ref(&due));
    }
    assert!(!purge(&s, &due, 2).await, "nothing is left");
    assert!(s.due(at(u32::MAX)).await.is_empty());
    assert!(s.queue(id(&c)).await.is_empty());
    s.refuse(s.by_claim(&due, START).with(Op::Purge { limit: 2 }), ErrorKind::Conflict).await;
}

/// As many as there are: nothing is left over for a batch of its own.
pub async fn a_purge_of_all_says_that_nothing_is_left<F: Factory>(s: Subject<F>) {
    let (_, due) = ended(&s).await;
    assert!(!purge(&s, &due, 9).await);
    assert!(s.due(START).await.is_empty());
}

/// One that leaves no queue leaves an item all the same.
pub async fn subscriptions_and_inbound_ids_are_remains_too<F: Factory>(s: Subject<F>) {
    let (a, b) = (s.connect("a").await, s.connect("b").await);
    s.submit(s.by(&a).with(Op::Subscribe(subscription("t"))).with(Op::EndSession(id(&a)))).await;
    s.submit(s.by(&b).with(Op::PutInbound(packet_id(1))).with(Op::EndSession(id(&b)))).await;
    let mut items = s.due(START).await;
    items.sort_by_key(|due| due.item.clone());
    let expected = [DueItem::SessionEnded(id(&a)), DueItem::SessionEnded(id(&b))];
    assert_eq!(items.iter().map(|due| due.item.clone()).collect::<Vec<_>>(), expected);
    for due in items {
        assert!(!purge(&s, &due, 1).await);
    }
    assert!(s.due(START).await.is_empty());
}

/// Nobody else may remove what another session has.
pub async fn only_the_claim_of_the_end_may_purge<F: Factory>(s: Subject<F>) {
    let (c, due) = ended(&s).await;
    let other = s.connect("d").await;
    s.retain(expiring("r", "", START)).await;
    let claims = s.due(START).await;
    let retained =
        claims.iter().find(|due| matches!(due.item, DueItem::RetainedExpired(_))).expect("r is due");
    for batch in [s.by_broker(), s.by(&other), s.by_claim(retained, START)] {
        s.refuse(batch.with(Op::Purge { limit: 10 }), ErrorKind::Unsupported).await;
    }
    let another = Due { version: RecordVersion(due.version.0 + 1), ..due };
    s.refuse(s.by_claim(&another, START).with(Op::Purge { limit: 10 }), ErrorKind::Conflict).await;
    assert_eq!(s.seqs(id(&c)).await.len(), 5);
}

/// A claim alone changes nothing.
pub async fn claiming_the_end_alone_changes_nothing<F: Factory>(s: Subject<F>) {
    let (c, due) = ended(&s).await;
    s.submit(s.by_claim(&due, START)).await;
    assert_eq!(s.due(START).await, [due]);
    assert_eq!(s.seqs(id(&c)).await, [1, 2, 3, 4, 5]);
}

/// Also while its remains are removed.
pub async fn nothing_is_queued_for_a_session_that_ended<F: Factory>(s: Subject<F>) {
    let (c, due) = ended(&s).await;
    let enqueue = Op::Enqueue { message: Arc::new(message("t", "late")), targets: vec![target(id(&c))] };
    let gone = Outcome::Enqueued(vec![TargetOutcome::Gone]);
    assert_eq!(s.one(s.by_broker(), enqueue.clone()).await, gone);
    purge(&s, &due, 2).await;
    assert_eq!(s.one(s.by_broker(), enqueue.clone()).await, gone);
    assert_eq!(s.seqs(id(&c)).await, [3, 4, 5]);
    purge(&s, &due, 100).await;
    assert_eq!(s.one(s.by_broker(), enqueue).await, gone);
    assert!(s.due(START).await.is_empty());
}

/// They have the same client, filters, packet ids and numbers, and another session id.
pub async fn purging_an_old_session_leaves_the_clients_new_one_alone<F: Factory>(s: Subject<F>) {
    let (_, due) = ended(&s).await;
    let new = s.connect("c").await;
    let batch = s.by(&new).with(Op::Subscribe(subscription("a"))).with(Op::PutInbound(packet_id(1)));
    s.submit(batch).await;
    s.enqueue(id(&new), "new").await;
    assert!(!purge(&s, &due, 100).await);
    let again = s.connect("c").await;
    assert_eq!(again.subscriptions, [subscription("a")]);
    assert_eq!(again.inbound, [packet_id(1)]);
    assert_eq!(s.payloads(id(&new)).await, ["new"]);
}

/// A body goes with its last reference, not with the first.
pub async fn purging_takes_the_message_from_nobody_else<F: Factory>(s: Subject<F>) {
    let (a, b) = (s.connect("a").await, s.connect("b").await);
    let targets = vec![target(id(&a)), target(id(&b))];
    s.one(s.by_broker(), Op::Enqueue { message: Arc::new(message("t", "shared")), targets }).await;
    s.one(s.by(&a), Op::EndSession(id(&a))).await;
    let due = s.only_due(START).await;
    purge(&s, &due, 10).await;
    assert_eq!(s.payloads(id(&b)).await, ["shared"]);
}

/// A purged entry's expiry goes with it.
pub async fn purged_entries_do_not_expire<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    s.enqueue_message(id(&c), expiring("t", "x", at(10))).await;
    s.one(s.by(&c), Op::EndSession(id(&c))).await;
    let due = s.only_due(START).await;
    assert!(!purge(&s, &due, 10).await);
    assert!(s.due(at(100)).await.is_empty());
}

/// Ends of several sessions of one client are several items.
pub async fn every_session_that_ended_has_its_own_remains<F: Factory>(s: Subject<F>) {
    let mut ended = Vec::new();
    for n in 0..3 {
        let c = s.open(OpenSession { clean_start: true, ..connect("c") }).await;
        s.enqueue(id(&c), &n.to_string()).await;
        ended.push(id(&c));
    }
    s.one(s.by_broker(), Op::EndSession(ended[2])).await;
    let mut items = s.due_items(START).await;
    items.sort();
    assert_eq!(items, ended.iter().map(|id| DueItem::SessionEnded(*id)).collect::<Vec<_>>());
    for (n, session) in ended.iter().enumerate() {
        assert_eq!(s.payloads(*session).await, [n.to_string()]);
    }
}
