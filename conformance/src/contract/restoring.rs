//! Records of another store, written as they were there: what moving everything into an empty store needs.

use std::sync::Arc;

use opifex_packet::QoS;
use opifex_storage::{
    Batch, ErrorKind, Op, OpenSession, Outcome, PageLimit, Persistence, Queued, Record, RecordKind, Restored,
    Seq, SessionExpiry, SessionId, SessionRecord, Target,
};

use crate::script::{
    START, at, connect, delayed_will, expiring, id, message, packet_id, subscription, target, will,
};
use crate::{Factory, Subject};

/// A store with something of everything.
async fn fill<F: Factory>(s: &Subject<F>) {
    let gone = s.connect("gone").await;
    for payload in ["left 1", "left 2"] {
        s.enqueue(id(&gone), payload).await;
    }
    let open = OpenSession { will: Some(will("w", "of gone")), ..connect("gone") };
    let gone = s.open(open).await;
    s.submit(s.by(&gone).with(Op::Settle(Seq(1))).with(Op::EndSession(id(&gone)))).await;

    // Its queue ran empty: nothing but its record knows which numbers were given.
    let empty = s.connect("empty").await;
    let seq = s.enqueue(id(&empty), "settled").await;
    s.one(s.by(&empty), Op::Settle(seq)).await;

    let expiry = SessionExpiry::Secs(3600);
    let open = OpenSession { expiry, will: Some(delayed_will("w", "of c", 60)), ..connect("c") };
    s.open(open.clone()).await;
    let c = s.open(open).await;
    let d = s.connect("d").await;
    for message in [message("t", "1"), message("t", "2"), message("t", "3"), expiring("t", "4", at(50))] {
        let mut batch = s.by_broker();
        let first = Target {
            qos: QoS::ExactlyOnce,
            retain: true,
            subscription_ids: vec![7, 300_000],
            share: Some(Arc::from("$share/g/t")),
            ..target(id(&c))
        };
        batch.ops.push(Op::Enqueue { message: Arc::new(message), targets: vec![first, target(id(&d))] });
        s.submit(batch).await;
    }
    let batch = s
        .by(&c)
        .with(Op::Subscribe(subscription("t")))
        .with(Op::Subscribe(subscription("$share/g/t")))
        .with(Op::PutInbound(packet_id(3)))
        .with(Op::PutInbound(packet_id(65_535)))
        .with(Op::Settle(Seq(1)))
        .with(Op::Assign { seq: Seq(2), packet_id: packet_id(9) })
        .with(Op::Assign { seq: Seq(3), packet_id: packet_id(8) })
        .with(Op::Release(Seq(3)));
    s.submit(Batch { now: at(5), ..batch.with(Op::GoOffline) }).await;
    s.retain_all([message("r/1", "old"), message("r/1", "new"), expiring("r/2", "", at(70))]).await;
}

/// All that a store holds, what ended sessions left in their queues included.
async fn everything<F: Factory>(s: &Subject<F>) -> Vec<Record> {
    let mut records = Vec::new();
    for kind in RecordKind::ALL {
        for record in s.scan(kind).await {
            let ended = match &record {
                Record::Ended(session, _) => Some(session.id),
                _ => None,
            };
            records.push(record);
            if let Some(id) = ended {
                records.extend(s.queue(id).await.into_iter().map(|entry| Record::Queued(id, entry)));
            }
        }
    }
    records
}

async fn restore<F: Factory>(s: &Subject<F>, record: Record) -> Outcome {
    s.one(s.by_broker(), Op::Restore(Box::new(Restored { record, same_message_as: None }))).await
}

/// A filled store, and an empty one that everything of it was restored to.
async fn moved<F: Factory>(from: &Subject<F>) -> Subject<F> {
    fill(from).await;
    let to = from.another().await;
    for record in everything(from).await {
        assert_eq!(restore(&to, record.clone()).await, Outcome::Done, "{record:?}");
    }
    to
}

