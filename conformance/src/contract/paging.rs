//! Pages: bounded, resumable, each a snapshot; what is there throughout a walk is returned exactly once.

use std::sync::Arc;

use opifex_storage::{
    Batch, Cursor, Due, DueItem, NewWill, Op, OpenSession, Page, PageLimit, Persistence, Record, RecordKind,
    Seq, SessionExpiry, SessionId,
};

use crate::script::{
    START, at, connect, expiring, filter, id, message, message_of, packet_id, subscription, target, topic,
    will,
};
use crate::subject::reading::counts_its_work;
use crate::{Factory, Subject, Tier};

/// A name for a record, unique in its kind.
fn name(record: &Record) -> String {
    match record {
        Record::Session(session) => session.client_id.to_string(),
        Record::Subscription(id, subscription) => format!("{id} {}", subscription.filter),
        Record::Queued(id, entry) => format!("{id} {}", entry.seq),
        Record::Inbound(inbound) => format!("{} {}", inbound.session, inbound.packet_id),
        Record::Retained(retained) => retained.message.topic.to_string(),
        Record::Will(will) => format!("{} {}", will.session, will.epoch),
        Record::Ended(session, _) => session.client_id.to_string(),
    }
}

/// Ten records of each kind, of sessions `c0` and `c1` among others; the sessions that ended are others still.
async fn ten_of_each<F: Factory>(s: &Subject<F>) -> Vec<SessionId> {
    let mut sessions = Vec::new();
    for n in 0..10 {
        let open = OpenSession { will: Some(will("w", "")), ..connect(&format!("c{n}")) };
        let opened = s.open(open).await;
        sessions.push(id(&opened));
        if n % 5 != 0 {
            continue;
        }
        let mut batch = s.by(&opened);
        for n in 1..=5 {
            batch.ops.push(Op::Subscribe(subscription(&format!("s/{n}"))));
            batch.ops.push(Op::PutInbound(packet_id(n)));
            let message = Arc::new(message("t", n.to_string()));
            batch.ops.push(Op::Enqueue { message, targets: vec![target(id(&opened))] });
        }
        s.submit(batch).await;
    }
    s.retain_all((0..10).map(|n| message(&format!("r/{n}"), ""))).await;
    for n in 0..10 {
        let ended = s.connect(&format!("e{n}")).await;
        s.submit(s.by(&ended).with(Op::Subscribe(subscription("left"))).with(Op::EndSession(id(&ended))))
            .await;
    }
    sessions
}

async fn scan_page<F: Factory>(
    s: &Subject<F>,
    kind: RecordKind,
    cursor: Option<Cursor>,
    items: usize,
) -> Page<Record> {
    let page = s.store().scan(kind, cursor, PageLimit::items(items)).await.expect("records can be read");
    assert!(page.items.len() <= items.max(1), "{kind:?}: {} items where {items} may be", page.items.len());
    counts_its_work(&page);
    page
}

/// Walks on from a cursor to the end.
async fn rest<F: Factory>(
    s: &Subject<F>,
    kind: RecordKind,
    mut cursor: Option<Cursor>,
    items: usize,
) -> Vec<String> {
    let (mut names, mut pages) = (Vec::new(), 0);
    while cursor.is_some() {
        let page = scan_page(s, kind, cursor, items).await;
        names.extend(page.items.iter().map(name));
        cursor = page.next;
        pages += 1;
        assert!(pages < 10_000, "a walk of {kind:?} does not end");
    }
    names
}

/// Whatever the page's size, once and all.
pub async fn a_walk_shows_every_record_once<F: Factory>(s: Subject<F>) {
    ten_of_each(&s).await;
    for kind in RecordKind::ALL {
        for items in [1, 2, 3, 7, 10, 11, 1000] {
            let first = scan_page(&s, kind, None, items).await;
            let mut names: Vec<_> = first.items.iter().map(name).collect();
            names.extend(rest(&s, kind, first.next, items).await);
            assert_eq!(names.len(), 10, "{kind:?} in pages of {items}: {names:?}");
            names.sort();
            names.dedup();
            assert_eq!(names.len(), 10, "{kind:?} in pages of {items}, without what came twice");
        }
    }
}

