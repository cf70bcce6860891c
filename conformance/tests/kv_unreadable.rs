//! The ordered-KV road over an engine with pages that it cannot read: what needs a row of such a page is refused, and that
//! alone; nothing closes the store.

#[path = "ordered_kv/tree.rs"]
mod tree;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use opifex_conformance::block_on;
use opifex_conformance::script::{
    START, at, connect, expiring, filter, message, packet_id, subscription, target,
};
use opifex_storage::encoding::key::{self, kind};
use opifex_storage::{
    Author, Batch, Certainty, DueItem, Durability, Epoch, ErrorKind, KvCapabilities, KvPersistence, KvRange,
    KvSnapshot, Op, OpenSession, OrderedKv, Outcome, PageLimit, Persistence, Receipt, Result, Seq,
    SessionExpiry, SessionId, StoreError, WriteBatch,
};
use tree::{Seen, Tree};

type Store = KvPersistence<Paged>;

/// A stretch of keys, the end excluded.
type Stretch = (Bytes, Bytes);

/// An engine whose pages are as a test wants them: what lies in one that cannot be read is neither read nor written.
#[derive(Clone)]
struct Paged {
    tree: Tree,
    unreadable: Arc<Mutex<Option<Stretch>>>,
    error: Arc<Mutex<StoreError>>,
    writes: Arc<Mutex<Vec<WriteBatch>>>,
}

struct PagedSeen<'a> {
    rows: Seen<'a>,
    unreadable: Option<Stretch>,
    error: StoreError,
}

fn is_in(stretch: &Option<Stretch>, key: &[u8]) -> bool {
    stretch.as_ref().is_some_and(|(from, to)| (&from[..]..&to[..]).contains(&key))
}

/// As sled says it, which does not tell reads from writes.
fn cannot_read() -> StoreError {
    StoreError::unknown(ErrorKind::Corrupt, "a page cannot be read")
}

impl Paged {
    fn new() -> Paged {
        Paged {
            tree: Tree::new(true),
            unreadable: Arc::default(),
            error: Arc::new(Mutex::new(cannot_read())),
            writes: Arc::default(),
        }
    }

    /// What cannot be read is so for another reason than damage.
    fn fail_with(&self, kind: ErrorKind) {
        *self.error.lock().expect("nobody panics with it") = StoreError::unknown(kind, "EIO");
    }

    /// From now on nothing of this can be read.
    fn lose(&self, stretch: Stretch) {
        *self.unreadable.lock().expect("nobody panics with it") = Some(stretch);
    }

    /// The kinds of the rows of the last write.
    fn last_kinds(&self) -> BTreeSet<u8> {
        let writes = self.writes.lock().expect("nobody panics with it");
        writes.last().expect("there is one").changes().map(|(key, _)| key[0]).collect()
    }
}

impl OrderedKv for Paged {
    type Snapshot<'a> = PagedSeen<'a>;

    fn capabilities(&self) -> KvCapabilities {
        self.tree.capabilities()
    }

    fn snapshot(&self) -> Result<PagedSeen<'_>> {
        let unreadable = self.unreadable.lock().expect("nobody panics with it").clone();
        let error = self.error.lock().expect("nobody panics with it").clone();
        Ok(PagedSeen { rows: self.tree.snapshot()?, unreadable, error })
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.tree.has_room(bytes)
    }

    fn write(&self, batch: &WriteBatch) -> Result<()> {
        let unreadable = self.unreadable.lock().expect("nobody panics with it").clone();
        if batch.changes().any(|(key, _)| is_in(&unreadable, key)) {
            return Err(cannot_read());
        }
        self.writes.lock().expect("nobody panics with it").push(batch.clone());
        self.tree.write(batch)
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}

impl KvSnapshot for PagedSeen<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        if is_in(&self.unreadable, key) { Err(self.error.clone()) } else { self.rows.get(key) }
    }

    fn range(&self, from: &[u8], to: &[u8]) -> KvRange<'_> {
        let (mut before, mut behind) = (to.to_vec(), to.to_vec());
        let mut error = None;
        if let Some((first, end)) = &self.unreadable
            && from < &end[..]
            && &first[..] < to
        {
            before = from.max(&first[..]).to_vec();
            behind = to.min(&end[..]).to_vec();
            error = Some(Err(self.error.clone()));
        }
        Box::new(self.rows.range(from, &before).chain(error).chain(self.rows.range(&behind, to)))
    }
}

