//! Every normative statement that binds clients, alone or as well as servers, shown of this one in conversations of its
//! machine with a scripted server. Each test says which statements it shows in which version; `manifest.rs` holds that
//! against the list of all.

#![allow(clippy::unwrap_used, reason = "a test's parts fail with it")]

mod aliases;
mod authenticating;
mod connect;
mod connecting;
mod ending;
mod framing;
mod keep_alive;
mod limits;
mod manifest;
mod order;
mod packet_ids;
mod peer;
mod properties;
mod qos;
mod quota;
mod reasons;
mod receiving;
mod session;
mod subscribing;
mod text;
mod transport;
mod violations;
mod websocket;

use opifex_packet::Version;

/// The statements of one version that a test shows.
pub(crate) struct Shows {
    /// `chapter::test`.
    pub(crate) test: &'static str,
    pub(crate) version: Version,
    pub(crate) ids: &'static [&'static str],
}

/// One `#[test]` for each version that a test speaks, and the list `SHOWN` of what they show.
macro_rules! statements {
    ($chapter:literal; $($test:ident: $($version:ident [$($id:literal),+ $(,)?]),+;)+) => {
        pub(crate) const SHOWN: &[$crate::Shows] = &[
            $($($crate::Shows {
                test: concat!($chapter, "::", stringify!($test)),
                version: $crate::$version,
                ids: &[$($id),+],
            }),+),+
        ];
        $(
            mod $test {
                $(
                    #[test]
                    fn $version() {
                        super::$test($crate::$version);
                    }
                )+
            }
        )+
    };
}

pub(crate) use statements;

#[allow(non_upper_case_globals, reason = "short names for the lists")]
pub(crate) const v4: Version = Version::V3_1_1;
#[allow(non_upper_case_globals, reason = "short names for the lists")]
pub(crate) const v5: Version = Version::V5_0;
