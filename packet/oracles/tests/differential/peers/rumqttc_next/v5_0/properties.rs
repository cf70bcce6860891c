//! The properties of `rumqttc-v5-next`: structs of optional fields, one a packet type.

use rumqttc_v5::mqttbytes::v5::{
    AuthProperties, ConnAckProperties, ConnectProperties, DisconnectProperties, LastWillProperties,
    PublishProperties, SubscribeProperties,
};

use crate::neutral::{NeutralProperties, Value};

/// Names and values of the application.
type Users = Vec<(String, String)>;

/// Collects what is there.
#[derive(Default)]
struct Block(Vec<(u8, Value)>);

impl Block {
    fn with<T: Into<Value>>(mut self, id: u8, value: Option<T>) -> Self {
        self.0.extend(value.map(|value| (id, value.into())));
        self
    }

    fn with_text(self, id: u8, text: Option<String>) -> Self {
        self.with(id, text.map(Value::Text))
    }

    fn with_binary(self, id: u8, bytes: Option<impl Into<Vec<u8>>>) -> Self {
        self.with(id, bytes.map(|bytes| Value::Binary(bytes.into())))
    }

    fn with_ids(mut self, ids: impl IntoIterator<Item = usize>) -> Self {
        let number = |id| Value::Number(u32::try_from(id).expect("four bytes of seven bits"));
        self.0.extend(ids.into_iter().map(|id| (0x0b, number(id))));
        self
    }

    fn finish(mut self, users: Users) -> NeutralProperties {
        self.0.extend(users.into_iter().map(|(name, value)| (0x26, Value::Pair(name, value))));
        self.0.into_iter().collect()
    }
}

/// The reason string and the user properties of the many packets that have nothing else.
pub(super) fn ack(block: Option<(Option<String>, Users)>) -> NeutralProperties {
    let Some((reason, users)) = block else { return NeutralProperties::default() };
    Block::default().with_text(0x1f, reason).finish(users)
}

pub(super) fn connect(block: Option<ConnectProperties>) -> NeutralProperties {
    let Some(it) = block else { return NeutralProperties::default() };
    Block::default()
        .with(0x11, it.session_expiry_interval)
        .with(0x21, it.receive_maximum)
        .with(0x27, it.max_packet_size)
        .with(0x22, it.topic_alias_max)
        .with(0x19, it.request_response_info)
        .with(0x17, it.request_problem_info)
        .with_text(0x15, it.authentication_method)
        .with_binary(0x16, it.authentication_data)
        .finish(it.user_properties)
}

pub(super) fn will(block: Option<LastWillProperties>) -> NeutralProperties {
    let Some(it) = block else { return NeutralProperties::default() };
    Block::default()
        .with(0x18, it.delay_interval)
        .with(0x01, it.payload_format_indicator)
        .with(0x02, it.message_expiry_interval)
        .with_text(0x03, it.content_type)
        .with_text(0x08, it.response_topic)
        .with_binary(0x09, it.correlation_data)
        .finish(it.user_properties)
}

pub(super) fn connack(block: Option<ConnAckProperties>) -> NeutralProperties {
    let Some(it) = block else { return NeutralProperties::default() };
    Block::default()
        .with(0x11, it.session_expiry_interval)
        .with(0x21, it.receive_max)
        .with(0x24, it.max_qos)
        .with(0x25, it.retain_available)
        .with(0x27, it.max_packet_size)
        .with_text(0x12, it.assigned_client_identifier)
        .with(0x22, it.topic_alias_max)
        .with_text(0x1f, it.reason_string)
        .with(0x28, it.wildcard_subscription_available)
        .with(0x29, it.subscription_identifiers_available)
        .with(0x2a, it.shared_subscription_available)
        .with(0x13, it.server_keep_alive)
        .with_text(0x1a, it.response_information)
        .with_text(0x1c, it.server_reference)
        .with_text(0x15, it.authentication_method)
        .with_binary(0x16, it.authentication_data)
        .finish(it.user_properties)
}

pub(super) fn publish(block: Option<PublishProperties>) -> NeutralProperties {
    let Some(it) = block else { return NeutralProperties::default() };
    Block::default()
        .with(0x01, it.payload_format_indicator)
        .with(0x02, it.message_expiry_interval)
        .with(0x23, it.topic_alias)
        .with_text(0x08, it.response_topic)
        .with_binary(0x09, it.correlation_data)
        .with_ids(it.subscription_identifiers)
        .with_text(0x03, it.content_type)
        .finish(it.user_properties)
}

pub(super) fn subscribe(block: Option<SubscribeProperties>) -> NeutralProperties {
    let Some(it) = block else { return NeutralProperties::default() };
    Block::default().with_ids(it.id).finish(it.user_properties)
}

pub(super) fn disconnect(block: Option<DisconnectProperties>) -> NeutralProperties {
    let Some(it) = block else { return NeutralProperties::default() };
    Block::default()
        .with(0x11, it.session_expiry_interval)
        .with_text(0x1f, it.reason_string)
        .with_text(0x1c, it.server_reference)
        .finish(it.user_properties)
}

pub(super) fn auth(block: Option<AuthProperties>) -> NeutralProperties {
    let Some(it) = block else { return NeutralProperties::default() };
    Block::default()
        .with_text(0x15, it.method)
        .with_binary(0x16, it.data)
        .with_text(0x1f, it.reason)
        .finish(it.user_properties)
}
