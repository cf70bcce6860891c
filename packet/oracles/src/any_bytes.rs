//! Decoding of bytes that nobody has looked at: it comes to an end, says how much is missing, and
//! says the same however the bytes are cut.

use opifex_packet::{DecodeOptions, Decoded, Version, connect_version, decode, packet_len};

use crate::readings;

/// Prefixes are tried up to this length: each costs a decode.
const LONGEST_PREFIX: usize = 96;

/// Decodes the packets at the front of the bytes, one after the other, in every version and role.
///
/// # Panics
/// When decoding claims more than there is, asks for nothing more, or changes its mind about a
/// packet when it sees a part of it.
pub fn any_bytes_decode_without_surprise(bytes: &[u8]) {
    for (version, role) in readings() {
        let options = DecodeOptions::new(version, role);
        let mut rest = bytes;
        loop {
            match decode(rest, &options) {
                Ok(Decoded::Packet { packet, len }) => {
                    assert!(
                        (2..=rest.len()).contains(&len),
                        "{packet:?} takes {len} of {} bytes",
                        rest.len()
                    );
                    assert_eq!(packet_len(rest), Ok(Some(len)));
                    every_prefix_asks_for_more(&rest[..len], &options);
                    a_limit_refuses_before_the_body(&rest[..len], &options);
                    rest = &rest[len..];
                }
                Ok(Decoded::Incomplete { needed }) => {
                    assert!(needed > rest.len(), "{needed} bytes are there");
                    break;
                }
                Err(error) => {
                    assert!(!error.statement().is_empty());
                    assert!(error.reason().is_error(), "{error}: {:?} is no failure", error.reason());
                    assert!(!error.is_too_large(), "{error}: there was no limit");
                    break;
                }
            }
        }
    }
    let _: Option<Version> = connect_version(bytes);
}

fn every_prefix_asks_for_more(packet: &[u8], options: &DecodeOptions) {
    for end in 0..packet.len().min(LONGEST_PREFIX) {
        match decode(&packet[..end], options) {
            Ok(Decoded::Incomplete { needed }) => {
                assert!((end + 1..=packet.len()).contains(&needed), "{needed} needed after {end}");
            }
            other => panic!("{end} of {} bytes: {other:?}", packet.len()),
        }
    }
}

fn a_limit_refuses_before_the_body(packet: &[u8], options: &DecodeOptions) {
    let limited = DecodeOptions { max_packet_size: packet.len() - 1, ..*options };
    let header = &packet[..packet.len().min(5)];
    assert!(decode(packet, &limited).is_err_and(|error| error.is_too_large()));
    assert!(decode(header, &limited).is_err_and(|error| error.is_too_large()));
}
