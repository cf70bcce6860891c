//! sled and nothing around it: rows of the sizes that a publish costs the store, with its flush.

use std::path::Path;
use std::time::{Duration, Instant};

/// Messages a second in batches of so many: an entry with its message each, session and counters a batch.
pub(crate) fn messages_a_second(dir: &Path, group: usize, round: Duration) -> f64 {
    let db = sled::Config::new().path(dir).flush_every_ms(None).open().expect("it opens");
    let (mut last, start) = (0_u64, Instant::now());
    while start.elapsed() < round {
        let mut batch = sled::Batch::default();
        batch.insert(&b"M"[..], &[0; 12][..]);
        batch.insert(&b"Sxxxxxxxx"[..], &[0; 32][..]);
        for _ in 0..group {
            last += 1;
            batch.insert([&b"Qxxxxxxxx"[..], &last.to_be_bytes()].concat(), &[0; 278][..]);
        }
        db.apply_batch(batch).expect("it is written");
        db.flush().expect("it is flushed");
    }
    last as f64 / start.elapsed().as_secs_f64()
}
