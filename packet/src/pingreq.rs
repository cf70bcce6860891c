//! PINGREQ: a client says that it is there. Nothing but a fixed header: in `Packet` it is a
//! variant without contents.

use crate::encode::Encode;
use crate::version::Version;

pub(crate) struct Pingreq;

impl Encode for Pingreq {
    fn first_byte(&self) -> u8 {
        0xc0
    }

    fn remaining_len(&self, _version: Version) -> usize {
        0
    }

    fn encode_body(&self, _version: Version, _out: &mut Vec<u8>) {}
}
