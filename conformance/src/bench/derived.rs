//! What a store makes of its disk: batches acknowledged per sync, bytes written per message, and what is left of its files
//! when everything was deleted. Times are criterion's, not ours.
//!
//! Counted from below, alike for every engine: a child process does the work with the recorder of the power-loss suite
//! ([`crate::power::shim`]) between it and its files, and its record says what it wrote and synced. Bytes are those of the
//! calls; what the file system makes of them is its own. Where the recorder cannot be had there are no such figures, and
//! the table says why.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

use opifex_storage::{Durability, Persistence, QueueLimits};

use super::contender::Contender;
use super::work::{commit_together, open, seqs, settle};
use crate::power::record::{self, Call, Event, Phase};
use crate::power::shim;
use crate::{Directory, Factory};

/// The child's orders: `NUMBER LEVEL DIRECTORY LOG`, a line each.
const ORDERS: &str = "OPIFEX_CONFORMANCE_BENCH_CHILD";

/// Durable publishers that send at once, as in the group commit of 64.
const SUBMITTERS: usize = 64;
/// How often each does.
const ROUNDS: usize = 50;
/// The payload of each message.
const PAYLOAD_BYTES: usize = 1024;

/// What the watched process does, and where.
pub(super) struct Child {
    level: Durability,
    directory: PathBuf,
    log: PathBuf,
}

/// What only the watched process knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// Where in the record the publishing began and ended.
    publishing: [u64; 2],
    /// The files' bytes on disk when all messages were queued.
    full_bytes: u64,
    /// The same when they were settled and the store was closed.
    empty_bytes: u64,
}

/// One line of the table.
struct Figures {
    syncs: u64,
    written_bytes: u64,
    full_bytes: u64,
    empty_bytes: u64,
}

/// Does what this process was started for, if it is such a child; answers whether it is.
pub(super) fn obey(contenders: &[Box<dyn Contender>]) -> bool {
    let Ok(orders) = env::var(ORDERS) else { return false };
    let mut lines = orders.lines();
    let mut line = || lines.next().expect("the orders have four lines");
    let contender = &contenders[line().parse::<usize>().expect("a contender's number")];
    let level = match line() {
        "process" => Durability::Process,
        _ => Durability::Disk,
    };
    let child = Child { level, directory: line().into(), log: line().into() };
    let told = contender.obey(&child);
    let [begin, end] = told.publishing;
    println!("{ORDERS} {begin} {end} {} {}", told.full_bytes, told.empty_bytes);
    true
}

impl Child {
    /// Queues messages, settles them all, closes.
    pub(super) async fn work<F: Factory>(&self, factory: &F) -> Told {
        let place = factory.adopt(&self.directory).expect("the factory adopts directories");
        let store = factory.open(&place).await.expect("a store in an empty directory opens");
        let sessions = open(&store, 1 + SUBMITTERS, self.level).await;
        let (queue, authors) = (&sessions[0], &sessions[1..]);
        let begin = self.recorded();
        let mut queued = Vec::new();
        for _ in 0..ROUNDS {
            queued.extend(
                commit_together(&store, queue, QueueLimits::UNLIMITED, authors, PAYLOAD_BYTES, self.level)
                    .await,
            );
        }
        let publishing = [begin, self.recorded()];
        let full_bytes = on_disk(&self.directory).expect("a store's files can be looked at");
        settle(&store, queue, &seqs(&queued), self.level).await;
        store.close().await.expect("an open store can be closed");
        drop(store);
        let empty_bytes = on_disk(&self.directory).expect("a store's files can be looked at");
        Told { publishing, full_bytes, empty_bytes }
    }

    fn recorded(&self) -> u64 {
        fs::metadata(&self.log).map(|log| log.len()).unwrap_or_default()
    }
}

