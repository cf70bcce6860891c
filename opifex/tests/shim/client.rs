//! A client for programs whose disk fails: whatever happens is an answer, not a panic. One call, one packet.

use std::fmt;
use std::io::{Error, ErrorKind, Read as _, Result, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use opifex_packet::{
    Connack, Connect, DecodeOptions, Decoded, Delivery, Packet, PacketId, Property, Publish, Pubrel, QoS,
    ReasonCode, Role, Subscribe, Subscription, SubscriptionOptions, TopicFilter, TopicName, Version, decode,
};

const VERSION: Version = Version::V5_0;

/// Longer than any answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A CONNECT was refused.
#[derive(Debug)]
struct Refused(ReasonCode);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CONNECT was refused: {:?}", self.0)
    }
}

impl std::error::Error for Refused {}

/// The reason code of a CONNECT that was refused, when that is what went wrong.
#[allow(dead_code, reason = "shared by several tests")]
pub(crate) fn refusal(error: &Error) -> Option<ReasonCode> {
    error.get_ref()?.downcast_ref().map(|Refused(reason)| *reason)
}

/// What a publish is answered with.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The reason code of PUBACK or PUBREC.
    Reason(ReasonCode),
    /// The end of the connection, with the reason code of a DISCONNECT where one came.
    Closed(Option<ReasonCode>),
}

/// One client of MQTT 5.0.
pub(crate) struct Client {
    stream: TcpStream,
    received: Vec<u8>,
    next_id: u16,
    disconnected: Option<ReasonCode>,
}

/// A CONNECT that goes on with what is stored, and whose session never expires.
pub(crate) fn durable(client_id: &str) -> Connect<'_> {
    let mut connect = Connect::new(VERSION, client_id);
    connect.clean_start = false;
    connect.properties.push(Property::SessionExpiryInterval(u32::MAX));
    connect
}

#[allow(dead_code, reason = "shared by several tests")]
impl Client {
    /// Connects, and answers the CONNACK, which has to be a friendly one.
    pub(crate) fn connect(address: SocketAddr, connect: Connect<'_>) -> Result<(Client, Connack<'static>)> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut client = Client { stream, received: Vec::new(), next_id: 0, disconnected: None };
        client.send(connect)?;
        match client.receive()? {
            Packet::Connack(connack) if !connack.reason.is_error() => Ok((client, connack)),
            Packet::Connack(connack) => Err(Error::other(Refused(connack.reason))),
            other => Err(Error::other(format!("expected CONNACK, not {other:?}"))),
        }
    }

    /// A durable session.
    pub(crate) fn durable(address: SocketAddr, client_id: &str) -> Result<Client> {
        Ok(Client::connect(address, durable(client_id))?.0)
    }

    /// A session that ends with its connection, and needs no store.
    pub(crate) fn transient(address: SocketAddr, client_id: &str) -> Result<Client> {
        Ok(Client::connect(address, Connect::new(VERSION, client_id))?.0)
    }

    /// How long one receive waits.
    pub(crate) fn patience(&self, patience: Duration) {
        self.stream.set_read_timeout(Some(patience)).unwrap();
    }

    /// Subscribes, and wants what is retained.
    pub(crate) fn subscribe(&mut self, filter: &str, qos: QoS) -> Result<ReasonCode> {
        self.subscribe_with(filter, qos.into())
    }

    pub(crate) fn subscribe_with(
        &mut self,
        filter: &str,
        options: SubscriptionOptions,
    ) -> Result<ReasonCode> {
        let subscription = Subscription::new(TopicFilter::new(filter).unwrap(), options);
        let id = self.id();
        self.send(Subscribe::new(id, vec![subscription]))?;
        match self.receive()? {
            Packet::Suback(suback) => Ok(suback.reasons[0]),
            other => Err(Error::other(format!("expected SUBACK, not {other:?}"))),
        }
    }

    /// Publishes, and answers how it was answered; after a PUBREC, once the handshake is through or the connection is.
    /// The error is a wait without end.
    pub(crate) fn publish(&mut self, qos: QoS, retain: bool, topic: &str, payload: &[u8]) -> Result<Answer> {
        let answered =
            self.start_publish(qos, retain, topic, payload).and_then(|id| self.acknowledgement(id));
        match answered {
            Ok(reason) => Ok(Answer::Reason(reason)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Err(error),
            Err(_) => Ok(Answer::Closed(self.disconnected)),
        }
    }

    fn acknowledgement(&mut self, id: PacketId) -> Result<ReasonCode> {
        match self.receive()? {
            Packet::Puback(puback) => Ok(puback.reason),
            Packet::Pubrec(pubrec) if pubrec.reason.is_error() => Ok(pubrec.reason),
            Packet::Pubrec(pubrec) => match self.send(Pubrel::new(id)).and_then(|()| self.receive()) {
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    Err(error)
                }
                // The message was taken, whatever becomes of the rest.
                _ => Ok(pubrec.reason),
            },
            other => Err(Error::other(format!("expected an acknowledgement, not {other:?}"))),
        }
    }

    /// Publishes and awaits nothing.
    pub(crate) fn start_publish(
        &mut self,
        qos: QoS,
        retain: bool,
        topic: &str,
        payload: &[u8],
    ) -> Result<PacketId> {
        let id = self.id();
        let mut publish = Publish::new(TopicName::new(topic).unwrap(), payload);
        (publish.delivery, publish.retain) = (Delivery::new(qos, id), retain);
        self.send(publish)?;
        Ok(id)
    }

    /// The next packet id is the one after this.
    pub(crate) fn go_on_with_ids_after(&mut self, id: u16) {
        self.next_id = id;
    }

    pub(crate) fn id(&mut self) -> PacketId {
        self.next_id = self.next_id % 60_000 + 1;
        PacketId::new(self.next_id).unwrap()
    }

    pub(crate) fn send<'p>(&mut self, packet: impl Into<Packet<'p>>) -> Result<()> {
        let mut bytes = Vec::new();
        packet.into().encode(VERSION, &mut bytes);
        self.stream.write_all(&bytes)
    }

    /// The next packet; the end of the connection is an error, and so is a wait without end.
    pub(crate) fn receive(&mut self) -> Result<Packet<'static>> {
        loop {
            let decoded = decode(&self.received, &DecodeOptions::new(VERSION, Role::Client));
            if let Decoded::Packet { packet, len } = decoded.map_err(Error::other)? {
                let packet = packet.into_owned();
                self.received.drain(..len);
                if let Packet::Disconnect(disconnect) = &packet {
                    self.disconnected = Some(disconnect.reason);
                }
                return Ok(packet);
            }
            let mut chunk = [0; 16_384];
            match self.stream.read(&mut chunk)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                len => self.received.extend_from_slice(&chunk[..len]),
            }
        }
    }
}
