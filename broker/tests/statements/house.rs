//! The broker as it is set up for the cases: no one setting can show every statement.

use std::sync::Arc;
use std::time::Duration;

use opifex_broker::{Broker, Limits};
use opifex_conformance::statements::{CaseReport, Descriptor, Options, Report, Target, run};
use opifex_packet::QoS;

use crate::doorman::{self, Doorman};
use crate::pipe::Pipe;
use crate::store::Store;

/// Nothing is cut short: time is paused, so that nobody waits.
const LIMIT: Duration = Duration::from_secs(3_600);

/// A setting.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum House {
    /// As it comes.
    Plain,
    /// With everything switched off that can be.
    Narrow,
    /// Without QoS above 0, and with a keep-alive of its own.
    Bare,
    /// With users, rules and a method of authentication, and with words for why something is refused.
    Guarded,
}

impl House {
    pub(crate) const ALL: [House; 4] = [House::Plain, House::Narrow, House::Bare, House::Guarded];

    fn limits(self) -> Limits {
        let limits = Limits::default();
        match self {
            House::Plain => limits,
            House::Guarded => Limits { reason_strings: true, ..limits },
            House::Narrow => Limits {
                max_qos: QoS::AtLeastOnce,
                retain_available: false,
                wildcard_subscriptions: false,
                shared_subscriptions: false,
                topic_alias_maximum: 0,
                max_packet_size: 4_096,
                max_connect_packet_size: 4_096,
                receive_maximum: 4,
                ..limits
            },
            House::Bare => Limits { max_qos: QoS::AtMostOnce, max_keep_alive_secs: 20, ..limits },
        }
    }

    pub(crate) fn descriptor(self) -> Descriptor {
        match self {
            House::Plain | House::Bare => Descriptor::default(),
            House::Narrow => Descriptor { refuses_wildcards: true, ..Descriptor::default() },
            House::Guarded => doorman::descriptor(),
        }
    }

    /// A broker in this setting over a store.
    pub(crate) async fn open(self, store: Store) -> Broker<Store> {
        let builder = Broker::builder(store).limits(self.limits());
        let builder = if self == House::Guarded { builder.access(Doorman) } else { builder };
        builder.start().await.unwrap()
    }

    /// All cases against a broker in this setting, with something between it and them.
    pub(crate) async fn run_through(
        self,
        options: Options,
        between: impl FnOnce(Arc<dyn Target>) -> Arc<dyn Target>,
    ) -> Report {
        let target = between(Arc::new(Pipe::open(self).await));
        self.run_at(target, Options { run_limit: LIMIT, ..options }).await
    }

    /// The same against this broker, in the time that the options give.
    pub(crate) async fn run_at(self, target: Arc<dyn Target>, options: Options) -> Report {
        let options = Options { case_limit: LIMIT, ..options };
        let descriptor = Descriptor { restart_limit_ms: LIMIT.as_millis() as u64, ..self.descriptor() };
        run(target, descriptor, options, |_: &CaseReport| {}).await.unwrap()
    }

    /// All cases against a broker in this setting.
    pub(crate) async fn run(self) -> Report {
        self.run_through(Options::default(), |broker| broker).await
    }
}
