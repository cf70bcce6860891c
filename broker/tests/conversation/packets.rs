//! The packets that conversations are made of, with everything that does not matter filled in.

use opifex_packet::{
    Connect, Delivery, PacketId, Properties, Property, Publish, QoS, RetainHandling, Subscribe, Subscription,
    SubscriptionOptions, TopicFilter, TopicName, Unsubscribe, Version, Will,
};

pub(crate) fn id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

pub(crate) fn connect(version: Version, client_id: &str) -> Connect<'static> {
    Connect {
        version,
        clean_start: true,
        keep_alive_secs: 0,
        client_id: client_id.to_owned().into(),
        will: None,
        user_name: None,
        password: None,
        properties: Properties::new(),
    }
}

/// A session that outlives its connection for an hour.
pub(crate) fn connect_durable(version: Version, client_id: &str) -> Connect<'static> {
    let mut connect = connect(version, client_id);
    connect.clean_start = false;
    if version.is_v5() {
        connect.properties.push(Property::SessionExpiryInterval(3600));
    }
    connect
}

pub(crate) fn will(topic: &str, payload: &str, qos: QoS) -> Will<'static> {
    Will {
        qos,
        retain: false,
        topic: TopicName::new(topic.to_owned()).unwrap(),
        payload: payload.as_bytes().to_vec().into(),
        properties: Properties::new(),
    }
}

pub(crate) fn retained(topic: &str, payload: &str, qos: QoS) -> Publish<'static> {
    let mut packet = publish(topic, payload, qos);
    packet.retain = true;
    packet
}

pub(crate) fn text(publish: &Publish<'_>) -> String {
    String::from_utf8(publish.payload.to_vec()).unwrap()
}

pub(crate) fn publish(topic: &str, payload: &str, qos: QoS) -> Publish<'static> {
    let mut publish = Publish::new(TopicName::new(topic.to_owned()).unwrap(), payload.as_bytes().to_vec());
    publish.delivery = match qos {
        QoS::AtMostOnce => Delivery::AtMostOnce,
        QoS::AtLeastOnce => Delivery::AtLeastOnce(id(77)),
        QoS::ExactlyOnce => Delivery::ExactlyOnce(id(78)),
    };
    publish
}

pub(crate) fn options(qos: QoS) -> SubscriptionOptions {
    SubscriptionOptions {
        qos,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::SendAtSubscribe,
    }
}

pub(crate) fn subscribe(
    filter: &str,
    options: SubscriptionOptions,
    identifier: Option<u32>,
) -> Subscribe<'static> {
    let mut properties = Properties::new();
    if let Some(identifier) = identifier {
        properties.push(Property::SubscriptionIdentifier(identifier));
    }
    let filter = TopicFilter::new(filter.to_owned()).unwrap();
    Subscribe { packet_id: id(500), properties, subscriptions: vec![Subscription { filter, options }] }
}

pub(crate) fn unsubscribe(filter: &str) -> Unsubscribe<'static> {
    Unsubscribe {
        packet_id: id(900),
        properties: Properties::new(),
        filters: vec![TopicFilter::new(filter.to_owned()).unwrap()],
    }
}
