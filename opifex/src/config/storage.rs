//! Which storage backend, of those that the program was built with.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Where sessions, queues and retained messages live.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StorageConfig {
    pub(crate) backend: Backend,
}

/// A storage backend.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Backend {
    /// In memory: everything ends with the process.
    #[default]
    Memory,
}
