//! 3.1.2.11 the properties of CONNECT, and what a server makes of them.

use opifex_packet::raw::RawPacket;
use opifex_packet::{Packet, PacketId, Property, Pubrec, Pubrel, QoS, ReasonCode};

use crate::statements::case::{Outcome, chapter};
use crate::statements::stop::{Stop, ensure};
use crate::statements::{Event, Scene};

chapter! { "connect_properties", "3.1.2 CONNECT properties";
    properties_that_stand_twice_are_refused: v5 ["U5-3", "U5-4", "U5-5", "U5-6", "U5-7", "U5-8"];
    values_that_a_property_does_not_have_are_refused: v5 ["U5-4", "U5-5", "U5-7", "U5-8"];
    properties_of_other_packets_are_refused: v5 ["U5-2"];
    response_information_comes_only_when_it_is_asked_for: v5 ["MQTT-3.1.2-28"];
    a_packet_that_is_too_large_for_the_client_is_not_sent: v5 ["MQTT-3.1.2-24", "MQTT-3.1.2-25", "U5-5"];
    no_answer_is_too_large_for_the_client: v5 ["MQTT-3.1.2-24"];
    no_auth_is_too_large_for_the_client: v5 ["MQTT-3.1.2-24"];
    a_packet_that_is_too_large_for_the_server_is_refused: v5 ["MQTT-3.2.2-15"];
    a_reason_string_stands_once: v5 ["U5-27"];
}

/// A CONNECT with this property block is refused.
async fn refused(s: &Scene, block: &[u8]) -> Outcome {
    let mut wire = s.open("a").await?;
    let head = RawPacket::new(0x10).string("MQTT").u8(5).u8(2).u16(60);
    wire.send_raw(&head.properties(block).string(&s.client_id("a"))).await?;
    wire.expect_broken().await
}

async fn properties_that_stand_twice_are_refused(s: &Scene) -> Outcome {
    let properties: [&[u8]; 6] =
        [&[0x11, 0, 0, 0, 9], &[0x21, 0, 9], &[0x27, 0, 0, 0x10, 0], &[0x22, 0, 9], &[0x19, 0], &[0x17, 1]];
    for property in properties {
        refused(s, &property.repeat(2)).await?;
    }
    Ok(())
}

async fn values_that_a_property_does_not_have_are_refused(s: &Scene) -> Outcome {
    // Receive Maximum 0, Maximum Packet Size 0, the two requests with 2.
    let properties: [&[u8]; 4] = [&[0x21, 0, 0], &[0x27, 0, 0, 0, 0], &[0x19, 2], &[0x17, 2]];
    for property in properties {
        refused(s, property).await?;
    }
    Ok(())
}

async fn properties_of_other_packets_are_refused(s: &Scene) -> Outcome {
    // Topic Alias, Reason String, Will Delay Interval in CONNECT itself, and one that there is not.
    let properties: [&[u8]; 4] = [&[0x23, 0, 1], &[0x1f, 0, 1, b'x'], &[0x18, 0, 0, 0, 1], &[0x7e, 0]];
    for property in properties {
        refused(s, property).await?;
    }
    Ok(())
}

async fn response_information_comes_only_when_it_is_asked_for(s: &Scene) -> Outcome {
    for asks in [None, Some(false)] {
        let mut connect = s.connect("a");
        connect.properties.extend(asks.map(Property::RequestResponseInformation));
        let (wire, connack) = s.join(connect).await?;
        let came = connack.properties.response_information();
        ensure!(came.is_none(), "nobody asked for Response Information, and there is {came:?}");
        wire.disconnect().await?;
    }
    Ok(())
}

fn id(id: u16) -> PacketId {
    PacketId::new(id).expect("cases use ids above 0")
}

async fn a_packet_that_is_too_large_for_the_client_is_not_sent(s: &Scene) -> Outcome {
    let topic = s.topic("t");
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut connect = s.connect_durable("a");
        connect.properties.push(Property::MaximumPacketSize(128));
        let (mut wire, _) = s.join(connect).await?;
        wire.subscribe(&topic, qos).await?;
        let mut publisher = s.connected("p").await?;
        // Header, topic, packet id, and the length of no properties.
        let around = 2 + 2 + topic.len() + usize::from(qos != QoS::AtMostOnce) * 2 + 1;
        publisher.publish(&topic, &"x".repeat(128 - around + 1), qos).await?;
        let fits = "y".repeat(100 - around);
        publisher.publish(&topic, &fits, qos).await?;
        wire.expect_message(&topic, &fits).await?;
        wire.expect_silence().await?;
        // The one that was dropped counts as sent: it does not come back, and holds nothing up.
        wire.disconnect().await?;
        let mut wire = s.connected_durable("a").await?;
        wire.expect_silence().await?;
        wire.disconnect().await?;
    }
    Ok(())
}

