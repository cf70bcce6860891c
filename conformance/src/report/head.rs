//! What a report says first: which backend, what it declares, and how it was run.

use opifex_storage::Capabilities;

use crate::{Tier, tier};

/// The head of a report. Rows under equal heads belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) factory: String,
    pub(crate) version: String,
    pub(crate) tier: String,
    /// How it was compiled: what a duration depends on most.
    pub(crate) build: String,
    /// The backend's name; empty while no store of it could be opened.
    pub(crate) backend: String,
    /// What it declares, in the order of [`Capabilities`]: name and value.
    pub(crate) declared: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn new(factory: String, capabilities: Option<&Capabilities>) -> Head {
        Head {
            factory,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            tier: match tier() {
                Tier::Quick => "quick".to_owned(),
                Tier::Long => "long".to_owned(),
            },
            build: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
            backend: capabilities.map_or_else(String::new, |declared| declared.name.to_owned()),
            declared: capabilities.map_or_else(Vec::new, declared),
        }
    }

    /// Whether rows of both may stand in one report. Where no store could be opened the rest has to do.
    pub(crate) fn goes_with(&self, other: &Head) -> bool {
        let run = |head: &Head| (head.version.clone(), head.tier.clone(), head.build.clone());
        run(self) == run(other)
            && (self.declared == other.declared || self.declared.is_empty() || other.declared.is_empty())
    }
}

fn declared(of: &Capabilities) -> Vec<(String, String)> {
    // Whole, so that a new capability is not forgotten here.
    let Capabilities {
        name: _,
        max_durability,
        max_batch_ops,
        max_batch_bytes,
        max_message_bytes,
        max_retained_messages,
        unknown_outcomes,
        exclusive,
    } = of;
    let retained = max_retained_messages.map_or("no limit".to_owned(), |limit| limit.to_string());
    let pairs = [
        ("max_durability", max_durability.to_string()),
        ("max_batch_ops", max_batch_ops.to_string()),
        ("max_batch_bytes", max_batch_bytes.to_string()),
        ("max_message_bytes", max_message_bytes.to_string()),
        ("max_retained_messages", retained),
        ("unknown_outcomes", unknown_outcomes.to_string()),
        ("exclusive", exclusive.to_string()),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value)).to_vec()
}
