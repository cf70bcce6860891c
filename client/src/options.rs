//! What a client is configured with: what it says in CONNECT, and the limits that it keeps to. Addresses and transports
//! are the driver's.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use opifex_packet::{Connect, MAX_FIELD_LEN, Properties, Property, PropertyContext, Version, Will};

use crate::Refusal;

// Identifiers of properties that have a field here, which may be silent about them.
const SESSION_EXPIRY_INTERVAL: u8 = 0x11;
const RECEIVE_MAXIMUM: u8 = 0x21;
const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
const MAXIMUM_PACKET_SIZE: u8 = 0x27;

/// The options of a client.
#[derive(Clone)]
pub struct Options {
    /// The version that is spoken.
    pub version: Version,
    /// The name of the session. Empty asks the server for one; its answer is used from then on, and kept in the store. A
    /// store of another client id is refused.
    pub client_id: String,
    /// Whether the first connection throws an older session away. In 5.0 later connections go on with the session when
    /// its expiry allows; in 3.x this is the flag of every connection, and the session is over with each when it is set.
    pub clean_start: bool,
    /// Whether to go on with a session that the server has and that this client, or its store, knows nothing of. Without it
    /// such a connection is closed, as 5.0 demands ([MQTT-3.2.2-4]), since the server may have packet ids in use that the
    /// client takes for free: then a QoS 2 message is lost. A client that only subscribes has nothing to lose by it.
    pub adopt_session: bool,
    /// Seconds that the session outlives a connection (5.0); `u32::MAX` is for ever.
    pub session_expiry_secs: u32,
    /// The longest silence in seconds, 0 for any.
    pub keep_alive_secs: u16,
    /// What the server publishes when the connection ends without DISCONNECT.
    pub will: Option<Will<'static>>,
    /// Who the client says it is.
    pub user_name: Option<String>,
    /// The proof. Before 5.0 it needs a user name.
    pub password: Option<Vec<u8>>,
    /// Further properties of CONNECT (5.0): the application's own, an authentication method and its first data, requests
    /// for problem or response information. Those that have a field here are refused.
    pub properties: Properties<'static>,
    /// How many QoS 1 and 2 messages the server may have under way to this client (5.0): `u16::MAX`, which is all that there can
    /// be and is not announced, as before 5.0, and by most clients. What holds a server back is that nothing more is read
    /// when streams are full ([`Builder::unread_bytes`](crate::Builder::unread_bytes)), so memory has its end without this.
    ///
    /// A lower one is for those who take long over a message and acknowledge it [themselves](Options::manual_acks): of a shared
    /// subscription they do not hoard what others could do, and where they publish about each message, its acknowledgement does
    /// not stand behind thousands of others. A connection on which the server has more under way is ended, as the standard
    /// asks. mosquitto 2.0 has more when a client falls behind, and again on each connection that resumes the session, so
    /// with it a client that may fall behind sets none.
    pub receive_maximum: u16,
    /// The longest packet in bytes that is accepted.
    pub max_packet_size: Option<u32>,
    /// The highest topic alias that the server may use, 0 for none (5.0).
    pub topic_alias_maximum: u16,
    /// The most topic aliases that this client uses, as far as the server allows any (5.0).
    pub topic_aliases: u16,
    /// The most QoS 1 and 2 messages under way to the server, as far as its receive maximum allows them: 1,024, and before
    /// 5.0, where a server cannot say what it bears, 20: mosquitto 2.0 loses QoS 2 messages beyond.
    pub max_inflight: u16,
    /// The most QoS 1 and 2 messages that are accepted and not done, at most 60,000; a further one is refused.
    pub max_pending: usize,
    /// The most bytes of those, payloads and properties; a single message may have more.
    pub max_pending_bytes: usize,
    /// Bytes that wait for the transport, above which QoS 0 messages are refused and others held back, and nothing is to be
    /// read ([`Machine::wants_input`](crate::Machine::wants_input)).
    pub max_buffered: usize,
    /// How long the server may take for CONNACK, SUBACK, UNSUBACK, AUTH and PINGRESP.
    pub response_timeout: Duration,
    /// How long the server may leave QoS 1 and 2 messages without any acknowledgement. The connection is given up then;
    /// the messages go out again with the next.
    pub ack_timeout: Duration,
    /// Whether the application acknowledges messages itself, by [`Machine::acknowledge`](crate::Machine::acknowledge).
    pub manual_acks: bool,
}

impl Options {
    /// A clean start, a minute of keep-alive, no will, no credentials.
    pub fn new(version: Version, client_id: impl Into<String>) -> Self {
        Options {
            version,
            client_id: client_id.into(),
            clean_start: true,
            adopt_session: false,
            session_expiry_secs: 0,
            keep_alive_secs: 60,
            will: None,
            user_name: None,
            password: None,
            properties: Properties::new(),
            receive_maximum: u16::MAX,
            max_packet_size: None,
            topic_alias_maximum: 16,
            topic_aliases: 16,
            max_inflight: if version.is_v5() { 1024 } else { 20 },
            max_pending: 16 * 1024,
            max_pending_bytes: 64 * 1024 * 1024,
            max_buffered: 1024 * 1024,
            response_timeout: Duration::from_secs(30),
            ack_timeout: Duration::from_secs(60),
            manual_acks: false,
        }
    }

