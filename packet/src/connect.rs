//! CONNECT: the first packet of a client. It alone carries the version of the protocol.

use std::borrow::Cow;

use crate::decode_error::DecodeError;
use crate::encode::Encode;
use crate::frame::Frame;
use crate::packet_type::PacketType;
use crate::properties::Properties;
use crate::property_context::PropertyContext;
use crate::qos::QoS;
use crate::reader::Reader;
use crate::reason_code::ReasonCode;
use crate::version::Version;
use crate::will::Will;
use crate::writer;

const RESERVED: u8 = 0x01;
const CLEAN_START: u8 = 0x02;
const WILL: u8 = 0x04;
const WILL_QOS_SHIFT: u8 = 3;
const WILL_QOS: u8 = 0x18;
const WILL_RETAIN: u8 = 0x20;
const PASSWORD: u8 = 0x40;
const USER_NAME: u8 = 0x80;

/// A CONNECT packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// The version that the client speaks, and that the packet is encoded in.
    pub version: Version,
    /// Whether an older session is thrown away; 3.x calls it clean session.
    pub clean_start: bool,
    /// The longest silence in seconds, 0 for any.
    pub keep_alive_secs: u16,
    /// The name of the session. Empty asks the server for one; in which cases it may be empty is the
    /// server's to check, for it has an answer to that.
    pub client_id: Cow<'a, str>,
    /// The message to publish when the connection ends.
    pub will: Option<Will<'a>>,
    /// Who the client says it is.
    pub user_name: Option<Cow<'a, str>>,
    /// The proof. Before 5.0 it needs a user name ([MQTT-3.1.2-22]): not encoded without.
    pub password: Option<Cow<'a, [u8]>>,
    /// 5.0.
    pub properties: Properties<'a>,
}

impl<'a> Connect<'a> {
    /// A clean start without keep-alive, will or credentials.
    pub fn new(version: Version, client_id: impl Into<Cow<'a, str>>) -> Self {
        Connect {
            version,
            clean_start: true,
            keep_alive_secs: 0,
            client_id: client_id.into(),
            will: None,
            user_name: None,
            password: None,
            properties: Properties::new(),
        }
    }

    /// The same packet, owning all that it refers to.
    pub fn into_owned(self) -> Connect<'static> {
        Connect {
            version: self.version,
            clean_start: self.clean_start,
            keep_alive_secs: self.keep_alive_secs,
            client_id: Cow::Owned(self.client_id.into_owned()),
            will: self.will.map(Will::into_owned),
            user_name: self.user_name.map(|name| Cow::Owned(name.into_owned())),
            password: self.password.map(|password| Cow::Owned(password.into_owned())),
            properties: self.properties.into_owned(),
        }
    }

    pub(crate) fn decode(mut reader: Reader<'a>) -> Result<Self, DecodeError> {
        let version = read_version(&mut reader)?;
        reader.set_version(version);

        let flags = reader.u8()?;
        check_flags(flags, version)?;
        let keep_alive_secs = reader.u16()?;
        let properties = reader.properties(PropertyContext::Connect)?;

        // [MQTT-3.1.3-1]: client id, will, user name, password.
        // [MQTT-3.1.3-3] [MQTT-3.1.3-4]
        let client_id = Cow::Borrowed(reader.string()?);
        let will = match will_qos(flags, version)? {
            Some(qos) => Some(Will::decode(&mut reader, qos, flags & WILL_RETAIN != 0)?),
            None => None,
        };
        // [MQTT-3.1.2-17]; in 3.1 the remaining length takes precedence over these flags.
        let may_lack = version == Version::V3_1;
        let user_name = match flags & USER_NAME {
            0 => None,
            _ if may_lack && reader.is_empty() => None,
            _ => Some(Cow::Borrowed(reader.string()?)),
        };
        // [MQTT-3.1.2-19]
        let password = match flags & PASSWORD {
            0 => None,
            _ if may_lack && reader.is_empty() => None,
            _ => Some(Cow::Borrowed(reader.binary()?)),
        };
        // [MQTT-3.1.2-11] [MQTT-3.1.2-16] [MQTT-3.1.2-18]: what no flag announces is not there.
        reader.finish()?;

        Ok(Connect {
            version,
            clean_start: flags & CLEAN_START != 0,
            keep_alive_secs,
            client_id,
            will,
            user_name,
            password,
            properties,
        })
    }

    fn flags(&self) -> u8 {
        let mut flags = 0;
        if self.clean_start {
            flags |= CLEAN_START;
        }
        if let Some(will) = &self.will {
            flags |= WILL | u8::from(will.qos) << WILL_QOS_SHIFT;
            if will.retain {
                flags |= WILL_RETAIN;
            }
        }
        if self.user_name.is_some() {
            flags |= USER_NAME;
        }
        if self.encoded_password().is_some() {
            flags |= PASSWORD;
        }
        flags
    }

    fn encoded_password(&self) -> Option<&[u8]> {
        // [MQTT-3.1.2-22] of 3.1.1.
        let allowed = self.version.is_v5() || self.user_name.is_some();
        self.password.as_deref().filter(|_| allowed)
    }
}

