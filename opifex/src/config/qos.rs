//! A QoS as a number: 0, 1 or 2.

use std::str::FromStr;

use opifex_packet::QoS;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A QoS in the file or in a flag.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Qos(pub(crate) QoS);

impl FromStr for Qos {
    type Err = String;

    fn from_str(text: &str) -> Result<Qos, String> {
        let qos = text.parse::<u8>().ok().and_then(|number| QoS::try_from(number).ok());
        qos.map(Qos).ok_or_else(|| format!("{text} is no QoS, expected 0, 1 or 2"))
    }
}

impl<'de> Deserialize<'de> for Qos {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Qos, D::Error> {
        i64::deserialize(deserializer)?.to_string().parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Qos {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(u8::from(self.0))
    }
}
