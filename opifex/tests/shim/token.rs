//! The mark by which a message is known in packets, in files and in stores: the first bytes of its payload.

use std::fmt;

const MAGIC: &[u8] = b"<opx:";

/// Who published it, and which of its messages it is, counting up.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Token {
    pub(crate) publisher: u16,
    pub(crate) n: u32,
}

/// Bytes of a token.
const LEN: usize = 5 + 12 + 1;

impl Token {
    /// A payload of at least that length, with the token at its beginning.
    pub(crate) fn payload(self, len: usize) -> Vec<u8> {
        let mut payload = self.text().into_bytes();
        // Not the same in each, so that no message passes for another in part.
        payload.resize(len.max(LEN), 0x80 | self.n as u8);
        payload
    }

    /// As it stands at the beginning of a payload.
    pub(crate) fn text(self) -> String {
        format!("<opx:{:04x}{:08x}>", self.publisher, self.n)
    }

    /// The token of a whole payload: one that was damaged has none.
    pub(crate) fn of(payload: &[u8]) -> Option<Token> {
        let token = Token::at(payload)?;
        (token.payload(payload.len()) == payload).then_some(token)
    }

    /// Every token in a stretch of bytes.
    pub(crate) fn all(bytes: &[u8]) -> impl Iterator<Item = Token> {
        let starts = bytes.windows(MAGIC.len()).enumerate().filter(|(_, window)| *window == MAGIC);
        starts.filter_map(|(at, _)| Token::at(&bytes[at..]))
    }

    fn at(bytes: &[u8]) -> Option<Token> {
        let digits = std::str::from_utf8(bytes.get(..LEN)?.strip_prefix(MAGIC)?.strip_suffix(b">")?).ok()?;
        let publisher = u16::from_str_radix(digits.get(..4)?, 16).ok()?;
        let n = u32::from_str_radix(digits.get(4..)?, 16).ok()?;
        Some(Token { publisher, n })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message {} of publisher {}", self.n, self.publisher)
    }
}
