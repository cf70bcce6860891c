//! The contract's cases on redb.

#[path = "conformance/factory.rs"]
mod factory;

use factory::OverRedb;

opifex_conformance::persistence_suite!(OverRedb);
