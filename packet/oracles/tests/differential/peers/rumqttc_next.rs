//! The `mqttbytes-core-next` family: the packets of 3.1.1 are in `rumqttc-v4-next`, those of 5.0 in
//! `rumqttc-v5-next`. Their clients above the packets are not asked.

mod v3_1_1;
mod v5_0;

use opifex_packet::Version;
use rumqttc_v5::mqttbytes::Error;

use crate::verdict::Verdict;

pub(crate) fn read(bytes: &[u8], version: Version) -> Verdict {
    let is_connect = bytes.first().is_some_and(|first_byte| first_byte >> 4 == 1);
    if !is_connect && !version.is_v5() {
        return v3_1_1::read(bytes);
    }
    match v5_0::read(bytes) {
        Ok(verdict) => verdict,
        // The level of a CONNECT is its own, and each crate knows one.
        Err(Error::InvalidProtocolLevel(_)) => v3_1_1::read(bytes),
        Err(error) => Verdict::refused(error),
    }
}
