//! Where a property block stands, and which properties may stand there (5.0, table 2-4).

/// The packet, or part of one, that a property block belongs to.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum PropertyContext {
    /// CONNECT's own block.
    Connect,
    /// The will's block in CONNECT.
    Will,
    /// CONNACK.
    Connack,
    /// PUBLISH.
    Publish,
    /// PUBACK.
    Puback,
    /// PUBREC.
    Pubrec,
    /// PUBREL.
    Pubrel,
    /// PUBCOMP.
    Pubcomp,
    /// SUBSCRIBE.
    Subscribe,
    /// SUBACK.
    Suback,
    /// UNSUBSCRIBE.
    Unsubscribe,
    /// UNSUBACK.
    Unsuback,
    /// DISCONNECT.
    Disconnect,
    /// AUTH.
    Auth,
}

impl PropertyContext {
    /// All contexts, in the order of the standard's chapters.
    pub const ALL: [PropertyContext; 14] = [
        PropertyContext::Connect,
        PropertyContext::Will,
        PropertyContext::Connack,
        PropertyContext::Publish,
        PropertyContext::Puback,
        PropertyContext::Pubrec,
        PropertyContext::Pubrel,
        PropertyContext::Pubcomp,
        PropertyContext::Subscribe,
        PropertyContext::Suback,
        PropertyContext::Unsubscribe,
        PropertyContext::Unsuback,
        PropertyContext::Disconnect,
        PropertyContext::Auth,
    ];

    /// Whether the property of that identifier may stand here.
    pub fn allows(self, id: u8) -> bool {
        self.section(id).is_some()
    }

    /// The section that describes the property of that identifier here; `None` where it is not
    /// allowed.
    pub(crate) fn section(self, id: u8) -> Option<&'static str> {
        Some(match self {
            PropertyContext::Connect => match id {
                0x11 => "MQTT5 3.1.2.11.2",
                0x21 => "MQTT5 3.1.2.11.3",
                0x27 => "MQTT5 3.1.2.11.4",
                0x22 => "MQTT5 3.1.2.11.5",
                0x19 => "MQTT5 3.1.2.11.6",
                0x17 => "MQTT5 3.1.2.11.7",
                0x26 => "MQTT5 3.1.2.11.8",
                0x15 => "MQTT5 3.1.2.11.9",
                0x16 => "MQTT5 3.1.2.11.10",
                _ => return None,
            },
            PropertyContext::Will => match id {
                0x18 => "MQTT5 3.1.3.2.2",
                0x01 => "MQTT5 3.1.3.2.3",
                0x02 => "MQTT5 3.1.3.2.4",
                0x03 => "MQTT5 3.1.3.2.5",
                0x08 => "MQTT5 3.1.3.2.6",
                0x09 => "MQTT5 3.1.3.2.7",
                0x26 => "MQTT5 3.1.3.2.8",
                _ => return None,
            },
            PropertyContext::Connack => match id {
                0x11 => "MQTT5 3.2.2.3.2",
                0x21 => "MQTT5 3.2.2.3.3",
                0x24 => "MQTT5 3.2.2.3.4",
                0x25 => "MQTT5 3.2.2.3.5",
                0x27 => "MQTT5 3.2.2.3.6",
                0x12 => "MQTT5 3.2.2.3.7",
                0x22 => "MQTT5 3.2.2.3.8",
                0x1f => "MQTT5 3.2.2.3.9",
                0x26 => "MQTT5 3.2.2.3.10",
                0x28 => "MQTT5 3.2.2.3.11",
                0x29 => "MQTT5 3.2.2.3.12",
                0x2a => "MQTT5 3.2.2.3.13",
                0x13 => "MQTT5 3.2.2.3.14",
                0x1a => "MQTT5 3.2.2.3.15",
                0x1c => "MQTT5 3.2.2.3.16",
                0x15 => "MQTT5 3.2.2.3.17",
                0x16 => "MQTT5 3.2.2.3.18",
                _ => return None,
            },
            PropertyContext::Publish => match id {
                0x01 => "MQTT5 3.3.2.3.2",
                0x02 => "MQTT5 3.3.2.3.3",
                0x23 => "MQTT5 3.3.2.3.4",
                0x08 => "MQTT5 3.3.2.3.5",
                0x09 => "MQTT5 3.3.2.3.6",
                0x26 => "MQTT5 3.3.2.3.7",
                0x0b => "MQTT5 3.3.2.3.8",
                0x03 => "MQTT5 3.3.2.3.9",
                _ => return None,
            },
            PropertyContext::Puback => match id {
                0x1f => "MQTT5 3.4.2.2.2",
                0x26 => "MQTT5 3.4.2.2.3",
                _ => return None,
            },
            PropertyContext::Pubrec => match id {
                0x1f => "MQTT5 3.5.2.2.2",
                0x26 => "MQTT5 3.5.2.2.3",
                _ => return None,
            },
            PropertyContext::Pubrel => match id {
                0x1f => "MQTT5 3.6.2.2.2",
                0x26 => "MQTT5 3.6.2.2.3",
                _ => return None,
            },
            PropertyContext::Pubcomp => match id {
                0x1f => "MQTT5 3.7.2.2.2",
                0x26 => "MQTT5 3.7.2.2.3",
                _ => return None,
            },
            PropertyContext::Subscribe => match id {
                0x0b => "MQTT5 3.8.2.1.2",
                0x26 => "MQTT5 3.8.2.1.3",
                _ => return None,
            },
            PropertyContext::Suback => match id {
                0x1f => "MQTT5 3.9.2.1.2",
                0x26 => "MQTT5 3.9.2.1.3",
                _ => return None,
            },
            PropertyContext::Unsubscribe => match id {
                0x26 => "MQTT5 3.10.2.1.2",
                _ => return None,
            },
            PropertyContext::Unsuback => match id {
                0x1f => "MQTT5 3.11.2.1.2",
                0x26 => "MQTT5 3.11.2.1.3",
                _ => return None,
            },
            PropertyContext::Disconnect => match id {
                0x11 => "MQTT5 3.14.2.2.2",
                0x1f => "MQTT5 3.14.2.2.3",
                0x26 => "MQTT5 3.14.2.2.4",
                0x1c => "MQTT5 3.14.2.2.5",
                _ => return None,
            },
            PropertyContext::Auth => match id {
                0x15 => "MQTT5 3.15.2.2.2",
                0x16 => "MQTT5 3.15.2.2.3",
                0x1f => "MQTT5 3.15.2.2.4",
                0x26 => "MQTT5 3.15.2.2.5",
                _ => return None,
            },
        })
    }
}
