//! The field types of MQTT, taken from the front of a packet's body. What the fields mean is the
//! packets' business; what a field may be at all is checked here.

use crate::decode_error::DecodeError;
use crate::packet_id::PacketId;
use crate::properties::Properties;
use crate::property_context::PropertyContext;
use crate::topic_filter::TopicFilter;
use crate::topic_name::TopicName;
use crate::varint::{self, Varint};
use crate::version::Version;

/// The rest of a body. A failed read leaves it anywhere: the packet is lost then.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    version: Version,
}

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) fn new(body: &'a [u8], version: Version) -> Self {
        Reader { rest: body, version }
    }

    #[inline]
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// CONNECT alone finds out its version while being read.
    pub(crate) fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        match self.rest.split_at_checked(len) {
            Some((field, rest)) => {
                self.rest = rest;
                Ok(field)
            }
            None => Err(self.ends_early()),
        }
    }

    #[cold]
    fn ends_early(&self) -> DecodeError {
        let section = self.version.statement("MQTT311 2.2.3", "MQTT5 2.1.4");
        DecodeError::malformed(section, "packet ends inside a field")
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.take(1)?[0])
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        let field = self.take(2)?;
        Ok(u16::from_be_bytes([field[0], field[1]]))
    }

    #[inline]
    pub(crate) fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    #[inline]
    pub(crate) fn string(&mut self) -> Result<&'a str, DecodeError> {
        let bytes = self.binary()?;
        string(bytes, self.version)
    }

    #[inline]
    pub(crate) fn packet_id(&mut self) -> Result<PacketId, DecodeError> {
        // [MQTT-2.2.1-3] [MQTT-2.2.1-4], 3.1.1 [MQTT-2.3.1-1]
        PacketId::new(self.u16()?).ok_or_else(|| {
            let statement = self.version.statement("MQTT-2.3.1-1", "MQTT-2.2.1-3");
            DecodeError::malformed(statement, "packet identifier is 0")
        })
    }

    pub(crate) fn topic_name(&mut self) -> Result<TopicName<'a>, DecodeError> {
        let bytes = self.binary()?;
        TopicName::from_wire(bytes).map_err(|error| DecodeError::topic(error, self.version))
    }

    pub(crate) fn topic_filter(&mut self) -> Result<TopicFilter<'a>, DecodeError> {
        let text = self.string()?;
        if self.version.is_v5() { TopicFilter::new(text) } else { TopicFilter::without_share_rules(text) }
            .map_err(|error| DecodeError::topic(error, self.version))
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u32, DecodeError> {
        match varint::read(self.rest) {
            Varint::Whole { value, len } => {
                // [MQTT-1.5.5-1]
                if len != varint::len(value) {
                    return Err(DecodeError::malformed(
                        "MQTT-1.5.5-1",
                        "variable byte integer is longer than need be",
                    ));
                }
                self.rest = &self.rest[len..];
                Ok(value)
            }
            Varint::Incomplete => Err(self.ends_early()),
            Varint::TooLong => {
                Err(DecodeError::malformed("MQTT5 1.5.5", "variable byte integer has more than four bytes"))
            }
        }
    }

    /// A property block with its length; before 5.0 there is none.
    #[inline]
    pub(crate) fn properties(&mut self, context: PropertyContext) -> Result<Properties<'a>, DecodeError> {
        if !self.version.is_v5() {
            return Ok(Properties::new());
        }
        let len = self.varint()?;
        let block = self.take(len as usize)?;
        if block.is_empty() {
            return Ok(Properties::new());
        }
        Properties::from_bytes(context, block)
    }

    /// All that is left.
    #[inline]
    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// The end of the packet, where nothing may be left.
    #[inline]
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        let section = self.version.statement("MQTT311 2.2.3", "MQTT5 2.1.4");
        Err(DecodeError::malformed(section, "packet goes on after its last field"))
    }
}

/// A text field's bytes as text.
#[inline]
pub(crate) fn string(bytes: &[u8], version: Version) -> Result<&str, DecodeError> {
    // [MQTT-1.5.4-1], 3.1.1 [MQTT-1.5.3-1]
    let text = std::str::from_utf8(bytes).map_err(|_| {
        DecodeError::malformed(
            version.statement("MQTT-1.5.3-1", "MQTT-1.5.4-1"),
            "text is not well-formed UTF-8",
        )
    })?;
    // [MQTT-1.5.4-2], 3.1.1 [MQTT-1.5.3-2]
    if memchr::memchr(0, bytes).is_some() {
        return Err(DecodeError::malformed(
            version.statement("MQTT-1.5.3-2", "MQTT-1.5.4-2"),
            "text contains U+0000",
        ));
    }
    Ok(text)
}