fn submit(store: &Store, author: Author, ops: Vec<Op>) -> Result<Receipt> {
    block_on(store.submit(Batch { ops, ..Batch::new(author, Durability::Memory, START) }))
}

fn write(store: &Store, author: Author, ops: Vec<Op>) -> Result<Vec<Outcome>> {
    let receipt = submit(store, author, ops)?;
    let outcomes = receipt.outcomes().to_vec();
    block_on(receipt.durable()).map(|_| outcomes)
}

fn own(id: SessionId) -> Author {
    Author::Session(id, Epoch(id.0))
}

fn open(store: &Store, client: &str) -> SessionId {
    block_on(store.open_session(connect(client))).expect("it opens").session.id
}

fn enqueue(payload: &'static str, ids: &[SessionId]) -> Op {
    Op::Enqueue {
        message: Arc::new(message("q", payload)),
        targets: ids.iter().copied().map(target).collect(),
    }
}

/// Longer than what stands in a queue entry.
fn large(ids: &[SessionId]) -> Op {
    let message = message("q", vec![b'x'; 10_000]);
    Op::Enqueue { message: Arc::new(message), targets: ids.iter().copied().map(target).collect() }
}

fn expect_refused<T: std::fmt::Debug>(result: Result<T>) {
    let error = result.expect_err("it needs what cannot be read");
    assert_eq!((error.kind(), error.certainty()), (ErrorKind::Corrupt, Certainty::NotApplied), "{error}");
}

/// The store goes on.
fn expect_well(store: &Store) {
    write(store, Author::Broker, vec![Op::Retain(Arc::new(message("r/well", "x")))]).expect("it is written");
}

fn queue_of(store: &Store, id: SessionId) -> Vec<Seq> {
    let page = block_on(store.queue(id, Seq::ZERO, PageLimit::items(100))).expect("it is read");
    page.items.iter().map(|entry| entry.seq).collect()
}

#[test]
fn a_batch_that_needs_a_row_which_cannot_be_looked_up_fails_alone_in_its_group() {
    let engine = Paged::new();
    let store = KvPersistence::open(engine.clone()).expect("it opens");
    let [a, b, first] = ["a", "b", "first"].map(|client| open(&store, client));
    engine.lose(key::all(kind::DUE));
    engine.tree.hold(true);
    // The writer is at work on this one, and the others become one group behind it.
    let held = submit(&store, own(first), vec![enqueue("held", &[first])]).expect("it is ordered");
    let results = std::thread::scope(|scope| {
        let works: [(SessionId, Vec<Op>); 3] = [
            (a, vec![enqueue("one", &[a])]),
            (b, vec![Op::SetExpiry(SessionExpiry::Secs(9)), enqueue("lost", &[b]), Op::GoOffline]),
            (a, vec![enqueue("two", &[a])]),
        ];
        let mut waiting = Vec::new();
        for (id, ops) in works {
            let store = &store;
            waiting.push(scope.spawn(move || write(store, own(id), ops)));
        }
        // However they are grouped: none of the others may fail.
        engine.tree.hold(false);
        waiting.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
    });
    block_on(held.durable()).expect("it is written");
    let [one, offline, two] = <[_; 3]>::try_from(results).expect("three");
    expect_refused(offline);
    one.expect("it needs nothing of it");
    two.expect("it needs nothing of it");
    assert_eq!(queue_of(&store, a), [Seq(1), Seq(2)]);
    assert_eq!(queue_of(&store, b), [], "nothing of a batch that is refused is there");
    expect_well(&store);
}

#[test]
fn the_first_new_row_on_a_page_that_cannot_be_read_is_refused_and_the_store_goes_on() {
    let engine = Paged::new();
    let store = KvPersistence::open(engine.clone()).expect("it opens");
    let [a, b] = ["a", "b"].map(|client| open(&store, client));
    for lost in [key::of_session(kind::QUEUED, a), key::all(kind::BODY), key::of_session(kind::SESSION, a)] {
        engine.lose(lost);
        expect_refused(write(&store, Author::Broker, vec![large(&[a])]));
        expect_refused(write(&store, Author::Broker, vec![enqueue("b first", &[b]), large(&[b, a])]));
        expect_well(&store);
    }
    engine.lose(key::all(kind::DUE));
    let short = Op::Enqueue { message: Arc::new(expiring("q", "short", at(9))), targets: vec![target(a)] };
    expect_refused(write(&store, Author::Broker, vec![short]));
    // Where the next session would be.
    let next = SessionId(b.0 + 1);
    engine.lose(key::of_session(kind::SESSION, next));
    expect_refused(block_on(store.open_session(connect("c"))));
    assert!(open(&store, "d") > next, "the next one is another's");
    assert_eq!(queue_of(&store, b), []);
    write(&store, Author::Broker, vec![enqueue("x", &[a, b])]).expect("it is written");
}

