//! The options of a subscription: one byte. Before 5.0 it holds the QoS and nothing else.

use crate::decode_error::DecodeError;
use crate::qos::QoS;
use crate::version::Version;

const NO_LOCAL: u8 = 0b0000_0100;
const RETAIN_AS_PUBLISHED: u8 = 0b0000_1000;
const RETAIN_HANDLING_SHIFT: u8 = 4;

/// How a subscription wants its messages.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SubscriptionOptions {
    /// The highest QoS.
    pub qos: QoS,
    /// Whether the subscriber's own messages stay away (5.0).
    pub no_local: bool,
    /// Whether the retain flag stays as it was published (5.0).
    pub retain_as_published: bool,
    /// When retained messages are sent (5.0).
    pub retain_handling: RetainHandling,
}

/// When a subscription gets retained messages.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RetainHandling {
    /// At every SUBSCRIBE, as in 3.x.
    #[default]
    SendAtSubscribe = 0,
    /// When the subscription did not exist before.
    SendIfNew = 1,
    /// Never.
    DoNotSend = 2,
}

impl SubscriptionOptions {
    /// The options that 3.x has: a QoS.
    pub const fn new(qos: QoS) -> Self {
        SubscriptionOptions {
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::SendAtSubscribe,
        }
    }

    /// The byte in SUBSCRIBE, in the form of 5.0. For 3.x it is the QoS alone.
    pub const fn to_byte(self) -> u8 {
        let mut byte = self.qos as u8 | (self.retain_handling as u8) << RETAIN_HANDLING_SHIFT;
        if self.no_local {
            byte |= NO_LOCAL;
        }
        if self.retain_as_published {
            byte |= RETAIN_AS_PUBLISHED;
        }
        byte
    }

    /// The options of a byte in SUBSCRIBE.
    ///
    /// # Errors
    /// A reserved bit, QoS 3, or retain handling 3.
    pub fn from_byte(byte: u8, version: Version) -> Result<Self, DecodeError> {
        let reserved = if version.is_v5() { 0b1100_0000 } else { 0b1111_1100 };
        // [MQTT-3.8.3-5], 3.1.1 [MQTT-3.8.3-4]
        if byte & reserved != 0 {
            let statement = version.statement("MQTT-3.8.3-4", "MQTT-3.8.3-5");
            return Err(DecodeError::malformed(
                statement,
                "reserved bits of the subscription options are set",
            ));
        }
        // 3.8.3.1; 3.1.1 [MQTT-3.8.3-4] calls it malformed.
        let qos = QoS::try_from(byte & 0b11).map_err(|_| {
            if version.is_v5() {
                DecodeError::protocol_error("MQTT5 3.8.3.1", "QoS of a subscription is 3")
            } else {
                DecodeError::malformed("MQTT-3.8.3-4", "QoS of a subscription is 3")
            }
        })?;
        let retain_handling = match byte >> RETAIN_HANDLING_SHIFT {
            0 => RetainHandling::SendAtSubscribe,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            // 3.8.3.1
            _ => return Err(DecodeError::protocol_error("MQTT5 3.8.3.1", "retain handling is 3")),
        };
        Ok(SubscriptionOptions {
            qos,
            no_local: byte & NO_LOCAL != 0,
            retain_as_published: byte & RETAIN_AS_PUBLISHED != 0,
            retain_handling,
        })
    }
}

impl From<QoS> for SubscriptionOptions {
    fn from(qos: QoS) -> Self {
        SubscriptionOptions::new(qos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_refused_or_comes_back() {
        for version in Version::ALL {
            let mut valid = 0;
            for byte in 0..=255 {
                if let Ok(options) = SubscriptionOptions::from_byte(byte, version) {
                    assert_eq!(options.to_byte(), byte);
                    valid += 1;
                }
            }
            // QoS x no local x retain as published x retain handling
            assert_eq!(valid, if version.is_v5() { 3 * 2 * 2 * 3 } else { 3 });
        }
    }
}
