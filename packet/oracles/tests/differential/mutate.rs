//! Valid packets made invalid, or into other packets: what a bad wire, a bad client or an attacker
//! would send. Frames are mostly mended afterwards, so that the damage reaches the body's parser.

use opifex_packet::strategies::any_packet;
use opifex_packet::{Packet, Role, Version};
use proptest::prelude::*;
use proptest::sample::Index;

/// Bytes for one reader.
#[derive(Clone)]
pub(crate) struct Input {
    pub(crate) version: Version,
    pub(crate) role: Role,
    pub(crate) bytes: Vec<u8>,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hex: String = self.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        write!(f, "{:?}, read by a {:?}: {hex}", self.version, self.role)
    }
}

/// One change. Places are relative, so that they fit a packet of any length.
#[derive(Clone, Debug)]
pub(crate) enum Mutation {
    FlipBit(Index, u8),
    Replace(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Truncate(Index),
    /// Adds to a byte: lengths are mostly one byte that counts.
    Add(Index, i8),
    /// The front of this packet and the end of another one.
    Splice(Index, Index, Vec<u8>),
    /// A copy of some bytes behind themselves: a property or a filter twice.
    Repeat(Index, Index),
}

/// Packets as they should be.
pub(crate) fn valid() -> impl Strategy<Value = Input> {
    any_packet().prop_map(|(version, role, packet)| Input { version, role, bytes: encoded(&packet, version) })
}

/// Packets that were changed one to four times.
pub(crate) fn mutated() -> impl Strategy<Value = Input> {
    let mutations = prop::collection::vec(mutation(), 1..=4);
    (valid(), mutations, prop::bool::weighted(0.8)).prop_map(|(mut input, mutations, mended)| {
        for mutation in mutations {
            mutation.apply(&mut input.bytes);
        }
        if mended {
            mend_frame(&mut input.bytes);
        }
        input
    })
}

/// Bytes without a packet in mind, but for the first.
pub(crate) fn arbitrary() -> impl Strategy<Value = Input> {
    let role = prop::sample::select(&[Role::Server, Role::Client][..]);
    let version = prop::sample::select(&Version::ALL[..]);
    (version, role, prop::collection::vec(byte(), 0..24)).prop_map(|(version, role, bytes)| Input {
        version,
        role,
        bytes,
    })
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    prop_oneof![
        3 => (at(), 0..8u8).prop_map(|(at, bit)| Mutation::FlipBit(at, bit)),
        3 => (at(), byte()).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
        3 => (at(), byte()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        2 => at().prop_map(Mutation::Remove),
        1 => at().prop_map(Mutation::Truncate),
        2 => (at(), -3..=3i8).prop_map(|(at, by)| Mutation::Add(at, by)),
        1 => (at(), at(), valid()).prop_map(|(at, from, other)| Mutation::Splice(at, from, other.bytes)),
        1 => (at(), at()).prop_map(|(from, to)| Mutation::Repeat(from, to)),
    ]
}

/// Bytes that mean something in many places, or any.
fn byte() -> impl Strategy<Value = u8> {
    let special =
        [0x00, 0x01, 0x02, 0x03, 0x04, 0x7f, 0x80, 0xff, b'+', b'#', b'/', b'$', 0x0b, 0x26, 0xc0, 0xed];
    prop_oneof![prop::sample::select(special.to_vec()), any::<u8>()]
}

impl Mutation {
    fn apply(self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let len = bytes.len();
        match self {
            Mutation::FlipBit(at, bit) => bytes[at.index(len)] ^= 1 << bit,
            Mutation::Replace(at, byte) => bytes[at.index(len)] = byte,
            Mutation::Insert(at, byte) => bytes.insert(at.index(len + 1), byte),
            Mutation::Remove(at) => drop(bytes.remove(at.index(len))),
            Mutation::Truncate(at) => bytes.truncate(at.index(len)),
            Mutation::Add(at, by) => {
                let byte = &mut bytes[at.index(len)];
                *byte = byte.wrapping_add_signed(by);
            }
            Mutation::Splice(at, from, other) => {
                bytes.truncate(at.index(len));
                bytes.extend_from_slice(&other[from.index(other.len())..]);
            }
            Mutation::Repeat(from, to) => {
                let (from, to) = (from.index(len), to.index(len));
                let range = from.min(to)..from.max(to);
                let copy = bytes[range.clone()].to_vec();
                bytes.splice(range.end..range.end, copy);
            }
        }
    }
}

/// Sets the remaining length to what there is.
fn mend_frame(bytes: &mut Vec<u8>) {
    if bytes.len() < 2 {
        return;
    }
    let header_len = 2 + bytes[1..].iter().take(3).take_while(|&&byte| byte >= 0x80).count();
    let mut remaining = bytes.len().saturating_sub(header_len);
    let mut length = Vec::new();
    while remaining >= 0x80 {
        length.push(remaining as u8 | 0x80);
        remaining >>= 7;
    }
    length.push(remaining as u8);
    bytes.splice(1..header_len.min(bytes.len()), length);
}

fn encoded(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(version, &mut bytes);
    bytes
}
