//! The contract's cases on a memory store that is known as `DynPersistence` alone.

use opifex_conformance::{over_dyn, persistence_suite};

#[path = "conformance/factory.rs"]
mod factory;

use factory::Memory;

persistence_suite!(over_dyn(Memory));
