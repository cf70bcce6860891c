//! Quality of service: what a sender promises about a message. The state machines that keep the
//! promise live elsewhere.

/// A quality of service level.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum QoS {
    /// Fire and forget.
    #[default]
    AtMostOnce = 0,
    /// Acknowledged by PUBACK.
    AtLeastOnce = 1,
    /// PUBREC, PUBREL and PUBCOMP.
    ExactlyOnce = 2,
}

/// A number that is no quality of service level.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("quality of service {0} where 0, 1 or 2 was expected")]
pub struct InvalidQoS(
    /// The number.
    pub u8,
);

impl TryFrom<u8> for QoS {
    type Error = InvalidQoS;

    #[inline]
    fn try_from(value: u8) -> Result<Self, InvalidQoS> {
        match value {
            0 => Ok(QoS::AtMostOnce),
            1 => Ok(QoS::AtLeastOnce),
            2 => Ok(QoS::ExactlyOnce),
            other => Err(InvalidQoS(other)),
        }
    }
}

impl From<QoS> for u8 {
    #[inline]
    fn from(qos: QoS) -> u8 {
        qos as u8
    }
}
