//! QoS 2 messages that come in: their packet ids, between PUBLISH and PUBREL.

use std::sync::Arc;

use opifex_storage::{Op, OpenSession, Outcome, RecordKind};

use crate::script::{connect, id, message, packet_id, target};
use crate::{Factory, Subject};

/// The second PUBLISH of an id is not routed: the outcome says that it is there.
pub async fn an_id_is_recorded_once<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    assert_eq!(s.one(s.by(&c), Op::PutInbound(packet_id(7))).await, Outcome::Done);
    assert_eq!(s.one(s.by(&c), Op::PutInbound(packet_id(7))).await, Outcome::Present);
    assert_eq!(s.inbound(id(&c)).await, [7]);
}

/// After PUBREL the client may use the id again.
pub async fn a_removed_id_can_be_recorded_again<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    s.one(s.by(&c), Op::PutInbound(packet_id(7))).await;
    assert_eq!(s.one(s.by(&c), Op::DeleteInbound(packet_id(7))).await, Outcome::Done);
    assert_eq!(s.one(s.by(&c), Op::DeleteInbound(packet_id(7))).await, Outcome::Absent);
    assert_eq!(s.one(s.by(&c), Op::PutInbound(packet_id(7))).await, Outcome::Done);
}

/// A present id does not fail the batch; the broker decides before it routes.
pub async fn a_present_id_refuses_nothing_else<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    s.one(s.by(&c), Op::PutInbound(packet_id(7))).await;
    let batch = s.by(&c).with(Op::PutInbound(packet_id(7))).with(Op::PutInbound(packet_id(8)));
    assert_eq!(s.submit(batch).await, [Outcome::Present, Outcome::Done]);
    assert_eq!(s.connect("c").await.inbound, [packet_id(7), packet_id(8)]);
}

/// In order of the number, not of the text or of the arrival.
pub async fn an_open_returns_the_ids_ascending<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let mut batch = s.by(&c);
    for n in [300, 2, 65_535, 10, 256, 1, 9, 255] {
        batch.ops.push(Op::PutInbound(packet_id(n)));
    }
    s.submit(batch).await;
    let expected = [1, 2, 9, 10, 255, 256, 300, 65_535].map(packet_id);
    assert_eq!(s.connect("c").await.inbound, expected);
}

/// All that a client can have.
pub async fn every_id_can_be_awaited_at_once<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let ids: Vec<u16> = (1..=u16::MAX).collect();
    for ids in ids.chunks(s.capabilities().max_batch_ops.min(10_000)) {
        let mut batch = s.by(&c);
        batch.ops.extend(ids.iter().map(|n| Op::PutInbound(packet_id(*n))));
        s.submit(batch).await;
    }
    let opened = s.connect("c").await;
    assert!(opened.inbound.iter().map(|id| id.get()).eq(1..=u16::MAX));
}

/// Two clients use the same id.
pub async fn ids_are_a_sessions_own<F: Factory>(s: Subject<F>) {
    let (a, b) = (s.connect("a").await, s.connect("b").await);
    for session in [&a, &b] {
        assert_eq!(s.one(s.by(session), Op::PutInbound(packet_id(7))).await, Outcome::Done);
    }
    s.one(s.by(&a), Op::DeleteInbound(packet_id(7))).await;
    assert!(s.inbound(id(&a)).await.is_empty());
    assert_eq!(s.inbound(id(&b)).await, [7]);
}

/// The two directions number on their own.
pub async fn incoming_and_outgoing_ids_do_not_meet<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let seq = s.enqueue(id(&c), "out").await;
    let batch = s.by(&c).with(Op::Assign { seq, packet_id: packet_id(7) }).with(Op::PutInbound(packet_id(7)));
    assert_eq!(s.submit(batch).await, [Outcome::Done, Outcome::Done]);
    s.one(s.by(&c), Op::Settle(seq)).await;
    assert_eq!(s.inbound(id(&c)).await, [7]);
}

/// A new session knows nothing of the old one's.
pub async fn ids_end_with_their_session<F: Factory>(s: Subject<F>) {
    let old = s.connect("c").await;
    s.one(s.by(&old), Op::PutInbound(packet_id(7))).await;
    let new = s.open(OpenSession { clean_start: true, ..connect("c") }).await;
    assert!(s.scan(RecordKind::Inbound).await.is_empty());
    assert_eq!(s.one(s.by(&new), Op::PutInbound(packet_id(7))).await, Outcome::Done);
}

/// A QoS 2 PUBLISH is one batch: id, retained message and fan-out.
pub async fn an_incoming_publish_is_one_batch<F: Factory>(s: Subject<F>) {
    let (publisher, subscriber) = (s.connect("p").await, s.connect("s").await);
    let body = Arc::new(message("t", "x"));
    let batch = s.by(&publisher).with(Op::PutInbound(packet_id(7))).with(Op::Retain(Arc::clone(&body)));
    s.submit(batch.with(Op::Enqueue { message: body, targets: vec![target(id(&subscriber))] })).await;
    assert_eq!(s.inbound(id(&publisher)).await, [7]);
    assert_eq!(s.topics(&["t"]).await, ["t"]);
    assert_eq!(s.payloads(id(&subscriber)).await, ["x"]);
}
