//! A disk as the worst file system that POSIX allows may leave it: what was synced is there, what was not may be there
//! in any part. Fed with the record, asked for what a power loss now would leave.
//!
//! The model: a file's content is durable once a sync of that file has ended that began after the write had returned;
//! so is its size. A name (made, renamed, removed) is durable once its *directory* was synced in the same way; syncing
//! a file does not make its name durable. sync_file_range makes nothing durable. Everything else that was begun may be
//! on the disk or not, in pieces of 512 bytes and in any order between files; pieces of one place come in the order in
//! which they were written.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::record::{Call, Event, Object, OpenKind, Phase};
use crate::Chance;

/// What a power loss leaves: each file's content, and the directories (`None`).
pub type Image = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// Writes what a power loss left of the directory `root` into another one, which is there and empty.
///
/// # Errors
/// Of the directory that is written.
pub fn write_out(image: &Image, root: &Path, into: &Path) -> io::Result<()> {
    for (path, content) in image {
        let path = into.join(path.strip_prefix(root).expect("a disk holds nothing beside its root"));
        match content {
            None => fs::create_dir_all(path)?,
            Some(bytes) => fs::write(path, bytes)?,
        }
    }
    Ok(())
}

/// What disks write as a whole, or tear.
const SECTOR: usize = 512;

/// See the module's documentation.
pub struct Disk {
    files: Vec<File>,
    names: BTreeMap<PathBuf, Named>,
    durable_names: BTreeMap<PathBuf, Named>,
    pending_names: Vec<Change>,
    open: HashMap<Object, Opened>,
    calls: HashMap<(usize, u64), Begun>,
    now: usize,
}

#[derive(Default)]
struct File {
    inode: u64,
    durable: Vec<u8>,
    pending: Vec<Write>,
}

/// A change of a file's content that is not durable.
struct Write {
    begun: usize,
    ended: Option<usize>,
    /// A sync has failed on it: no later one saves it.
    given_up: bool,
    id: (usize, u64),
    what: Content,
}

#[derive(Clone)]
enum Content {
    Bytes { offset: usize, bytes: Vec<u8> },
    Len(usize),
    AtLeast(usize),
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Named {
    File(usize),
    Directory,
}

/// A change of a directory that is not durable.
struct Change {
    at: usize,
    directory: PathBuf,
    what: Naming,
}

#[derive(Clone)]
enum Naming {
    Put(PathBuf, Named),
    Remove(PathBuf),
    Move(PathBuf, PathBuf),
}

#[derive(Clone)]
enum Opened {
    File(usize),
    Directory(PathBuf),
    SharedMemory,
}

/// A call that has begun and not ended.
enum Begun {
    Write(usize),
    Sync(usize),
    Nothing,
}

impl Disk {
    /// A disk with one directory, which is durable.
    pub fn new(root: &Path) -> Disk {
        let names = BTreeMap::from([(root.to_owned(), Named::Directory)]);
        Disk {
            files: Vec::new(),
            durable_names: names.clone(),
            names,
            pending_names: Vec::new(),
            open: HashMap::new(),
            calls: HashMap::new(),
            now: 0,
        }
    }

    /// Takes the next event of the record.
    pub fn apply(&mut self, event: &Event) {
        self.now += 1;
        let id = (event.object.run, event.id);
        match (&event.call, event.phase) {
            (Call::Open { path, creates, truncates, kind, inode }, _) => {
                self.opened(event.object, path, *kind, *inode, (*creates, *truncates));
            }
            (Call::Write { offset, bytes }, Phase::Begin) => {
                let what = Content::Bytes { offset: *offset as usize, bytes: bytes.clone() };
                self.begin_write(event.object, id, what);
            }
            (Call::Truncate { len }, Phase::Begin) => {
                self.begin_write(event.object, id, Content::Len(*len as usize));
            }
            (Call::Allocate { len }, Phase::Begin) => {
                self.begin_write(event.object, id, Content::AtLeast(*len as usize));
            }
            (Call::Sync, Phase::Begin) => drop(self.calls.insert(id, Begun::Sync(self.now))),
            (Call::Sync, Phase::End { result }) => {
                let Some(Begun::Sync(begun)) = self.calls.remove(&id) else { panic!("a sync without begin") };
                match result {
                    0 => self.synced(event.object, begun),
                    _ => self.gave_up(event.object, begun),
                }
            }
            (Call::Write { .. } | Call::Truncate { .. } | Call::Allocate { .. }, Phase::End { result }) => {
                self.end_write(id, result);
            }
            (Call::MakeDirectory { path }, _) => {
                self.change(path, Naming::Put(path.clone(), Named::Directory))
            }
            (Call::Unlink { path } | Call::RemoveDirectory { path }, _) => {
                self.change(path, Naming::Remove(path.clone()));
            }
            (Call::Rename { from, to }, _) => {
                assert_eq!(from.parent(), to.parent(), "a rename between directories is not modelled");
                self.change(to, Naming::Move(from.clone(), to.clone()));
            }
            (Call::Unmodelled { what }, _) => {
                panic!("the program did what the model has no words for: {what}")
            }
            (Call::RangeSync | Call::Accept | Call::Send { .. } | Call::Receive { .. }, _) => {}
        }
    }

