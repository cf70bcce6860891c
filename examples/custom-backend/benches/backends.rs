//! The kit's benchmarks on redb: `cargo bench`.

#[path = "../tests/conformance/factory.rs"]
mod factory;

use factory::over_redb;

// More factories, separated by commas, are compared.
opifex_conformance::persistence_bench!(over_redb());
