//! The flags of `opifex store`: which store, and which file.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::config::{Backend, StorageConfig};

const EXAMPLES: &str = "\
Examples:
  opifex store check                                    the store in ./opifex-data
  opifex store check --data-dir /var/lib/opifex
  opifex store export backup.opifex                     everything, to a file
  opifex store import --data-dir new backup.opifex      ... and into an empty store
  opifex store export --storage sled --data-dir old - | opifex store import --data-dir new -
                                                        from one backend to another, without a file

A store is open in one process at a time: stop the broker first. Exit codes: 0 all is well, 1 a failure or a fault in the
store, 2 wrong flags.";

/// The flags of `opifex store`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    pub(crate) command: StoreCommand,
}

/// What is done with a store.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Writes everything that a store holds to a file.
    #[command(after_help = EXAMPLES)]
    Export {
        #[command(flatten)]
        place: PlaceArgs,
        /// The file; it appears when it is whole. `-`: standard output.
        file: PathBuf,
    },
    /// Fills an empty store, of any backend, with what a file holds.
    #[command(after_help = EXAMPLES)]
    Import {
        #[command(flatten)]
        place: PlaceArgs,
        /// The file. `-`: standard input.
        file: PathBuf,
    },
    /// Reads everything in a store, and reports each record that is damaged or contradicts another.
    #[command(after_help = EXAMPLES)]
    Check {
        #[command(flatten)]
        place: PlaceArgs,
    },
}

/// Which store.
#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    /// The store's backend, as in `opifex serve`.
    #[arg(long, value_name = "BACKEND")]
    storage: Option<Backend>,
    /// Directory of the store [default: ./opifex-data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl PlaceArgs {
    /// The store as `opifex serve` with these flags would have it.
    pub(crate) fn to_config(&self) -> StorageConfig {
        let mut config = StorageConfig::default();
        if let Some(backend) = self.storage {
            config.backend = backend;
        }
        if let Some(data_dir) = &self.data_dir {
            config.data_dir = data_dir.clone();
        }
        config
    }
}
