//! Bytes cut into the fields that MQTT gives them a place for, without a judgement on any: what the
//! exceptions look at. It shares no code with the codecs, goes on behind whatever is wrong with a
//! field's contents, and stops only where no field can begin.

use opifex_packet::Version;

/// The fields of the packet at the front of some bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Anatomy<'a> {
    pub(crate) packet_type: u8,
    pub(crate) flags: u8,
    /// The protocol level: what a CONNECT says, or what was agreed on.
    pub(crate) level: u8,
    /// Whether the body is all there.
    pub(crate) is_whole: bool,
    /// Some variable byte integer, the remaining length too, has bytes to spare.
    pub(crate) has_long_varint: bool,
    pub(crate) remaining_len: usize,
    pub(crate) connect_flags: Option<u8>,
    pub(crate) connack_flags: Option<u8>,
    pub(crate) packet_id: Option<u16>,
    pub(crate) texts: Vec<(Text, &'a [u8])>,
    pub(crate) will_payload: Option<&'a [u8]>,
    /// Reason codes, or the return codes of 3.x.
    pub(crate) reasons: &'a [u8],
    /// One a filter of SUBSCRIBE.
    pub(crate) options: Vec<u8>,
    pub(crate) properties: Vec<Field<'a>>,
    /// What of a property block is no property any more: unknown, or cut off by the block's end.
    pub(crate) block_rest: &'a [u8],
    /// By how many bytes a property length goes over the end of the packet.
    pub(crate) block_overhang: usize,
    pub(crate) payload: Option<&'a [u8]>,
    /// What stands where the packet should have ended, or where a field does not fit any more.
    pub(crate) rest: &'a [u8],
    /// Whether the body ended inside a field.
    pub(crate) is_torn: bool,
}

/// Which field a text is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    ProtocolName,
    ClientId,
    WillTopic,
    UserName,
    Topic,
    Filter,
    Property,
}

/// A property and the bytes of its value, those of a text without its length.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Field<'a> {
    pub(crate) of_will: bool,
    pub(crate) id: u8,
    pub(crate) value: &'a [u8],
}

impl<'a> Anatomy<'a> {
    pub(crate) fn of(bytes: &'a [u8], version: Version) -> Self {
        let mut it = Anatomy { level: version.level(), ..Anatomy::default() };
        let Some((&first_byte, mut rest)) = bytes.split_first() else { return it };
        (it.packet_type, it.flags) = (first_byte >> 4, first_byte & 0x0f);
        let Some(len) = it.varint(&mut rest) else { return it };
        it.remaining_len = len;
        it.is_whole = rest.len() >= len;
        let mut body = &rest[..rest.len().min(len)];
        it.is_torn = it.body(&mut body).is_none();
        it.rest = body;
        it
    }

