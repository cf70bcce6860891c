//! The server's process and those that it has started, where they run on this machine under Linux: processor time,
//! context switches and memory. It only looks.

use std::fs;

/// The process.
#[derive(Copy, Clone, Debug)]
pub(super) struct ServerProcess(u32);

/// What it had used at a moment.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) processor_nanos: u64,
    pub(super) context_switches: u64,
    pub(super) resident_bytes: u64,
}

/// Of Linux on all that it runs on here.
const PAGE_BYTES: u64 = 4096;

impl ServerProcess {
    pub(super) fn new(id: u32) -> ServerProcess {
        ServerProcess(id)
    }

    /// What all threads that live have used. `None` where the system does not tell.
    pub(super) fn usage(self) -> Option<Usage> {
        usage_of(self.0)
    }
}

fn usage_of(process: u32) -> Option<Usage> {
    let resident = fs::read_to_string(format!("/proc/{process}/statm")).ok()?;
    let pages: u64 = resident.split(' ').nth(1)?.parse().ok()?;
    let mut usage = Usage { resident_bytes: pages * PAGE_BYTES, ..Usage::default() };
    for thread in fs::read_dir(format!("/proc/{process}/task")).ok()? {
        let thread = thread.ok()?.path();
        // A thread may end meanwhile.
        let read = |name| fs::read_to_string(thread.join(name)).unwrap_or_default();
        let on_processor = read("schedstat");
        usage.processor_nanos +=
            on_processor.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok()).unwrap_or(0);
        let switches = |line: &str| line.split_once("ctxt_switches:")?.1.trim().parse::<u64>().ok();
        usage.context_switches += read("status").lines().filter_map(switches).sum::<u64>();
        for child in read("children").split_whitespace().filter_map(|child| child.parse().ok()) {
            let child = usage_of(child).unwrap_or_default();
            usage.processor_nanos += child.processor_nanos;
            usage.context_switches += child.context_switches;
            usage.resident_bytes += child.resident_bytes;
        }
    }
    Some(usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_what_it_does() {
        let own = ServerProcess::new(std::process::id());
        let before = own.usage().expect("Linux");
        let begin = std::time::Instant::now();
        while begin.elapsed() < std::time::Duration::from_millis(200) {
            std::hint::black_box(begin);
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
        let memory = vec![1u8; 128 << 20];
        let after = own.usage().expect("Linux");
        assert!(std::hint::black_box(memory)[0] == 1);
        // On a busy machine it had a part of that time; other tests of the process may give memory back.
        assert!(after.processor_nanos >= before.processor_nanos + 10_000_000, "{before:?} {after:?}");
        assert!(after.context_switches > before.context_switches, "{before:?} {after:?}");
        assert!(after.resident_bytes >= before.resident_bytes + (64 << 20), "{before:?} {after:?}");
    }

    #[test]
    fn of_a_process_that_is_not_there_nothing_is_known() {
        assert_eq!(ServerProcess::new(u32::MAX).usage(), None);
    }
}
