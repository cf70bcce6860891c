//! A number of bytes, as people write it: `1048576`, `"1MiB"`, `"64 KiB"`.

use std::str::FromStr;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of bytes from 1 to `MAX`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bytes<const MAX: u64>(u64);

/// The size of a packet: at most what MQTT can express, a fixed header of five bytes and 256 MiB - 1 behind it.
pub(crate) type PacketSize = Bytes<268_435_460>;

/// Any number of bytes that TOML can express.
pub(crate) type ByteCount = Bytes<{ i64::MAX as u64 }>;

const UNITS: [(&str, u32); 5] = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40), ("B", 0)];

impl<const MAX: u64> Bytes<MAX> {
    pub(crate) fn get(self) -> u64 {
        self.0
    }

    /// That many bytes, or the next number that is allowed.
    pub(crate) fn nearest(bytes: u64) -> Bytes<MAX> {
        Bytes(bytes.clamp(1, MAX))
    }

    fn new(bytes: u64) -> Result<Bytes<MAX>, String> {
        match bytes {
            0 => Err("0 bytes, expected at least 1".to_owned()),
            bytes if bytes > MAX => Err(format!("{bytes} bytes, expected at most {MAX}")),
            bytes => Ok(Bytes(bytes)),
        }
    }
}

impl<const MAX: u64> FromStr for Bytes<MAX> {
    type Err = String;

    fn from_str(text: &str) -> Result<Bytes<MAX>, String> {
        let (number, shift) = UNITS
            .iter()
            .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?.trim_end(), *shift)))
            .unwrap_or((text, 0));
        let number = number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
        let bytes = number
            .ok_or_else(|| format!("{text:?} is no size, expected one such as 65536, 64KiB or 1MiB"))?;
        Bytes::new(bytes)
    }
}

impl<'de, const MAX: u64> Deserialize<'de> for Bytes<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BytesVisitor<const MAX: u64>;
        impl<const MAX: u64> Visitor<'_> for BytesVisitor<MAX> {
            type Value = Bytes<MAX>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a size such as 65536, \"64KiB\" or \"1MiB\"")
            }

            fn visit_i64<E: serde::de::Error>(self, bytes: i64) -> Result<Bytes<MAX>, E> {
                let bytes = u64::try_from(bytes)
                    .map_err(|_| E::custom(format!("{bytes} bytes, expected at least 1")))?;
                self.visit_u64(bytes)
            }

            fn visit_u64<E: serde::de::Error>(self, bytes: u64) -> Result<Bytes<MAX>, E> {
                Bytes::new(bytes).map_err(E::custom)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Bytes<MAX>, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(BytesVisitor)
    }
}

impl<const MAX: u64> Serialize for Bytes<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{ByteCount, PacketSize};

    #[test]
    fn sizes_are_numbers_with_or_without_a_unit() {
        let bytes = |text: &str| text.parse::<ByteCount>().map(ByteCount::get);
        assert_eq!(bytes("65536"), Ok(65_536));
        assert_eq!(bytes("64KiB"), Ok(65_536));
        assert_eq!(bytes("2 MiB"), Ok(2 << 20));
        assert_eq!(bytes("7B"), Ok(7));
        for wrong in ["", "KiB", "1.5MiB", "-1", "1MB", "1 kib", "99999999999GiB", "0"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
        assert!("256MiB".parse::<PacketSize>().is_ok());
        assert!("257MiB".parse::<PacketSize>().is_err());
    }
}
