//! Rows that wait for others: each way to find out that a table does not take them, and what is inserted together.

use opifex_conformance::script::{at, expiring, target};
use opifex_packet::{Properties, Property};
use opifex_storage::{Message, SessionId};

use super::*;

/// A bench with a session.
fn with_session() -> (Bench, SessionId) {
    let mut bench = Bench::new();
    let (asker, opened) = answer();
    bench.put(Command::Open(connect("c"), asker));
    assert!(bench.transact());
    let session = block_on(opened).expect("it is answered").expect("it is open").session.id;
    (bench, session)
}

fn enqueue(message: Message, session: SessionId) -> Op {
    Op::Enqueue { message: Arc::new(message), targets: vec![target(session)] }
}

/// The table takes no such row.
fn poison(bench: &Bench, table: &str, row: &str) {
    let trigger = format!(
        "CREATE TRIGGER poisoned BEFORE INSERT ON {table} WHEN {row} BEGIN SELECT RAISE(ABORT, 'poison'); END"
    );
    bench.writer.engine.db().execute_batch(&trigger).expect("it is set up");
}

/// From now on the database grows by so many pages at most.
fn leave_pages(bench: &Bench, more: i64) {
    let db = bench.writer.engine.db();
    let pages: i64 = db.pragma_query_value(None, "page_count", |row| row.get(0)).expect("it counts");
    db.pragma_update(None, "max_page_count", pages + more).expect("it is set");
}

/// Everything that is queued.
fn work(bench: &mut Bench) {
    while let Some(first) = bench.writer.commands.try_receive_if(|_| true) {
        assert!(bench.writer.transact(first), "the store goes on");
    }
}

/// What a batch came to: refused, or applied and then taken back, or durable.
fn came_to(answer: Answer<Result<Ordered>>) -> Result<()> {
    block_on(ordered(answer)?.commitment.wait()).map(drop)
}

fn expect_refused(result: Result<()>, kind: ErrorKind) -> String {
    let error = result.expect_err("it was refused");
    assert_eq!((error.kind(), error.certainty()), (kind, Certainty::NotApplied), "{error}");
    error.to_string()
}

fn text(bench: &Bench, sql: &str) -> String {
    let text: Option<String> =
        bench.writer.engine.db().query_row(sql, [], |row| row.get(0)).expect("it is read");
    text.unwrap_or_default()
}

#[test]
fn who_looks_at_a_table_that_does_not_take_the_rows_of_others_is_told_that_they_are_not_its_own() {
    let (mut bench, session) = with_session();
    poison(&bench, "messages", "NEW.topic = 'poison'");
    let both = [enqueue(message("poison", ""), session), Op::Unretain(topic("r"))];
    let answers = both.map(|op| bench.submit(op));
    work(&mut bench);
    for answer in answers {
        let said = expect_refused(came_to(answer), ErrorKind::Corrupt);
        assert!(said.contains("rows of a transaction") && said.contains("poison"), "{said}");
    }
    assert!(!bench.writer.holds.get());
    let again = bench.submit(Op::Unretain(topic("r")));
    work(&mut bench);
    came_to(again).expect("nothing is held back any more");
}

#[test]
fn a_transaction_that_is_made_again_may_find_out_that_the_table_does_not_take_what_waits() {
    let (mut bench, session) = with_session();
    poison(&bench, "queue", "NEW.qos = 0");
    leave_pages(&bench, 2);
    let mut at_most_once = target(session);
    at_most_once.qos = opifex_packet::QoS::AtMostOnce;
    let first = Op::Enqueue { message: Arc::new(message("a", "")), targets: vec![at_most_once] };
    // Bodies that are large do not wait, and nobody has looked at the entries by then.
    let answers = [first, enqueue(message("large", [0; 200_000]), session)].map(|op| bench.submit(op));
    work(&mut bench);
    let [first, large] = answers.map(came_to);
    expect_refused(large, ErrorKind::Full);
    expect_refused(first, ErrorKind::Corrupt);
    assert!(!bench.writer.holds.get());
    assert_eq!(text(&bench, "SELECT group_concat(topic) FROM queued_messages"), "");
}

#[test]
fn a_full_database_refuses_a_transaction_that_waits_whole_and_takes_what_removes_then() {
    let (mut bench, session) = with_session();
    let stored = bench.submit(enqueue(message("stored", [0; 9_000]), session));
    work(&mut bench);
    came_to(stored).expect("there is room");
    leave_pages(&bench, 2);
    let settle = || {
        let author = Author::Session(session, opifex_storage::Epoch(session.0));
        Batch::new(author, Durability::Disk, Timestamp(1)).with(Op::Settle(opifex_storage::Seq(1)))
    };
    let large = ["a", "b", "c"].map(|name| bench.submit(enqueue(message(name, [0; 9_000]), session)));
    let (asker, behind) = answer();
    bench.put(Command::Submit(settle(), asker));
    work(&mut bench);
    for answer in large {
        expect_refused(came_to(answer), ErrorKind::Full);
    }
    expect_refused(came_to(behind), ErrorKind::Full);
    assert!(bench.writer.holds.get(), "that is no damage");
    let (asker, again) = answer();
    bench.put(Command::Submit(settle(), asker));
    work(&mut bench);
    came_to(again).expect("it makes room");
    assert_eq!(text(&bench, "SELECT group_concat(topic) FROM queued_messages"), "");
}

/// Messages of which each has rows of another shape than its neighbours, more than a statement takes.
fn mixed(bench: &mut Bench, session: SessionId) {
    let answers: Vec<_> = (0..100)
        .map(|n| {
            let name = format!("m/{n}");
            let body = match n % 3 {
                0 => expiring(&name, "x", at(n)),
                1 => message(&name, [b'y'; 100]),
                _ => message(&name, ""),
            };
            bench.submit(enqueue(body, session))
        })
        .collect();
    work(bench);
    for answer in answers {
        came_to(answer).expect("it is stored");
    }
}

#[test]
fn rows_that_waited_are_those_that_would_have_been_inserted_at_once() {
    let tables = "SELECT group_concat(quote(session) || seq || quote(message) || size || qos || retain ||
                  quote(packet_id) || quote(expires_at) || quote(share) || checksum) FROM queue
                  UNION ALL SELECT group_concat(id || refs || topic || quote(expires_at) || quote(payload) ||
                  checksum || refs_check) FROM messages";
    let stored = [true, false].map(|holds| {
        let (mut bench, session) = with_session();
        bench.writer.holds.set(holds);
        mixed(&mut bench, session);
        assert_eq!(bench.writer.counters.commits.load(Ordering::Relaxed), 2, "an open, and all of them");
        let mut statement = bench.writer.engine.db().prepare(tables).expect("it is well formed");
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).expect("it is read");
        rows.collect::<rusqlite::Result<Vec<_>>>().expect("it is read")
    });
    assert!(stored[0][0].len() > 1_000);
    assert_eq!(stored[0], stored[1]);
}

#[test]
fn a_message_that_is_large_does_not_wait_whatever_it_is_that_makes_it_so() {
    let (bench, _) = with_session();
    let stored = || text(&bench, "SELECT group_concat(topic) FROM messages");
    let state = bench.writer.state();
    state.insert_body(1, 1, &Arc::new(message("small", [0; 1_000]))).expect("it waits");
    assert_eq!(stored(), "");
    let value = "x".repeat(60_000);
    let properties = Properties::new().with(Property::UserProperty("name", &value));
    let large = Message { properties, ..message("large", "") };
    state.insert_body(2, 1, &Arc::new(large)).expect("it is inserted");
    assert_eq!(stored(), "small,large");
}
