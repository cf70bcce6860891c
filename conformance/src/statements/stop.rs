//! Why a case ends before its last line.

/// Why a case ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The broker did something else than the case expects.
    Failed(String),
    /// The case needs something that this broker is not set up with.
    NotApplicable(String),
}

impl Stop {
    /// The broker broke the rule, with what was expected and what came.
    pub fn failed(why: impl Into<String>) -> Stop {
        Stop::Failed(why.into())
    }

    /// The case cannot be asked of this broker; `what` completes the sentence "it needs".
    pub fn needs(what: impl Into<String>) -> Stop {
        Stop::NotApplicable(what.into())
    }
}

/// Fails the case with this text unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::statements::Stop::failed(format!($($text)+)));
        }
    };
}

pub(crate) use ensure;
