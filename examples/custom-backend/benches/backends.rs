//! The kit's benchmarks on redb: `cargo bench`.

#[path = "../tests/conformance/factory.rs"]
mod factory;

use factory::OverRedb;

// More factories, separated by commas, are compared.
opifex_conformance::persistence_bench!(OverRedb);
