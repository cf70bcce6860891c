//! Decoding borrows: what a PUBLISH holds are slices of the input, so that nothing was copied.

use std::borrow::Cow;

use opifex_packet::*;

#[test]
fn a_decoded_publish_points_into_the_input() {
    for version in Version::ALL {
        let properties = if version.is_v5() {
            Properties::new().with(Property::ContentType("text")).with(Property::UserProperty("n", "v"))
        } else {
            Properties::new()
        };
        let topic = TopicName::new("a/b/c").unwrap();
        let publish = Publish { properties, ..Publish::new(topic, &b"payload"[..]) };
        let mut input = Vec::new();
        publish.encode(version, &mut input);

        let decoded = decode(&input, &DecodeOptions::new(version, Role::Server)).unwrap();
        let Decoded::Packet { packet: Packet::Publish(decoded), .. } = decoded else { panic!("{decoded:?}") };
        let inside = |slice: &[u8]| slice.is_empty() || input.as_ptr_range().contains(&slice.as_ptr());
        assert!(inside(decoded.topic.as_ref().unwrap().as_str().as_bytes()));
        assert!(inside(decoded.properties.as_bytes()));
        assert!(matches!(decoded.payload, Cow::Borrowed(payload) if inside(payload)));
        assert_eq!(decoded, publish);
    }
}

#[test]
fn a_length_that_nothing_stands_behind_is_not_believed() {
    // 256 MiB claimed by the fixed header, 65535 bytes by a field, and seven bytes in all.
    let options = DecodeOptions::new(Version::V5_0, Role::Server);
    let claimed = [0x30, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff];
    assert_eq!(decode(&claimed, &options), Ok(Decoded::Incomplete { needed: 268_435_460 }));
    let error = decode(&[0x30, 0x02, 0xff, 0xff], &options).unwrap_err();
    assert_eq!(error.reason(), ReasonCode::MalformedPacket);
}
