//! The numbers that a test and the shim share: orders to fail, to delay, to shorten, and counters. A file that the shim
//! has mapped; a write to it is an order at once.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// The places in the file, as in `enum control` of `shim.c`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// 1: syncs do nothing and are not recorded.
    SwallowSyncs,
    /// Bytes by which files may still grow; `u64::MAX`: no limit.
    Room,
    /// Data writes from this number on fail with EIO; 0: none.
    EioWriteFrom,
    /// Up to this one.
    EioWriteTo,
    /// Syncs from this number on fail with EIO; 0: none.
    EioSyncFrom,
    /// Up to this one.
    EioSyncTo,
    /// The sync of this number waits.
    HangSync,
    /// For so many milliseconds.
    HangMillis,
    /// Each write whose number this divides is cut in half; 0: none.
    ShortEvery,
    /// Every sync takes at least so many microseconds.
    SyncMicros,
    /// Counter: data writes.
    Writes,
    /// Counter: syncs of files and directories.
    Syncs,
    /// Counter: calls that were made to fail, or cut short.
    Faults,
    /// Counter: syncs that began to hang.
    Hanging,
}

const STAYS: &str = "a small file that is open stays readable and writable";

/// See the module's documentation.
pub struct Control {
    file: File,
}

impl Control {
    /// Makes the file, without orders.
    pub fn create(path: &Path) -> Control {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path);
        let control = Control { file: file.expect("a test's own directory takes a file") };
        control.reset();
        control
    }

    /// No orders, and all counters at 0.
    pub fn reset(&self) {
        self.file.write_all_at(&[0; (Order::Hanging as usize + 1) * 8], 0).expect(STAYS);
        self.set(Order::Room, u64::MAX);
    }

    /// Gives an order.
    pub fn set(&self, order: Order, value: u64) {
        self.file.write_all_at(&value.to_le_bytes(), order as u64 * 8).expect(STAYS);
    }

    /// Reads a counter.
    pub fn value(&self, order: Order) -> u64 {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, order as u64 * 8).expect(STAYS);
        u64::from_le_bytes(bytes)
    }
}
