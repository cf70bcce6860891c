//! The contract's cases on sled.

use opifex_conformance::persistence_suite;

#[path = "conformance/factory.rs"]
mod factory;

use factory::sled;

persistence_suite!(sled());