/// A session that was taken over has one will due and one that waits.
pub async fn a_walk_shows_every_will_of_a_session<F: Factory>(s: Subject<F>) {
    for n in 0..5 {
        let open = OpenSession { will: Some(will("w", &n.to_string())), ..connect("c") };
        s.open(open).await;
    }
    for items in [1, 2, 3] {
        let first = scan_page(&s, RecordKind::Will, None, items).await;
        let mut names: Vec<_> = first.items.iter().map(name).collect();
        names.extend(rest(&s, RecordKind::Will, first.next, items).await);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 5, "in pages of {items}");
    }
}

/// There is no first page of nothing that goes on for ever.
pub async fn walks_of_an_empty_store_end<F: Factory>(s: Subject<F>) {
    for kind in RecordKind::ALL {
        assert_eq!(s.scan(kind).await, [], "{kind:?}");
    }
    assert!(s.topics(&["#", "a", "+/b"]).await.is_empty());
}

/// A limit of no items is one of one.
pub async fn a_page_of_no_items_has_one<F: Factory>(s: Subject<F>) {
    let sessions = ten_of_each(&s).await;
    for kind in RecordKind::ALL {
        let page = scan_page(&s, kind, None, 0).await;
        assert_eq!(rest(&s, kind, page.next, 0).await.len() + page.items.len(), 10, "{kind:?}");
    }
    let page = s.store().queue(sessions[0], Seq::ZERO, PageLimit::items(0)).await.expect("it can be read");
    assert_eq!((page.items.len(), page.more), (1, true));
}

/// The record that the cursor points at, or behind, is gone when the walk goes on.
pub async fn a_walk_goes_on_where_its_record_was_removed<F: Factory>(s: Subject<F>) {
    ten_of_each(&s).await;
    let c0 = s.connect("c0").await;
    for (kind, remove) in [
        (
            RecordKind::Subscription,
            (1..=3).map(|n| Op::Unsubscribe(filter(&format!("s/{n}")))).collect::<Vec<_>>(),
        ),
        (RecordKind::Queued, (1..=3).map(|n| Op::Settle(Seq(n))).collect()),
        (RecordKind::Inbound, (1..=3).map(|n| Op::DeleteInbound(packet_id(n))).collect()),
        (RecordKind::Retained, (0..3).map(|n| Op::Unretain(topic(&format!("r/{n}")))).collect()),
    ] {
        let all = s.scan(kind).await;
        let first = scan_page(&s, kind, None, 2).await;
        let seen: Vec<_> = first.items.iter().map(name).collect();
        s.submit(remove.into_iter().fold(s.by(&c0), |batch, op| batch.with(op))).await;
        let left: Vec<_> = s.scan(kind).await.iter().map(name).collect();
        assert_eq!(left.len(), all.len() - 3, "{kind:?}");
        let later = rest(&s, kind, first.next, 2).await;
        for record in &left {
            let times = seen.iter().chain(&later).filter(|other| *other == record).count();
            assert_eq!(times, 1, "{kind:?}: {record} was there throughout");
        }
    }
}

/// Sessions end while they are walked.
pub async fn a_walk_goes_on_where_its_session_ended<F: Factory>(s: Subject<F>) {
    let sessions = ten_of_each(&s).await;
    for kind in [RecordKind::Session, RecordKind::Subscription, RecordKind::Queued, RecordKind::Inbound] {
        let first = scan_page(&s, kind, None, 2).await;
        let seen: Vec<_> = first.items.iter().map(name).collect();
        let gone = first.items.iter().map(|record| match record {
            Record::Session(session) => session.id,
            Record::Subscription(id, _) | Record::Queued(id, _) => *id,
            Record::Inbound(inbound) => inbound.session,
            other => panic!("a walk of {kind:?} shows {other:?}"),
        });
        let gone: Vec<_> = gone.collect();
        for session in &gone {
            s.one(s.by_broker(), Op::EndSession(*session)).await;
        }
        let left: Vec<_> = s.scan(kind).await.iter().map(name).collect();
        let later = rest(&s, kind, first.next, 2).await;
        for record in &left {
            let times = seen.iter().chain(&later).filter(|other| *other == record).count();
            assert_eq!(times, 1, "{kind:?}: {record} was there throughout");
        }
        // The next kind needs two sessions with contents again.
        for session in gone {
            let client = format!("c{}", sessions.iter().position(|id| *id == session).unwrap_or(9));
            let again = s.connect(&client).await;
            let mut batch = s.by(&again);
            for n in 1..=5 {
                batch.ops.push(Op::Subscribe(subscription(&format!("s/{n}"))));
                batch.ops.push(Op::PutInbound(packet_id(n)));
                let message = Arc::new(message("t", ""));
                batch.ops.push(Op::Enqueue { message, targets: vec![target(id(&again))] });
            }
            s.submit(batch).await;
        }
    }
}

