//! PINGRESP: the server is there, too. Nothing but a fixed header: in `Packet` it is a
//! variant without contents.

use crate::encode::Encode;
use crate::version::Version;

pub(crate) struct Pingresp;

impl Encode for Pingresp {
    fn first_byte(&self) -> u8 {
        0xd0
    }

    fn remaining_len(&self, _version: Version) -> usize {
        0
    }

    fn encode_body(&self, _version: Version, _out: &mut Vec<u8>) {}
}