#[test]
fn what_only_leads_to_a_record_is_left_where_it_cannot_be_read() {
    let engine = Paged::new();
    let store = KvPersistence::open(engine.clone()).expect("it opens");
    let a = open(&store, "a");
    let short = Op::Enqueue { message: Arc::new(expiring("q", "short", at(9))), targets: vec![target(a)] };
    write(&store, Author::Broker, vec![short, large(&[a])]).expect("it is written");
    engine.lose(key::all(kind::DUE));
    assert_eq!(write(&store, own(a), vec![Op::Settle(Seq(1))]), Ok(vec![Outcome::Done]));
    engine.lose(key::all(kind::BODY));
    assert_eq!(write(&store, own(a), vec![Op::Settle(Seq(2))]), Ok(vec![Outcome::Done]));
    assert!(!engine.last_kinds().contains(&kind::BODY));
    engine.lose(key::all(kind::CLIENT));
    assert_eq!(write(&store, own(a), vec![Op::EndSession(a)]), Ok(vec![Outcome::Done]));
}

#[test]
fn whose_pointer_is_damaged_is_not_refused_for_the_sessions_of_others_that_cannot_be_read() {
    let engine = Paged::new();
    let store = KvPersistence::open(engine.clone()).expect("it opens");
    let [a, b] = ["a", "b"].map(|client| open(&store, client));
    engine.tree.flip_a_bit(&key::client("b"));
    let row = key::session(a);
    engine.lose((row.clone(), key::successor(&row)));
    let opened = block_on(store.open_session(connect("b"))).expect("it opens");
    assert_eq!((opened.present, opened.session.id), (true, b));
    // Where its own may be among them, its loss is not taken for the truth.
    let row = key::session(b);
    engine.lose((row.clone(), key::successor(&row)));
    expect_refused(block_on(store.open_session(connect("b"))));
    let anew = OpenSession { clean_start: true, ..connect("b") };
    let opened = block_on(store.open_session(anew)).expect("it opens");
    assert!(!opened.present && opened.session.id > b);
}

#[test]
fn whose_session_row_cannot_be_read_begins_anew_and_what_hung_on_it_goes() {
    let engine = Paged::new();
    let store = KvPersistence::open(engine.clone()).expect("it opens");
    let [a, b] = ["a", "b"].map(|client| open(&store, client));
    let ops = vec![Op::Subscribe(subscription("s/1")), enqueue("1", &[a]), enqueue("2", &[a])];
    write(&store, own(a), ops).expect("it is written");
    let row = key::session(a);
    engine.lose((row.clone(), key::successor(&row)));
    expect_refused(block_on(store.open_session(connect("a"))));
    let anew = OpenSession { clean_start: true, ..connect("a") };
    let opened = block_on(store.open_session(anew)).expect("it opens");
    assert_eq!((opened.present, opened.ended, opened.damaged.len()), (false, Some(a), 1));
    assert!(opened.session.id > b);
    let page = block_on(store.due(START, None, PageLimit::items(9))).expect("it is read");
    let due =
        page.items.into_iter().find(|due| due.item == DueItem::SessionEnded(a)).expect("it left something");
    let purged = write(&store, Author::Claim(due), vec![Op::Purge { limit: 9 }]).expect("it is written");
    assert_eq!(purged, [Outcome::Purged { more: false }]);
    assert_eq!(queue_of(&store, a), []);
    let again = block_on(store.open_session(connect("a"))).expect("it opens");
    assert_eq!((again.present, again.session.id), (true, opened.session.id));
    expect_well(&store);
}