/// New records before and behind the cursor do not disturb those that were there.
pub async fn a_walk_is_not_disturbed_by_new_records<F: Factory>(s: Subject<F>) {
    ten_of_each(&s).await;
    for kind in RecordKind::ALL {
        let before: Vec<_> = s.scan(kind).await.iter().map(name).collect();
        let first = scan_page(&s, kind, None, 4).await;
        let seen: Vec<_> = first.items.iter().map(name).collect();
        for client in ["a", "c0-", "z"] {
            let client = format!("{client}{kind:?}");
            let open = OpenSession { will: Some(will("w", "")), ..connect(&client) };
            let opened = s.open(open).await;
            let batch =
                s.by(&opened).with(Op::Subscribe(subscription(&client))).with(Op::PutInbound(packet_id(1)));
            s.submit(batch).await;
            s.enqueue(id(&opened), "new").await;
        }
        s.retain_all(["a", "r/", "r/00", "r/4-", "z"].map(|text| message(&format!("{text}{kind:?}"), "")))
            .await;
        let later = rest(&s, kind, first.next, 4).await;
        for record in &before {
            let times = seen.iter().chain(&later).filter(|other| *other == record).count();
            assert_eq!(times, 1, "{kind:?}: {record} was there throughout");
        }
    }
}

/// The same for retained messages that are walked by filters.
pub async fn a_walk_by_filters_is_not_disturbed_by_changes<F: Factory>(s: Subject<F>) {
    s.retain_all((10..60).map(|n| message(&format!("a/{n}/x"), ""))).await;
    let filters = [filter("a/+/x"), filter("a/#")];
    let (mut seen, mut cursor, mut round) = (Vec::new(), None, 0);
    loop {
        let page = s.store().retained(&filters, cursor, PageLimit::items(3)).await.expect("it can be read");
        seen.extend(page.items.iter().map(|item| item.message.topic.as_str().to_owned()));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
        // The last that was seen goes; one comes before, one behind; and an even one is replaced.
        let last = seen.last().cloned().unwrap_or_else(|| "a/10/x".to_owned());
        let mut batch = s.by_broker();
        batch.ops.push(Op::Unretain(topic(&last)));
        for name in [format!("a/0{round}/x"), format!("a/9{round}/y"), format!("a/{}/x", 10 + round * 2 % 50)]
        {
            batch.ops.push(Op::Retain(Arc::new(message(&name, "new"))));
        }
        s.submit(batch).await;
        round += 1;
        assert!(round < 1000, "the walk ends");
    }
    for n in 10..60 {
        let name = format!("a/{n}/x");
        assert_eq!(seen.iter().filter(|topic| **topic == name).count(), 1, "{name}");
    }
}

/// A page ends with the message that reaches the bytes.
pub async fn a_page_ends_with_its_bytes<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    for _ in 0..6 {
        s.enqueue_message(id(&c), message_of(100)).await;
    }
    let limit = |bytes| PageLimit { items: 1000, bytes };
    for (bytes, expected) in [(0, 1), (1, 1), (100, 1), (101, 2), (250, 3), (10_000, 6)] {
        let page = s.store().queue(id(&c), Seq::ZERO, limit(bytes)).await.expect("it can be read");
        assert!((1..=expected).contains(&page.items.len()), "{} items in {bytes} bytes", page.items.len());
        assert_eq!(page.more, page.items.len() < 6);
    }
    let topics = ["r/1", "r/2", "r/3", "r/4"];
    s.retain_all(topics.map(|topic| message(topic, [0; 97]))).await;
    let page = s.store().retained(&[filter("r/#")], None, limit(101)).await.expect("it can be read");
    assert!(page.items.len() <= 2 && page.next.is_some());
    let page = s.store().scan(RecordKind::Retained, None, limit(101)).await.expect("it can be read");
    assert!(page.items.len() <= 2 && page.next.is_some());
}

