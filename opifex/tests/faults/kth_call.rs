//! A fault at the k-th call of a kind, for all k: which calls fail, what became of the scene, and its end on the healed disk.
//! What the scene is, and what it may come to, each store's file says.

use crate::everything;
use crate::process::Process;
use crate::scene::{Books, subscribe};
use crate::shim::{Order, Watched};

/// Which calls fail.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Fault {
    orders: [Order; 2],
    pub(crate) from: u64,
    to: u64,
}

impl Fault {
    /// The k-th write.
    pub(crate) fn at_write(k: u64) -> Fault {
        Fault { orders: [Order::EioWriteFrom, Order::EioWriteTo], from: k, to: k }
    }

    /// The k-th write and all behind it.
    pub(crate) fn from_write(k: u64) -> Fault {
        Fault { to: u64::MAX, ..Fault::at_write(k) }
    }

    /// The k-th sync.
    pub(crate) fn at_sync(k: u64) -> Fault {
        Fault { orders: [Order::EioSyncFrom, Order::EioSyncTo], from: k, to: k }
    }

    /// Whether the disk is well again behind it.
    pub(crate) fn passes(&self) -> bool {
        self.to != u64::MAX
    }

    /// A disk that will fail so.
    pub(crate) fn watched(&self) -> Watched {
        let watched = Watched::new();
        watched.control().set(self.orders[1], self.to);
        watched.control().set(self.orders[0], self.from);
        watched
    }
}

/// What became of it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// The scene was over before the call.
    NotSoFar,
    /// The program refused to start.
    Refused,
    /// It served, and went on acknowledging, without being started anew.
    WentOn,
    /// It served, and acknowledged nothing more.
    Failed,
}

/// The scene with a fault at the first call, and at each so many behind it, until it has no such call. Answers what came of
/// them, of which one was refused.
pub(crate) fn every(last: u64, step: u64, scene: impl Fn(u64) -> Came) -> Vec<Came> {
    let step = if everything() { 1 } else { step };
    let mut came = Vec::new();
    let mut k = 1;
    while k <= last && came.last() != Some(&Came::NotSoFar) {
        came.push(scene(k));
        k += step;
    }
    assert_eq!(came.last(), Some(&Came::NotSoFar), "the scene has more calls than {last}");
    assert!(came.contains(&Came::Refused), "{came:?}");
    came
}

/// Started anew on the healed disk, the program has what the books say. Whether the subscription was acknowledged they do not.
pub(crate) fn settle_on_the_healed_disk(
    fault: Fault,
    watched: &mut Watched,
    store: &[&str],
    books: &mut Books,
    subscribed: bool,
) {
    watched.control().reset();
    let mut process = Process::start(&mut watched.serve(store));
    let Some(address) = process.address() else {
        panic!("{fault:?}: it does not start on the healed disk: {}", process.said());
    };
    if !subscribed {
        subscribe(address).unwrap();
    }
    books.settle(address);
    assert_eq!(process.stop(), Some(0));
}
