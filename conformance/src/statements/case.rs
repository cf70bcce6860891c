//! A case: one conversation, the statements that it holds a broker to, and how chapters list theirs.

use opifex_packet::Version;

use super::scene::Scene;
use super::stop::Stop;
use super::target::BoxFuture;

/// How a case ends.
pub type Outcome = Result<(), Stop>;

/// One conversation that a broker is held to.
pub struct Case {
    /// The chapter, which is its file.
    pub chapter: &'static str,
    /// A sentence with underscores.
    pub name: &'static str,
    /// What it shows, by version; it runs once for each.
    pub claims: &'static [Claims],
    /// Whether it restarts the broker.
    pub restarts: bool,
    /// The conversation.
    pub run: for<'a> fn(&'a Scene) -> BoxFuture<'a, Outcome>,
}

/// The statements of one version that a case shows.
#[derive(Debug)]
pub struct Claims {
    /// The version that the case speaks.
    pub version: Version,
    /// The ids of the statements.
    pub statements: &'static [&'static str],
}

/// The cases of one part of the standard.
pub struct Chapter {
    /// The name, which is its file's.
    pub name: &'static str,
    /// What it is about.
    pub title: &'static str,
    /// Its cases.
    pub cases: &'static [Case],
}

impl Case {
    /// `chapter::name`, which stays.
    pub fn id(&self) -> String {
        format!("{}::{}", self.chapter, self.name)
    }

    /// The name as a sentence.
    pub fn title(&self) -> String {
        self.name.replace('_', " ")
    }

    /// The statements that it shows when it speaks this version; `None`: it does not speak it.
    pub fn claims_of(&self, version: Version) -> Option<&'static [&'static str]> {
        self.claims.iter().find(|claims| claims.version == version).map(|claims| claims.statements)
    }
}

/// The `CHAPTER` of a file: its name, its title, and each case with the statements that it shows.
///
/// ```text
/// chapter! { "ping", "3.12 PINGREQ";
///     pingreq_is_answered: v4 ["MQTT-3.12.4-1"], v5 ["MQTT-3.12.4-1"];
/// }
/// ```
///
/// `restarts` behind the title: its cases restart the broker.
macro_rules! chapter {
    ($chapter:literal, $title:literal; $($cases:tt)*) => {
        $crate::statements::case::chapter! { @ $chapter, $title, false; $($cases)* }
    };
    ($chapter:literal, $title:literal, restarts; $($cases:tt)*) => {
        $crate::statements::case::chapter! { @ $chapter, $title, true; $($cases)* }
    };
    (@ $chapter:literal, $title:literal, $restarts:literal; $($case:ident : $($version:ident [$($id:literal),* $(,)?]),+ ;)*) => {
        /// The cases of this file.
        pub(super) const CHAPTER: $crate::statements::Chapter = $crate::statements::Chapter {
            name: $chapter,
            title: $title,
            cases: &[$($crate::statements::Case {
                chapter: $chapter,
                name: stringify!($case),
                claims: &[$($crate::statements::Claims {
                    version: $crate::statements::case::$version,
                    statements: &[$($id),*],
                }),+],
                restarts: $restarts,
                run: |scene| Box::pin($case(scene)),
            }),*],
        };
    };
}

pub(crate) use chapter;

#[allow(non_upper_case_globals, reason = "short names for the lists of cases")]
pub(crate) const v4: Version = Version::V3_1_1;
#[allow(non_upper_case_globals, reason = "short names for the lists of cases")]
pub(crate) const v5: Version = Version::V5_0;