#[test]
fn an_ended_session_is_purged_of_what_can_be_read_and_is_gone() {
    let engine = Paged::new();
    let store = KvPersistence::open(engine.clone()).expect("it opens");
    let a = open(&store, "a");
    let ops = vec![
        Op::Subscribe(subscription("s/1")),
        Op::Subscribe(subscription("s/2")),
        Op::PutInbound(packet_id(1)),
        enqueue("1", &[a]),
        enqueue("2", &[a]),
        enqueue("3", &[a]),
    ];
    write(&store, own(a), ops).expect("it is written");
    write(&store, own(a), vec![Op::EndSession(a)]).expect("it is written");
    let (_, behind) = key::of_session(kind::QUEUED, a);
    engine.lose((key::queued(a, Seq(2)), behind));
    let ended = || {
        let due = block_on(store.due(START, None, PageLimit::items(9))).expect("it is read");
        due.items.into_iter().find(|due| due.item == DueItem::SessionEnded(a))
    };
    let mut rounds = 0;
    while let Some(due) = ended() {
        rounds += 1;
        assert!(rounds < 5, "a broker would ask for ever");
        let purged = write(&store, Author::Claim(due), vec![Op::Purge { limit: 2 }]).expect("it is written");
        let [Outcome::Purged { more }] = purged[..] else { panic!("{purged:?}") };
        assert_eq!(more, ended().is_some());
    }
    assert_eq!(rounds, 3, "an entry and a subscription, another one and an id, and the end");
    assert!(!engine.tree.rows().contains_key(&key::subscription(a, &filter("s/1"))));
    let anew = OpenSession { clean_start: true, ..connect("a") };
    assert!(!block_on(store.open_session(anew)).expect("it opens").present);
}

/// An engine with a row of each kind but remains, no store over it.
fn filled() -> Paged {
    let engine = Paged::new();
    let store = KvPersistence::open(engine.clone()).expect("it opens");
    let [a, b] = ["a", "b"].map(|client| open(&store, client));
    let ops = vec![Op::Subscribe(subscription("s/1")), Op::PutInbound(packet_id(1))];
    write(&store, own(a), ops).expect("it is written");
    let short = Op::Retain(Arc::new(expiring("r/1", "x", at(9))));
    write(&store, Author::Broker, vec![large(&[a, b]), short]).expect("it is written");
    engine
}

#[test]
fn an_engine_that_fails_to_read_is_not_taken_for_one_whose_rows_are_damaged() {
    let behind_all = (Bytes::from_static(&[0xf0]), Bytes::from_static(&[0xff]));
    for stretch in kind::ALL.into_iter().map(key::all).chain([behind_all]) {
        for (kind, counters_too) in [(ErrorKind::Retry, false), (ErrorKind::Fatal, true)] {
            let engine = filled();
            if counters_too && stretch.0[0] != kind::META {
                engine.tree.flip_a_bit(&key::counters());
            }
            engine.lose(stretch.clone());
            engine.fail_with(kind);
            let opened = KvPersistence::open(engine).map(drop);
            assert_eq!(opened.map_err(|error| error.kind()), Err(kind), "{stretch:02x?}");
        }
    }
}

#[test]
fn whoever_has_a_store_inspected_is_told_of_damage_and_of_a_failure_by_its_own_name() {
    for kind in [kind::QUEUED, kind::REFERENCES, kind::BODY, kind::CLIENT, kind::SESSION, kind::DUE] {
        let engine = filled();
        let store = KvPersistence::open(engine.clone()).expect("it opens");
        engine.lose(key::all(kind));
        let found = block_on(store.inspect()).expect("it is damage");
        assert!(found.contains(&cannot_read()), "{found:?}");
        engine.fail_with(ErrorKind::Fatal);
        let failed = block_on(store.inspect()).map_err(|error| error.kind());
        assert_eq!(failed, Err(ErrorKind::Fatal), "{kind}");
    }
}

#[test]
fn numbers_leap_elsewhere_each_time_that_nobody_knows_them() {
    let engine = filled();
    engine.tree.flip_a_bit(&key::counters());
    let rows = engine.tree.rows();
    let ids: BTreeSet<SessionId> = (0..5)
        .map(|_| {
            let engine = Paged { tree: Tree::of(rows.clone()), ..Paged::new() };
            open(&KvPersistence::open(engine).expect("it opens"), "new")
        })
        .collect();
    // Each leap is one of 65,536: five alike are none by chance.
    assert!(ids.len() > 1, "{ids:?}");
}