/// A server that leaves out what is too much sends shorter packets; one that does not exceeds the limit.
async fn no_answer_is_too_large_for_the_client(s: &Scene) -> Outcome {
    let mut connect = s.connect("a");
    let (_, connack) = s.join(connect.clone()).await?;
    let mut bytes = Vec::new();
    Packet::from(connack).encode(s.version, &mut bytes);
    // What a CONNACK takes that says nothing for diagnosis, and a little.
    let limit = bytes.len().max(32);
    connect.properties.push(Property::MaximumPacketSize(limit as u32));
    let (mut wire, _) = s.join(connect).await?;
    let fits = |wire: &crate::statements::Wire| -> Outcome {
        let len = wire.last_bytes().len();
        ensure!(len <= limit, "a client that takes {limit} bytes got {len}: {:02x?}", wire.last_bytes());
        Ok(())
    };
    fits(&wire)?;
    let topic = s.descriptor.forbidden_topic.clone().unwrap_or_else(|| s.topic("t"));
    let filter = s.descriptor.forbidden_filter.clone().unwrap_or_else(|| s.topic("t"));
    let subscribe = wire.subscription(&filter, QoS::AtMostOnce.into(), None);
    wire.send(subscribe).await?;
    wire.expect_suback().await?;
    fits(&wire)?;
    let unsubscribe = wire.unsubscription(&[&filter]);
    wire.send(unsubscribe).await?;
    wire.expect_unsuback().await?;
    fits(&wire)?;
    wire.send(Pubrec::new(id(1_234))).await?;
    wire.expect_pubrel().await?;
    fits(&wire)?;
    wire.send(Pubrel::new(id(1_235))).await?;
    wire.expect_pubcomp().await?;
    fits(&wire)?;
    if s.offers.maximum_qos >= QoS::AtLeastOnce {
        let publish = wire.message(&topic, "x", QoS::AtLeastOnce);
        wire.send(publish).await?;
        wire.expect_puback().await?;
        fits(&wire)?;
    }
    if s.offers.maximum_qos == QoS::ExactlyOnce {
        let publish = wire.message(&topic, "x", QoS::ExactlyOnce);
        wire.send(publish).await?;
        wire.expect_pubrec().await?;
        fits(&wire)?;
    }
    wire.send(s.connect("a")).await?;
    wire.expect_refused(&[ReasonCode::ProtocolError]).await?;
    fits(&wire)
}

/// The length of the AUTH that answers CONNECT, if there is one, for a client that takes packets of that length.
async fn auth_len(s: &Scene, limit: u32) -> Result<Option<usize>, Stop> {
    let method = s.descriptor.authentication.as_ref();
    let method = method.ok_or_else(|| Stop::needs("an authentication method (authentication)"))?;
    let mut connect = opifex_packet::Connect::new(s.version, s.client_id("a"));
    connect.properties.push(Property::AuthenticationMethod(&method.method));
    connect.properties.push(Property::AuthenticationData(method.data.as_bytes()));
    connect.properties.push(Property::MaximumPacketSize(limit));
    let mut wire = s.open("a").await?;
    wire.send(connect).await?;
    let came = wire.next().await?;
    Ok(matches!(came, Event::Packet(Packet::Auth(_))).then(|| wire.last_bytes().len()))
}

async fn no_auth_is_too_large_for_the_client(s: &Scene) -> Outcome {
    let len = auth_len(s, 65_536).await?;
    let len = len.ok_or_else(|| Stop::failed("the method is known, and no AUTH answers CONNECT"))?;
    let limit = len as u32 - 1;
    // A refusal, or nothing.
    let came = auth_len(s, limit).await?;
    ensure!(came.is_none_or(|len| len <= limit as usize), "a client that takes {limit} bytes got {came:?}");
    Ok(())
}

async fn a_packet_that_is_too_large_for_the_server_is_refused(s: &Scene) -> Outcome {
    let Some(limit) = s.offers.maximum_packet_size.filter(|limit| *limit <= 1 << 20) else {
        return s.needs(false, "a broker with a Maximum Packet Size of 1 MiB or less");
    };
    let mut wire = s.connected("a").await?;
    // The length is enough.
    let packet = RawPacket::new(0x30).string(&s.topic("t")).u8(0).bytes("x".repeat(limit as usize));
    wire.send_raw(&packet).await?;
    wire.expect_refused(&[ReasonCode::PacketTooLarge]).await
}

async fn a_reason_string_stands_once(s: &Scene) -> Outcome {
    let twice: &[u8] = &[0x1f, 0, 1, b'x', 0x1f, 0, 1, b'x'];
    // PUBACK, PUBREC, PUBREL, PUBCOMP.
    for first_byte in [0x40, 0x50, 0x62, 0x70] {
        let mut wire = s.connected("a").await?;
        wire.send_raw(&RawPacket::new(first_byte).u16(1).u8(0).properties(twice)).await?;
        wire.expect_broken().await?;
    }
    Ok(())
}
