//! The shim's record, read back: one event after the other, in the one order in which they were written down.

use std::path::PathBuf;

/// An open file, directory or connection of one process; the processes of a test are numbered.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Object {
    /// Which process.
    pub run: usize,
    /// Which of its objects.
    pub number: u64,
}

/// Which call it was, with what it was called with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// A file or directory was opened.
    Open {
        /// Which.
        path: PathBuf,
        /// Whether it is made when it is not there.
        creates: bool,
        /// Whether it is emptied.
        truncates: bool,
        /// What it is.
        kind: OpenKind,
        /// Its number in the file system.
        inode: u64,
    },
    /// Bytes are written.
    Write {
        /// Where.
        offset: u64,
        /// Which; none at the end of the call.
        bytes: Vec<u8>,
    },
    /// A file gets a length.
    Truncate {
        /// In bytes.
        len: u64,
    },
    /// A file gets at least a length.
    Allocate {
        /// In bytes.
        len: u64,
    },
    /// fsync, fdatasync: of a file or a directory.
    Sync,
    /// sync_file_range: makes nothing durable that counts here.
    RangeSync,
    /// A name was changed.
    Rename {
        /// The old one.
        from: PathBuf,
        /// The new one.
        to: PathBuf,
    },
    /// A file's name was removed.
    Unlink {
        /// Which.
        path: PathBuf,
    },
    /// A directory was made.
    MakeDirectory {
        /// Which.
        path: PathBuf,
    },
    /// A directory was removed.
    RemoveDirectory {
        /// Which.
        path: PathBuf,
    },
    /// A connection came in.
    Accept,
    /// Bytes are sent to a connection.
    Send {
        /// Which.
        bytes: Vec<u8>,
    },
    /// Bytes came from a connection.
    Receive {
        /// Which.
        bytes: Vec<u8>,
    },
    /// What the shim has no words for: no conclusion from such a record would hold.
    Unmodelled {
        /// The call.
        what: String,
    },
}

/// What was opened.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum OpenKind {
    /// A file.
    File,
    /// SQLite's `-shm`: shared memory between processes, without durable state. Its writes are recorded without bytes.
    SharedMemory,
    /// A directory.
    Directory,
}

/// Whether the call was about to be made, or has returned with that result (or negative error number).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It was about to be made.
    Begin,
    /// It has returned.
    End {
        /// With this.
        result: i64,
    },
}

/// One line of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Before or after the call.
    pub phase: Phase,
    /// Pairs the begin of a call with its end, in its run.
    pub id: u64,
    /// What it was about.
    pub object: Object,
    /// What was done.
    pub call: Call,
}

const MAGIC: u32 = 0x5258_504f;
const HEADER: usize = 64;
const O_CREAT: u64 = 0o100;
const O_TRUNC: u64 = 0o1000;

/// Reads a process's record. One that was killed may leave half a line at the end.
pub fn read(run: usize, record: &[u8]) -> Vec<Event> {
    let (mut events, mut rest) = (Vec::new(), record);
    while rest.len() >= HEADER {
        let header = Header::read(rest);
        let end = HEADER + header.text_len + header.data_len;
        if rest.len() < end {
            break;
        }
        let (text, data) = rest[HEADER..end].split_at(header.text_len);
        events.push(header.event(run, std::str::from_utf8(text).expect("paths are text here"), data));
        rest = &rest[end..];
    }
    events
}

/// `struct header` of `shim.c`.
struct Header {
    call: u8,
    phase: u8,
    kind: u8,
    id: u64,
    object: u64,
    a: u64,
    b: u64,
    result: i64,
    text_len: usize,
    data_len: usize,
}

impl Header {
    fn read(bytes: &[u8]) -> Header {
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four"));
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight"));
        assert_eq!(u32_at(0), MAGIC, "the record is out of step");
        Header {
            call: bytes[4],
            phase: bytes[5],
            kind: bytes[6],
            id: u64_at(16),
            object: u64_at(24),
            a: u64_at(32),
            b: u64_at(40),
            result: u64_at(48).cast_signed(),
            text_len: u32_at(56) as usize,
            data_len: u32_at(60) as usize,
        }
    }

    fn event(&self, run: usize, text: &str, data: &[u8]) -> Event {
        let path = || PathBuf::from(text);
        let bytes = data.to_vec();
        let call = match self.call {
            1 => Call::Open {
                path: path(),
                creates: self.a & O_CREAT != 0,
                truncates: self.a & O_TRUNC != 0,
                kind: match self.kind {
                    1 => OpenKind::File,
                    2 => OpenKind::SharedMemory,
                    3 => OpenKind::Directory,
                    other => panic!("opened something of kind {other}"),
                },
                inode: self.b,
            },
            2 => Call::Write { offset: self.a, bytes },
            3 => Call::Truncate { len: self.a },
            4 => Call::Allocate { len: self.a },
            5 => Call::Sync,
            6 => Call::RangeSync,
            7 => {
                let (from, to) = text.split_once('\0').expect("two paths");
                Call::Rename { from: from.into(), to: to.into() }
            }
            8 => Call::Unlink { path: path() },
            9 => Call::MakeDirectory { path: path() },
            10 => Call::RemoveDirectory { path: path() },
            11 => Call::Accept,
            12 => Call::Send { bytes },
            13 => Call::Receive { bytes },
            14 => Call::Unmodelled { what: text.to_owned() },
            other => panic!("no call has the number {other}"),
        };
        Event {
            phase: if self.phase == 0 { Phase::Begin } else { Phase::End { result: self.result } },
            id: self.id,
            object: Object { run, number: self.object },
            call,
        }
    }
}
