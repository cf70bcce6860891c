//! The contract's cases on redb.

#[path = "conformance/factory.rs"]
mod factory;

use factory::over_redb;

opifex_conformance::persistence_suite!(over_redb());
