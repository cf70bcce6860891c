//! How many rows of each kind a store holds, and a sum over what they are: what is written with each commit and held
//! against the rows when the store opens, so that a row that an engine lost, or gives back as it was before, is missed.
//!
//! A row counts by its seal, which covers its key and its value; nothing is decoded for it, and no row is named by it.

use super::key::kind;
use super::{FieldReader, FieldWriter, Malformed};

/// What of all rows was counted.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally([Lot; Tally::KINDS.len()]);

/// The rows of one kind.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Lot {
    /// How many there are.
    pub rows: u64,
    /// The sum of their seals, each mixed.
    pub sum: u32,
}

impl Tally {
    /// The kinds that are counted: all but the row that the tally stands in.
    pub const KINDS: [u8; 11] = [
        kind::CLIENT,
        kind::SESSION,
        kind::ENDED,
        kind::SUBSCRIPTION,
        kind::INBOUND,
        kind::QUEUED,
        kind::WILL,
        kind::BODY,
        kind::REFERENCES,
        kind::RETAINED,
        kind::DUE,
    ];

    /// The rows of a kind.
    pub fn lot(&self, kind: u8) -> Lot {
        Tally::place(kind).map_or_else(Lot::default, |place| self.0[place])
    }

    /// Sets what is counted of a kind.
    pub fn set(&mut self, kind: u8, lot: Lot) {
        if let Some(place) = Tally::place(kind) {
            self.0[place] = lot;
        }
    }

    /// A row with one seal is written over one with another, or where none was; `None`: it is removed.
    pub fn change(&mut self, key: &[u8], before: Option<u32>, after: Option<u32>) {
        let Some(place) = key.first().and_then(|kind| Tally::place(*kind)) else { return };
        let lot = &mut self.0[place];
        before.into_iter().for_each(|seal| lot.remove(seal));
        after.into_iter().for_each(|seal| lot.add(seal));
    }

    fn place(kind: u8) -> Option<usize> {
        Tally::KINDS.iter().position(|counted| *counted == kind)
    }

    /// Which kinds there are, then the rows and the sum of each of them.
    pub(super) fn write(&self, fields: &mut FieldWriter) {
        let there = self.0.iter().rev().fold(0, |there, lot| there << 1 | u64::from(*lot != Lot::default()));
        fields.number(there);
        for lot in self.0.iter().filter(|lot| **lot != Lot::default()) {
            fields.number(lot.rows);
            lot.sum.to_le_bytes().into_iter().for_each(|byte| fields.byte(byte));
        }
    }

    pub(super) fn read(fields: &mut FieldReader) -> Result<Tally, Malformed> {
        let mut tally = Tally::default();
        let there = fields.number()?;
        if there >> tally.0.len() != 0 {
            return Err(Malformed("kinds of row that are known"));
        }
        for (place, lot) in tally.0.iter_mut().enumerate() {
            if there >> place & 1 == 1 {
                lot.rows = fields.number()?;
                let mut sum = [0; 4];
                for byte in &mut sum {
                    *byte = fields.byte()?;
                }
                lot.sum = u32::from_le_bytes(sum);
            }
        }
        Ok(tally)
    }
}

impl Lot {
    /// One more row, with this seal.
    pub fn add(&mut self, seal: u32) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(mixed(seal));
    }

    /// One row less.
    pub fn remove(&mut self, seal: u32) {
        self.rows = self.rows.saturating_sub(1);
        self.sum = self.sum.wrapping_sub(mixed(seal));
    }
}

/// A seal, its bits spread over all of the number: seals of rows that differ alike differ alike, and their differences
/// must not cancel out.
fn mixed(seal: u32) -> u32 {
    let seal = (seal ^ seal >> 16).wrapping_mul(0x85eb_ca6b);
    let seal = (seal ^ seal >> 13).wrapping_mul(0xc2b2_ae35);
    seal ^ seal >> 16
}
