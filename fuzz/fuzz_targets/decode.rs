//! Any bytes at all, in every version and role.
#![no_main]

use libfuzzer_sys::fuzz_target;
use opifex_packet_oracles::any_bytes_decode_without_surprise;

fuzz_target!(|bytes: &[u8]| any_bytes_decode_without_surprise(bytes));
