//! The messages of these tests: sequence number, length, and a body of which every byte depends on the sequence
//! number, so that a lost, doubled or exchanged byte is seen. A body is a window on one random pattern: sending one is
//! a reference, checking one is a comparison of memory.

use std::sync::LazyLock;

use bytes::Bytes;
use opifex_connection::Outlet;

/// Sender (1), sequence number (4), length of the body (4).
pub(crate) const HEAD_BYTES: usize = 9;

const WINDOWS: usize = 64 * 1024;
const LARGEST_BODY: usize = 64 * 1024;

static PATTERN: LazyLock<Bytes> = LazyLock::new(|| {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    (0..WINDOWS + LARGEST_BODY)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect::<Vec<u8>>()
        .into()
});

fn body(sender: u8, seq: u32, len: usize) -> Bytes {
    let window = (seq as usize * 7919 + sender as usize * 104_729) % WINDOWS;
    PATTERN.slice(window..window + len)
}

/// Appends a message that is `len` bytes long with its head. Every fourth body is copied, the others are shared.
pub(crate) fn append(outlet: &mut Outlet, sender: u8, seq: u32, len: usize) {
    let body = body(sender, seq, len - HEAD_BYTES);
    outlet.append_with(|out| {
        out.push(sender);
        out.extend_from_slice(&seq.to_be_bytes());
        out.extend_from_slice(&(body.len() as u32).to_be_bytes());
    });
    if seq.is_multiple_of(4) {
        outlet.append(&body);
    } else {
        outlet.append_shared(&body);
    }
}

/// What the receiver knows: how many messages have come of each sender.
#[derive(Default)]
pub(crate) struct Checker {
    next: [u32; 2],
}

impl Checker {
    /// Checks all whole messages at the front of `bytes`; how many bytes that was.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> usize {
        let mut used = 0;
        while let Some((head, rest)) = bytes[used..].split_first_chunk::<HEAD_BYTES>() {
            let sender = head[0];
            let seq = u32::from_be_bytes(head[1..5].try_into().unwrap());
            let len = u32::from_be_bytes(head[5..9].try_into().unwrap()) as usize;
            let next = self.next.get_mut(sender as usize).expect("a head where none should be");
            assert_eq!(seq, *next, "a message of sender {sender} is lost, doubled or out of order");
            assert!(len <= LARGEST_BODY);
            let Some(received) = rest.get(..len) else { break };
            assert!(received == body(sender, seq, len), "message {seq} of sender {sender} has other bytes");
            *next += 1;
            used += HEAD_BYTES + len;
        }
        used
    }

    /// All messages that have come.
    pub(crate) fn count(&self) -> u32 {
        self.next.iter().sum()
    }
}