/// Wills bring their messages; and what is left is found when those are taken.
pub async fn a_page_of_what_is_due_ends_with_its_bytes<F: Factory>(s: Subject<F>) {
    for n in 0..4 {
        let will = NewWill { message: Arc::new(message_of(100)), ..will("w", "") };
        let open = OpenSession { will: Some(will), ..connect(&format!("c{n}")) };
        let c = s.open(open).await;
        s.one(s.by(&c), Op::GoOffline).await;
    }
    for (bytes, expected) in [(0, 1), (1, 1), (100, 1), (101, 2), (10_000, 4)] {
        let (mut shown, mut cursor) = (0, None);
        for _ in 0..4 {
            let limit = PageLimit { items: 1000, bytes };
            let page = s.store().due(START, cursor, limit).await.expect("it can be read");
            let wills = page.items.len();
            assert!((1..=expected).contains(&wills), "{wills} wills in {bytes} bytes");
            shown += wills;
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!((shown, cursor), (4, None), "in pages of {bytes} bytes");
    }
    assert_eq!(s.due(START).await.len(), 4);
}

/// Several of each kind, of the same moments; two wills of one session are among them.
async fn three_due_of_each<F: Factory>(s: &Subject<F>) -> Vec<Due> {
    let queue = s.connect("queue").await;
    for n in 0..3 {
        let when = at(n.min(1));
        let ended = s.connect("ended").await;
        let left = s.by(&ended).with(Op::Subscribe(subscription("left"))).with(Op::EndSession(id(&ended)));
        s.submit(left).await;
        let expiry = SessionExpiry::Secs(n.min(1));
        let short = s.open(OpenSession { expiry, ..connect(&format!("short {n}")) }).await;
        s.one(s.by(&short), Op::GoOffline).await;
        let mortal = s.open(OpenSession { will: Some(will("w", &n.to_string())), ..connect("mortal") }).await;
        s.one(s.by(&mortal), Op::GoOffline).await;
        s.enqueue_message(id(&queue), expiring("t", "", when)).await;
        s.retain(expiring(&format!("r/{n}"), "", when)).await;
    }
    s.due(at(9)).await
}

/// A page of what is due, and the rest behind it.
async fn due_from<F: Factory>(s: &Subject<F>, first: Option<Cursor>, items: usize) -> Vec<Due> {
    let (mut shown, mut cursor) = (Vec::new(), first);
    for _ in 0..1000 {
        let page = s.store().due(at(9), cursor, PageLimit::items(items)).await.expect("it can be read");
        assert!(page.items.len() <= items, "{} due where {items} may be", page.items.len());
        counts_its_work(&page);
        shown.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            return shown;
        }
    }
    panic!("a walk of what is due does not end")
}

/// Of every kind, each once, in the same order; also when what is shown, or comes next, is dealt with meanwhile. Who is
/// refused goes past what refuses.
pub async fn a_walk_over_what_is_due_goes_on_behind_what_was_not_settled<F: Factory>(s: Subject<F>) {
    let all = three_due_of_each(&s).await;
    assert_eq!(all.len(), 15);
    for items in [1, 2, 3, 7, 14, 15, 1000] {
        assert_eq!(due_from(&s, None, items).await, all, "in pages of {items}");
    }
    let mut left = all;
    // What is due later joins the walk with the page that asks at a later time.
    while left.len() > 8 {
        let first = s.store().due(at(0), None, PageLimit::items(2)).await.expect("it can be read");
        assert_eq!(first.items, left[..2]);
        for due in [left.remove(2), left.remove(0)] {
            let purge = matches!(due.item, DueItem::SessionEnded(_)).then_some(Op::Purge { limit: 10 });
            s.submit(Batch { ops: purge.into_iter().collect(), ..s.by_claim(&due, at(9)) }).await;
        }
        assert_eq!(due_from(&s, first.next, 2).await, left[1..]);
    }
}

