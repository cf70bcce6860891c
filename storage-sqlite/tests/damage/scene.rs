//! Stores that are to be damaged, and what is shown of one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use opifex_conformance::block_on;
use opifex_conformance::script::{
    START, at, connect, expiring, filter, message, packet_id, subscription, target,
};
use opifex_storage::{
    Author, Batch, Durability, ErrorKind, NewWill, Op, OpenSession, OpenedSession, PageLimit, Persistence,
    RecordKind, Result, Seq, SessionExpiry, SessionId,
};
use opifex_storage_sqlite::{SqliteOptions, SqliteStore};
use rusqlite::Connection;
use tempfile::TempDir;

/// How much a store holds.
struct Size {
    page_bytes: usize,
    sessions: usize,
    /// For all sessions, and as many retained ones.
    messages: usize,
}

/// Of the larger one of the stores.
const SESSIONS: usize = 5;

pub(crate) fn submit(store: &SqliteStore, author: Author, ops: Vec<Op>) {
    let batch = Batch { ops, ..Batch::new(author, Durability::Disk, START) };
    block_on(async { store.submit(batch).await?.durable().await }).expect("it is stored");
}

/// A store with some of everything, closed. Small pages, so that each table has several.
pub(crate) fn filled() -> TempDir {
    filled_with(&Size { page_bytes: 1024, sessions: SESSIONS, messages: 12 })
}

/// One of which every bit can be flipped in some minutes.
pub(crate) fn small() -> TempDir {
    filled_with(&Size { page_bytes: 512, sessions: 3, messages: 5 })
}

/// In memory where that is to be had: nothing here depends on a disk, and thousands of stores are opened.
pub(crate) fn directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory")
}

/// Opens a store with a small reserve: to write the usual one took most of the time of all that is opened here.
pub(crate) fn open(dir: &Path) -> Result<SqliteStore> {
    SqliteStore::open(SqliteOptions { reserve_bytes: 256 << 10, ..SqliteOptions::new(dir) })
}

fn filled_with(size: &Size) -> TempDir {
    let dir = directory();
    let db = Connection::open(dir.path().join("opifex.db")).expect("it opens");
    let page_bytes = size.page_bytes;
    db.execute_batch(&format!("PRAGMA page_size = {page_bytes}; PRAGMA auto_vacuum = INCREMENTAL; VACUUM"))
        .expect("it is set");
    drop(db);
    let store = open(dir.path()).expect("it opens");
    let sessions: Vec<OpenedSession> = (0..size.sessions)
        .map(|n| {
            let will = NewWill {
                message: Arc::new(message(&format!("will/{n}"), "gone")),
                retain: n % 2 == 0,
                delay_secs: 60,
                expiry_secs: Some(30),
            };
            let expiry = SessionExpiry::Secs(3600);
            let open = OpenSession { expiry, will: Some(will), ..connect(&format!("client-{n}")) };
            block_on(store.open_session(open)).expect("it opens")
        })
        .collect();
    for n in 0..size.messages {
        let body = Arc::new(expiring(&format!("all/{n}"), format!("for all, {n}"), at(7200)));
        let targets = sessions.iter().map(|opened| target(opened.session.id)).collect();
        submit(&store, Author::Broker, vec![Op::Enqueue { message: body, targets }]);
        let retained = Arc::new(expiring(&format!("home/room{n}/lamp"), format!("on {n}"), at(9000)));
        submit(&store, Author::Broker, vec![Op::Retain(retained)]);
    }
    for (n, opened) in sessions.iter().enumerate() {
        let one = Arc::new(message(&format!("one/{n}"), [n as u8; 300]));
        let enqueue = Op::Enqueue { message: one, targets: vec![target(opened.session.id)] };
        let own = vec![
            enqueue,
            Op::Subscribe(subscription(&format!("home/{n}/#"))),
            Op::Subscribe(subscription("all/+")),
            Op::Subscribe(subscription("zone/+/state")),
            Op::Assign { seq: Seq(2), packet_id: packet_id(7) },
            Op::Assign { seq: Seq(3), packet_id: packet_id(8) },
            Op::Release(Seq(3)),
            Op::PutInbound(packet_id(3)),
            Op::PutInbound(packet_id(70)),
            Op::PutInbound(packet_id(700)),
            Op::GoOffline,
        ];
        submit(&store, Author::Session(opened.session.id, opened.session.epoch), own);
    }
    block_on(store.close()).expect("it closes");
    dir
}