/// Numbers, versions, times, what is due: a broker over either store cannot tell which one it has.
pub async fn what_was_restored_reads_as_it_was<F: Factory>(s: Subject<F>) {
    let mut to = moved(&s).await;
    for _ in 0..2 {
        assert_eq!(everything(&to).await, everything(&s).await);
        assert_eq!(to.due(at(u32::MAX)).await, s.due(at(u32::MAX)).await);
        assert_eq!(to.topics(&["r/+"]).await, ["r/1", "r/2"]);
        to.reopen().await;
    }
}

/// Clients come back to what was restored as to what was always there.
pub async fn a_restored_session_goes_on<F: Factory>(s: Subject<F>) {
    let to = moved(&s).await;
    for s in [&s, &to] {
        let c = s.open(OpenSession { now: at(10), ..connect("c") }).await;
        assert!(c.present);
        assert_eq!((c.subscriptions.len(), &c.inbound[..]), (2, &[packet_id(3), packet_id(65_535)][..]));
        assert_eq!(s.seqs(id(&c)).await, [2, 3, 4]);
    }
    let c = to.connect("c").await;
    assert_eq!(to.enqueue(id(&c), "5").await, Seq(5));
    for seq in 2..=5 {
        assert_eq!(to.one(to.by(&c), Op::Settle(Seq(seq))).await, Outcome::Done);
    }
    let session = to.session(id(&c)).await.expect("it is there");
    assert_eq!((session.queued_items, session.queued_bytes), (0, 0));
}

/// Epochs, versions, numbers of entries.
pub async fn restored_numbers_are_not_given_again<F: Factory>(s: Subject<F>) {
    let to = moved(&s).await;
    let highest = s.connect("highest").await.session.epoch;
    let version = s.retain(message("v", "")).await;
    let new = to.connect("new").await;
    assert!(new.session.epoch >= highest, "{} comes behind all that were given", new.session.epoch);
    assert!(to.retain(message("v", "")).await >= version);
}

/// Twice does no harm, and takes nothing's place.
pub async fn what_is_there_is_not_restored_again<F: Factory>(s: Subject<F>) {
    let to = moved(&s).await;
    let before = everything(&to).await;
    for record in before.clone() {
        assert_eq!(restore(&to, record.clone()).await, Outcome::Present, "{record:?}");
    }
    assert_eq!(everything(&to).await, before);
}

/// Of two sessions with one id, or two of one client, the one that is there stays; also behind its end.
pub async fn a_session_takes_nobodys_place<F: Factory>(s: Subject<F>) {
    let to = s.another().await;
    for client in ["of another number", "c"] {
        s.connect(client).await;
    }
    let c = to.connect("c").await;
    let left = to.connect("left").await;
    to.enqueue(id(&left), "left").await;
    to.submit(to.by(&left).with(Op::EndSession(id(&left)))).await;
    let before = everything(&to).await;
    for record in s.scan(RecordKind::Session).await {
        let Record::Session(session) = record else { panic!("{record:?} is no session") };
        for taken in [id(&c), id(&left)] {
            let same_id =
                Record::Session(SessionRecord { id: taken, client_id: "new".into(), ..session.clone() });
            assert_eq!(restore(&to, same_id).await, Outcome::Present, "another has {taken}");
        }
        let same_client =
            Record::Session(SessionRecord { id: SessionId(777), client_id: "c".into(), ..session });
        assert_eq!(restore(&to, same_client).await, Outcome::Present, "the client has a session");
    }
    assert_eq!(everything(&to).await, before);
    // An ended session stands in nobody's way, and its client may have another.
    let Record::Session(session) = s.scan(RecordKind::Session).await.swap_remove(0) else {
        panic!("no session")
    };
    let of_left = Record::Session(SessionRecord { id: SessionId(778), client_id: "left".into(), ..session });
    assert_eq!(restore(&to, of_left).await, Outcome::Done);
}