/// A message that exceeds the limit by itself is not in the way of those behind it.
pub async fn an_item_beyond_the_bytes_makes_a_page_of_its_own<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    for size in [10, 5000, 5000, 10] {
        s.enqueue_message(id(&c), message_of(size)).await;
    }
    let (mut after, mut seen) = (Seq::ZERO, Vec::new());
    for _ in 0..4 {
        let limit = PageLimit { items: 1000, bytes: 1000 };
        let page = s.store().queue(id(&c), after, limit).await.expect("it can be read");
        assert!(!page.items.is_empty(), "a page of a queue that goes on has items");
        seen.extend(page.items.iter().map(|entry| entry.seq.0));
        after = page.items.last().map_or(after, |entry| entry.seq);
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, [1, 2, 3, 4]);
}

/// A queue's page says how far it is final, which includes numbers that were settled.
pub async fn a_queues_page_says_up_to_which_number_it_is_final<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    for n in 1..=6 {
        s.enqueue(id(&c), &n.to_string()).await;
    }
    s.submit(s.by(&c).with(Op::Settle(Seq(2))).with(Op::Settle(Seq(6)))).await;
    let page = async |after, items| {
        let page =
            s.store().queue(id(&c), Seq(after), PageLimit::items(items)).await.expect("it can be read");
        (page.items.iter().map(|entry| entry.seq.0).collect::<Vec<_>>(), page.final_up_to.0, page.more)
    };
    let (items, up_to, more) = page(0, 2).await;
    assert_eq!((items, more), (vec![1, 3], true));
    assert_eq!(up_to, 3, "3 is the last that was read, 4 is there");
    let (items, up_to, more) = page(3, 10).await;
    assert_eq!((items, more), (vec![4, 5], false));
    assert_eq!(up_to, 6, "6 was given and settled");
    assert_eq!(page(6, 10).await, (vec![], 6, false));
}

/// Who asks behind the last number is not sent back.
pub async fn a_page_is_final_at_least_where_it_began<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    for after in [0, 7] {
        let page = s.store().queue(id(&c), Seq(after), PageLimit::items(10)).await.expect("it can be read");
        assert!(page.items.is_empty() && !page.more);
        assert_eq!(page.final_up_to, Seq(after));
    }
    s.enqueue(id(&c), "x").await;
    let page = s.store().queue(id(&c), Seq(u64::MAX), PageLimit::items(10)).await.expect("it can be read");
    assert_eq!((page.items.len(), page.final_up_to), (0, Seq(u64::MAX)));
    let never = SessionId(u64::MAX);
    let page = s.store().queue(never, Seq(5), PageLimit::items(10)).await.expect("it can be read");
    assert_eq!(page.final_up_to, Seq(5));
}

/// A reader follows a queue that is filled and settled: every entry once, in order.
pub async fn a_queue_is_followed_while_it_changes<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let (mut after, mut seen) = (Seq::ZERO, Vec::new());
    for round in 0..20 {
        for _ in 0..5 {
            s.enqueue(id(&c), &round.to_string()).await;
        }
        let page = s.store().queue(id(&c), after, PageLimit::items(3)).await.expect("it can be read");
        let mut batch = s.by(&c);
        for entry in page.items {
            seen.push(entry.seq.0);
            if entry.seq.0 % 2 == 0 {
                batch.ops.push(Op::Settle(entry.seq));
            }
        }
        assert_eq!(seen.last().copied(), Some(page.final_up_to.0), "there is always more");
        after = page.final_up_to;
        s.submit(batch).await;
    }
    assert!(seen.iter().copied().eq(1..=60), "{seen:?}");
}

/// More sessions than a page looks at (than any may, in the long tier), of which few have what is walked.
pub async fn a_walk_over_many_empty_sessions_comes_to_its_end<F: Factory>(s: Subject<F>) {
    let (count, mut last) = (Tier::of(3000, 25_000), None);
    for n in 0..count {
        // Nothing here depends on their durability; an open a sync is slow.
        last = Some(s.store().open_session(connect(&format!("client-{n}"))).await.expect("it opens"));
    }
    let last = last.expect("there are some");
    s.one(s.by(&last), Op::PutInbound(packet_id(1))).await;
    s.one(s.by(&last), Op::Subscribe(subscription("a"))).await;
    s.enqueue(id(&last), "x").await;
    for kind in [RecordKind::Subscription, RecordKind::Queued, RecordKind::Inbound] {
        assert_eq!(s.scan(kind).await.len(), 1, "{kind:?}");
    }
    assert_eq!(s.scan(RecordKind::Session).await.len(), count);
}
