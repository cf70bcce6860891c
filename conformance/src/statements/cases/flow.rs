//! 4.9 flow control, and 3.3.4: the receive maximum in both directions.

use opifex_packet::{
    Connect, Delivery, PacketId, Property, Puback, Pubcomp, Publish, Pubrec, QoS, ReasonCode,
};

use crate::statements::case::{Outcome, chapter};
use crate::statements::stop::{Stop, ensure};
use crate::statements::{Event, Scene, Wire};

chapter! { "flow", "4.9 flow control";
    a_server_stays_within_the_clients_receive_maximum:
        v5 ["MQTT-3.3.4-9", "MQTT-4.9.0-1", "MQTT-4.9.0-2", "U5-4"];
    a_full_window_delays_nothing_else: v5 ["MQTT-3.3.4-10", "MQTT-4.9.0-3"];
    the_window_opens_with_each_acknowledgement: v5 ["U5-39"];
    a_refusal_opens_the_window: v5 ["U5-39"];
    the_window_is_not_kept_across_connections: v5 ["U5-39"];
    more_than_the_servers_receive_maximum_is_refused: v5 ["U5-25", "MQTT-3.3.4-7"];
    as_much_as_the_servers_receive_maximum_is_taken: v5 ["U5-4"];
}

/// This connection with a window of two.
async fn narrow(s: &Scene, mut connect: Connect<'static>) -> Result<Wire, Stop> {
    connect.properties.push(Property::ReceiveMaximum(2));
    Ok(s.join(connect).await?.0)
}

/// This case's client "a" with a window of two, subscribed to "t" at QoS 2.
async fn narrow_subscriber(s: &Scene) -> Result<Wire, Stop> {
    let mut wire = narrow(s, s.connect_durable("a")).await?;
    wire.subscribe(&s.topic("t"), QoS::ExactlyOnce).await?;
    Ok(wire)
}

async fn publish_all(s: &Scene, messages: &[(&str, QoS)]) -> Outcome {
    let mut publisher = s.connected("p").await?;
    for (payload, qos) in messages {
        publisher.publish(&s.topic("t"), payload, *qos).await?;
    }
    publisher.disconnect().await
}

fn id_of(wire: &Wire, publish: &Publish<'_>) -> Result<PacketId, Stop> {
    publish.delivery.packet_id().ok_or_else(|| wire.unexpected("a packet id", &Event::Nothing))
}

async fn a_server_stays_within_the_clients_receive_maximum(s: &Scene) -> Outcome {
    let mut wire = narrow_subscriber(s).await?;
    let one = QoS::AtLeastOnce;
    publish_all(s, &[("1", one), ("2", QoS::ExactlyOnce), ("3", one), ("4", QoS::ExactlyOnce)]).await?;
    let first = wire.expect_unacknowledged(&s.topic("t"), "1").await?;
    let second = wire.expect_unacknowledged(&s.topic("t"), "2").await?;
    wire.expect_silence().await?;
    // PUBREC does not end a delivery, PUBCOMP does.
    let id = id_of(&wire, &second)?;
    wire.send(Pubrec::new(id)).await?;
    wire.expect_pubrel().await?;
    wire.expect_silence().await?;
    wire.send(Pubcomp::new(id)).await?;
    wire.expect_message(&s.topic("t"), "3").await?;
    wire.expect_message(&s.topic("t"), "4").await?;
    wire.acknowledge(&first).await?;
    wire.expect_silence().await
}

async fn a_full_window_delays_nothing_else(s: &Scene) -> Outcome {
    let mut wire = narrow_subscriber(s).await?;
    publish_all(s, &[("1", QoS::AtLeastOnce), ("2", QoS::AtLeastOnce), ("3", QoS::AtLeastOnce)]).await?;
    wire.expect_unacknowledged(&s.topic("t"), "1").await?;
    wire.expect_unacknowledged(&s.topic("t"), "2").await?;
    // PINGREQ, SUBSCRIBE, UNSUBSCRIBE, and what this client publishes; QoS 0 comes, too.
    wire.expect_silence().await?;
    wire.subscribe(&s.topic("other"), QoS::AtMostOnce).await?;
    wire.publish(&s.topic("other"), "0", QoS::AtMostOnce).await?;
    wire.expect_message(&s.topic("other"), "0").await?;
    wire.unsubscribe(&s.topic("other")).await?;
    wire.publish(&s.topic("elsewhere"), "1", QoS::AtLeastOnce).await?;
    wire.publish(&s.topic("elsewhere"), "2", QoS::ExactlyOnce).await?;
    wire.expect_silence().await
}

