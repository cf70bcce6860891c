//! What has to be known of a broker before it can be tested: who may come in, how long an answer takes, and what is set up
//! for cases that need something special. Limits that a broker announces are not in here: see [`Offers`](super::Offers).

use std::time::Duration;

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
        }
    }
}

/// A text that describes no broker.
#[derive(Debug)]
pub struct DescriptorError(toml::de::Error);

impl std::fmt::Display for DescriptorError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the descriptor cannot be read: {}", self.0.to_string().trim())
    }
}

impl std::error::Error for DescriptorError {}

impl Descriptor {
    /// Reads a descriptor from TOML.
    ///
    /// # Errors
    /// A text that is no TOML, or has keys that a descriptor does not have.
    pub fn parse(text: &str) -> Result<Descriptor, DescriptorError> {
        toml::from_str(text).map_err(DescriptorError)
    }

    /// How long an answer may take.
    pub fn patience(&self) -> Duration {
        Duration::from_millis(self.patience_ms)
    }

    /// How long nothing comes when nothing will.
    pub fn silence(&self) -> Duration {
        Duration::from_millis(self.silence_ms)
    }
}
