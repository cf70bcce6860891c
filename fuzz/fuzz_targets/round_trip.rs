//! Decode, encode, decode, in every version and role.
#![no_main]

use libfuzzer_sys::fuzz_target;
use opifex_packet_oracles::what_decodes_round_trips;

fuzz_target!(|bytes: &[u8]| what_decodes_round_trips(bytes));
