//! A session in one file: changes are appended, and the file is written anew when most of it is history.
//!
//! ```text
//! "opifex session 2" | salt (u64) | CRC-32C of both (u32) | frames ...
//! frame: length of the records (u32) | CRC-32C of salt and records (u32) | CRC-32C of salt and those two (u32) | records
//! ```
//! A flush is a frame. A process or a machine that dies leaves a last frame that is not whole: its flush did not return,
//! so nothing rests on it, and it is cut off. Damage in front of a whole frame is an error. The salt is the file's own, so
//! that a payload that was made to look like a frame is none. The file's user holds a lock on a file beside it, with
//! `.lock` at the end of its name, which is never replaced.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use opifex_packet::PacketId;

use crate::store::record::Record;
use crate::store::{MemoryStore, SessionStore, StoredMessage, StoredSession};

const MAGIC: &[u8; 16] = b"opifex session 2";
const HEADER: usize = 28;
const FRAME_HEADER: usize = 12;
/// A file that is written anew has frames of about that size.
const FRAME_BYTES: usize = 4 * 1024 * 1024;
/// No frame is larger; more is written by writing the file anew.
const LARGEST_FRAME: usize = 1024 * 1024 * 1024;
/// While nothing can be written, so much is noted; above, the file is written anew when it can be.
const MAX_NOTED: usize = 16 * 1024 * 1024;
/// A file below that size is left alone.
const COMPACT_ABOVE: u64 = 64 * 1024;

/// A store in a file. What was flushed survives the process; with [`synced`](FileStore::synced) also a power loss.
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
    /// Held for the store's life: whoever has it may replace the file.
    _lock: File,
    file: File,
    salt: u64,
    synced: bool,
    /// What the file holds together with `noted`.
    session: MemoryStore,
    /// Records that are not in the file.
    noted: Vec<u8>,
    /// Room for a frame, kept from flush to flush.
    frame: Vec<u8>,
    len: u64,
    /// The length behind which the file is written anew.
    compact_at: u64,
    /// A write failed: what stands at the end of the file is not known.
    torn: bool,
}

impl FileStore {
    /// Opens the file of a session, or begins one.
    ///
    /// # Errors
    /// `WouldBlock`: another store uses it. `InvalidData`: it is no session file, or a damaged one. Else as the file
    /// system says.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<FileStore> {
        let path = path.into();
        let open =
            |path: &Path| OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let lock = open(&beside(&path, ".lock"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => in_use(&path),
            TryLockError::Error(error) => error,
        })?;
        let mut file = open(&path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut store = FileStore {
            path,
            _lock: lock,
            file,
            salt: crate::random::number(),
            synced: false,
            session: MemoryStore::default(),
            noted: Vec::new(),
            frame: Vec::new(),
            len: 0,
            compact_at: COMPACT_ABOVE,
            torn: false,
        };
        if bytes.len() < HEADER && MAGIC.starts_with(&bytes[..bytes.len().min(MAGIC.len())]) {
            // New, or its making was cut short.
            store.rewrite()?;
        } else {
            store.read(&bytes)?;
        }
        Ok(store)
    }

    /// The same store, where each flush waits until the disk has it.
    #[must_use]
    pub fn synced(mut self) -> Self {
        self.synced = true;
        self
    }

    fn read(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.salt = salt_of(bytes).ok_or_else(|| self.damaged("it is no session file"))?;
        let mut at = HEADER;
        while let Some(mut records) = frame_at(self.salt, &bytes[at..]) {
            at += FRAME_HEADER + records.len();
            while !records.is_empty() {
                let record = Record::take(&mut records).ok_or_else(|| {
                    self.damaged("a record in it is of a kind that this version does not know")
                })?;
                record.apply(&mut self.session);
            }
        }
        // A torn tail has no frame behind it. Few places look like the head of one, so that this is linear.
        if (at + 1..bytes.len()).any(|later| frame_at(self.salt, &bytes[later..]).is_some()) {
            return Err(self.damaged(&format!("what stands at byte {at} is damaged and more follows")));
        }
        self.len = at as u64;
        self.file.set_len(self.len)?;
        self.file.seek(SeekFrom::Start(self.len))?;
        self.compact_at = COMPACT_ABOVE.max(4 * self.live().len() as u64);
        Ok(())
    }

