//! What has to hold for any bytes at all: the properties that the fuzz targets run, and that the
//! tests here run again over the corpus that fuzzing has left behind.
//!
//! The other half of this crate is in `tests/differential`: the codec beside published codecs, which
//! are dev-dependencies of this crate and of no other. Nothing here is part of the broker.

mod any_bytes;
mod round_trip;

pub use any_bytes::any_bytes_decode_without_surprise;
pub use round_trip::what_decodes_round_trips;

use opifex_packet::{Role, Version};

/// Every way to read: each version in each role.
pub fn readings() -> impl Iterator<Item = (Version, Role)> {
    Version::ALL.into_iter().flat_map(|version| [(version, Role::Server), (version, Role::Client)])
}
