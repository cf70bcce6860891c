//! Topic aliases that the client has set (5.0): an array of topics, as long as the highest alias used.

use opifex_packet::{Publish, ReasonCode, TopicName};

use super::Violation;

/// The client's topic aliases; they last as long as the connection ([MQTT-3.3.2-7] of 5.0).
#[derive(Default)]
pub(super) struct IncomingAliases(Vec<Option<TopicName<'static>>>);

impl IncomingAliases {
    /// The topic of a PUBLISH, which may set an alias or stand for one.
    pub(super) fn resolve<'t>(
        &'t mut self,
        publish: &'t Publish<'_>,
        maximum: u16,
    ) -> Result<&'t TopicName<'t>, Violation> {
        let alias = if publish.properties.is_empty() { None } else { publish.properties.topic_alias() };
        match (&publish.topic, alias) {
            (Some(topic), None) => Ok(topic),
            (Some(topic), Some(alias)) => {
                self.set(alias, topic, maximum)?;
                Ok(topic)
            }
            (None, Some(alias)) => self.get(alias, maximum),
            (None, None) => Err(Violation::new(ReasonCode::ProtocolError, "neither topic nor topic alias")),
        }
    }

    /// Sets an alias.
    fn set(&mut self, alias: u16, topic: &TopicName<'_>, maximum: u16) -> Result<(), Violation> {
        let index = Self::index(alias, maximum)?;
        if self.0.len() <= index {
            self.0.resize(index + 1, None);
        }
        let slot = &mut self.0[index];
        if slot.as_ref().is_none_or(|known| known.as_str() != topic.as_str()) {
            *slot = Some(topic.clone().into_owned());
        }
        Ok(())
    }

    /// The topic that an alias stands for.
    fn get(&self, alias: u16, maximum: u16) -> Result<&TopicName<'static>, Violation> {
        let index = Self::index(alias, maximum)?;
        self.0
            .get(index)
            .and_then(Option::as_ref)
            .ok_or(Violation::new(ReasonCode::ProtocolError, "a topic alias that was never set"))
    }

    fn index(alias: u16, maximum: u16) -> Result<usize, Violation> {
        // [MQTT-3.3.2-8], [MQTT-3.3.2-9] of 5.0
        if alias == 0 || alias > maximum {
            return Err(Violation::new(
                ReasonCode::TopicAliasInvalid,
                "a topic alias of 0 or above the maximum",
            ));
        }
        Ok(usize::from(alias) - 1)
    }
}
