//! Reads come in pages: bounded, resumable, each one a snapshot.

use bytes::Bytes;

use crate::StoreError;

/// Where the next page begins. Opaque: only the backend that made it reads it. It stays valid while the store is open.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cursor(pub Bytes);

/// How much a page may hold. An item that exceeds `bytes` by itself makes a page of its own.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct PageLimit {
    /// At most this many items; 0 counts as 1.
    pub items: usize,
    /// Stop after this many bytes of messages.
    pub bytes: usize,
}

impl PageLimit {
    /// At most so many items, and a megabyte.
    pub fn items(items: usize) -> PageLimit {
        PageLimit { items, bytes: 1 << 20 }
    }
}

/// One page of a walk. What is present throughout the walk is returned exactly once.
///
/// The work for a page is bounded, too: a store that has looked at enough ends the page there, with few items or none,
/// and says where to go on. Only `next` tells whether the walk has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items, in the walk's order.
    pub items: Vec<T>,
    /// Where the next page begins; `None`: this was the last one.
    pub next: Option<Cursor>,
    /// How many index nodes or rows the store looked at for this page: the kit checks with it that a read costs what
    /// it finds, not what there is.
    pub examined: usize,
    /// Records of the walk that are there and could not be read: an error of kind `Corrupt` for each, which names it in
    /// a line. The walk goes past them, so the rest is read; a page may hold nothing else.
    pub damaged: Vec<StoreError>,
}

impl<T> Page<T> {
    /// A page that holds nothing yet.
    pub fn new() -> Page<T> {
        Page { items: Vec::new(), next: None, examined: 0, damaged: Vec::new() }
    }
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Page::new()
    }
}
