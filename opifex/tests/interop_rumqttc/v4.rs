//! rumqttc's client for MQTT 3.1.1.

use std::net::SocketAddr;

use rumqttc::{AsyncClient, Event, LastWill, MqttOptions, Packet, SubscribeReasonCode, qos};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use super::{Client, Message, Options, Report, Sender};

pub(crate) struct V4;

impl Client for V4 {
    type Sender = AsyncClient;

    fn connect(
        address: SocketAddr,
        options: &Options,
        reports: UnboundedSender<Report>,
    ) -> (AsyncClient, JoinHandle<()>) {
        let mut mqtt = MqttOptions::new(options.client_id, address.ip().to_string(), address.port());
        mqtt.set_clean_session(!options.keep_session);
        if let Some((topic, level)) = options.will {
            mqtt.set_last_will(LastWill::new(topic, "gone", qos(level).unwrap(), false));
        }
        let (client, mut events) = AsyncClient::new(mqtt, 100);
        let task = tokio::spawn(async move {
            // Until the broker has closed the connection: the client itself goes on after its DISCONNECT.
            while let Ok(event) = events.poll().await {
                if report(event).is_some_and(|report| reports.send(report).is_err()) {
                    break;
                }
            }
            // Nobody may be listening any more.
            let _ = reports.send(Report::Ended);
        });
        (client, task)
    }
}

fn report(event: Event) -> Option<Report> {
    let Event::Incoming(packet) = event else { return None };
    match packet {
        Packet::ConnAck(connack) => Some(Report::Connected { session_present: connack.session_present }),
        Packet::SubAck(suback) => Some(Report::Subscribed(match suback.return_codes[0] {
            SubscribeReasonCode::Success(qos) => Some(qos as u8),
            SubscribeReasonCode::Failure => None,
        })),
        Packet::PubAck(_) | Packet::PubComp(_) => Some(Report::Acknowledged),
        Packet::Publish(publish) => Some(Report::Message(Message {
            topic: publish.topic,
            payload: String::from_utf8(publish.payload.to_vec()).unwrap(),
            qos: publish.qos as u8,
            retain: publish.retain,
        })),
        _ => None,
    }
}

impl Sender for AsyncClient {
    async fn subscribe(&self, filter: &str, level: u8) {
        AsyncClient::subscribe(self, filter, qos(level).unwrap()).await.unwrap();
    }

    async fn publish(&self, topic: &str, payload: &str, level: u8, retain: bool) {
        AsyncClient::publish(self, topic, qos(level).unwrap(), retain, payload).await.unwrap();
    }

    async fn disconnect(&self) {
        AsyncClient::disconnect(self).await.unwrap();
    }
}
