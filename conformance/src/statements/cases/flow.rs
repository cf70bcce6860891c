//! 4.9 flow control, and 3.3.4: the receive maximum in both directions.

use std::collections::{BTreeSet, VecDeque};

use opifex_packet::{
    Connect, Delivery, Packet, PacketId, Property, Puback, Pubcomp, Publish, Pubrec, QoS, ReasonCode,
};

use crate::statements::case::{Outcome, chapter};
use crate::statements::stop::{Stop, ensure};
use crate::statements::{Event, Scene, Wire};

chapter! { "flow", "4.9 flow control";
    a_server_begins_within_the_clients_receive_maximum: v5 ["MQTT-4.9.0-1", "U5-4"];
    a_server_stays_within_the_clients_receive_maximum: v5 ["MQTT-3.3.4-9", "MQTT-4.9.0-2"];
    a_full_window_delays_nothing_else: v5 ["MQTT-3.3.4-10", "MQTT-4.9.0-3"];
    the_window_opens_with_each_acknowledgement: v5 ["U5-39"];
    the_window_never_grows_beyond_its_size: v5 ["U5-39"];
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

/// What is unacknowledged on a connection with a window of two, and what has come in all.
#[derive(Default)]
struct Window {
    open: VecDeque<Publish<'static>>,
    seen: BTreeSet<Vec<u8>>,
}

impl Window {
    /// Takes what comes until nothing does, the first for as long as an answer takes. It must never be more than two.
    async fn fill(&mut self, s: &Scene, wire: &mut Wire) -> Outcome {
        let mut time = if self.open.is_empty() { s.descriptor.patience() } else { s.descriptor.silence() };
        loop {
            match wire.next_within(time).await? {
                Event::Packet(Packet::Publish(publish)) => self.take(publish)?,
                Event::Nothing => return Ok(()),
                came => return Err(wire.unexpected("PUBLISH", &came)),
            }
            time = s.descriptor.silence();
        }
    }

    fn take(&mut self, publish: Publish<'static>) -> Outcome {
        ensure!(publish.delivery.packet_id().is_some(), "a message comes at QoS 0: {publish:?}");
        self.seen.insert(publish.payload.to_vec());
        self.open.push_back(publish);
        ensure!(
            self.open.len() <= 2,
            "a client that takes two at once has {}: {:?}",
            self.open.len(),
            self.open
        );
        Ok(())
    }

    /// Ends the oldest delivery. Until PUBCOMP a QoS 2 message is one of those that are open.
    async fn end_one(&mut self, s: &Scene, wire: &mut Wire) -> Outcome {
        match self.open.front().map(|publish| publish.delivery) {
            Some(Delivery::AtLeastOnce(id)) => wire.send(Puback::new(id)).await?,
            Some(Delivery::ExactlyOnce(id)) => {
                wire.send(Pubrec::new(id)).await?;
                loop {
                    match wire.next().await? {
                        Event::Packet(Packet::Pubrel(pubrel)) if pubrel.packet_id == id => break,
                        Event::Packet(Packet::Publish(publish)) => self.take(publish)?,
                        came => return Err(wire.unexpected("PUBREL", &came)),
                    }
                }
                self.fill(s, wire).await?;
                wire.send(Pubcomp::new(id)).await?;
            }
            _ => return Err(Stop::failed("no message comes though there is room")),
        }
        self.open.pop_front();
        Ok(())
    }
}

async fn a_server_begins_within_the_clients_receive_maximum(s: &Scene) -> Outcome {
    let mut wire = narrow_subscriber(s).await?;
    let one = QoS::AtLeastOnce;
    publish_all(s, &[("1", one), ("2", one), ("3", one), ("4", one)]).await?;
    let mut window = Window::default();
    window.fill(s, &mut wire).await?;
    ensure!(!window.open.is_empty(), "no message comes though there is room");
    Ok(())
}

/// How many a server has under way at once is its own choice, as long as it is no more than the client takes.
async fn a_server_stays_within_the_clients_receive_maximum(s: &Scene) -> Outcome {
    let mut wire = narrow_subscriber(s).await?;
    let (one, two) = (QoS::AtLeastOnce, QoS::ExactlyOnce);
    publish_all(s, &[("1", one), ("2", two), ("3", one), ("4", two), ("5", two)]).await?;
    let mut window = Window::default();
    while window.seen.len() < 5 {
        window.fill(s, &mut wire).await?;
        window.end_one(s, &mut wire).await?;
    }
    while !window.open.is_empty() {
        window.end_one(s, &mut wire).await?;
    }
    wire.expect_silence().await
}

async fn a_full_window_delays_nothing_else(s: &Scene) -> Outcome {
    let mut wire = narrow_subscriber(s).await?;
    publish_all(s, &[("1", QoS::AtLeastOnce), ("2", QoS::AtLeastOnce), ("3", QoS::AtLeastOnce)]).await?;
    let mut window = Window::default();
    window.fill(s, &mut wire).await?;
    s.needs(window.open.len() == 2, "a server that fills the client's Receive Maximum")?;
    // PINGREQ, SUBSCRIBE, UNSUBSCRIBE, and what this client publishes. Messages may wait, at QoS 0, too.
    wire.expect_silence().await?;
    wire.subscribe(&s.topic("other"), QoS::AtMostOnce).await?;
    wire.unsubscribe(&s.topic("other")).await?;
    wire.publish(&s.topic("elsewhere"), "1", QoS::AtLeastOnce).await?;
    wire.publish(&s.topic("elsewhere"), "2", QoS::ExactlyOnce).await?;
    wire.expect_silence().await
}

async fn the_window_opens_with_each_acknowledgement(s: &Scene) -> Outcome {
    let mut wire = narrow_subscriber(s).await?;
    let one = QoS::AtLeastOnce;
    publish_all(s, &[("1", one), ("2", one), ("3", one), ("4", one), ("5", one), ("6", one)]).await?;
    let mut window = Window::default();
    while window.seen.len() < 6 {
        window.fill(s, &mut wire).await?;
        window.end_one(s, &mut wire).await?;
    }
    Ok(())
}

/// An acknowledgement that ends nothing makes no room beyond what the client said.
async fn the_window_never_grows_beyond_its_size(s: &Scene) -> Outcome {
    let mut wire = narrow_subscriber(s).await?;
    for unknown in [60_001, 60_002, 60_003] {
        wire.send(Puback::new(PacketId::new(unknown).expect("not 0"))).await?;
    }
    // A server may hold that against the client, and close; it may not hang.
    wire.send(Packet::Pingreq).await?;
    match wire.next().await? {
        Event::Packet(Packet::Pingresp) => {}
        Event::End | Event::Packet(Packet::Disconnect(_)) => {
            return Err(Stop::needs("a server that lets an unknown packet id pass"));
        }
        came => return Err(wire.unexpected("PINGRESP, or the end of the connection", &came)),
    }
    let one = QoS::AtLeastOnce;
    publish_all(s, &[("1", one), ("2", one), ("3", one), ("4", one)]).await?;
    let mut window = Window::default();
    window.fill(s, &mut wire).await?;
    wire.expect_silence().await
}

async fn a_refusal_opens_the_window(s: &Scene) -> Outcome {
    let mut wire = narrow_subscriber(s).await?;
    publish_all(s, &[("1", QoS::ExactlyOnce), ("2", QoS::ExactlyOnce), ("3", QoS::ExactlyOnce)]).await?;
    let mut window = Window::default();
    while window.seen.len() < 3 {
        window.fill(s, &mut wire).await?;
        ensure!(!window.open.is_empty(), "no message comes though there is room");
        for refused in window.open.drain(..) {
            let Some(id) = refused.delivery.packet_id() else { continue };
            wire.send(Pubrec::new(id).with_reason(ReasonCode::ImplementationSpecificError)).await?;
        }
    }
    Ok(())
}

async fn the_window_is_not_kept_across_connections(s: &Scene) -> Outcome {
    let mut wire = narrow_subscriber(s).await?;
    publish_all(s, &[("1", QoS::AtLeastOnce), ("2", QoS::AtLeastOnce), ("3", QoS::AtLeastOnce)]).await?;
    let mut window = Window::default();
    window.fill(s, &mut wire).await?;
    wire.vanish();
    // Nothing of the new window is used up.
    let mut wire = narrow(s, s.connect_durable("a")).await?;
    let mut window = Window::default();
    while window.seen.len() < 3 {
        window.fill(s, &mut wire).await?;
        window.end_one(s, &mut wire).await?;
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
