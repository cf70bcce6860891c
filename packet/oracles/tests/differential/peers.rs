//! The codecs that are compared, each behind the same question: what stands at the front of these
//! bytes? Ours is asked in the same way.

mod mqtt_proto;
mod mqtt_protocol_core;
mod opifex;
mod rumqttc_next;

use opifex_packet::Version;

use crate::verdict::Verdict;

pub(crate) use opifex::read as ours;

/// A published codec.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// `mqtt-protocol-core`: 3.1.1 and 5.0.
    MqttProtocolCore,
    /// `mqtt-proto`: 3.1, 3.1.1 and 5.0.
    MqttProto,
    /// `rumqttc-v4-next` and `rumqttc-v5-next`, on `mqttbytes-core-next`: 3.1.1 and 5.0.
    RumqttcNext,
}

impl Peer {
    pub(crate) const ALL: [Peer; 3] = [Peer::MqttProtocolCore, Peer::MqttProto, Peer::RumqttcNext];

    /// Whether it knows the version at all.
    pub(crate) fn speaks(self, version: Version) -> bool {
        match self {
            Peer::MqttProtocolCore | Peer::RumqttcNext => version != Version::V3_1,
            Peer::MqttProto => true,
        }
    }

    /// What it makes of the bytes. None knows which side is reading.
    pub(crate) fn read(self, bytes: &[u8], version: Version) -> Verdict {
        match self {
            Peer::MqttProtocolCore => mqtt_protocol_core::read(bytes, version),
            Peer::MqttProto => mqtt_proto::read(bytes, version),
            Peer::RumqttcNext => rumqttc_next::read(bytes, version),
        }
    }
}
