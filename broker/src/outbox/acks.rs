//! What a client's acknowledgements do to its outbox.

use opifex_packet::{Packet, PacketId, Pubrel, ReasonCode};
use opifex_storage::Op;

use super::Outbox;
use crate::inflight::Stage;

/// An acknowledgement that does not fit the state of its packet id: a protocol error.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct AckError;

impl Outbox {
    /// PUBACK: the QoS 1 delivery has ended. An unknown id is nothing to complain about: the broker may have restarted.
    pub(crate) fn puback(&mut self, id: PacketId) -> Result<(), AckError> {
        match self.inflight.get(id).map(|entry| entry.stage) {
            Some(Stage::Puback) => self.settle(id),
            Some(Stage::Pubrec | Stage::Releasing | Stage::Pubcomp) => return Err(AckError),
            None => {}
        }
        Ok(())
    }

    /// PUBREC: from here on only PUBREL is sent for the id ([MQTT-4.3.3-4] of 5.0), unless the client refused.
    pub(crate) fn pubrec(&mut self, id: PacketId, reason: ReasonCode) -> Result<(), AckError> {
        let Some(entry) = self.inflight.get_mut(id) else {
            if let Some(link) = &mut self.link
                && !reason.is_error()
            {
                let not_found = if link.version.is_v5() {
                    ReasonCode::PacketIdentifierNotFound
                } else {
                    ReasonCode::Success
                };
                link.refuse(Pubrel::new(id).with_reason(not_found).into(), not_found);
            }
            return Ok(());
        };
        match entry.stage {
            Stage::Puback => return Err(AckError),
            Stage::Pubrec if reason.is_error() => self.settle(id),
            Stage::Pubrec => {
                entry.shared = None;
                if let Some(durable) = &mut self.durable {
                    entry.stage = Stage::Releasing;
                    durable.release(entry.seq, id);
                } else {
                    entry.stage = Stage::Pubcomp;
                    self.append(&Pubrel::new(id).into());
                }
            }
            // The client asks again; its PUBREL is on its way.
            Stage::Releasing => {}
            Stage::Pubcomp => self.append(&Pubrel::new(id).into()),
        }
        Ok(())
    }

    /// PUBCOMP: the QoS 2 delivery has ended.
    pub(crate) fn pubcomp(&mut self, id: PacketId) -> Result<(), AckError> {
        match self.inflight.get(id).map(|entry| entry.stage) {
            Some(Stage::Pubcomp) => self.settle(id),
            Some(Stage::Puback | Stage::Pubrec | Stage::Releasing) => return Err(AckError),
            None => {}
        }
        Ok(())
    }

    fn append(&mut self, packet: &Packet<'_>) {
        if let Some(link) = &mut self.link {
            link.append(packet);
        }
    }

    fn settle(&mut self, id: PacketId) {
        let Some(entry) = self.inflight.remove(id) else { return };
        if let Some(link) = &mut self.link {
            link.outstanding = link.outstanding.saturating_sub(1);
        }
        if let Some(durable) = &mut self.durable {
            durable.push_op(Op::Settle(entry.seq));
        }
    }
}
