//! Acknowledgements: those that came in, and those that wait to go out in order.

use opifex_packet::{Packet, PacketId, Puback, Pubcomp, Pubrec, ReasonCode};
use opifex_storage::Persistence;

use super::State;
use crate::reason::Told;

/// An acknowledgement from the client for something that we sent.
#[derive(Copy, Clone, Debug)]
pub(super) enum AckIn {
    Puback(PacketId),
    Pubrec(PacketId, ReasonCode),
    Pubcomp(PacketId),
}

/// An acknowledgement of ours, with the store's ticket that it waits for.
pub(super) struct Ack {
    pub(super) packet: AckPacket,
    pub(super) ticket: Option<u64>,
}

/// An acknowledgement in the queue.
pub(super) struct PendingAck {
    /// Counts up: a refusal of the store names it.
    pub(super) number: u64,
    pub(super) ack: Ack,
    /// The replay of retained messages that must have ended first, or have come to where it waits for the client.
    pub(super) job: Option<u64>,
}

/// What is sent.
pub(super) enum AckPacket {
    Puback(PacketId, ReasonCode),
    Pubrec(PacketId, ReasonCode),
    Pubcomp(PacketId, ReasonCode),
    /// SUBACK, UNSUBACK.
    Other(Box<Packet<'static>>),
}

impl AckPacket {
    /// Appends the packet, unless it is longer than the client takes: then the broker goes on as if it had sent it
    /// ([MQTT-3.1.2-24], [MQTT-3.1.2-25] of 5.0).
    pub(super) fn encode(self, told: Told, out: &mut Vec<u8>) {
        match self {
            AckPacket::Puback(id, reason) => {
                told.append(Puback::new(id).with_reason(reason).into(), reason, out)
            }
            AckPacket::Pubrec(id, reason) => {
                told.append(Pubrec::new(id).with_reason(reason).into(), reason, out)
            }
            AckPacket::Pubcomp(id, reason) => {
                told.append(Pubcomp::new(id).with_reason(reason).into(), reason, out)
            }
            AckPacket::Other(packet) => {
                let reason = first_refusal(&packet);
                told.append(*packet, reason, out)
            }
        };
    }
}

/// The first code of a SUBACK or UNSUBACK that is no plain yes.
fn first_refusal(packet: &Packet<'_>) -> ReasonCode {
    let reasons: &[ReasonCode] = match packet {
        Packet::Suback(suback) => &suback.reasons,
        Packet::Unsuback(unsuback) => &unsuback.reasons,
        _ => &[],
    };
    let refusal = |reason: &&ReasonCode| reason.is_error() || **reason == ReasonCode::NoSubscriptionExisted;
    reasons.iter().find(refusal).copied().unwrap_or(ReasonCode::Success)
}

impl<P: Persistence> State<P> {
    /// How the client is told.
    pub(super) fn told(&self) -> Told {
        Told { version: self.options.version, max_packet_size: self.max_packet_size, reasons: self.reasons }
    }

    pub(super) fn hold_ack(&mut self, ack: Ack) {
        self.hold_ack_for_job(ack, None);
    }

    pub(super) fn hold_ack_for_job(&mut self, ack: Ack, job: Option<u64>) {
        if matches!(ack.packet, AckPacket::Puback(..)) {
            self.unacknowledged += 1;
        }
        self.acks.push_back(PendingAck { number: self.acks_made, ack, job });
        self.acks_made += 1;
    }

    /// The store refused these messages: their acknowledgements say so. Before 5.0 that cannot be said: answers
    /// whether the connection must close without them.
    pub(super) fn refuse(&mut self, refused: Vec<(u64, ReasonCode)>) -> bool {
        if !refused.is_empty() && !self.options.version.is_v5() {
            return true;
        }
        for (number, reason) in refused {
            let Some(held) = self.acks.iter_mut().find(|held| held.number == number) else { continue };
            match &mut held.ack.packet {
                AckPacket::Puback(_, said) => *said = reason,
                AckPacket::Pubrec(id, said) => {
                    *said = reason;
                    self.inbound.remove(id);
                }
                AckPacket::Pubcomp(..) | AckPacket::Other(_) => {}
            }
        }
        false
    }

    /// Takes the acknowledgements that wait for nothing any more, in order, encoded.
    pub(super) fn ready_acks(&mut self, out: &mut Vec<u8>) {
        let told = self.told();
        while let Some(held) = self.acks.front() {
            let durable = held.ack.ticket.is_none_or(|ticket| ticket <= self.work.durable);
            let job_done = held.job.is_none_or(|job| job <= self.work.jobs_done || self.work.replay_waits());
            if !(durable && job_done) {
                return;
            }
            let Some(held) = self.acks.pop_front() else { return };
            if matches!(held.ack.packet, AckPacket::Puback(..)) {
                self.unacknowledged -= 1;
            }
            held.ack.packet.encode(told, out);
        }
        // An idle connection keeps no queue.
        if self.acks.capacity() > 64 {
            self.acks = Default::default();
        }
    }
}
