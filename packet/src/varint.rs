//! The variable byte integer: seven bits a byte, at most four bytes. Whether a form that is longer
//! than need be is an error is the caller's to say: 5.0 refuses it, 3.x does not.

/// The largest value of a variable byte integer, and so of a packet's remaining length.
pub const MAX_REMAINING_LENGTH: u32 = 268_435_455;

/// What stands at the start of some bytes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Varint {
    /// A whole integer; `len` bytes hold it.
    Whole { value: u32, len: usize },
    /// The bytes end inside the integer.
    Incomplete,
    /// The fourth byte says that a fifth follows.
    TooLong,
}

#[inline]
pub(crate) fn read(bytes: &[u8]) -> Varint {
    let mut value = 0;
    for (at, &byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            return Varint::Whole { value, len: at + 1 };
        }
    }
    if bytes.len() < 4 { Varint::Incomplete } else { Varint::TooLong }
}

/// How many bytes the shortest form of a value takes.
#[inline]
pub(crate) const fn len(value: u32) -> usize {
    match value {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        _ => 4,
    }
}

/// Appends the shortest form of a value, which is at most [`MAX_REMAINING_LENGTH`].
#[inline]
pub(crate) fn write(out: &mut Vec<u8>, mut value: u32) {
    debug_assert!(value <= MAX_REMAINING_LENGTH);
    // [MQTT-1.5.5-1]
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_borders_of_the_standard_s_table_take_the_bytes_that_it_says() {
        for (value, bytes) in [
            (0, &[0x00][..]),
            (127, &[0x7f]),
            (128, &[0x80, 0x01]),
            (16_383, &[0xff, 0x7f]),
            (16_384, &[0x80, 0x80, 0x01]),
            (2_097_151, &[0xff, 0xff, 0x7f]),
            (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
            (268_435_455, &[0xff, 0xff, 0xff, 0x7f]),
        ] {
            let mut out = Vec::new();
            write(&mut out, value);
            assert_eq!((out.as_slice(), len(value)), (bytes, bytes.len()));
            assert_eq!(read(bytes), Varint::Whole { value, len: bytes.len() });
            assert_eq!(read(&bytes[..bytes.len() - 1]), Varint::Incomplete);
        }
        assert_eq!(read(&[0x80, 0x80, 0x80, 0x80]), Varint::TooLong);
    }
}