    /// The same options for a session that is resumed: no clean start, and an expiry of that many seconds.
    #[must_use]
    pub fn resuming(mut self, session_expiry_secs: u32) -> Self {
        self.clean_start = false;
        self.session_expiry_secs = session_expiry_secs;
        self
    }

    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let refused = |what| Err(Refusal::Option(what));
        if !self.version.is_v5() {
            // 3.1.1 [MQTT-3.1.3-7]
            if self.client_id.is_empty() && !self.clean_start {
                return refused("a session that is resumed needs a client id [MQTT-3.1.3-7]");
            }
            // 3.1.1 [MQTT-3.1.2-22]
            if self.password.is_some() && self.user_name.is_none() {
                return refused("before 5.0 a password needs a user name [MQTT-3.1.2-22]");
            }
            if !self.properties.is_empty() {
                return refused("properties need version 5.0");
            }
        }
        // 3.1.2.11.3
        if self.receive_maximum == 0 || self.max_inflight == 0 {
            return refused("no message can be under way with a maximum of 0");
        }
        if self.max_pending > 60_000 {
            return refused("there are packet ids for 60,000 pending messages at most");
        }
        let long = |len: usize| len > MAX_FIELD_LEN;
        let will = self.will.as_ref();
        // 1.5.4, 1.5.6: a field has two bytes for its length.
        if long(self.client_id.len())
            || self.user_name.as_ref().is_some_and(|name| long(name.len()))
            || self.password.as_ref().is_some_and(|password| long(password.len()))
            || will.is_some_and(|will| long(will.payload.len()))
        {
            return refused("client id, user name, password and will have 65,535 bytes at most");
        }
        // [MQTT-1.5.4-2], 3.1.1 [MQTT-1.5.3-2]; topics and properties are checked as such.
        if self.client_id.contains('\0') || self.user_name.as_ref().is_some_and(|name| name.contains('\0')) {
            return refused("client id and user name do not contain U+0000 [MQTT-1.5.4-2]");
        }
        let fields = [SESSION_EXPIRY_INTERVAL, RECEIVE_MAXIMUM, TOPIC_ALIAS_MAXIMUM, MAXIMUM_PACKET_SIZE];
        if fields.iter().any(|id| self.properties.contains(*id)) {
            return refused("a property that has a field among the options is set there");
        }
        let own = self.connect_properties(self.session_expiry_secs);
        if self.version.is_v5() && Properties::from_bytes(PropertyContext::Connect, own.as_bytes()).is_err() {
            return refused("a property stands twice or is none of CONNECT's");
        }
        if will.is_some_and(|will| {
            Properties::from_bytes(PropertyContext::Will, will.properties.as_bytes()).is_err()
        }) {
            return refused("a property of the will is none of a will's");
        }
        Ok(())
    }

    pub(crate) fn connect<'a>(&'a self, client_id: &'a str, clean_start: bool) -> Connect<'a> {
        Connect {
            version: self.version,
            clean_start,
            keep_alive_secs: self.keep_alive_secs,
            client_id: Cow::Borrowed(client_id),
            will: self.will.clone(),
            user_name: self.user_name.as_deref().map(Cow::Borrowed),
            password: self.password.as_deref().map(Cow::Borrowed),
            properties: self.connect_properties(self.session_expiry_secs),
        }
    }

    /// The statement that goes with the version, where the two standards number it differently.
    pub(crate) fn version_statement(&self, v3: &'static str, v5: &'static str) -> &'static str {
        if self.version.is_v5() { v5 } else { v3 }
    }

    fn connect_properties(&self, session_expiry_secs: u32) -> Properties<'static> {
        let mut properties = self.properties.clone();
        if !self.version.is_v5() {
            return properties;
        }
        if session_expiry_secs > 0 {
            properties.push(Property::SessionExpiryInterval(session_expiry_secs));
        }
        if self.receive_maximum < u16::MAX {
            properties.push(Property::ReceiveMaximum(self.receive_maximum));
        }
        if let Some(size) = self.max_packet_size {
            properties.push(Property::MaximumPacketSize(size));
        }
        if self.topic_alias_maximum > 0 {
            properties.push(Property::TopicAliasMaximum(self.topic_alias_maximum));
        }
        properties
    }
}

/// Without the password, authentication data and the will's payload: options end up in logs.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("version", &self.version)
            .field("client_id", &self.client_id)
            .field("clean_start", &self.clean_start)
            .field("session_expiry_secs", &self.session_expiry_secs)
            .field("keep_alive_secs", &self.keep_alive_secs)
            .field("will", &self.will.as_ref().map(|will| &will.topic))
            .field("user_name", &self.user_name)
            .field("password", &self.password.as_ref().map(|_| "..."))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use opifex_packet::TopicName;

    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let mut options = Options::new(Version::V5_0, "c");
        options.password = Some(b"hush".to_vec());
        options.will = Some(Will::new(TopicName::new("w").unwrap(), &b"hush"[..]));
        options.properties = Properties::new().with(Property::AuthenticationData(b"hush"));
        let shown = format!("{options:?}");
        let bytes = format!("{:?}", b"hush");
        assert!(!shown.contains("hush") && !shown.contains(&bytes[1..bytes.len() - 1]), "{shown}");
    }

    #[test]
    fn a_property_that_has_a_field_is_refused_also_when_the_field_is_silent() {
        for property in [
            Property::SessionExpiryInterval(1),
            Property::ReceiveMaximum(1),
            Property::TopicAliasMaximum(1),
            Property::MaximumPacketSize(100),
        ] {
            let mut options = Options::new(Version::V5_0, "c");
            options.receive_maximum = u16::MAX;
            options.topic_alias_maximum = 0;
            options.properties = Properties::new().with(property);
            assert!(matches!(options.check(), Err(Refusal::Option(_))), "{property:?}");
        }
    }
}
