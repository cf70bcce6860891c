//! A target in memory: each connection is a pipe that a task of the broker serves.

use std::io;

use opifex_broker::{Broker, Peer};
use opifex_conformance::statements::{BoxFuture, Stream, Target};
use opifex_storage::Persistence;

const PIPE_BYTES: usize = 1 << 20;

/// See the module's documentation.
pub(crate) struct Pipe<P: Persistence>(pub(crate) Broker<P>);

impl<P: Persistence> Target for Pipe<P> {
    fn connect(&self) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
            let broker = self.0.clone();
            tokio::spawn(async move { broker.serve(theirs, Peer::Local).await });
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }
}
