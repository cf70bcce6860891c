//! Topic aliases in both directions (5.0). They end with the connection ([MQTT-3.3.2-7]).

use hashbrown::HashMap;
use opifex_packet::{ReasonCode, TopicName};

use crate::Cause;

/// Aliases that the server announced.
#[derive(Debug, Default)]
pub(super) struct IncomingAliases(HashMap<u16, TopicName<'static>>);

impl IncomingAliases {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The topic of a PUBLISH. `maximum` is what CONNECT announced.
    pub(super) fn resolve(
        &mut self,
        topic: Option<TopicName<'_>>,
        alias: Option<u16>,
        maximum: u16,
    ) -> Result<TopicName<'static>, Cause> {
        // [MQTT-3.3.2-10]: all from 1 to the maximum are accepted. 3.1.2.11.5: no others.
        if alias.is_some_and(|alias| alias > maximum) {
            return Err(Cause::Violation {
                statement: "MQTT5 3.1.2.11.5",
                what: "a topic alias is above the maximum that was announced",
                reason: ReasonCode::TopicAliasInvalid,
            });
        }
        match (topic, alias) {
            (Some(topic), None) => Ok(topic.into_owned()),
            (Some(topic), Some(alias)) => {
                let topic = topic.into_owned();
                self.0.insert(alias, topic.clone());
                Ok(topic)
            }
            // 3.3.2.3.4: 0x82, other than for one that cannot be.
            (None, Some(alias)) => self.0.get(&alias).cloned().ok_or_else(|| {
                Cause::protocol_error("MQTT5 3.3.2.3.4", "a topic alias stands for no topic yet")
            }),
            (None, None) => Err(Cause::protocol_error("MQTT5 3.3.2.1", "neither a topic nor a topic alias")),
        }
    }
}

/// Aliases that this client uses: the first topics of a connection have them, later ones are written out.
#[derive(Debug, Default)]
pub(super) struct OutgoingAliases {
    aliases: HashMap<String, u16>,
    maximum: u16,
}

/// How a topic is written.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Written {
    InFull,
    WithNewAlias(u16),
    AsAlias(u16),
}

impl OutgoingAliases {
    /// [MQTT-3.2.2-17] [MQTT-3.2.2-18] [MQTT-3.3.2-9]: up to the server's maximum, which is 0 when it says none.
    pub(super) fn begin(&mut self, maximum: u16) {
        self.aliases.clear();
        self.maximum = maximum;
    }

    pub(super) fn look(&self, topic: &str) -> Written {
        match self.aliases.get(topic) {
            Some(&alias) => Written::AsAlias(alias),
            // [MQTT-3.3.2-8]: the first is 1.
            None if self.aliases.len() < self.maximum.into() => {
                Written::WithNewAlias(self.aliases.len() as u16 + 1)
            }
            None => Written::InFull,
        }
    }

    pub(super) fn announced(&mut self, topic: &str, alias: u16) {
        self.aliases.insert(topic.to_owned(), alias);
    }
}