    fn opened(&mut self, object: Object, path: &Path, kind: OpenKind, inode: u64, flags: (bool, bool)) {
        let (creates, truncates) = flags;
        let opened = match kind {
            OpenKind::Directory => Opened::Directory(path.to_owned()),
            OpenKind::SharedMemory => Opened::SharedMemory,
            OpenKind::File => {
                let file = match self.names.get(path) {
                    Some(Named::File(file)) => *file,
                    Some(Named::Directory) => panic!("{} is a directory", path.display()),
                    None => {
                        assert!(creates, "{} came from nowhere", path.display());
                        self.files.push(File { inode, ..File::default() });
                        let file = self.files.len() - 1;
                        self.change(path, Naming::Put(path.to_owned(), Named::File(file)));
                        file
                    }
                };
                assert_eq!(self.files[file].inode, inode, "{} is another file now", path.display());
                if truncates {
                    let (begun, ended) = (self.now, Some(self.now));
                    let what = Content::Len(0);
                    let write = Write { begun, ended, given_up: false, id: (usize::MAX, 0), what };
                    self.files[file].pending.push(write);
                }
                Opened::File(file)
            }
        };
        self.open.insert(object, opened);
    }

    fn begin_write(&mut self, object: Object, id: (usize, u64), what: Content) {
        let begun = match self.open[&object] {
            Opened::SharedMemory => Begun::Nothing,
            Opened::Directory(_) => panic!("a write to a directory"),
            Opened::File(file) => {
                self.files[file].pending.push(Write {
                    begun: self.now,
                    ended: None,
                    given_up: false,
                    id,
                    what,
                });
                Begun::Write(file)
            }
        };
        self.calls.insert(id, begun);
    }

    fn end_write(&mut self, id: (usize, u64), result: i64) {
        let Some(Begun::Write(file)) = self.calls.remove(&id) else { return };
        let pending = &mut self.files[file].pending;
        let at = pending.iter().rposition(|write| write.id == id).expect("it was begun");
        match usize::try_from(result) {
            Err(_) => drop(pending.remove(at)),
            Ok(written) => {
                pending[at].ended = Some(self.now);
                if let Content::Bytes { bytes, .. } = &mut pending[at].what {
                    bytes.truncate(written);
                }
            }
        }
    }

    fn synced(&mut self, object: Object, begun: usize) {
        match self.open[&object].clone() {
            Opened::SharedMemory => {}
            Opened::File(file) => {
                let File { durable, pending, .. } = &mut self.files[file];
                let mut left: Vec<Write> = Vec::new();
                for write in std::mem::take(pending) {
                    if write.given_up || write.ended.is_none_or(|ended| ended >= begun) {
                        left.push(write);
                        continue;
                    }
                    write.what.put(durable);
                    left = left.into_iter().flat_map(|older| older.without(&write.what)).collect();
                }
                *pending = left;
            }
            Opened::Directory(directory) => {
                let names = &mut self.durable_names;
                self.pending_names.retain(|change| {
                    let covered = change.directory == directory && change.at < begun;
                    if covered {
                        change.what.put(names);
                    }
                    !covered
                });
            }
        }
    }

    /// A sync has failed: the system holds what it was to write for written, and may have written none of it.
    fn gave_up(&mut self, object: Object, begun: usize) {
        if let Opened::File(file) = self.open[&object] {
            for write in &mut self.files[file].pending {
                let covered = write.ended.is_some_and(|ended| ended < begun);
                write.given_up |= covered && matches!(write.what, Content::Bytes { .. });
            }
        }
    }

    fn change(&mut self, path: &Path, what: Naming) {
        // The -shm is made anew by whoever opens the database first.
        if path.to_str().is_some_and(|path| path.ends_with("-shm")) {
            return;
        }
        what.put(&mut self.names);
        let directory = path.parent().expect("it lies in a directory").to_owned();
        self.pending_names.push(Change { at: self.now, directory, what });
    }

    /// What is left when nothing that was not synced has reached the disk.
    pub fn synced_alone(&self) -> Image {
        self.image(self.durable_names.clone(), |_, durable| durable)
    }

