//! The versions of MQTT that the codec speaks. What differs between them is decided where it
//! matters, in the packets' own files; here are only the names.

use std::fmt;

/// A version of the protocol.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// MQTT 3.1, protocol name `MQIsdp`.
    V3_1,
    /// MQTT 3.1.1, the OASIS and ISO standard.
    V3_1_1,
    /// MQTT 5.0.
    V5_0,
}

impl Version {
    /// All versions, oldest first.
    pub const ALL: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5_0];

    /// The protocol level that CONNECT carries: 3, 4 or 5.
    #[inline]
    pub const fn level(self) -> u8 {
        match self {
            Version::V3_1 => 3,
            Version::V3_1_1 => 4,
            Version::V5_0 => 5,
        }
    }

    /// The protocol name that CONNECT carries.
    pub const fn protocol_name(self) -> &'static str {
        match self {
            Version::V3_1 => "MQIsdp",
            Version::V3_1_1 | Version::V5_0 => "MQTT",
        }
    }

    /// Whether packets carry properties and reason codes.
    #[inline]
    pub const fn is_v5(self) -> bool {
        matches!(self, Version::V5_0)
    }

    /// The version of a protocol name and level, when there is one.
    pub(crate) fn of(name: &str, level: u8) -> Option<Version> {
        Version::ALL.into_iter().find(|version| version.protocol_name() == name && version.level() == level)
    }

    /// Of two statements that say the same, the one of this version's text (3.1 borrows 3.1.1's).
    #[inline]
    pub(crate) const fn statement(self, v3: &'static str, v5: &'static str) -> &'static str {
        if self.is_v5() { v5 } else { v3 }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::V3_1 => "3.1",
            Version::V3_1_1 => "3.1.1",
            Version::V5_0 => "5.0",
        })
    }
}
