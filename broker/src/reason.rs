//! Why something was refused, in words: the Reason String of 5.0, for whoever reads what a client logs. Programs have the
//! reason code, and the broker's own log has more. No User Property is ever added: nobody has agreed on any.

use opifex_packet::{Packet, PacketType, Properties, Property, ReasonCode, Version};

use crate::limits::Limits;

/// Whether a client gets reasons in words.
pub(crate) fn wanted(limits: &Limits, connect: &Properties<'_>) -> bool {
    limits.reason_strings && connect.request_problem_information().unwrap_or(true)
}

/// Appends a packet, with these words as its Reason String where the client takes it so long; without them where it does
/// not; and not at all where it is too long even then ([MQTT-3.1.2-24] of 5.0). Whether it was appended.
///
/// So [MQTT-3.2.2-19], [MQTT-3.4.2-2], [MQTT-3.5.2-2], [MQTT-3.6.2-2], [MQTT-3.7.2-2], [MQTT-3.9.2-1], [MQTT-3.11.2-1] and
/// [MQTT-3.14.2-3] of 5.0 hold.
pub(crate) fn append_within(
    mut packet: Packet<'_>,
    words: Option<&str>,
    version: Version,
    max_packet_size: u32,
    out: &mut Vec<u8>,
) -> bool {
    if let (true, Some(words)) = (version.is_v5(), words)
        && let Some(properties) = properties_of(&mut packet)
    {
        let unexplained = properties.clone();
        properties.push(Property::ReasonString(words));
        if append_fitting(&packet, version, max_packet_size, out) {
            return true;
        }
        if let Some(properties) = properties_of(&mut packet) {
            *properties = unexplained;
        }
    }
    append_fitting(&packet, version, max_packet_size, out)
}

fn append_fitting(packet: &Packet<'_>, version: Version, max_packet_size: u32, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    packet.encode(version, out);
    let fits = out.len() - start <= max_packet_size as usize;
    if !fits {
        out.truncate(start);
    }
    fits
}

/// How a client is told.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Told {
    pub(crate) version: Version,
    /// The largest packet that it takes, in bytes.
    pub(crate) max_packet_size: u32,
    /// Whether it gets reasons in words: the broker gives them, and the client has not declined ([MQTT-3.1.2-29] of 5.0).
    pub(crate) reasons: bool,
}

impl Told {
    /// Appends a packet as [`append_within`] does, with the words that there are for this reason.
    pub(crate) fn append(self, packet: Packet<'_>, reason: ReasonCode, out: &mut Vec<u8>) -> bool {
        // Of most there is nothing to be told.
        if reason == ReasonCode::Success || !self.reasons {
            return append_fitting(&packet, self.version, self.max_packet_size, out);
        }
        let words = words(packet.packet_type(), reason);
        append_within(packet, words, self.version, self.max_packet_size, out)
    }
}

/// What a packet that refuses says in words.
fn words(packet: PacketType, reason: ReasonCode) -> Option<&'static str> {
    use PacketType::{Connack, Puback, Pubcomp, Pubrec, Pubrel, Suback, Unsuback};
    Some(match (packet, reason) {
        (Connack, ReasonCode::QuotaExceeded) => "there are as many connections or sessions as there may be",
        (Connack, ReasonCode::ClientIdentifierNotValid) => "the client id is too long or may not be used",
        (Connack, ReasonCode::QoSNotSupported) => "the will's QoS is above the server's Maximum QoS",
        (Connack, ReasonCode::RetainNotSupported) => "the will is retained, and the server retains nothing",
        (Connack, ReasonCode::TopicNameInvalid) => "the will's topic has more levels than the server takes",
        (Connack, ReasonCode::BadUserNameOrPassword) => "the user name or the password is wrong",
        (Connack, ReasonCode::NotAuthorized) => "the client may not connect, or not with this will",
        (Connack, ReasonCode::BadAuthenticationMethod) => {
            "the server does not have this authentication method"
        }
        (Connack, ReasonCode::PacketTooLarge) => "the client takes no packet as long as this CONNACK",
        (Connack, ReasonCode::ServerUnavailable) => "the session cannot be opened now",
        (Puback | Pubrec, ReasonCode::NotAuthorized) => "the client may not publish to this topic",
        (Puback | Pubrec, ReasonCode::TopicNameInvalid) => "the topic has more levels than the server takes",
        (Puback | Pubrec, ReasonCode::QuotaExceeded) => "there is no room to store the message",
        (Pubrel, ReasonCode::PacketIdentifierNotFound) => "no delivery with this packet id awaits a PUBREC",
        (Pubcomp, ReasonCode::PacketIdentifierNotFound) => {
            "no message with this packet id awaits its release"
        }
        (Suback, ReasonCode::NotAuthorized) => "the client may not subscribe to a filter",
        (Suback, ReasonCode::TopicFilterInvalid) => "a filter has more levels than the server takes",
        (Suback, ReasonCode::QuotaExceeded) => "the session has as many subscriptions as it may have",
        (Suback, ReasonCode::SharedSubscriptionsNotSupported) => "the server shares no subscriptions",
        (Suback, ReasonCode::WildcardSubscriptionsNotSupported) => "the server takes no wildcards",
        (Unsuback, ReasonCode::NoSubscriptionExisted) => "there was no subscription to a filter",
        _ => return None,
    })
}

