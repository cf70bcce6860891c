//! What cases say over and over: subscribe, publish to the end of the handshake, leave.

use opifex_packet::{
    Connack, Connect, Delivery, Disconnect, PacketId, Properties, Property, Publish, Pubrel, QoS, ReasonCode,
    Subscribe, Subscription, SubscriptionOptions, TopicFilter, TopicName, Unsubscribe,
};

use super::super::stop::Stop;
use super::{Event, Wire};

impl Wire {
    /// CONNECT, which is accepted.
    pub async fn introduce(&mut self, connect: Connect<'_>) -> Result<Connack<'static>, Stop> {
        self.send(connect).await?;
        // [MQTT-3.2.0-1]: nothing may come before it.
        match self.next().await? {
            Event::Packet(opifex_packet::Packet::Connack(connack))
                if connack.reason == ReasonCode::Success =>
            {
                Ok(connack)
            }
            came => Err(self.unexpected("CONNACK that accepts", &came)),
        }
    }

    /// A packet id that this wire has not used.
    pub fn packet_id(&mut self) -> PacketId {
        let id = PacketId::new(self.next_packet_id).expect("it begins at 1 and skips 0");
        self.next_packet_id = self.next_packet_id.checked_add(1).unwrap_or(1);
        id
    }

    /// Subscribes to one filter, which is granted at this QoS.
    pub async fn subscribe(&mut self, filter: &str, qos: QoS) -> Result<(), Stop> {
        self.subscribe_with(filter, SubscriptionOptions::new(qos), None).await
    }

    /// The same with options and a subscription identifier (5.0).
    pub async fn subscribe_with(
        &mut self,
        filter: &str,
        options: SubscriptionOptions,
        identifier: Option<u32>,
    ) -> Result<(), Stop> {
        if options.qos > self.offers.maximum_qos {
            return Err(Stop::needs(format!("{:?} messages", options.qos)));
        }
        let packet = self.subscription(filter, options, identifier);
        let packet_id = packet.packet_id;
        self.send(packet).await?;
        let suback = self.expect_suback().await?;
        if suback.packet_id == packet_id && suback.reasons == [ReasonCode::from(options.qos)] {
            return Ok(());
        }
        let expected = format!("SUBACK {} that grants {:?}", packet_id.get(), options.qos);
        Err(self.unexpected(&expected, &Event::Packet(suback.into())))
    }

    /// SUBSCRIBE for one filter.
    pub fn subscription(
        &mut self,
        filter: &str,
        options: SubscriptionOptions,
        identifier: Option<u32>,
    ) -> Subscribe<'static> {
        let mut packet = self.subscriptions(&[(filter, options)]);
        if let Some(identifier) = identifier {
            packet.properties.push(Property::SubscriptionIdentifier(identifier));
        }
        packet
    }

    /// SUBSCRIBE for several filters.
    pub fn subscriptions(&mut self, filters: &[(&str, SubscriptionOptions)]) -> Subscribe<'static> {
        let subscriptions = filters.iter().map(|&(filter, options)| {
            let filter = TopicFilter::new(filter.to_owned()).expect("cases write valid filters");
            Subscription::new(filter, options)
        });
        Subscribe::new(self.packet_id(), subscriptions.collect())
    }

    /// Unsubscribes from one filter and takes UNSUBACK.
    pub async fn unsubscribe(&mut self, filter: &str) -> Result<(), Stop> {
        let packet = self.unsubscription(&[filter]);
        let packet_id = packet.packet_id;
        self.send(packet).await?;
        let unsuback = self.expect_unsuback().await?;
        if unsuback.packet_id == packet_id {
            return Ok(());
        }
        let expected = format!("UNSUBACK {}", packet_id.get());
        Err(self.unexpected(&expected, &Event::Packet(unsuback.into())))
    }

    /// UNSUBSCRIBE for these filters.
    pub fn unsubscription(&mut self, filters: &[&str]) -> Unsubscribe<'static> {
        let filter = |filter: &&str| {
            TopicFilter::new((*filter).to_owned()).expect("cases write valid filters").into_owned()
        };
        Unsubscribe {
            packet_id: self.packet_id(),
            properties: Properties::new(),
            filters: filters.iter().map(filter).collect(),
        }
    }

    /// A PUBLISH with a new packet id, to be sent.
    pub fn message(&mut self, topic: &str, payload: &str, qos: QoS) -> Publish<'static> {
        let topic = TopicName::new(topic.to_owned()).expect("cases write valid topics");
        let mut publish = Publish::new(topic, payload.as_bytes().to_vec());
        if qos != QoS::AtMostOnce {
            publish.delivery = Delivery::new(qos, self.packet_id());
        }
        publish
    }

    /// Publishes, and takes the handshake to its end.
    pub async fn publish(&mut self, topic: &str, payload: &str, qos: QoS) -> Result<(), Stop> {
        let packet = self.message(topic, payload, qos);
        self.publish_packet(packet).await
    }

    /// The same retained.
    pub async fn publish_retained(&mut self, topic: &str, payload: &str, qos: QoS) -> Result<(), Stop> {
        let mut packet = self.message(topic, payload, qos);
        packet.retain = true;
        self.publish_packet(packet).await
    }

    /// The same with this packet, which is accepted.
    pub async fn publish_packet(&mut self, packet: Publish<'_>) -> Result<(), Stop> {
        let delivery = packet.delivery;
        self.send(packet).await?;
        let Some(id) = delivery.packet_id() else { return Ok(()) };
        if delivery.qos() == QoS::AtLeastOnce {
            let puback = self.expect_puback().await?;
            if puback.packet_id == id && !puback.reason.is_error() {
                return Ok(());
            }
            let expected = format!("PUBACK {} that accepts", id.get());
            return Err(self.unexpected(&expected, &Event::Packet(puback.into())));
        }
        let pubrec = self.expect_pubrec().await?;
        if pubrec.packet_id != id || pubrec.reason.is_error() {
            let expected = format!("PUBREC {} that accepts", id.get());
            return Err(self.unexpected(&expected, &Event::Packet(pubrec.into())));
        }
        self.send(Pubrel::new(id)).await?;
        let pubcomp = self.expect_pubcomp().await?;
        if pubcomp.packet_id == id && pubcomp.reason == ReasonCode::Success {
            return Ok(());
        }
        Err(self.unexpected(&format!("PUBCOMP {}", id.get()), &Event::Packet(pubcomp.into())))
    }

    /// DISCONNECT, and the broker closes or is closed to.
    pub async fn disconnect(self) -> Result<(), Stop> {
        self.disconnect_with(Disconnect::new(ReasonCode::Success)).await
    }

    /// The same with a reason and properties (5.0).
    pub async fn disconnect_with(mut self, disconnect: Disconnect<'_>) -> Result<(), Stop> {
        self.send(disconnect).await?;
        self.half_close().await;
        // What was on its way may come; the end comes when the broker has read DISCONNECT.
        while let Event::Packet(_) = self.next_within(self.patience).await? {}
        Ok(())
    }
}