/// What a store shows: its records as text, and what it calls damaged.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    pub(crate) records: BTreeSet<String>,
    pub(crate) damaged: BTreeSet<String>,
}

pub(crate) fn read_all(dir: &Path) -> Result<Shown> {
    read(&open(dir)?)
}

/// The same, and what each client gets that comes back.
pub(crate) fn read_and_open(dir: &Path) -> Result<Shown> {
    let store = open(dir)?;
    let mut shown = read(&store)?;
    // One that fails may close the store, which the next one learns.
    let mut has_failed = false;
    for n in 0..SESSIONS {
        match block_on(store.open_session(connect(&format!("client-{n}")))) {
            Ok(mut opened) => {
                shown.damaged.extend(opened.damaged.drain(..).map(|error| error.to_string()));
                shown.records.insert(format!("opened: {opened:?}"));
            }
            Err(error) => {
                let is_ended = error.kind() == ErrorKind::Closed && !has_failed;
                assert!(!is_ended, "a thread of the store has ended: {error}");
                has_failed = true;
                shown.damaged.insert(format!("client {n} is refused: {error}"));
            }
        }
    }
    Ok(shown)
}

fn read(store: &SqliteStore) -> Result<Shown> {
    block_on(async {
        let mut shown = Shown::default();
        use RecordKind::*;
        for kind in [Session, Subscription, Queued, Inbound, Retained, Will] {
            let mut cursor = None;
            loop {
                let page = store.scan(kind, cursor, PageLimit::items(7)).await?;
                shown.records.extend(page.items.iter().map(|record| format!("{record:?}")));
                shown.damaged.extend(page.damaged.iter().map(ToString::to_string));
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
        }
        for id in 1..=SESSIONS as u64 {
            let mut after = Seq::ZERO;
            loop {
                let page = store.queue(SessionId(id), after, PageLimit::items(5)).await?;
                shown.records.extend(page.items.iter().map(|entry| format!("session {id}: {entry:?}")));
                shown.damaged.extend(page.damaged.iter().map(ToString::to_string));
                if !page.more {
                    break;
                }
                assert!(page.final_up_to > after, "a walk goes on");
                after = page.final_up_to;
            }
        }
        let mut cursor = None;
        loop {
            let filters = [filter("home/+/lamp"), filter("#")];
            let page = store.retained(&filters, cursor, PageLimit::items(5)).await?;
            shown.records.extend(page.items.iter().map(|item| format!("matches: {item:?}")));
            shown.damaged.extend(page.damaged.iter().map(ToString::to_string));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        let page = store.due(at(100_000), None, PageLimit::items(1000)).await?;
        shown.records.extend(page.items.iter().map(|due| format!("due: {due:?}")));
        shown.damaged.extend(page.damaged.iter().map(ToString::to_string));
        Ok(shown)
    })
}

/// Nothing is shown that was not stored; what is missing is accounted for. Answers what is wrong.
pub(crate) fn judge(shown: &Result<Shown>, whole: &Shown) -> Result<(), String> {
    let shown = match shown {
        Ok(shown) => shown,
        Err(error) if error.kind() == ErrorKind::Closed => {
            return Err(format!("a thread of the store has ended: {error}"));
        }
        Err(_) => return Ok(()),
    };
    let (opened, wrong): (Vec<_>, Vec<_>) =
        shown.records.difference(&whole.records).partition(|record| record.starts_with("opened: "));
    // Who has lost something, and said so, may have another session than before.
    if !wrong.is_empty() || !opened.is_empty() && shown.damaged.is_empty() {
        return Err(format!("shown and never stored: {wrong:?} {opened:?}"));
    }
    let lost: Vec<_> = whole.records.difference(&shown.records).collect();
    if !lost.is_empty() && shown.damaged.is_empty() {
        return Err(format!("missing without a word: {lost:?}"));
    }
    Ok(())
}

pub(crate) fn check(shown: &Result<Shown>, whole: &Shown, what: &str) {
    judge(shown, whole).unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
}

pub(crate) fn copy(from: &Path) -> TempDir {
    let to = directory();
    for file in fs::read_dir(from).expect("it is there") {
        let file = file.expect("it is there");
        // Of the reserve nothing is read.
        if file.file_name() == "opifex.reserve" {
            continue;
        }
        fs::copy(file.path(), to.path().join(file.file_name())).expect("it is copied");
    }
    to
}