/// The properties of a packet that may carry a Reason String.
fn properties_of<'p, 'a>(packet: &'p mut Packet<'a>) -> Option<&'p mut Properties<'a>> {
    match packet {
        Packet::Connack(packet) => Some(&mut packet.properties),
        Packet::Puback(packet) => Some(&mut packet.properties),
        Packet::Pubrec(packet) => Some(&mut packet.properties),
        Packet::Pubrel(packet) => Some(&mut packet.properties),
        Packet::Pubcomp(packet) => Some(&mut packet.properties),
        Packet::Suback(packet) => Some(&mut packet.properties),
        Packet::Unsuback(packet) => Some(&mut packet.properties),
        Packet::Disconnect(packet) => Some(&mut packet.properties),
        Packet::Auth(packet) => Some(&mut packet.properties),
        Packet::Connect(_)
        | Packet::Publish(_)
        | Packet::Subscribe(_)
        | Packet::Unsubscribe(_)
        | Packet::Pingreq
        | Packet::Pingresp => None,
    }
}

#[cfg(test)]
mod tests {
    use opifex_packet::{
        Auth, Connack, Disconnect, PacketId, Puback, Pubcomp, Pubrec, Pubrel, Suback, Unsuback,
    };

    use super::*;

    const WORDS: &str = "because";

    fn packets() -> Vec<Packet<'static>> {
        let id = PacketId::MAX;
        let reason = ReasonCode::UnspecifiedError;
        let properties = Properties::new;
        vec![
            Connack { session_present: false, reason, properties: properties() }.into(),
            Puback::new(id).with_reason(reason).into(),
            Pubrec::new(id).with_reason(reason).into(),
            Pubrel::new(id).with_reason(ReasonCode::PacketIdentifierNotFound).into(),
            Pubcomp::new(id).with_reason(ReasonCode::PacketIdentifierNotFound).into(),
            Suback { packet_id: id, properties: properties(), reasons: vec![reason] }.into(),
            Unsuback { packet_id: id, properties: properties(), reasons: vec![reason] }.into(),
            Disconnect::new(reason).into(),
            Auth::new(ReasonCode::Success, properties().with(Property::AuthenticationMethod("m"))).into(),
        ]
    }

    /// What is appended for a client that takes packets of that length.
    fn appended(packet: &Packet<'static>, max_packet_size: usize) -> Vec<u8> {
        let mut out = b"before".to_vec();
        let limit = max_packet_size as u32;
        let said = append_within(packet.clone(), Some(WORDS), Version::V5_0, limit, &mut out);
        assert_eq!(said, out.len() > 6);
        out.split_off(6)
    }

    #[test]
    fn a_reason_string_is_left_out_where_the_client_takes_no_packet_as_long() {
        for packet in packets() {
            let mut bare = Vec::new();
            packet.encode(Version::V5_0, &mut bare);
            let explained = appended(&packet, usize::from(u16::MAX));
            assert!(explained.len() > bare.len(), "{packet:?}");
            assert!(explained.windows(WORDS.len()).any(|part| part == WORDS.as_bytes()), "{packet:?}");
            assert_eq!(appended(&packet, explained.len()), explained);
            assert_eq!(appended(&packet, explained.len() - 1), bare);
            assert_eq!(appended(&packet, bare.len()), bare);
            assert_eq!(appended(&packet, bare.len() - 1), b"");
        }
    }

    #[test]
    fn nothing_but_a_reason_string_is_added() {
        for mut packet in packets() {
            let before = properties_of(&mut packet).unwrap().clone();
            let bytes = appended(&packet, usize::from(u16::MAX));
            let options = opifex_packet::DecodeOptions::new(Version::V5_0, opifex_packet::Role::Client);
            let decoded = opifex_packet::decode(&bytes, &options).unwrap();
            let opifex_packet::Decoded::Packet { packet: mut explained, .. } = decoded else {
                panic!("half a packet: {bytes:02x?}");
            };
            let after = properties_of(&mut explained).unwrap();
            assert_eq!(after.iter().count(), before.iter().count() + 1);
            assert_eq!(after.reason_string(), Some(WORDS));
            assert_eq!(after.user_properties().count(), 0);
        }
    }

    #[test]
    fn before_5_0_there_are_no_words() {
        let puback = Packet::from(Puback::new(PacketId::MAX));
        let mut out = Vec::new();
        assert!(append_within(puback.clone(), Some(WORDS), Version::V3_1_1, u32::MAX, &mut out));
        let mut bare = Vec::new();
        puback.encode(Version::V3_1_1, &mut bare);
        assert_eq!(out, bare);
    }
}
