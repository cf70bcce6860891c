//! The head of a frame: RFC 6455, section 5.2.

use crate::Role;
use crate::error::Violation;

pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;

/// No head is longer: two bytes, eight of length, four of mask.
pub(crate) const LONGEST_FRAME_HEAD: usize = 14;
/// No control frame has more payload.
pub(crate) const LONGEST_CONTROL: usize = 125;

/// Whether a Close may have this payload: nothing, or a status that may be sent and words (RFC 6455, 5.5.1 and 7.4).
pub(crate) fn may_close_with(payload: &[u8]) -> bool {
    match *payload {
        [] => true,
        [high, low, ..] => {
            matches!(u16::from_be_bytes([high, low]), 1000..=1003 | 1007..=1014 | 3000..=4999)
        }
        [_] => false,
    }
}

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

/// A head.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Whether the message ends with this frame.
    pub(crate) fin: bool,
    pub(crate) opcode: u8,
    pub(crate) mask: Option<[u8; 4]>,
    /// Bytes of payload.
    pub(crate) len: u64,
}

impl Head {
    /// A message of one frame.
    pub(crate) fn whole(opcode: u8, mask: Option<[u8; 4]>, len: usize) -> Head {
        Head { fin: true, opcode, mask, len: len as u64 }
    }

    pub(crate) fn is_control(&self) -> bool {
        self.opcode & 0x8 != 0
    }

    /// How many bytes a head has by its second one.
    fn len_of(second: u8) -> usize {
        let len = match second & !MASKED {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        if second & MASKED == 0 { len } else { len + 4 }
    }

    /// The head at the beginning of what came from a peer of the other role; `None` until all of it is there. What is wrong
    /// with it is told by its first two bytes where they show it.
    pub(crate) fn parse(bytes: &[u8], from: Role) -> Result<Option<(Head, usize)>, Violation> {
        let &[first, second, ..] = bytes else { return Ok(None) };
        let opcode = first & 0x0f;
        if first & RESERVED != 0 {
            return Err(Violation::Reserved);
        }
        match opcode {
            // [MQTT-6.0.0-1]
            TEXT => return Err(Violation::Text),
            CONTINUATION | BINARY | CLOSE | PING | PONG => {}
            opcode => return Err(Violation::Opcode(opcode)),
        }
        if (second & MASKED != 0) != (from == Role::Client) {
            return Err(Violation::Mask);
        }
        let short = second & !MASKED;
        if opcode & 0x8 != 0 && (first & FIN == 0 || usize::from(short) > LONGEST_CONTROL) {
            return Err(Violation::Control);
        }
        let head_len = Head::len_of(second);
        let Some(head) = bytes.get(..head_len) else { return Ok(None) };
        let (head, mask) = match second & MASKED != 0 {
            true => {
                let (head, mask) = head.split_last_chunk::<4>().expect("a masked head has a mask");
                (head, Some(*mask))
            }
            false => (head, None),
        };
        let len = head[2..].iter().fold(0, |len: u64, byte| len << 8 | u64::from(*byte));
        let len = match short {
            126 if len > 125 => len,
            127 if len > 0xffff && len >> 63 == 0 => len,
            126 | 127 => return Err(Violation::Length),
            short => short.into(),
        };
        Ok(Some((Head { fin: first & FIN != 0, opcode, mask, len }, head_len)))
    }

    /// Appends it.
    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        let masked = if self.mask.is_some() { MASKED } else { 0 };
        bytes.push(if self.fin { FIN | self.opcode } else { self.opcode });
        match self.len {
            len @ ..=125 => bytes.push(masked | len as u8),
            len @ ..=0xffff => {
                bytes.push(masked | 126);
                bytes.extend_from_slice(&(len as u16).to_be_bytes());
            }
            len => {
                bytes.push(masked | 127);
                bytes.extend_from_slice(&len.to_be_bytes());
            }
        }
        bytes.extend(self.mask.into_iter().flatten());
    }
}

/// Masks or unmasks, which is the same: `place` is how far into the payload the bytes begin.
pub(crate) fn mask(bytes: &mut [u8], mut key: [u8; 4], place: u64) {
    key.rotate_left((place % 4) as usize);
    let (words, rest) = bytes.as_chunks_mut::<4>();
    let word = u32::from_ne_bytes(key);
    for chunk in words {
        *chunk = (u32::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
    }
    rest.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Option<[u8; 4]> = Some([1, 2, 3, 4]);

    #[test]
    fn what_is_written_is_read_again_at_every_length() {
        for (from, mask) in [(Role::Client, KEY), (Role::Server, None)] {
            for len in [0, 1, 125, 126, 0xffff, 0x1_0000, u64::MAX >> 1] {
                for fin in [true, false] {
                    let head = Head { fin, opcode: BINARY, mask, len };
                    let mut bytes = Vec::new();
                    head.write(&mut bytes);
                    for part in 0..bytes.len() {
                        assert_eq!(Head::parse(&bytes[..part], from), Ok(None));
                    }
                    assert!(bytes.len() <= LONGEST_FRAME_HEAD);
                    bytes.push(0xff);
                    assert_eq!(Head::parse(&bytes, from), Ok(Some((head, bytes.len() - 1))));
                }
            }
        }
    }

    #[test]
    fn each_rule_about_a_head_is_checked() {
        for (bytes, from, violation) in [
            (&[0x81, 0x80][..], Role::Client, Violation::Text),
            (&[0x01, 0x80], Role::Client, Violation::Text),
            (&[0x83, 0x80], Role::Client, Violation::Opcode(3)),
            (&[0x8b, 0x80], Role::Client, Violation::Opcode(11)),
            (&[0xc2, 0x80], Role::Client, Violation::Reserved),
            (&[0x92, 0x80], Role::Client, Violation::Reserved),
            (&[0x82, 0x00], Role::Client, Violation::Mask),
            (&[0x82, 0x80], Role::Server, Violation::Mask),
            (&[0x09, 0x80], Role::Client, Violation::Control),
            (&[0x89, 0xfe], Role::Client, Violation::Control),
            (&[0x82, 0x7e, 0, 125], Role::Server, Violation::Length),
            (&[0x82, 0x7f, 0, 0, 0, 0, 0, 0, 0xff, 0xff], Role::Server, Violation::Length),
            (&[0x82, 0x7f, 0x80, 0, 0, 0, 0, 1, 0, 0], Role::Server, Violation::Length),
        ] {
            assert_eq!(Head::parse(bytes, from), Err(violation), "{bytes:x?}");
        }
    }

    #[test]
    fn a_payload_is_masked_from_any_place_on() {
        let plain: Vec<u8> = (0..50).collect();
        let mut whole = plain.clone();
        mask(&mut whole, [9, 8, 7, 6], 0);
        let expected: Vec<u8> =
            plain.iter().zip([9, 8, 7, 6].into_iter().cycle()).map(|(a, b)| a ^ b).collect();
        assert_eq!(whole, expected);
        for cut in 0..50 {
            let mut pieces = plain.clone();
            let (front, back) = pieces.split_at_mut(cut);
            mask(front, [9, 8, 7, 6], 0);
            mask(back, [9, 8, 7, 6], cut as u64);
            assert_eq!(pieces, expected, "{cut}");
        }
    }
}
