//! Gives packet ids that are free, one after the other around the circle, so that an id that has just become free is
//! not taken again at once. Which are in use is told by the caller.

use opifex_packet::PacketId;

#[derive(Debug)]
pub(super) struct PacketIds {
    next: PacketId,
}

impl PacketIds {
    /// The ids from the place on the circle that belongs to that number; 0 is for 1.
    pub(super) fn beginning_at(number: u64) -> Self {
        let next = PacketId::new((number % u64::from(u16::MAX)) as u16 + 1);
        PacketIds { next: next.unwrap_or(PacketId::MIN) }
    }

    /// 3.1.1 [MQTT-2.3.1-2], 5.0 [MQTT-2.2.1-3]
    pub(super) fn free(&mut self, in_use: impl Fn(PacketId) -> bool) -> Option<PacketId> {
        for _ in 0..u16::MAX {
            let id = self.next;
            self.next = PacketId::new(id.get().wrapping_add(1)).unwrap_or(PacketId::MIN);
            if !in_use(id) {
                return Some(id);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_in_use_is_passed_over_and_the_circle_closes_without_zero() {
        let mut ids = PacketIds::beginning_at(0);
        let all: Vec<u16> = (0..65535).filter_map(|_| ids.free(|_| false)).map(PacketId::get).collect();
        assert!(all.iter().copied().eq(1..=65535));
        assert_eq!(ids.free(|id| id.get() < 7).map(PacketId::get), Some(7));
        assert_eq!(ids.free(|_| true), None);
    }
}
