//! The packet identifier: a number that is never zero. Who may use which is decided elsewhere.

use std::fmt;
use std::num::NonZeroU16;

/// A packet identifier, 1 to 65535.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PacketId(NonZeroU16);

impl PacketId {
    /// The smallest identifier.
    pub const MIN: PacketId = PacketId(NonZeroU16::MIN);
    /// The largest identifier.
    pub const MAX: PacketId = PacketId(NonZeroU16::MAX);

    /// The identifier of that number, `None` for 0 ([MQTT-2.2.1-3]).
    #[inline]
    pub const fn new(id: u16) -> Option<PacketId> {
        match NonZeroU16::new(id) {
            Some(id) => Some(PacketId(id)),
            None => None,
        }
    }

    /// The number.
    #[inline]
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}

impl From<NonZeroU16> for PacketId {
    fn from(id: NonZeroU16) -> Self {
        PacketId(id)
    }
}

impl From<PacketId> for u16 {
    fn from(id: PacketId) -> u16 {
        id.get()
    }
}

impl fmt::Display for PacketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
