//! The program `opifex`: reads flags, configuration and signals, which nothing below it does, and starts what they
//! ask for. What a broker is, the crate `opifex-broker` knows.

#[cfg(not(any(feature = "memory", feature = "sled", feature = "sqlite")))]
compile_error!("a broker needs a store: choose one or more of the features `memory`, `sled` and `sqlite`");

use std::process::ExitCode;

mod cli;
mod config;

mod bench;
mod conformance;
mod hash_password;
mod publish;
mod request;
mod serve;
mod store_command;
mod subscribe;

mod client;
mod print;

mod store;

mod accept;
mod connections;
mod descriptors;
mod listener;
mod logging;
mod signals;
mod throttle;
mod turns;
#[cfg(feature = "websocket")]
mod websocket;

mod failure;

/// Gives freed memory back to the system within seconds: what a crowd of connections took, it does not keep.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let command = match cli::parse(std::env::args_os()) {
        Ok(command) => command,
        Err(exit_code) => return exit_code,
    };
    let outcome = match command {
        cli::Command::Serve(args) => serve::run(&args),
        cli::Command::Store(args) => store_command::run(&args),
        cli::Command::Pub(args) => return client::end(publish::run(&args), args.session.quiet),
        cli::Command::Sub(args) => return client::end(subscribe::run(&args), args.session.quiet),
        cli::Command::Rr(args) => return client::end(request::run(&args), args.session.quiet),
        cli::Command::Bench(args) => return client::end(bench::run(&args), false),
        cli::Command::HashPassword => hash_password::run(),
        cli::Command::Conformance(args) => {
            return conformance::conformance(&args).unwrap_or_else(|failure| failure.report());
        }
    };
    outcome.map_or_else(|failure| failure.report(), |()| ExitCode::SUCCESS)
}
