//! `Process` is claimed, so it is tested: a child writes, tells what is durable, and is killed (SIGKILL) at a random
//! moment; what it told must be there, and every batch whole. The same check of a child that tells too early fails.
//!
//! Not a test harness: the program is its own child.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, io, thread};

use opifex_conformance::block_on;
use opifex_conformance::script::{START, connect, filter, message, target};
use opifex_storage::{
    Author, Batch, Durability, Op, OpenSession, PageLimit, Persistence, Queued, RecordKind, Seq,
};
use opifex_storage_sled::{SledOptions, SledStore};
use tempfile::TempDir;

const CHILD: &str = "OPIFEX_KILL_TEST_CHILD";
const EARLY: &str = "OPIFEX_KILL_TEST_EARLY";
const WRITERS: usize = 4;
const ROUNDS: usize = 20;

fn main() {
    if let Some(directory) = env::var_os(CHILD) {
        return write_until_killed(Path::new(&directory));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    let mut seed = now.subsec_nanos();
    println!("seed {seed}");

    let directory = TempDir::new().expect("a directory can be made");
    let told: usize = (0..ROUNDS).map(|_| killed_round(directory.path(), &mut seed, false).0).sum();
    let lost = check(directory.path(), &[None; WRITERS]);
    assert_eq!(lost, 0);
    println!("{ROUNDS} kills, {told} batches told durable, 0 lost");

    let mut early_lost = 0;
    for round in 1..=ROUNDS {
        let directory = TempDir::new().expect("a directory can be made");
        early_lost = killed_round(directory.path(), &mut seed, true).1;
        if early_lost > 0 {
            println!("telling too early was caught in round {round}: {early_lost} lost");
            break;
        }
    }
    assert!(early_lost > 0, "the check sees nothing: a child that tells too early must be caught");
}

/// Lets a child write and kills it. Answers how many batches it told, and how many of them are lost.
fn killed_round(directory: &Path, seed: &mut u32, early: bool) -> (usize, usize) {
    *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    let lines_before_the_kill = 1 + (*seed >> 8) as usize % 400;
    let mut command = Command::new(env::current_exe().expect("this program has a path"));
    command.env(CHILD, directory).stdout(Stdio::piped());
    if early {
        command.env(EARLY, "1");
    }
    let mut child: Child = command.spawn().expect("a child can be started");
    let output = BufReader::new(child.stdout.take().expect("it is piped"));
    let (mut told, mut last) = (0, [None; WRITERS]);
    for line in output.lines() {
        let line = line.expect("the pipe can be read");
        let mut words = line.split(' ').map(|word| word.parse::<u64>().expect("two numbers"));
        let (Some(writer), Some(n)) = (words.next(), words.next()) else { panic!("half a line: {line}") };
        last[writer as usize] = Some(n);
        told += 1;
        if told == lines_before_the_kill {
            child.kill().expect("it still runs");
        }
    }
    child.wait().expect("it has ended");
    assert!(told >= lines_before_the_kill, "the child ended by itself");
    let lost = check(directory, &last);
    assert!(early || lost == 0, "{lost} batches that were told durable are lost, seed {seed}");
    (told, lost)
}

/// Nobody fills a disk here.
fn options() -> SledOptions {
    SledOptions { reserve_bytes: 0, ..SledOptions::default() }
}

/// Opens what the child left: each queue is without gap and as long as the child told at least, and the retained
/// message of each writer is that of its last batch.
fn check(directory: &Path, told: &[Option<u64>; WRITERS]) -> usize {
    let store = SledStore::open_with(directory, options()).expect("what a killed process left can be opened");
    let page = block_on(store.scan(RecordKind::Session, None, PageLimit::items(1))).expect("it is read");
    assert_eq!(page.damaged, [], "rows and counts are written together");
    assert_eq!(block_on(store.inspect()).expect("it is read"), []);
    let mut lost = 0;
    for (writer, told) in told.iter().enumerate() {
        let opened = block_on(store.open_session(connect(&format!("c{writer}")))).expect("it opens");
        let queue = read(&store, opened.session.id);
        let payload = |entry: &Queued| {
            let payload = &entry.message.as_ref().expect("it is not released").payload;
            String::from_utf8(payload.to_vec()).expect("a number")
        };
        assert!(queue.iter().map(payload).eq((0..queue.len()).map(|n| n.to_string())), "a gap in a queue");
        let filters = [filter(&format!("last/{writer}"))];
        let retained = block_on(store.retained(&filters, None, PageLimit::items(1))).expect("it is read");
        let retained = retained.items.first().map(|item| item.message.payload.to_vec());
        assert_eq!(retained, queue.last().map(|entry| payload(entry).into_bytes()), "half a batch");
        let expected = told.map_or(0, |n| n as usize + 1);
        lost += expected.saturating_sub(queue.len());
    }
    lost
}

fn read(store: &SledStore, id: opifex_storage::SessionId) -> Vec<Queued> {
    let (mut all, mut after) = (Vec::new(), Seq::ZERO);
    loop {
        let page = block_on(store.queue(id, after, PageLimit::items(1000))).expect("it is read");
        after = page.final_up_to;
        all.extend(page.items);
        if !page.more {
            return all;
        }
    }
}

/// The child: each writer goes on where its queue ends, and tells each batch when its receipt says so.
fn write_until_killed(directory: &Path) {
    let level = if env::var_os(EARLY).is_some() { Durability::Memory } else { Durability::Process };
    let store = SledStore::open_with(directory, options()).expect("the directory is a store or empty");
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let store = &store;
            scope.spawn(move || block_on(write(store, writer, level)));
        }
    });
}

async fn write(store: &SledStore, writer: usize, level: Durability) {
    let open = OpenSession { durability: level, ..connect(&format!("c{writer}")) };
    let session = store.open_session(open).await.expect("it opens").session;
    for n in session.next_seq.0 - 1.. {
        let targets = vec![target(session.id)];
        let enqueue = Op::Enqueue { message: Arc::new(message("t", n.to_string())), targets };
        let retain = Op::Retain(Arc::new(message(&format!("last/{writer}"), n.to_string())));
        let batch = Batch::new(Author::Broker, level, START).with(enqueue).with(retain);
        let receipt = store.submit(batch).await.expect("it is applied");
        receipt.durable().await.expect("it is durable");
        // One write a line: a killed child leaves whole lines.
        if io::stdout().lock().write_all(format!("{writer} {n}\n").as_bytes()).is_err() {
            return;
        }
    }
}
