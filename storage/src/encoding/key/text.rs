//! A text inside a key: it sorts as the text does, and ends where no other text goes on.
//!
//! NUL is written as `00 FF`, the end as `00 01`: a shorter text sorts before the longer one that it begins.

const NUL: [u8; 2] = [0x00, 0xff];
const END: [u8; 2] = [0x00, 0x01];

/// Appends a text and its end.
pub fn push_text(key: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            0 => key.extend_from_slice(&NUL),
            other => key.push(other),
        }
    }
    key.extend_from_slice(&END);
}

/// The text that stands first, and what stands behind its end.
pub fn take_text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let mut text = Vec::new();
    let mut rest = bytes;
    loop {
        if let Some(behind) = rest.strip_prefix(&END) {
            return Some((String::from_utf8(text).ok()?, behind));
        }
        if let Some(behind) = rest.strip_prefix(&NUL) {
            text.push(0);
            rest = behind;
            continue;
        }
        let (byte, behind) = rest.split_first().filter(|(byte, _)| **byte != 0)?;
        text.push(*byte);
        rest = behind;
    }
}