/// There is no queue, subscription or inbound id without a session.
pub async fn what_hangs_on_no_session_is_absent<F: Factory>(s: Subject<F>) {
    fill(&s).await;
    let empty = s.another().await;
    for kind in [RecordKind::Subscription, RecordKind::Queued, RecordKind::Inbound] {
        for record in s.scan(kind).await {
            assert_eq!(restore(&empty, record.clone()).await, Outcome::Absent, "{record:?}");
        }
    }
    assert_eq!(everything(&empty).await, []);
}

/// A message that several queues hold is one again, and goes with the last of its entries.
pub async fn a_shared_message_is_restored_as_one<F: Factory>(s: Subject<F>) {
    fill(&s).await;
    let to = s.another().await;
    for record in s.scan(RecordKind::Session).await {
        restore(&to, record).await;
    }
    let mut first = None;
    for record in s.scan(RecordKind::Queued).await {
        let Record::Queued(session, mut entry) = record else { panic!("{record:?} is no entry") };
        if entry.seq != Seq(2) {
            continue;
        }
        let same_message_as = first.replace((session, entry.seq));
        if same_message_as.is_some() {
            entry.message = None;
        }
        let record = Record::Queued(session, entry);
        let op = Op::Restore(Box::new(Restored { record, same_message_as }));
        assert_eq!(to.one(to.by_broker(), op).await, Outcome::Done);
    }
    let (c, d) = (to.connect("c").await, to.connect("d").await);
    assert_eq!(to.payloads(id(&d)).await, ["2"]);
    let (of_c, of_d) = (to.session(id(&c)).await, to.session(id(&d)).await);
    assert_eq!(of_c.map(|c| c.queued_bytes), of_d.map(|d| d.queued_bytes), "of the same message");
    to.one(to.by(&c), Op::Settle(Seq(2))).await;
    assert_eq!(to.payloads(id(&d)).await, ["2"]);
    to.one(to.by(&d), Op::Settle(Seq(2))).await;
    assert!(to.queue(id(&d)).await.is_empty());
    // An entry that is not there has no message to share.
    let Record::Queued(session, entry) = s.scan(RecordKind::Queued).await.swap_remove(0) else { panic!() };
    let record = Record::Queued(session, Queued { message: None, seq: Seq(9), ..entry });
    let lost = Restored { record, same_message_as: Some((id(&d), Seq(77))) };
    assert_eq!(to.one(to.by_broker(), Op::Restore(Box::new(lost))).await, Outcome::Absent);
}

/// A session writes for itself alone.
pub async fn only_the_broker_restores<F: Factory>(s: Subject<F>) {
    fill(&s).await;
    let d = s.connect("d").await;
    let record = s.scan(RecordKind::Retained).await.swap_remove(0);
    let op = Op::Restore(Box::new(Restored { record, same_message_as: None }));
    s.refuse(s.by(&d).with(op), ErrorKind::Unsupported).await;
}

/// Ended sessions that left something, page after page.
pub async fn a_walk_shows_each_ended_session_once<F: Factory>(s: Subject<F>) {
    let mut ended = Vec::new();
    for n in 0..10 {
        let c = s.connect("c").await;
        if n % 3 != 0 {
            s.enqueue(id(&c), "left").await;
            ended.push(id(&c));
        }
        s.submit(Batch { now: at(n), ..s.by(&c).with(Op::EndSession(id(&c))) }).await;
    }
    for items in [1, 2, 100] {
        let (mut seen, mut cursor) = (Vec::new(), None);
        for page in 0.. {
            assert!(page < 1000, "a walk of ended sessions does not end");
            let limit = PageLimit::items(items);
            let page = s.store().scan(RecordKind::Ended, cursor, limit).await.expect("it can be read");
            for record in page.items {
                let Record::Ended(session, at) = record else { panic!("{record:?} has not ended") };
                assert!(at >= START && session.queued_items == 1 && &*session.client_id == "c");
                seen.push(session.id);
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        seen.sort();
        assert_eq!(seen, ended, "in pages of {items}");
    }
}
