//! The text of a stored filter, without an allocation where it is short. Only compared, never shown.

/// Long enough for most filters, and makes the whole 32 bytes, half a cache line.
const INLINE_LEN: usize = 30;

/// The bytes of a filter.
#[derive(Clone, Debug)]
pub(super) enum FilterText {
    /// Up to 30 bytes, in place.
    Inline {
        /// How many of them count.
        len: u8,
        /// The text and zeros.
        bytes: [u8; INLINE_LEN],
    },
    /// Anything longer.
    Heap(Box<[u8]>),
}

impl FilterText {
    pub(super) fn new(filter: &str) -> Self {
        let text = filter.as_bytes();
        match u8::try_from(text.len()) {
            Ok(len) if text.len() <= INLINE_LEN => {
                let mut bytes = [0; INLINE_LEN];
                bytes[..text.len()].copy_from_slice(text);
                FilterText::Inline { len, bytes }
            }
            _ => FilterText::Heap(text.into()),
        }
    }

    /// Whether it is short.
    #[inline]
    pub(super) fn is_inline(&self) -> bool {
        matches!(self, FilterText::Inline { .. })
    }

    #[inline]
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            FilterText::Inline { len, bytes } => &bytes[..usize::from(*len)],
            FilterText::Heap(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_any_length_comes_back_as_it_was() {
        for len in [0, 1, 29, 30, 31, 255, 256, 300, 65_535] {
            let text = "x".repeat(len);
            assert_eq!(FilterText::new(&text).as_bytes(), text.as_bytes());
        }
    }

    #[test]
    fn a_text_takes_half_a_cache_line() {
        assert_eq!(size_of::<FilterText>(), 32);
    }
}