/// Counts for all backends, at each level of which a sync or a write is part, prints the table, and leaves it beside
/// criterion's pages.
pub(super) fn write(contenders: &[Box<dyn Contender>], levels: &[Durability]) {
    let mut table = format!(
        "# What the stores make of their disk\n\n{SUBMITTERS} publishers at once, {ROUNDS} messages of {PAYLOAD_BYTES} \
         bytes each, all into one queue; then all are settled and the store is closed.\n\n\
         | level | backend | acknowledged per sync | bytes written per message | disk when full | disk after delete |\n\
         | --- | --- | ---: | ---: | ---: | ---: |\n"
    );
    for level in levels.iter().filter(|level| matches!(level, Durability::Process | Durability::Disk)) {
        for (number, contender) in contenders.iter().enumerate().filter(|(_, it)| it.offers() >= *level) {
            let cells = match count(number, contender.as_ref(), *level) {
                Ok(figures) => figures.cells(),
                Err(why) => format!("not counted: {why} | | |"),
            };
            table += &format!("| {level} | {} | {cells} |\n", contender.name());
        }
    }
    println!("{table}");
    match leave(&table) {
        Ok(file) => println!("It stands in {}.", file.display()),
        Err(error) => println!("It could not be written down: {error}"),
    }
}

impl Figures {
    fn cells(&self) -> String {
        let messages = (SUBMITTERS * ROUNDS) as f64;
        let per_sync = match self.syncs {
            0 => "no sync".to_owned(),
            syncs => format!("{:.1}", messages / syncs as f64),
        };
        let written = self.written_bytes as f64 / messages;
        let [full, empty] = [self.full_bytes, self.empty_bytes].map(|bytes| bytes >> 10);
        format!("{per_sync} | {written:.0} | {full} KiB | {empty} KiB")
    }
}

fn count(number: usize, contender: &dyn Contender, level: Durability) -> Result<Figures, String> {
    if !contender.has_files() {
        return Err("the factory has no `directory` and `adopt`".to_owned());
    }
    let said = |what: &str, error: io::Error| format!("{what}: {error}");
    let (files, records) = (Directory::new(), Directory::new());
    let directory = files.path().canonicalize().map_err(|error| said("the directory", error))?;
    let log = records.path().join("record");
    let program = env::current_exe().map_err(|error| said("the program has no path", error))?;
    let mut command = Command::new(program);
    command.env(ORDERS, format!("{number}\n{level}\n{}\n{}", directory.display(), log.display()));
    shim::watch(&mut command, &directory, None, Some(&log))?;
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| said("the child does not start", error))?;
    let output = String::from_utf8_lossy(&output.stdout);
    let told = output.lines().find_map(parse).ok_or("the child failed")?;
    let record = fs::read(&log).map_err(|error| said("the record", error))?;
    let [begin, end] = told.publishing.map(|at| at as usize);
    let record = record.get(begin..end).ok_or("the record is shorter than the child says")?;
    let (syncs, written_bytes) = counted(&record::read(0, record));
    Ok(Figures { syncs, written_bytes, full_bytes: told.full_bytes, empty_bytes: told.empty_bytes })
}

/// Syncs that were done, and bytes that were written.
fn counted(events: &[Event]) -> (u64, u64) {
    let (mut syncs, mut written_bytes) = (0, 0);
    for event in events {
        match (event.phase, &event.call) {
            (Phase::End { result: 0 }, Call::Sync) => syncs += 1,
            (Phase::Begin, Call::Write { bytes, .. }) => written_bytes += bytes.len() as u64,
            _ => {}
        }
    }
    (syncs, written_bytes)
}

fn parse(line: &str) -> Option<Told> {
    let mut numbers = line.strip_prefix(ORDERS)?.split_whitespace().map(|word| word.parse().ok());
    let mut number = || numbers.next().flatten();
    Some(Told { publishing: [number()?, number()?], full_bytes: number()?, empty_bytes: number()? })
}

/// The bytes that all files below a directory take on the disk.
fn on_disk(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { on_disk(&entry.path())? } else { allocated(&metadata) };
    }
    Ok(bytes)
}

#[cfg(unix)]
fn allocated(metadata: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    // In units of 512 bytes, whatever the file system's are.
    metadata.blocks() * 512
}

#[cfg(not(unix))]
fn allocated(metadata: &fs::Metadata) -> u64 {
    metadata.len()
}

/// Writes the table where criterion writes: the program is `target/release/deps/NAME`.
fn leave(table: &str) -> io::Result<PathBuf> {
    let directory = match env::var_os("CRITERION_HOME") {
        Some(home) => PathBuf::from(home),
        None => {
            let program = env::current_exe()?;
            let target = program.ancestors().nth(3).ok_or(io::ErrorKind::NotFound)?;
            target.join("criterion")
        }
    };
    fs::create_dir_all(&directory)?;
    let file = directory.join("derived.md");
    fs::write(&file, table)?;
    Ok(file)
}

#[cfg(test)]
mod tests;