    #[cold]
    fn damaged(&self, what: &str) -> io::Error {
        let advice = "restore the file, or remove it and lose what it holds";
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}; {advice}", self.path.display()))
    }

    fn note(&mut self, record: Record) {
        record.apply(&mut self.session);
        if self.torn && self.noted.len() > MAX_NOTED {
            // It is in the session, of which the file is written anew.
            self.noted = Vec::new();
        }
        record.encode(&mut self.noted);
    }

    /// The whole file as it would be without history.
    fn live(&self) -> Vec<u8> {
        let mut bytes = header(self.salt);
        let mut records = Vec::new();
        let mut put = |record: Record| {
            record.encode(&mut records);
            if records.len() >= FRAME_BYTES {
                frame(self.salt, &records, &mut bytes);
                records.clear();
            }
        };
        put(Record::NextNumber(self.session.next_number()));
        if self.session.has_begun() {
            put(Record::Begun(true));
        }
        if self.session.has_been_accepted() {
            put(Record::Accepted);
        }
        if !self.session.client_id().is_empty() {
            put(Record::ClientId(self.session.client_id().to_owned()));
        }
        for message in self.session.outgoing() {
            put(Record::PutOutgoing(message.clone()));
        }
        for id in self.session.incoming() {
            put(Record::PutIncoming(id));
        }
        frame(self.salt, &records, &mut bytes);
        bytes
    }

    /// Puts a new file with all that counts into the place of the old one.
    fn rewrite(&mut self) -> io::Result<()> {
        let bytes = self.live();
        let new = beside(&self.path, ".new");
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        sync_directory(&self.path)?;
        self.file = file;
        self.len = bytes.len() as u64;
        self.compact_at = COMPACT_ABOVE.max(4 * self.len);
        self.noted.clear();
        self.torn = false;
        Ok(())
    }
}

/// The file of that name and more.
fn beside(path: &Path, more: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(more);
    PathBuf::from(name)
}

fn in_use(path: &Path) -> io::Error {
    let what = format!("{} is in use by another client; give each its own", path.display());
    io::Error::new(io::ErrorKind::WouldBlock, what)
}

fn header(salt: u64) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&salt.to_le_bytes());
    let sum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

/// Appends a frame. The caller's records are far below what the length can say.
fn frame(salt: u64, records: &[u8], bytes: &mut Vec<u8>) {
    let len = u32::try_from(records.len()).expect("records are noted up to a limit that is below 4 GiB");
    bytes.reserve(FRAME_HEADER + records.len());
    let start = bytes.len();
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(&checksum(salt, records).to_le_bytes());
    let sum = checksum(salt, &bytes[start..]);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes.extend_from_slice(records);
}

/// The records of the frame at the front of `input`, when one stands there as a whole and unharmed.
fn frame_at(salt: u64, input: &[u8]) -> Option<&[u8]> {
    let (head, rest) = input.split_first_chunk::<FRAME_HEADER>()?;
    let (len, head_rest) = head.split_first_chunk()?;
    let (sum, head_sum) = head_rest.split_first_chunk()?;
    if head_sum != checksum(salt, &head[..8]).to_le_bytes() {
        return None;
    }
    let records = rest.get(..u32::from_le_bytes(*len) as usize)?;
    (checksum(salt, records) == u32::from_le_bytes(*sum)).then_some(records)
}

fn checksum(salt: u64, records: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), records)
}

fn salt_of(bytes: &[u8]) -> Option<u64> {
    let head = bytes.get(..HEADER)?;
    let salt = u64::from_le_bytes(*head[MAGIC.len()..].first_chunk()?);
    (head == header(salt)).then_some(salt)
}

/// A rename is on disk when its directory is.
#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_path: &Path) -> io::Result<()> {
    Ok(())
}

impl SessionStore for FileStore {
    fn load(&mut self) -> io::Result<StoredSession> {
        self.session.load()
    }

    fn set_begun(&mut self, begun: bool) {
        self.note(Record::Begun(begun));
    }

    fn set_accepted(&mut self) {
        self.note(Record::Accepted);
    }

    fn set_client_id(&mut self, client_id: &str) {
        self.note(Record::ClientId(client_id.to_owned()));
    }

    fn put_outgoing(&mut self, message: &StoredMessage) {
        self.note(Record::PutOutgoing(message.clone()));
    }

    fn release(&mut self, packet_id: PacketId, nth: u64) {
        self.note(Record::Release(packet_id, nth));
    }

    fn remove_outgoing(&mut self, packet_id: PacketId) {
        self.note(Record::RemoveOutgoing(packet_id));
    }

    fn put_incoming(&mut self, packet_id: PacketId) {
        self.note(Record::PutIncoming(packet_id));
    }

    fn remove_incoming(&mut self, packet_id: PacketId) {
        self.note(Record::RemoveIncoming(packet_id));
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.noted.is_empty() {
            return Ok(());
        }
        if self.torn
            || self.noted.len() > LARGEST_FRAME
            || self.len + self.noted.len() as u64 > self.compact_at
        {
            return self.rewrite();
        }
        self.torn = true;
        self.frame.clear();
        frame(self.salt, &self.noted, &mut self.frame);
        self.file.write_all(&self.frame)?;
        if self.synced {
            self.file.sync_data()?;
        }
        self.torn = false;
        self.len += self.frame.len() as u64;
        self.noted.clear();
        if self.frame.capacity() > FRAME_BYTES {
            (self.frame, self.noted) = (Vec::new(), Vec::new());
        }
        Ok(())
    }
}
