//! The contract's cases on the memory store.

use opifex_conformance::persistence_suite;

#[path = "conformance/factory.rs"]
mod factory;

use factory::Memory;

persistence_suite!(Memory);
