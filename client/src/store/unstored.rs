//! No store: the session lives in the machine, over reconnects, and ends with it.

use std::io;

use opifex_packet::PacketId;

use crate::store::{SessionStore, StoredMessage, StoredSession};

/// Keeps nothing.
#[derive(Copy, Clone, Debug, Default)]
pub struct Unstored;

impl SessionStore for Unstored {
    fn load(&mut self) -> io::Result<StoredSession> {
        Ok(StoredSession::default())
    }

    fn set_begun(&mut self, _begun: bool) {}

    fn set_accepted(&mut self) {}

    fn set_client_id(&mut self, _client_id: &str) {}

    fn put_outgoing(&mut self, _message: &StoredMessage) {}

    fn release(&mut self, _packet_id: PacketId, _nth: u64) {}

    fn remove_outgoing(&mut self, _packet_id: PacketId) {}

    fn put_incoming(&mut self, _packet_id: PacketId) {}

    fn remove_incoming(&mut self, _packet_id: PacketId) {}

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
