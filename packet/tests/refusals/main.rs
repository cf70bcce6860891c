//! What the standards refuse is refused, with the statement that was broken and the reason code for
//! the answer. One test a rule, or a row for each packet that a rule is about. The packets are put
//! together field by field: nothing here depends on the encoder.

mod connecting;
mod fields;
mod fixed_header;
mod properties;
mod publish;
mod reason_codes;
mod subscribing;

use opifex_packet::raw::RawPacket;
use opifex_packet::*;

const V3: [Version; 2] = [Version::V3_1, Version::V3_1_1];

fn read(bytes: &[u8], version: Version, role: Role) -> Result<Decoded<'_>, DecodeError> {
    decode(bytes, &DecodeOptions::new(version, role))
}

#[track_caller]
fn refused(packet: RawPacket, version: Version, role: Role, statement: &str, reason: ReasonCode) {
    let bytes = packet.to_bytes();
    match read(&bytes, version, role) {
        Err(error) => {
            assert_eq!((error.statement(), error.reason()), (statement, reason), "{version}: {error}");
            assert_eq!(error.is_unsupported_version(), None);
            assert!(!error.is_too_large());
        }
        Ok(decoded) => panic!("{version}: {bytes:02x?} gives {decoded:?}"),
    }
}

#[track_caller]
fn accepted(packet: RawPacket, version: Version, role: Role) -> Packet<'static> {
    let bytes = packet.to_bytes();
    match read(&bytes, version, role) {
        Ok(Decoded::Packet { packet, len }) => {
            assert_eq!(len, bytes.len());
            packet.into_owned()
        }
        other => panic!("{version}: {bytes:02x?} gives {other:?}"),
    }
}

fn block(properties: impl IntoIterator<Item = Property<'static>>) -> Properties<'static> {
    properties.into_iter().collect()
}

/// CONNECT up to its flags.
fn connect(version: Version, flags: u8) -> RawPacket {
    let packet = RawPacket::new(0x10).string(version.protocol_name()).u8(version.level()).u8(flags).u16(30);
    if version.is_v5() { packet.properties([]) } else { packet }
}

fn connect_with(properties: impl AsRef<[u8]>) -> RawPacket {
    RawPacket::new(0x10).string("MQTT").u8(5).u8(2).u16(0).properties(properties).string("c")
}

fn connack_with(properties: impl AsRef<[u8]>) -> RawPacket {
    RawPacket::new(0x20).u8(0).u8(0).properties(properties)
}

fn publish_with(properties: impl AsRef<[u8]>) -> RawPacket {
    RawPacket::new(0x30).string("t").properties(properties)
}

fn subscribe(version: Version) -> RawPacket {
    let packet = RawPacket::new(0x82).u16(1);
    if version.is_v5() { packet.properties([]) } else { packet }
}

fn unsubscribe(version: Version) -> RawPacket {
    RawPacket { first_byte: 0xa2, ..subscribe(version) }
}
