//! A packet's meaning in no codec's words: what each side is translated into, and compared in.
//!
//! Bytes that mean the same are the same here: the order of different properties, a reason code that
//! was left out, a return code of 3.x that we keep as the reason code of 5.0.

/// One packet of any type. What the type or the version does not have stays at its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Neutral {
    /// The number of the packet type.
    pub(crate) packet_type: u8,
    pub(crate) connect: Option<NeutralConnect>,
    pub(crate) session_present: bool,
    pub(crate) dup: bool,
    pub(crate) retain: bool,
    pub(crate) qos: u8,
    pub(crate) packet_id: Option<u16>,
    pub(crate) topic: Option<String>,
    pub(crate) payload: Vec<u8>,
    /// Reason codes, or the return codes of 3.x.
    pub(crate) reasons: Vec<u8>,
    /// Filters with their options; UNSUBSCRIBE has options 0.
    pub(crate) filters: Vec<(String, u8)>,
    pub(crate) properties: NeutralProperties,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NeutralConnect {
    pub(crate) level: u8,
    pub(crate) clean_start: bool,
    pub(crate) keep_alive_secs: u16,
    pub(crate) client_id: String,
    pub(crate) will: Option<NeutralWill>,
    pub(crate) user_name: Option<String>,
    pub(crate) password: Option<Vec<u8>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NeutralWill {
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) properties: NeutralProperties,
}

/// Properties by identifier; those with the same identifier stay in their order, which is the only
/// order that the standard gives a meaning (2.2.2.2, 3.3.2.3.7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NeutralProperties(Vec<(u8, Value)>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Number(u32),
    Text(String),
    Binary(Vec<u8>),
    Pair(String, String),
}

impl Neutral {
    pub(crate) fn new(packet_type: u8) -> Self {
        Neutral { packet_type, ..Neutral::default() }
    }
}

impl FromIterator<(u8, Value)> for NeutralProperties {
    fn from_iter<I: IntoIterator<Item = (u8, Value)>>(properties: I) -> Self {
        let mut properties = Vec::from_iter(properties);
        properties.sort_by_key(|(id, _)| *id);
        NeutralProperties(properties)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Value::Number(u32::from(flag))
    }
}

impl From<u8> for Value {
    fn from(number: u8) -> Self {
        Value::Number(u32::from(number))
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Value::Number(u32::from(number))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Value::Number(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Value::Binary(bytes.to_vec())
    }
}

impl From<(&str, &str)> for Value {
    fn from((name, value): (&str, &str)) -> Self {
        Value::Pair(name.to_owned(), value.to_owned())
    }
}
