//! What has to be known of a broker before it can be tested: who may come in, how long an answer takes, and what is set up
//! for cases that need something special. Limits that a broker announces are not in here: see [`Offers`](super::Offers).

use std::time::Duration;

use opifex_packet::{TopicFilter, TopicName};
use serde::Deserialize;

/// A broker's description. The default fits a broker that lets everybody in and restricts nothing.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Descriptor {
    /// Milliseconds that an answer may take.
    pub patience_ms: u64,
    /// Milliseconds without a packet that count as silence.
    pub silence_ms: u64,
    /// Who every case connects as; without one, cases come in without user name and password.
    pub user: Option<Login>,
    /// A login that the broker refuses.
    pub refused_user: Option<Login>,
    /// Whether a client without user name and password is refused.
    pub refuses_anonymous: bool,
    /// A topic name that the user may not publish to.
    pub forbidden_topic: Option<String>,
    /// A topic filter that the user may not subscribe to.
    pub forbidden_filter: Option<String>,
    /// A client id that is refused.
    pub refused_client_id: Option<String>,
    /// Whether subscriptions with wildcards are refused, which 3.1.1 has no way to announce.
    pub refuses_wildcards: bool,
    /// The longest packet that is taken, in bytes, if it is less than what 5.0 announces.
    pub maximum_packet_size: Option<u32>,
    /// An extended authentication method (5.0) that the broker knows.
    pub authentication: Option<Authentication>,
    /// Where it speaks MQTT over WebSocket: `ws://HOST:PORT/PATH`.
    pub websocket: Option<WebSocketUrl>,
    /// A command for the system's shell that ends the broker, by force or in peace, and starts it again at the same address.
    /// It returns when the old one is gone; the new one is waited for. Only for a broker that keeps its state over that.
    pub restart: Option<String>,
    /// Milliseconds until the command has returned and the broker answers again.
    pub restart_limit_ms: u64,
}

/// User name and password.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// User name.
    pub name: String,
    /// Password.
    pub password: String,
}

/// An exchange of an extended authentication method, with data as text: CONNECT brings `data`, the broker asks once, and
/// `answer` in AUTH lets the client in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authentication {
    /// Authentication Method.
    pub method: String,
    /// Authentication Data of CONNECT.
    pub data: String,
    /// Authentication Data of the client's AUTH that is right.
    pub answer: String,
    /// Authentication Data of the client's AUTH that is refused.
    pub wrong_answer: String,
}

impl Default for Descriptor {
    fn default() -> Descriptor {
        Descriptor {
            patience_ms: 5_000,
            silence_ms: 300,
            user: None,
            refused_user: None,
            refuses_anonymous: false,
            forbidden_topic: None,
            forbidden_filter: None,
            refused_client_id: None,
            refuses_wildcards: false,
            maximum_packet_size: None,
            authentication: None,
            websocket: None,
            restart: None,
            restart_limit_ms: 30_000,
        }
    }
}

/// `ws://HOST:PORT/PATH`; without a path, `/mqtt`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct WebSocketUrl {
    /// `HOST:PORT`.
    pub address: String,
    /// The path, with its slash.
    pub path: String,
}

impl TryFrom<String> for WebSocketUrl {
    type Error = String;

    fn try_from(text: String) -> Result<WebSocketUrl, String> {
        let rest = text.strip_prefix("ws://").unwrap_or_default();
        let (address, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let has_port = address
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if !has_port || path.contains(char::is_whitespace) {
            return Err(format!("{text:?} is not like ws://HOST:PORT/mqtt"));
        }
        let path = if path.is_empty() { "/mqtt" } else { path };
        Ok(WebSocketUrl { address: address.to_owned(), path: path.to_owned() })
    }
}

/// A text that describes no broker.
#[derive(Debug)]
pub struct DescriptorError(String);

impl std::fmt::Display for DescriptorError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::error::Error for DescriptorError {}

impl Descriptor {
    /// Reads a descriptor from TOML.
    ///
    /// # Errors
    /// A text that is no TOML, has keys that a descriptor does not have, or values that no broker can be asked with.
    pub fn parse(text: &str) -> Result<Descriptor, DescriptorError> {
        let read = toml::from_str::<Descriptor>(text);
        let descriptor = read.map_err(|error| DescriptorError(error.to_string().trim().to_owned()))?;
        descriptor.check().map_err(DescriptorError)?;
        Ok(descriptor)
    }

    fn check(&self) -> Result<(), String> {
        for (key, value) in [
            ("patience_ms", self.patience_ms),
            ("silence_ms", self.silence_ms),
            ("restart_limit_ms", self.restart_limit_ms),
        ] {
            // Of longer ones, a run does not come to its end.
            if !(1..=60_000).contains(&value) {
                return Err(format!("{key} = {value} is not between 1 and 60000"));
            }
        }
        if let Some(topic) = &self.forbidden_topic {
            TopicName::new(topic.as_str())
                .map_err(|error| format!("forbidden_topic = {topic:?}: {error}"))?;
        }
        if let Some(filter) = &self.forbidden_filter {
            TopicFilter::new(filter.as_str())
                .map_err(|error| format!("forbidden_filter = {filter:?}: {error}"))?;
        }
        if self.refused_client_id.as_deref() == Some("") {
            return Err("refused_client_id is empty, which is a rule of its own".to_owned());
        }
        Ok(())
    }

    /// How long an answer may take.
    pub fn patience(&self) -> Duration {
        Duration::from_millis(self.patience_ms)
    }

    /// How long a restart may take.
    pub fn restart_limit(&self) -> Duration {
        Duration::from_millis(self.restart_limit_ms)
    }

    /// How long nothing comes when nothing will.
    pub fn silence(&self) -> Duration {
        Duration::from_millis(self.silence_ms)
    }
}
