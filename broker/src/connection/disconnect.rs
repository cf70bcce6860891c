//! DISCONNECT from a client.

use opifex_packet::{Disconnect, ReasonCode};
use opifex_storage::{Persistence, SessionExpiry};

use super::workbench::Batch;
use super::{End, State, violation};

impl<P: Persistence> State<P> {
    /// DISCONNECT of the client: what it says of will and session.
    pub(super) fn disconnect(&mut self, disconnect: Disconnect<'_>, batch: &mut Batch<'_, P>) -> End {
        batch.deliver_run();
        if let Some(interval) = disconnect.properties.session_expiry_interval() {
            let asked = self.shared.session_expiry(interval);
            // MQTT 5.0, 3.14.2.2.2: an expiry of 0 in CONNECT cannot be made longer afterwards.
            if self.expiry == SessionExpiry::WITH_CONNECTION && asked != self.expiry {
                return violation(ReasonCode::ProtocolError, "a session expiry where CONNECT had none");
            }
            self.expiry = asked;
        }
        End::Disconnect { with_will: disconnect.reason != ReasonCode::Success }
    }
}
