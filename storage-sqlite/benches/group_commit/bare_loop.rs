//! SQLite and nothing around it: the rows that a publish costs the store, with its pragmas, the log copied when it is as
//! long as the store's.

use std::path::Path;
use std::time::{Duration, Instant};

use opifex_storage_sqlite::SqliteStore;
use rusqlite::{Connection, ToSql, params};

/// As the publishers' that it stands beside.
pub(crate) const TOPIC: &str = "bench/42";
pub(crate) const PAYLOAD: [u8; 256] = [b'x'; 256];
/// What the message counts in its queue.
const SIZE: i64 = (TOPIC.len() + PAYLOAD.len()) as i64;
/// Any number of that length: computing it is the store's work, writing it the loop's, too.
const CHECKSUM: u32 = 0x8765_4321;

/// Messages a second in transactions of so many: a body and an entry each, and once a transaction what the session's
/// row counts.
pub(crate) fn messages_a_second(dir: &Path, batch: usize, round: Duration) -> f64 {
    drop(SqliteStore::open(dir).expect("it makes the tables"));
    let db = Connection::open(dir.join("opifex.db")).expect("it opens");
    db.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF; PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -16000; PRAGMA wal_autocheckpoint = 4096;
         INSERT INTO sessions (id, client_id, epoch) VALUES (1, 'c', 1);",
    )
    .expect("it is set up");
    let (mut seq, start) = (0_i64, Instant::now());
    while start.elapsed() < round {
        db.execute_batch("BEGIN IMMEDIATE").expect("it begins");
        let run = |sql: &str, params: &[&dyn ToSql]| {
            db.prepare_cached(sql).and_then(|mut sql| sql.execute(params)).expect("it runs");
        };
        for _ in 0..batch {
            seq += 1;
            run(
                "INSERT INTO messages (id, refs, topic, qos, properties, payload, refs_check, checksum) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, -?2, ?7)",
                params![seq, 1, TOPIC, 1, &[][..] as &[u8], &PAYLOAD[..], CHECKSUM],
            );
            run(
                "INSERT INTO queue (session, seq, message, size, qos, retain, checksum) \
                 VALUES (1, ?1, ?2, ?3, 1, 0, ?4)",
                params![seq, seq, SIZE, CHECKSUM],
            );
        }
        run(
            "UPDATE sessions SET next_seq = ?1, queued_items = ?2, queued_bytes = ?3, \
             waiting_items = ?2, waiting_bytes = ?3, checksum = ?4 WHERE id = 1",
            params![seq + 1, seq, seq * SIZE, CHECKSUM],
        );
        db.execute_batch("COMMIT").expect("it commits");
    }
    seq as f64 / start.elapsed().as_secs_f64()
}