    /// What is left when everything has, but the last write, of which only the first `len` bytes have.
    pub fn last_write_torn(&self, len: usize) -> Image {
        let pending = || self.files.iter().flat_map(|file| &file.pending);
        let last = pending().map(|write| write.begun).max();
        self.image(self.names.clone(), |file, mut durable| {
            for write in &file.pending {
                match &write.what {
                    Content::Bytes { offset, bytes } if Some(write.begun) == last => {
                        let bytes = bytes[..len.min(bytes.len())].to_vec();
                        Content::Bytes { offset: *offset, bytes }.put(&mut durable);
                    }
                    what => what.put(&mut durable),
                }
            }
            durable
        })
    }

    /// What is left when of all that was not synced each piece has reached the disk with that probability.
    pub fn random_part(&self, percent: u64, chance: &mut Chance) -> Image {
        let mut names = self.durable_names.clone();
        for change in &self.pending_names {
            if chance.percent(percent) {
                change.what.put(&mut names);
            }
        }
        self.image(names, |file, mut durable| {
            for write in &file.pending {
                match &write.what {
                    Content::Bytes { offset, bytes } => {
                        // Sectors of the disk, not of the write.
                        let mut at = 0;
                        while at < bytes.len() {
                            let end = (at + SECTOR - (offset + at) % SECTOR).min(bytes.len());
                            if chance.percent(percent) {
                                let piece = bytes[at..end].to_vec();
                                Content::Bytes { offset: offset + at, bytes: piece }.put(&mut durable);
                            }
                            at = end;
                        }
                    }
                    what if chance.percent(percent) => what.put(&mut durable),
                    _ => {}
                }
            }
            durable
        })
    }

    /// What the program itself sees: the disk without any power loss.
    pub fn as_seen(&self) -> Image {
        self.image(self.names.clone(), |file, mut durable| {
            file.pending.iter().for_each(|write| write.what.put(&mut durable));
            durable
        })
    }

    /// How many changes are not durable.
    pub fn pending(&self) -> usize {
        self.pending_names.len() + self.files.iter().map(|file| file.pending.len()).sum::<usize>()
    }

    fn image(
        &self,
        names: BTreeMap<PathBuf, Named>,
        content: impl FnMut(&File, Vec<u8>) -> Vec<u8>,
    ) -> Image {
        let mut content = content;
        let there = |path: &Path| {
            path.parent().is_none_or(|parent| !self.is_ours(parent) || names.contains_key(parent))
        };
        names
            .iter()
            .filter(|(path, _)| path.ancestors().all(there))
            .map(|(path, named)| {
                let bytes = match named {
                    Named::Directory => None,
                    Named::File(file) => {
                        let file = &self.files[*file];
                        Some(content(file, file.durable.clone()))
                    }
                };
                (path.clone(), bytes)
            })
            .collect()
    }

    /// Whether the path lies in what is modelled: the root's own parents do not.
    fn is_ours(&self, path: &Path) -> bool {
        self.names.keys().next().is_some_and(|root| path.starts_with(root))
    }
}

impl Write {
    /// What is left of it when something else has reached the disk that was written later.
    fn without(self, later: &Content) -> Vec<Write> {
        let Content::Bytes { offset, bytes } = &self.what else { return vec![self] };
        let end = offset + bytes.len();
        let (from, to) = match later {
            Content::Bytes { offset, bytes } => (*offset, offset + bytes.len()),
            Content::Len(len) => (*len, usize::MAX),
            Content::AtLeast(_) => return vec![self],
        };
        let part = |from: usize, to: usize| {
            let bytes = bytes.get(from - offset..to.checked_sub(*offset)?)?;
            let what = Content::Bytes { offset: from, bytes: bytes.to_vec() };
            (from < to).then_some(Write { what, ..self })
        };
        let before = part(*offset, from.clamp(*offset, end));
        before.into_iter().chain(part(to.clamp(*offset, end), end)).collect()
    }
}

impl Content {
    fn put(&self, file: &mut Vec<u8>) {
        match self {
            Content::Bytes { offset, bytes } => {
                if bytes.is_empty() {
                    return;
                }
                let end = offset + bytes.len();
                if file.len() < end {
                    file.resize(end, 0);
                }
                file[*offset..end].copy_from_slice(bytes);
            }
            Content::Len(len) => file.resize(*len, 0),
            Content::AtLeast(len) if file.len() < *len => file.resize(*len, 0),
            Content::AtLeast(_) => {}
        }
    }
}

impl Naming {
    fn put(&self, names: &mut BTreeMap<PathBuf, Named>) {
        match self {
            Naming::Put(path, named) => drop(names.insert(path.clone(), *named)),
            Naming::Remove(path) => drop(names.remove(path)),
            Naming::Move(from, to) => {
                if let Some(named) = names.remove(from) {
                    names.insert(to.clone(), named);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