async fn the_window_opens_with_each_acknowledgement(s: &Scene) -> Outcome {
    let mut wire = narrow_subscriber(s).await?;
    publish_all(
        s,
        &[("1", QoS::AtLeastOnce), ("2", QoS::AtLeastOnce), ("3", QoS::AtLeastOnce), ("4", QoS::AtLeastOnce)],
    )
    .await?;
    let mut waiting = std::collections::VecDeque::new();
    waiting.push_back(wire.expect_unacknowledged(&s.topic("t"), "1").await?);
    waiting.push_back(wire.expect_unacknowledged(&s.topic("t"), "2").await?);
    for payload in ["3", "4"] {
        let first = waiting.pop_front().ok_or_else(|| Stop::failed("nothing is unacknowledged"))?;
        let id = id_of(&wire, &first)?;
        wire.send(Puback::new(id)).await?;
        waiting.push_back(wire.expect_unacknowledged(&s.topic("t"), payload).await?);
        match wire.next_within(s.descriptor.silence()).await? {
            Event::Nothing => {}
            came => return Err(wire.unexpected("a full window", &came)),
        }
    }
    Ok(())
}

async fn a_refusal_opens_the_window(s: &Scene) -> Outcome {
    let mut wire = narrow_subscriber(s).await?;
    publish_all(s, &[("1", QoS::ExactlyOnce), ("2", QoS::ExactlyOnce), ("3", QoS::ExactlyOnce)]).await?;
    let first = wire.expect_unacknowledged(&s.topic("t"), "1").await?;
    wire.expect_unacknowledged(&s.topic("t"), "2").await?;
    wire.expect_silence().await?;
    let mut pubrec = Pubrec::new(id_of(&wire, &first)?);
    pubrec.reason = ReasonCode::ImplementationSpecificError;
    wire.send(pubrec).await?;
    wire.expect_unacknowledged(&s.topic("t"), "3").await?;
    wire.expect_silence().await
}

async fn the_window_is_not_kept_across_connections(s: &Scene) -> Outcome {
    let mut wire = narrow_subscriber(s).await?;
    publish_all(s, &[("1", QoS::AtLeastOnce), ("2", QoS::AtLeastOnce), ("3", QoS::AtLeastOnce)]).await?;
    wire.expect_unacknowledged(&s.topic("t"), "1").await?;
    wire.expect_unacknowledged(&s.topic("t"), "2").await?;
    wire.vanish();
    let mut wire = narrow(s, s.connect_durable("a")).await?;
    wire.expect_unacknowledged(&s.topic("t"), "1").await?;
    wire.expect_unacknowledged(&s.topic("t"), "2").await?;
    wire.expect_silence().await?;
    wire.vanish();
    // A client with more room gets all three at once.
    let mut wire = s.connected_durable("a").await?;
    for payload in ["1", "2", "3"] {
        wire.expect_unacknowledged(&s.topic("t"), payload).await?;
    }
    Ok(())
}

/// QoS 2 messages that are never released stay unacknowledged.
async fn unreleased(s: &Scene, wire: &mut Wire, count: u16) -> Outcome {
    for number in 1..=count {
        let mut publish = wire.message(&s.topic("t"), "x", QoS::ExactlyOnce);
        publish.delivery = Delivery::new(QoS::ExactlyOnce, PacketId::new(number).expect("not 0"));
        wire.send(publish).await?;
    }
    for number in 1..=count {
        let pubrec = wire.expect_pubrec().await?;
        ensure!(pubrec.packet_id.get() == number, "expected PUBREC {number}, got {pubrec:?}");
    }
    Ok(())
}

fn window(s: &Scene) -> Result<u16, Stop> {
    let maximum = s.offers.receive_maximum;
    s.needs(maximum <= 2_000, "a broker with a Receive Maximum of 2000 or less")?;
    Ok(maximum)
}

async fn more_than_the_servers_receive_maximum_is_refused(s: &Scene) -> Outcome {
    let maximum = window(s)?;
    s.needs(s.offers.maximum_qos == QoS::ExactlyOnce, "QoS 2")?;
    let mut wire = s.connected("a").await?;
    unreleased(s, &mut wire, maximum).await?;
    let mut publish = wire.message(&s.topic("t"), "one too many", QoS::ExactlyOnce);
    publish.delivery = Delivery::new(QoS::ExactlyOnce, PacketId::MAX);
    wire.send(publish).await?;
    wire.expect_refused(&[ReasonCode::ReceiveMaximumExceeded]).await
}

async fn as_much_as_the_servers_receive_maximum_is_taken(s: &Scene) -> Outcome {
    let maximum = window(s)?;
    s.needs(s.offers.maximum_qos == QoS::ExactlyOnce, "QoS 2")?;
    let mut wire = s.connected("a").await?;
    unreleased(s, &mut wire, maximum).await?;
    // QoS 0 has no part in it, and neither have repeats.
    wire.publish(&s.topic("t"), "0", QoS::AtMostOnce).await?;
    wire.expect_alive().await
}
