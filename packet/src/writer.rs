//! The field types of MQTT, appended to a buffer.
//!
//! A text or binary field has a length of 16 bits. What is longer cannot be said in MQTT: it is cut
//! at [`MAX_FIELD_LEN`], a text between two characters. A caller who must know compares first.

use crate::varint;

/// The most bytes that a text or binary field of a packet can have.
pub const MAX_FIELD_LEN: usize = 65_535;

#[inline]
pub(crate) fn u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

#[inline]
pub(crate) fn u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

#[inline]
pub(crate) fn binary_len(value: &[u8]) -> usize {
    2 + value.len().min(MAX_FIELD_LEN)
}

#[inline]
pub(crate) fn binary(out: &mut Vec<u8>, value: &[u8]) {
    let value = &value[..value.len().min(MAX_FIELD_LEN)];
    u16(out, value.len() as u16);
    out.extend_from_slice(value);
}

#[inline]
pub(crate) fn string_len(value: &str) -> usize {
    2 + cut(value).len()
}

#[inline]
pub(crate) fn string(out: &mut Vec<u8>, value: &str) {
    binary(out, cut(value).as_bytes());
}

#[inline]
fn cut(value: &str) -> &str {
    if value.len() <= MAX_FIELD_LEN { value } else { &value[..value.floor_char_boundary(MAX_FIELD_LEN)] }
}

/// The fixed header. The packet's length must be expressible, see `Packet::encode`.
#[inline]
pub(crate) fn fixed_header(out: &mut Vec<u8>, first_byte: u8, remaining_len: usize) {
    out.push(first_byte);
    varint::write(out, remaining_length(remaining_len));
}

/// The length of a packet of that remaining length.
#[inline]
pub(crate) fn packet_len(remaining_len: usize) -> usize {
    1 + varint::len(remaining_length(remaining_len)) + remaining_len
}

#[inline]
fn remaining_length(len: usize) -> u32 {
    assert!(len <= varint::MAX_REMAINING_LENGTH as usize, "an MQTT packet has at most 268435455 bytes");
    len as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_too_long_is_cut_between_characters() {
        let text = format!("a{}", "é".repeat(40_000));
        let mut out = Vec::new();
        string(&mut out, &text);
        assert_eq!(out.len(), string_len(&text));
        assert_eq!(out.len(), 2 + 65_535);
        assert!(std::str::from_utf8(&out[2..]).is_ok());

        let text = "é".repeat(40_000);
        assert_eq!(string_len(&text), 2 + 65_534);
    }

    #[test]
    fn a_binary_field_that_is_too_long_is_cut() {
        let mut out = Vec::new();
        binary(&mut out, &[7; 70_000]);
        assert_eq!((out.len(), binary_len(&[7; 70_000])), (65_537, 65_537));
    }
}
