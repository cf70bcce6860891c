//! What a packet in memory may hold and a version on the wire does not.

use opifex_packet::*;

#[test]
fn what_a_version_does_not_have_is_not_encoded() {
    let id = PacketId::MIN;
    let expiry = || Properties::new().with(Property::MessageExpiryInterval(1));
    let topic = TopicName::new("t").unwrap();
    let mut out = Vec::new();
    for version in [Version::V3_1, Version::V3_1_1] {
        Packet::from(Publish { properties: expiry(), ..Publish::new(topic.clone(), &b""[..]) })
            .encode(version, &mut out);
        Packet::from(Puback::new(id).with_reason(ReasonCode::QuotaExceeded)).encode(version, &mut out);
        Packet::from(Disconnect::new(ReasonCode::AdministrativeAction)).encode(version, &mut out);
        Packet::from(Unsuback::new(id, vec![ReasonCode::NotAuthorized])).encode(version, &mut out);
        assert_eq!(out, b"\x30\x03\0\x01t\x40\x02\0\x01\xe0\0\xb0\x02\0\x01");
        out.clear();
    }
    let refusal = Packet::from(Suback::new(id, vec![ReasonCode::NotAuthorized, ReasonCode::GrantedQoS1]));
    refusal.encode(Version::V3_1_1, &mut out);
    refusal.encode(Version::V3_1, &mut out);
    assert_eq!(out, b"\x90\x04\0\x01\x80\x01\x90\x04\0\x01\0\x01");

    out.clear();
    Packet::from(Publish { dup: true, ..Publish::new(topic, &b""[..]) }).encode(Version::V3_1_1, &mut out);
    assert_eq!(out[0], 0x30);

    out.clear();
    let connect = Connect { password: Some(b"p"[..].into()), ..Connect::new(Version::V3_1_1, "c") };
    Packet::from(connect).encode(Version::V3_1_1, &mut out);
    let decoded = decode(&out, &DecodeOptions::new(Version::V3_1_1, Role::Server));
    let Ok(Decoded::Packet { packet: Packet::Connect(connect), .. }) = decoded else { panic!("{decoded:?}") };
    assert_eq!(connect.password, None);
}

#[test]
fn a_connack_that_3_x_cannot_say_is_server_unavailable() {
    let mut out = Vec::new();
    let connack = Connack { session_present: true, ..Connack::new(ReasonCode::QuotaExceeded) };
    Packet::from(connack).encode(Version::V3_1_1, &mut out);
    assert_eq!(out, b"\x20\x02\0\x03");
}
