//! From the bytes of frames to the bytes of MQTT, in place: what is payload moves to the front of the buffer that it came
//! in, heads and control frames go. It keeps a head that is not whole yet, and the payload of a control frame.

use crate::Role;
use crate::error::Violation;
use crate::frame::{self, Head};

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Deframer {
    /// Who sends what comes here.
    from: Role,
    /// The beginning of a head.
    head: [u8; frame::LONGEST_FRAME_HEAD],
    head_len: u8,
    /// The frame whose payload comes, and how much of it has come.
    open: Option<(Head, u64)>,
    /// The binary message goes on with a continuation.
    in_message: bool,
    /// Payload of a Ping or Close that is not whole yet.
    control: Vec<u8>,
}

/// What a control frame asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A Pong with this payload.
    Pong(Vec<u8>),
    /// The end, with this payload of its Close. Nothing behind it is looked at.
    Close(Vec<u8>),
}

/// What was in the bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// So many bytes of payload stand at the front of the buffer now.
    pub(crate) payload: usize,
    /// By the last control frame that asks for something: of several Pings the last has to be answered.
    pub(crate) asked: Option<Asked>,
    /// A rule was broken behind that payload.
    pub(crate) violation: Option<Violation>,
}

impl Deframer {
    pub(crate) fn new(from: Role) -> Deframer {
        Deframer {
            from,
            head: [0; frame::LONGEST_FRAME_HEAD],
            head_len: 0,
            open: None,
            in_message: false,
            control: Vec::new(),
        }
    }

    /// Takes all of these bytes.
    pub(crate) fn take(&mut self, bytes: &mut [u8]) -> Taken {
        let mut taken = Taken::default();
        let mut at = 0;
        while at < bytes.len() || self.is_whole() {
            match self.open.take() {
                None => match self.take_head(&bytes[at..]) {
                    Ok(used) => at += used,
                    Err(violation) => {
                        taken.violation = Some(violation);
                        break;
                    }
                },
                Some((head, come)) => {
                    let len = usize::try_from(head.len - come).unwrap_or(usize::MAX).min(bytes.len() - at);
                    let piece = at..at + len;
                    if let Some(key) = head.mask {
                        frame::mask(&mut bytes[piece.clone()], key, come);
                    }
                    at += len;
                    let come = come + len as u64;
                    if !head.is_control() {
                        bytes.copy_within(piece, taken.payload);
                        taken.payload += len;
                    } else if head.opcode != frame::PONG {
                        self.control.extend_from_slice(&bytes[piece]);
                    }
                    if come < head.len {
                        self.open = Some((head, come));
                        break;
                    }
                    match head.opcode {
                        frame::PING => taken.asked = Some(Asked::Pong(std::mem::take(&mut self.control))),
                        frame::CLOSE => {
                            let payload = std::mem::take(&mut self.control);
                            match frame::may_close_with(&payload) {
                                true => taken.asked = Some(Asked::Close(payload)),
                                false => taken.violation = Some(Violation::Close),
                            }
                            break;
                        }
                        _ => {}
                    }
                }
            }
        }
        taken
    }

    /// A frame without payload is whole with its head.
    fn is_whole(&self) -> bool {
        self.open.is_some_and(|(head, come)| come == head.len)
    }

    /// Takes what belongs to a head; how much that was.
    fn take_head(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        let before = usize::from(self.head_len);
        let copied = bytes.len().min(frame::LONGEST_FRAME_HEAD - before);
        self.head[before..before + copied].copy_from_slice(&bytes[..copied]);
        let Some((head, len)) = Head::parse(&self.head[..before + copied], self.from)? else {
            self.head_len += copied as u8;
            return Ok(copied);
        };
        self.head_len = 0;
        if !head.is_control() {
            if (head.opcode == frame::CONTINUATION) != self.in_message {
                return Err(Violation::Continuation);
            }
            self.in_message = !head.fin;
        }
        self.open = Some((head, 0));
        Ok(len - before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a client sends.
    fn framed(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
        let key = [0xa5, 0x5a, 0x0f, 0xf0];
        let mut bytes = Vec::new();
        Head { fin, opcode, mask: Some(key), len: payload.len() as u64 }.write(&mut bytes);
        let start = bytes.len();
        bytes.extend_from_slice(payload);
        frame::mask(&mut bytes[start..], key, 0);
        bytes
    }

    /// The payload, what was asked for, and what is wrong, when the bytes come so many at a time.
    fn taken(bytes: &[u8], at_once: usize) -> (Vec<u8>, Vec<Asked>, Option<Violation>) {
        let mut deframer = Deframer::new(Role::Client);
        let (mut payload, mut asked) = (Vec::new(), Vec::new());
        for piece in bytes.chunks(at_once) {
            let mut piece = piece.to_vec();
            let taken = deframer.take(&mut piece);
            payload.extend_from_slice(&piece[..taken.payload]);
            asked.extend(taken.asked);
            if taken.violation.is_some() {
                return (payload, asked, taken.violation);
            }
        }
        (payload, asked, None)
    }

    #[test]
    fn payload_comes_out_whatever_pieces_it_comes_in() {
        let long = vec![7; 70_000];
        let bytes = [
            framed(true, frame::BINARY, b"one"),
            framed(true, frame::BINARY, b""),
            framed(false, frame::BINARY, b"t"),
            framed(true, frame::PING, b"are you there"),
            framed(false, frame::CONTINUATION, b""),
            framed(true, frame::CONTINUATION, b"wo"),
            framed(true, frame::PONG, b"nobody asked"),
            framed(true, frame::BINARY, &long),
        ]
        .concat();
        let expected = [b"onetwo", &long[..]].concat();
        for at_once in [1, 2, 3, 7, 14, 15, 1_000, bytes.len()] {
            let (payload, asked, violation) = taken(&bytes, at_once);
            assert!(payload == expected, "{at_once}");
            assert_eq!(asked, [Asked::Pong(b"are you there".to_vec())], "{at_once}");
            assert_eq!(violation, None);
        }
    }

    #[test]
    fn what_came_before_a_violation_is_payload() {
        for (wrong, violation) in [
            (framed(true, frame::TEXT, b"text"), Violation::Text),
            (framed(true, frame::CONTINUATION, b"of what"), Violation::Continuation),
            (
                [framed(false, frame::BINARY, b"+"), framed(true, frame::BINARY, b"-")].concat(),
                Violation::Continuation,
            ),
        ] {
            let bytes = [framed(true, frame::BINARY, b"right"), wrong].concat();
            for at_once in [1, bytes.len()] {
                let (payload, _, found) = taken(&bytes, at_once);
                assert!(payload.starts_with(b"right") && payload.len() <= 6, "{payload:?}");
                assert_eq!(found, Some(violation));
            }
        }
    }

    #[test]
    fn behind_a_close_nothing_is_looked_at() {
        let bytes = [framed(true, frame::CLOSE, &[0x03, 0xe8]), framed(true, frame::TEXT, b"late")].concat();
        let mut deframer = Deframer::new(Role::Client);
        let taken = deframer.take(&mut bytes.clone());
        assert_eq!(taken.asked, Some(Asked::Close(vec![0x03, 0xe8])));
        assert_eq!((taken.payload, taken.violation), (0, None));
    }
}
