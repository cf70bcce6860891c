//! Places for values, named by a number that stays while the value does. Grows by chunks, so that
//! no growth copies what is there.

/// Values by number.
#[derive(Debug)]
pub(super) struct Slab<T> {
    chunks: Vec<Vec<Place<T>>>,
    /// The place to fill next, if one was left; each free place names the one after it.
    free: Option<u32>,
    len: usize,
}

#[derive(Debug)]
enum Place<T> {
    Taken(T),
    Free(Option<u32>),
}

const CHUNK_LEN: usize = 2048;

impl<T> Slab<T> {
    pub(super) fn new() -> Self {
        Slab { chunks: Vec::new(), free: None, len: 0 }
    }

    /// How many values there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Stores a value and says under which number.
    pub(super) fn insert(&mut self, value: T) -> u32 {
        self.len += 1;
        if let Some(number) = self.free {
            let place = &mut self.chunks[number as usize / CHUNK_LEN][number as usize % CHUNK_LEN];
            if let Place::Free(next) = std::mem::replace(place, Place::Taken(value)) {
                self.free = next;
            }
            return number;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK_LEN) {
            self.chunks.push(Vec::new());
        }
        let full = self.chunks.len() - 1;
        let last = &mut self.chunks[full];
        last.push(Place::Taken(value));
        u32::try_from(full * CHUNK_LEN + last.len() - 1)
            .expect("2^32 filters of 64 bytes and more fill 256 GiB before the numbers end")
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<&T> {
        match self.chunks.get(number as usize / CHUNK_LEN)?.get(number as usize % CHUNK_LEN)? {
            Place::Taken(value) => Some(value),
            Place::Free(_) => None,
        }
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        match self.chunks.get_mut(number as usize / CHUNK_LEN)?.get_mut(number as usize % CHUNK_LEN)? {
            Place::Taken(value) => Some(value),
            Place::Free(_) => None,
        }
    }

    /// Takes a value out. All memory goes back with the last one.
    pub(super) fn remove(&mut self, number: u32) -> Option<T> {
        let place = self.chunks.get_mut(number as usize / CHUNK_LEN)?.get_mut(number as usize % CHUNK_LEN)?;
        if let Place::Free(_) = place {
            return None;
        }
        let Place::Taken(value) = std::mem::replace(place, Place::Free(self.free)) else { return None };
        self.free = Some(number);
        self.len -= 1;
        if self.len == 0 {
            *self = Slab::new();
        }
        Some(value)
    }
}