    /// The texts of that kind.
    pub(crate) fn texts(&self, kind: Text) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.texts.iter().filter(move |(of, _)| *of == kind).map(|(_, text)| *text)
    }

    /// The values of that property, wherever it stands.
    pub(crate) fn property(&self, id: u8) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.properties.iter().filter(move |field| field.id == id).map(|field| field.value)
    }

    fn is_v5(&self) -> bool {
        self.level == 5
    }

    fn body(&mut self, rest: &mut &'a [u8]) -> Option<()> {
        match self.packet_type {
            1 => self.connect(rest)?,
            2 => {
                self.connack_flags = Some(take(rest, 1)?[0]);
                self.reasons = take(rest, 1)?;
                self.block(rest, false)?;
            }
            3 => {
                self.text(rest, Text::Topic)?;
                if self.flags & 0b0110 != 0 {
                    self.packet_id(rest)?;
                }
                self.block(rest, false)?;
                self.payload = Some(std::mem::take(rest));
            }
            4..=7 => {
                self.packet_id(rest)?;
                self.reason_and_block(rest)?;
            }
            8 | 10 => {
                self.packet_id(rest)?;
                self.block(rest, false)?;
                while !rest.is_empty() {
                    self.text(rest, Text::Filter)?;
                    if self.packet_type == 8 {
                        self.options.push(take(rest, 1)?[0]);
                    }
                }
            }
            9 | 11 => {
                self.packet_id(rest)?;
                self.block(rest, false)?;
                if self.packet_type == 9 || self.is_v5() {
                    self.reasons = std::mem::take(rest);
                }
            }
            14 | 15 => self.reason_and_block(rest)?,
            _ => {}
        }
        Some(())
    }

    fn connect(&mut self, rest: &mut &'a [u8]) -> Option<()> {
        self.text(rest, Text::ProtocolName)?;
        self.level = take(rest, 1)?[0];
        let flags = take(rest, 1)?[0];
        self.connect_flags = Some(flags);
        take(rest, 2)?;
        self.block(rest, false)?;
        self.text(rest, Text::ClientId)?;
        if flags & 0x04 != 0 {
            self.block(rest, true)?;
            self.text(rest, Text::WillTopic)?;
            self.will_payload = Some(binary(rest)?);
        }
        if flags & 0x80 != 0 {
            self.text(rest, Text::UserName)?;
        }
        if flags & 0x40 != 0 {
            binary(rest)?;
        }
        Some(())
    }

    fn packet_id(&mut self, rest: &mut &'a [u8]) -> Option<()> {
        let id = take(rest, 2)?;
        self.packet_id = Some(u16::from_be_bytes([id[0], id[1]]));
        Some(())
    }

    fn text(&mut self, rest: &mut &'a [u8], kind: Text) -> Option<()> {
        self.texts.push((kind, binary(rest)?));
        Some(())
    }

    /// The two fields that 5.0 lets senders leave out.
    fn reason_and_block(&mut self, rest: &mut &'a [u8]) -> Option<()> {
        if self.is_v5() && !rest.is_empty() {
            self.reasons = take(rest, 1)?;
            if !rest.is_empty() {
                self.block(rest, false)?;
            }
        }
        Some(())
    }

    fn block(&mut self, rest: &mut &'a [u8], of_will: bool) -> Option<()> {
        if !self.is_v5() {
            return Some(());
        }
        let len = self.varint(rest)?;
        self.block_overhang = len.saturating_sub(rest.len());
        let mut block = if self.block_overhang == 0 { take(rest, len)? } else { *rest };
        while let Some((&id, mut behind)) = block.split_first() {
            self.block_rest = block;
            let value = self.property_value(id, &mut behind)?;
            self.properties.push(Field { of_will, id, value });
            block = behind;
        }
        self.block_rest = &[];
        (self.block_overhang == 0).then_some(())
    }

    fn property_value(&mut self, id: u8, rest: &mut &'a [u8]) -> Option<&'a [u8]> {
        match id {
            0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28..=0x2a => take(rest, 1),
            0x13 | 0x21..=0x23 => take(rest, 2),
            0x02 | 0x11 | 0x18 | 0x27 => take(rest, 4),
            0x0b => {
                let from = *rest;
                self.varint(rest)?;
                Some(&from[..from.len() - rest.len()])
            }
            0x09 | 0x16 => binary(rest),
            0x03 | 0x08 | 0x12 | 0x15 | 0x1a | 0x1c | 0x1f => {
                let text = binary(rest)?;
                self.texts.push((Text::Property, text));
                Some(text)
            }
            0x26 => {
                let (name, value) = (binary(rest)?, binary(rest)?);
                self.texts.extend([(Text::Property, name), (Text::Property, value)]);
                Some(value)
            }
            _ => None,
        }
    }

    fn varint(&mut self, rest: &mut &'a [u8]) -> Option<usize> {
        let len = 1 + rest.iter().take_while(|&&byte| byte >= 0x80).count();
        let bytes = take(rest, len)?;
        if len > 4 {
            return None;
        }
        self.has_long_varint |= len > 1 && bytes[len - 1] == 0;
        Some(bytes.iter().rev().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7f)))
    }
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (field, behind) = rest.split_at_checked(len)?;
    *rest = behind;
    Some(field)
}

fn binary<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut ahead = *rest;
    let len = take(&mut ahead, 2)?;
    let field = take(&mut ahead, usize::from(u16::from_be_bytes([len[0], len[1]])))?;
    *rest = ahead;
    Some(field)
}
