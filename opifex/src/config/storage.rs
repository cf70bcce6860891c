//! Which storage backend, of those that the program was built with, where it keeps its files, and what it promises.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::anyhow;
use opifex_storage::Durability;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text;
use crate::failure::Failure;

/// Where sessions, queues and retained messages live.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StorageConfig {
    pub(crate) backend: Backend,
    /// The directory of the store; a backend without files does not look at it.
    pub(crate) data_dir: PathBuf,
    /// `None`: the highest level that the backend offers.
    pub(crate) durability: Option<DurabilityLevel>,
}

impl Default for StorageConfig {
    fn default() -> StorageConfig {
        StorageConfig {
            backend: Backend::default(),
            data_dir: PathBuf::from("./opifex-data"),
            durability: None,
        }
    }
}

impl StorageConfig {
    /// Puts the level in force in the place of none.
    ///
    /// # Errors
    /// When the backend does not offer the level.
    pub(super) fn settle(&mut self) -> Result<(), Failure> {
        let highest = self.backend.highest_durability();
        let asked = self.durability.map_or(highest, |level| level.0);
        if asked > highest {
            return Err(Failure::usage(anyhow!(
                "{} does not offer the durability {asked}: its highest is {highest}",
                self.backend
            )));
        }
        self.durability = Some(DurabilityLevel(asked));
        Ok(())
    }

    /// The level in force.
    pub(crate) fn durability(&self) -> Durability {
        self.durability.map_or(self.backend.highest_durability(), |level| level.0)
    }
}

/// A storage backend that the program was built with.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    #[cfg(feature = "sqlite")]
    Sqlite,
    #[cfg(feature = "sled")]
    Sled,
    #[cfg(feature = "memory")]
    Memory,
}

impl Backend {
    /// Those that the program was built with, the one that is taken without a choice first: what survives most, and
    /// SQLite before others that survive as much.
    pub(crate) const BUILT_IN: &[Backend] = &[
        #[cfg(feature = "sqlite")]
        Backend::Sqlite,
        #[cfg(feature = "sled")]
        Backend::Sled,
        #[cfg(feature = "memory")]
        Backend::Memory,
    ];

    /// Those that it can be built with.
    const ALL: [&str; 3] = ["sqlite", "sled", "memory"];

    fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "sqlite")]
            Backend::Sqlite => "sqlite",
            #[cfg(feature = "sled")]
            Backend::Sled => "sled",
            #[cfg(feature = "memory")]
            Backend::Memory => "memory",
        }
    }

    /// Whether there is a store of it in a directory.
    pub(crate) fn has_store_in(self, data_dir: &Path) -> bool {
        Backend::FILES.iter().any(|(name, file)| *name == self.name() && data_dir.join(file).exists())
    }

    /// The backend whose store is in a directory, whether it is built in or not.
    pub(crate) fn store_in(data_dir: &Path) -> Option<&'static str> {
        Backend::FILES.iter().find(|(_, file)| data_dir.join(file).exists()).map(|(name, _)| *name)
    }

    /// The file that a backend's store has in its directory.
    const FILES: [(&str, &str); 2] = [("sqlite", "opifex.db"), ("sled", "db")];

    /// Whether it has a data directory.
    pub(crate) fn has_files(self) -> bool {
        self.name() != "memory"
    }

    /// The highest level that it offers: known before it is opened.
    pub(crate) fn highest_durability(self) -> Durability {
        match self {
            #[cfg(feature = "sqlite")]
            Backend::Sqlite => Durability::Disk,
            #[cfg(feature = "sled")]
            Backend::Sled => Durability::Process,
            #[cfg(feature = "memory")]
            Backend::Memory => Durability::Memory,
        }
    }
}

impl Default for Backend {
    fn default() -> Backend {
        Backend::BUILT_IN[0]
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(text: &str) -> Result<Backend, String> {
        if let Some(backend) = Backend::BUILT_IN.iter().find(|backend| backend.name() == text) {
            return Ok(*backend);
        }
        if Backend::ALL.contains(&text) {
            return Err(format!(
                "this program was built without {text}; to have it: cargo install --path opifex --features {text}"
            ));
        }
        let names: Vec<&str> = Backend::BUILT_IN.iter().map(|backend| backend.name()).collect();
        Err(format!("{text:?} is no storage backend, expected one of {}", names.join(", ")))
    }
}

impl<'de> Deserialize<'de> for Backend {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Backend, D::Error> {
        text::deserialize(deserializer, "a storage backend such as \"sqlite\"")
    }
}

impl Serialize for Backend {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// What acknowledged messages survive, in the file or in a flag.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct DurabilityLevel(pub(crate) Durability);

impl FromStr for DurabilityLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<DurabilityLevel, String> {
        let levels = [Durability::Disk, Durability::Process, Durability::Memory];
        let level = levels.into_iter().find(|level| level.to_string() == text);
        level
            .map(DurabilityLevel)
            .ok_or_else(|| format!("{text:?} is no durability, expected disk, process or memory"))
    }
}

impl<'de> Deserialize<'de> for DurabilityLevel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<DurabilityLevel, D::Error> {
        text::deserialize(deserializer, "a durability: \"disk\", \"process\" or \"memory\"")
    }
}

impl Serialize for DurabilityLevel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_string())
    }
}
