//! Any of the fifteen packets. Encoding is in `encode.rs`, decoding in `decode.rs`.

use crate::auth::Auth;
use crate::connack::Connack;
use crate::connect::Connect;
use crate::disconnect::Disconnect;
use crate::packet_type::PacketType;
use crate::puback::Puback;
use crate::pubcomp::Pubcomp;
use crate::publish::Publish;
use crate::pubrec::Pubrec;
use crate::pubrel::Pubrel;
use crate::suback::Suback;
use crate::subscribe::Subscribe;
use crate::unsuback::Unsuback;
use crate::unsubscribe::Unsubscribe;

/// A packet, borrowing from the bytes that it was decoded from. `Packet<'static>` is the owned form.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of the packets say it all")]
pub enum Packet<'a> {
    /// Boxed: it is more than twice as large as any other, and comes once a connection.
    Connect(Box<Connect<'a>>),
    Connack(Connack<'a>),
    Publish(Publish<'a>),
    Puback(Puback<'a>),
    Pubrec(Pubrec<'a>),
    Pubrel(Pubrel<'a>),
    Pubcomp(Pubcomp<'a>),
    Subscribe(Subscribe<'a>),
    Suback(Suback<'a>),
    Unsubscribe(Unsubscribe<'a>),
    Unsuback(Unsuback<'a>),
    Pingreq,
    Pingresp,
    Disconnect(Disconnect<'a>),
    Auth(Auth<'a>),
}

impl Packet<'_> {
    /// The packet's type.
    pub fn packet_type(&self) -> PacketType {
        match self {
            Packet::Connect(_) => PacketType::Connect,
            Packet::Connack(_) => PacketType::Connack,
            Packet::Publish(_) => PacketType::Publish,
            Packet::Puback(_) => PacketType::Puback,
            Packet::Pubrec(_) => PacketType::Pubrec,
            Packet::Pubrel(_) => PacketType::Pubrel,
            Packet::Pubcomp(_) => PacketType::Pubcomp,
            Packet::Subscribe(_) => PacketType::Subscribe,
            Packet::Suback(_) => PacketType::Suback,
            Packet::Unsubscribe(_) => PacketType::Unsubscribe,
            Packet::Unsuback(_) => PacketType::Unsuback,
            Packet::Pingreq => PacketType::Pingreq,
            Packet::Pingresp => PacketType::Pingresp,
            Packet::Disconnect(_) => PacketType::Disconnect,
            Packet::Auth(_) => PacketType::Auth,
        }
    }

    /// The same packet, owning all that it refers to.
    pub fn into_owned(self) -> Packet<'static> {
        match self {
            Packet::Connect(packet) => Packet::Connect(Box::new(packet.into_owned())),
            Packet::Connack(packet) => Packet::Connack(packet.into_owned()),
            Packet::Publish(packet) => Packet::Publish(packet.into_owned()),
            Packet::Puback(packet) => Packet::Puback(packet.into_owned()),
            Packet::Pubrec(packet) => Packet::Pubrec(packet.into_owned()),
            Packet::Pubrel(packet) => Packet::Pubrel(packet.into_owned()),
            Packet::Pubcomp(packet) => Packet::Pubcomp(packet.into_owned()),
            Packet::Subscribe(packet) => Packet::Subscribe(packet.into_owned()),
            Packet::Suback(packet) => Packet::Suback(packet.into_owned()),
            Packet::Unsubscribe(packet) => Packet::Unsubscribe(packet.into_owned()),
            Packet::Unsuback(packet) => Packet::Unsuback(packet.into_owned()),
            Packet::Pingreq => Packet::Pingreq,
            Packet::Pingresp => Packet::Pingresp,
            Packet::Disconnect(packet) => Packet::Disconnect(packet.into_owned()),
            Packet::Auth(packet) => Packet::Auth(packet.into_owned()),
        }
    }
}

impl<'a> From<Connect<'a>> for Packet<'a> {
    fn from(packet: Connect<'a>) -> Self {
        Packet::Connect(Box::new(packet))
    }
}

macro_rules! from_packets {
    ($($name:ident),*) => {
        $(
            impl<'a> From<$name<'a>> for Packet<'a> {
                #[inline]
                fn from(packet: $name<'a>) -> Self {
                    Packet::$name(packet)
                }
            }
        )*
    };
}

from_packets!(
    Connack,
    Publish,
    Puback,
    Pubrec,
    Pubrel,
    Pubcomp,
    Subscribe,
    Suback,
    Unsubscribe,
    Unsuback,
    Disconnect,
    Auth
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_hardly_larger_than_a_publish() {
        // Each is moved from hand to hand, and most are PUBLISH.
        assert!(size_of::<Packet<'_>>() <= size_of::<Publish<'_>>() + 8, "{} bytes", size_of::<Packet<'_>>());
    }
}
