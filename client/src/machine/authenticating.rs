//! AUTH (5.0): the steps of an extended authentication are the application's; whose turn it is, is checked here.

use opifex_packet::{Auth, MAX_FIELD_LEN, Packet, Properties, Property, ReasonCode};

use super::awaited::Awaited;
use super::{Link, Machine};
use crate::store::SessionStore;
use crate::{Cause, Event, Refusal};

impl<S: SessionStore> Machine<S> {
    /// Answers [`Event::Auth`] with the next data, or begins a re-authentication.
    ///
    /// # Errors
    /// [`Refusal::NotConnected`], and [`Refusal::Forbidden`] without an authentication method in the options.
    pub fn authenticate(&mut self, reason: ReasonCode, data: &[u8]) -> Result<(), Refusal> {
        // [MQTT-4.12.0-7]
        let Some(method) = self.method() else {
            return Err(Refusal::forbidden(
                "MQTT-4.12.0-7",
                "AUTH needs an authentication method in CONNECT",
            ));
        };
        let allowed = match self.link {
            // [MQTT-4.12.0-3] [MQTT-3.1.2-30]
            Link::Connecting { .. } => reason == ReasonCode::ContinueAuthentication,
            Link::Connected => {
                matches!(reason, ReasonCode::ContinueAuthentication | ReasonCode::ReAuthenticate)
            }
            Link::Idle | Link::Closing => return Err(Refusal::NotConnected),
        };
        // [MQTT-3.15.2-1]
        if !allowed {
            return Err(Refusal::forbidden(
                "MQTT-3.15.2-1",
                "a client does not send AUTH for this reason now",
            ));
        }
        // 1.5.6
        if data.len() > MAX_FIELD_LEN {
            return Err(Refusal::forbidden("MQTT5 1.5.6", "authentication data has 65,535 bytes at most"));
        }
        // [MQTT-4.12.0-5] [MQTT-4.12.1-1]: the method of CONNECT.
        let method = Property::AuthenticationMethod(method);
        let properties = Properties::new().with(method).with(Property::AuthenticationData(data));
        let packet = Packet::from(Auth::new(reason, properties));
        self.limits.check_size(packet.encoded_len(self.options.version))?;
        self.send(&packet);
        self.auth_awaited = Awaited::Soon;
        Ok(())
    }

    /// Sets the authentication data of the next CONNECT. The method stands in the options.
    pub fn set_authentication_data(&mut self, data: &[u8]) {
        const AUTHENTICATION_DATA: u8 = 0x16;
        let others = self.options.properties.retain(|property| property.id() != AUTHENTICATION_DATA);
        self.options.properties = others.with(Property::AuthenticationData(data));
    }

    fn method(&self) -> Option<&str> {
        self.options.properties.authentication_method().filter(|_| self.options.version.is_v5())
    }

    pub(super) fn on_auth(&mut self, packet: Auth<'_>) -> Result<(), Cause> {
        // [MQTT-4.12.0-1] [MQTT-4.12.0-5]
        if self.method().is_none() || packet.properties.authentication_method() != self.method() {
            return Err(Cause::protocol_error("MQTT-4.12.0-5", "AUTH has not the method of CONNECT"));
        }
        // 4.12: success in front of CONNACK is CONNACK's to say.
        if self.link != Link::Connected && packet.reason != ReasonCode::ContinueAuthentication {
            return Err(Cause::protocol_error("MQTT-4.12.0-2", "AUTH in front of CONNACK goes on with 0x18"));
        }
        self.auth_awaited = Awaited::Nothing;
        let Auth { reason, properties } = packet.into_owned();
        self.events.push_back(Event::Auth { reason, properties });
        Ok(())
    }
}
