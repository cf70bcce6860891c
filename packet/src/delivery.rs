//! A QoS together with the packet identifier that it needs: neither can be there without the other.

use crate::packet_id::PacketId;
use crate::qos::QoS;

/// How a PUBLISH is delivered.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// QoS 0, without a packet identifier ([MQTT-2.2.1-2]).
    AtMostOnce,
    /// QoS 1.
    AtLeastOnce(PacketId),
    /// QoS 2.
    ExactlyOnce(PacketId),
}

impl Delivery {
    /// The QoS.
    #[inline]
    pub const fn qos(self) -> QoS {
        match self {
            Delivery::AtMostOnce => QoS::AtMostOnce,
            Delivery::AtLeastOnce(_) => QoS::AtLeastOnce,
            Delivery::ExactlyOnce(_) => QoS::ExactlyOnce,
        }
    }

    /// The packet identifier, when there is one.
    #[inline]
    pub const fn packet_id(self) -> Option<PacketId> {
        match self {
            Delivery::AtMostOnce => None,
            Delivery::AtLeastOnce(id) | Delivery::ExactlyOnce(id) => Some(id),
        }
    }

    /// The delivery of that QoS, with the identifier unless it is QoS 0.
    #[inline]
    pub const fn new(qos: QoS, packet_id: PacketId) -> Delivery {
        match qos {
            QoS::AtMostOnce => Delivery::AtMostOnce,
            QoS::AtLeastOnce => Delivery::AtLeastOnce(packet_id),
            QoS::ExactlyOnce => Delivery::ExactlyOnce(packet_id),
        }
    }
}
