//! Re-authentication of a connected client (5.0, section 4.12.1).

use std::sync::Arc;

use opifex_packet::{Auth, Packet, Properties, Property, ReasonCode};
use opifex_storage::Persistence;

use super::store_work::Job;
use super::{End, State, violation};
use crate::access::{Credentials, Verdict};

impl<P: Persistence> State<P> {
    /// AUTH from the client: a new exchange, or the next step of one.
    pub(super) fn reauthenticate(&mut self, auth: Auth<'_>) -> Result<(), End> {
        let Some(method) = &self.auth_method else {
            // [MQTT-4.12.0-7]: without a method in CONNECT there is no AUTH.
            return Err(violation(
                ReasonCode::ProtocolError,
                "AUTH without an authentication method in CONNECT",
            ));
        };
        // [MQTT-4.12.1-1]
        if auth.properties.authentication_method() != Some(method) {
            return Err(violation(ReasonCode::ProtocolError, "AUTH with another authentication method"));
        }
        let state = match (auth.reason, self.auth_state.take()) {
            (ReasonCode::ReAuthenticate, _) => None,
            (ReasonCode::ContinueAuthentication, Some(state)) => Some(state),
            _ => return Err(violation(ReasonCode::ProtocolError, "AUTH out of turn")),
        };
        if self.authenticating {
            return Err(violation(ReasonCode::ProtocolError, "AUTH while one is being decided"));
        }
        self.authenticating = true;
        let (shared, session, peer) = (self.shared.clone(), self.session.clone(), self.peer.clone());
        let (identity, method) = (self.identity.clone(), method.clone());
        let data: Option<Box<[u8]>> = auth.properties.authentication_data().map(Box::from);
        self.work.push_job(Job::Authenticate(Box::pin(async move {
            let credentials = Credentials {
                peer: &peer,
                client_id: &session.client_id,
                user_name: None,
                password: None,
                method: Some(&method),
                data: data.as_deref(),
                state,
                reauthenticates: Some(&identity),
            };
            shared.access.authenticate(credentials).await
        })));
        Ok(())
    }

    /// What access control decided.
    pub(super) fn reauthenticated(&mut self, verdict: Verdict) -> Result<(), End> {
        self.authenticating = false;
        let (reason, data) = match verdict {
            // [MQTT-4.12.1-2]: a failure closes the connection.
            Verdict::Refuse(reason) => return Err(violation(reason, "re-authentication was refused")),
            Verdict::Accept { identity, data } => {
                self.identity = Arc::new(identity);
                (ReasonCode::Success, data)
            }
            Verdict::Continue { data, state } => {
                self.auth_state = Some(state);
                (ReasonCode::ContinueAuthentication, data)
            }
        };
        let properties = auth_properties(self.auth_method.as_deref(), data.as_deref());
        let auth = Packet::Auth(Auth { reason, properties });
        // [MQTT-3.1.2-24] of 5.0, and without it the client waits for ever.
        if auth.encoded_len(self.options.version) > self.max_packet_size as usize {
            return Err(violation(ReasonCode::PacketTooLarge, "AUTH is longer than the client takes"));
        }
        let mut outbox = self.session.outbox.lock();
        if let Some(link) = &mut outbox.link {
            link.identity = self.identity.clone();
            link.append(&auth);
        }
        Ok(())
    }
}

/// The properties of an AUTH, and what a CONNACK says of authentication.
pub(super) fn auth_properties(method: Option<&str>, data: Option<&[u8]>) -> Properties<'static> {
    let mut properties = Properties::new();
    if let Some(method) = method {
        properties.push(Property::AuthenticationMethod(method));
    }
    if let Some(data) = data {
        properties.push(Property::AuthenticationData(data));
    }
    properties
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So [MQTT-3.15.2-2] and [MQTT-3.15.2-3] of 5.0 hold.
    #[test]
    fn auth_says_the_method_and_its_data_and_nothing_else() {
        for (method, data) in [(None, None), (Some("m"), None), (Some("m"), Some(&b"d"[..]))] {
            let properties = auth_properties(method, data);
            assert_eq!(properties.authentication_method(), method);
            assert_eq!(properties.authentication_data(), data);
            let said = usize::from(method.is_some()) + usize::from(data.is_some());
            assert_eq!(properties.iter().count(), said);
        }
    }
}
