//! What stands at the front of every payload: which run, which publisher, which message, and when it was due.

/// Bytes of a stamp.
pub(super) const STAMP_BYTES: usize = 24;

/// The stamp of a message.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Another run on the same topics is not counted.
    pub(super) run: u32,
    /// The publisher's number, from 0.
    pub(super) publisher: u32,
    /// The message's number, from 0 for each publisher.
    pub(super) number: u64,
    /// Nanoseconds since the run began.
    pub(super) due: u64,
}

impl Stamp {
    /// Writes it over the front of a payload.
    pub(super) fn write(self, payload: &mut [u8]) {
        payload[0..4].copy_from_slice(&self.run.to_be_bytes());
        payload[4..8].copy_from_slice(&self.publisher.to_be_bytes());
        payload[8..16].copy_from_slice(&self.number.to_be_bytes());
        payload[16..24].copy_from_slice(&self.due.to_be_bytes());
    }

    /// Reads it; `None` of a payload that is too short for one.
    pub(super) fn read(payload: &[u8]) -> Option<Stamp> {
        let bytes: &[u8; STAMP_BYTES] = payload.first_chunk()?;
        let four = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let eight = |at: usize| u64::from(four(at)) << 32 | u64::from(four(at + 4));
        Some(Stamp { run: four(0), publisher: four(4), number: eight(8), due: eight(16) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        let stamp =
            Stamp { run: 0x0102_0304, publisher: u32::MAX, number: u64::MAX - 1, due: 0x0506_0708_090a_0b0c };
        let mut payload = [0xff; 30];
        stamp.write(&mut payload);
        assert_eq!(Stamp::read(&payload), Some(stamp));
        assert_eq!(payload[STAMP_BYTES..], [0xff; 6]);
        assert_eq!(Stamp::read(&payload[..STAMP_BYTES - 1]), None);
    }
}