/// The version that the CONNECT at the front of `input` asks for, as far as it can be told: the
/// answer to a CONNECT that was refused has to be in its client's version.
pub fn connect_version(input: &[u8]) -> Option<Version> {
    let frame = Frame::read(input, Version::V5_0).ok()??;
    if PacketType::of(frame.first_byte) != Some(PacketType::Connect) {
        return None;
    }
    read_version(&mut Reader::new(&input[frame.header_len..], Version::V5_0)).ok()
}

fn read_version(reader: &mut Reader<'_>) -> Result<Version, DecodeError> {
    let name = reader.string()?;
    // [MQTT-3.1.2-1]
    if name != Version::V3_1.protocol_name() && name != Version::V5_0.protocol_name() {
        return Err(DecodeError::because(
            ReasonCode::UnsupportedProtocolVersion,
            "MQTT-3.1.2-1",
            "protocol name is neither MQTT nor MQIsdp",
        ));
    }
    // [MQTT-3.1.2-2]
    let level = reader.u8()?;
    Version::of(name, level).ok_or_else(|| DecodeError::unsupported_version(level))
}

fn check_flags(flags: u8, version: Version) -> Result<(), DecodeError> {
    // [MQTT-3.1.2-3]
    if flags & RESERVED != 0 {
        return Err(DecodeError::malformed("MQTT-3.1.2-3", "reserved flag of CONNECT is set"));
    }
    // [MQTT-3.1.2-22] of 3.1.1; 5.0 has no such rule.
    if !version.is_v5() && flags & PASSWORD != 0 && flags & USER_NAME == 0 {
        return Err(DecodeError::malformed("MQTT-3.1.2-22", "password flag without user name flag"));
    }
    Ok(())
}

/// The QoS of the will, `None` when there is no will.
fn will_qos(flags: u8, version: Version) -> Result<Option<QoS>, DecodeError> {
    let qos = (flags & WILL_QOS) >> WILL_QOS_SHIFT;
    if flags & WILL != 0 {
        // [MQTT-3.1.2-12], 3.1.1 [MQTT-3.1.2-14]
        let statement = version.statement("MQTT-3.1.2-14", "MQTT-3.1.2-12");
        return match QoS::try_from(qos) {
            Ok(qos) => Ok(Some(qos)),
            Err(_) => Err(DecodeError::malformed(statement, "QoS of the will is 3")),
        };
    }
    // In 3.1 the two fields mean nothing without a will.
    if version == Version::V3_1 {
        return Ok(None);
    }
    // [MQTT-3.1.2-11], 3.1.1 [MQTT-3.1.2-13]
    if qos != 0 {
        let statement = version.statement("MQTT-3.1.2-13", "MQTT-3.1.2-11");
        return Err(DecodeError::malformed(statement, "QoS of a will without a will"));
    }
    // [MQTT-3.1.2-13], 3.1.1 [MQTT-3.1.2-15]
    if flags & WILL_RETAIN != 0 {
        let statement = version.statement("MQTT-3.1.2-15", "MQTT-3.1.2-13");
        return Err(DecodeError::malformed(statement, "retain flag of a will without a will"));
    }
    Ok(None)
}

impl Encode for Connect<'_> {
    fn first_byte(&self) -> u8 {
        0x10
    }

    fn remaining_len(&self, _version: Version) -> usize {
        writer::string_len(self.version.protocol_name())
            + 4
            + if self.version.is_v5() { self.properties.encoded_len() } else { 0 }
            + writer::string_len(&self.client_id)
            + self.will.as_ref().map_or(0, |will| will.encoded_len(self.version))
            + self.user_name.as_deref().map_or(0, writer::string_len)
            + self.encoded_password().map_or(0, writer::binary_len)
    }

    fn encode_body(&self, _version: Version, out: &mut Vec<u8>) {
        writer::string(out, self.version.protocol_name());
        out.push(self.version.level());
        out.push(self.flags());
        writer::u16(out, self.keep_alive_secs);
        if self.version.is_v5() {
            self.properties.encode(out);
        }
        writer::string(out, &self.client_id);
        if let Some(will) = &self.will {
            will.encode(self.version, out);
        }
        if let Some(user_name) = &self.user_name {
            writer::string(out, user_name);
        }
        if let Some(password) = self.encoded_password() {
            writer::binary(out, password);
        }
    }
}
