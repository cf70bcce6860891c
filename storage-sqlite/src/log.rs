//! The write-ahead log, looked at before the engine opens it. The engine takes a log up to the first frame whose checksum
//! is wrong and passes over the rest in silence: right after a crash, wrong when a bit has flipped in front of what was
//! committed and synced. This tells the two apart; it changes nothing.
//!
//! A crash can leave parts of *one* transaction behind the last whole one, since each is synced before the next begins.
//! So a damaged transaction that others follow is no crash's. What cannot be told from a crash is damage to the last
//! transaction, and a log that was cut.
//!
//! The format: <https://sqlite.org/fileformat2.html#walformat>.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use opifex_storage::{ErrorKind, Result, StoreError};

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
const MAGIC: u32 = 0x377f_0682;

/// Checks the log beside this database, if there is one.
///
/// # Errors
/// `Corrupt` when committed transactions would be passed over, naming the place; `Fatal` when it cannot be read.
pub(crate) fn check(database: &Path) -> Result<()> {
    let path = database.with_extension("db-wal");
    let log = match File::open(&path) {
        Ok(log) => log,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unreadable(&path, &error)),
    };
    match damage(&log, database) {
        Ok(None) => Ok(()),
        Ok(Some(at)) => {
            let path = path.display();
            let what = format!(
                "{path} is damaged at byte {at}, and committed messages stand behind that: bring the file back, or \
                 go on without them by `truncate -s {at} {path}`"
            );
            Err(StoreError::not_applied(ErrorKind::Corrupt, what))
        }
        Err(error) => Err(unreadable(&path, &error)),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::not_applied(ErrorKind::Fatal, format!("cannot read {}: {error}", path.display()))
}

/// Where a log is damaged that goes on behind that.
fn damage(log: &File, database: &Path) -> io::Result<Option<usize>> {
    let mut header = [0; HEADER];
    let mut log = BufReader::with_capacity(1 << 16, log);
    if !fill(&mut log, &mut header)? {
        return Ok(None);
    }
    let big_endian = word(&header, 0) & 1 == 1;
    let mut sum = Checksum(0, 0);
    sum.add(&header[..24], big_endian);
    if word(&header, 0) & !1 == MAGIC && sum == Checksum::of(&header[24..]) {
        let frames = Frames { log, big_endian, page_size: word(&header, 8) as usize, sum, at: HEADER };
        return behind_a_damaged_frame(frames, &header[16..24]);
    }
    // The engine would take nothing of it. That is right if the header was being written when all had been copied into
    // the database.
    let Some(page_size) = page_size(database)? else { return Ok(None) };
    let frames = Frames { log, big_endian, page_size, sum, at: HEADER };
    Ok(holds_what_is_not_in(database, frames)?.then_some(0))
}

/// The first frame that the engine would stop at, if a transaction follows that of the frame.
fn behind_a_damaged_frame(mut frames: Frames<impl Read>, salts: &[u8]) -> io::Result<Option<usize>> {
    // Where it would stop, and whether the transaction has ended that it would miss.
    let (mut stopped_at, mut transaction_ended) = (None, false);
    while let Some(frame) = frames.next()? {
        let ours = frame.salts == salts;
        let whole = ours && frame.whole;
        if stopped_at.is_none() && !whole {
            stopped_at = Some(frame.at);
            transaction_ended = ours && frame.commits > 0;
        } else if stopped_at.is_some() && whole && frame.commits > 0 {
            // (What of a transaction was written before its end is none: it may spill while the one before is synced.)
            if transaction_ended {
                return Ok(stopped_at);
            }
            transaction_ended = true;
        }
    }
    Ok(None)
}

/// Whether the log's transactions, as they follow each other from its beginning, have left something that the database
/// does not hold.
fn holds_what_is_not_in(database: &Path, mut frames: Frames<impl Read>) -> io::Result<bool> {
    let page_size = frames.page_size;
    let (mut open, mut pages, mut size, mut salts) = (Vec::new(), HashMap::new(), 0, None);
    while let Some(frame) = frames.next()? {
        // What the first frame's checksum goes on from is in the header.
        let first = frame.at == HEADER;
        let salts = salts.get_or_insert_with(|| frame.salts.clone());
        if frame.salts != *salts || !(frame.whole || first) {
            break;
        }
        open.push((frame.number, frame.page));
        if frame.commits > 0 {
            size = frame.commits;
            pages.extend(open.drain(..));
        }
    }
    let database = File::open(database)?;
    let mut page = vec![0; page_size];
    for (number, logged) in pages {
        if number == 0 || number > size {
            continue;
        }
        let offset = u64::from(number - 1) * page_size as u64;
        (&database).seek(SeekFrom::Start(offset))?;
        if !fill(&mut &database, &mut page)? || page != logged {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The size of the database's pages, as its header says; `None`: there is no database yet.
fn page_size(database: &Path) -> io::Result<Option<usize>> {
    let mut file = match File::open(database) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut start = [0; 18];
    if !fill(&mut file, &mut start)? {
        return Ok(None);
    }
    let size = match u16::from_be_bytes([start[16], start[17]]) {
        1 => 65_536,
        size => usize::from(size),
    };
    Ok((size.is_power_of_two() && size >= 512).then_some(size))
}

/// The frames of a log, one after the other, each judged by the checksum that the one before bears.
struct Frames<R> {
    log: R,
    big_endian: bool,
    page_size: usize,
    sum: Checksum,
    at: usize,
}

struct Frame {
    at: usize,
    number: u32,
    /// The database's size in pages, when it ends a transaction; else 0.
    commits: u32,
    salts: Vec<u8>,
    page: Vec<u8>,
    whole: bool,
}

impl<R: Read> Frames<R> {
    fn next(&mut self) -> io::Result<Option<Frame>> {
        let (mut header, mut page) = ([0; FRAME_HEADER], vec![0; self.page_size]);
        if !fill(&mut self.log, &mut header)? || !fill(&mut self.log, &mut page)? {
            return Ok(None);
        }
        let mut computed = self.sum;
        computed.add(&header[..8], self.big_endian);
        computed.add(&page, self.big_endian);
        self.sum = Checksum::of(&header[16..]);
        let at = self.at;
        self.at += FRAME_HEADER + self.page_size;
        let (number, commits) = (word(&header, 0), word(&header, 4));
        Ok(Some(Frame {
            at,
            number,
            commits,
            salts: header[8..16].to_vec(),
            page,
            whole: computed == self.sum,
        }))
    }
}

/// Fills the buffer; `false`: there is less.
fn fill(log: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match log.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// The running checksum of a log: each frame's goes on from that of the one before.
#[derive(Copy, Clone, PartialEq, Eq)]
struct Checksum(u32, u32);

impl Checksum {
    /// As it is stored.
    fn of(bytes: &[u8]) -> Checksum {
        Checksum(word(bytes, 0), word(bytes, 4))
    }

    fn add(&mut self, bytes: &[u8], big_endian: bool) {
        let read = if big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
        for pair in bytes.chunks_exact(8) {
            let (first, second) = pair.split_at(4);
            let number = |bytes: &[u8]| read(bytes.try_into().expect("four bytes"));
            self.0 = self.0.wrapping_add(number(first)).wrapping_add(self.1);
            self.1 = self.1.wrapping_add(number(second)).wrapping_add(self.0);
        }
    }
}

#[cfg(test)]
mod tests;
