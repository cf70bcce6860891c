//! A small disk of a test's own, to be filled: a tmpfs in a mount namespace that goes with the test. What a store has to do
//! on it is not here.

use std::env;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::{Command, ExitCode};

use crate::Directory;

/// Says to the program that it is its own child, and where the disk is to be.
const CHILD: &str = "OPIFEX_SMALL_DISK";

/// Runs a test on a disk of so many bytes: for the `main` of a test without a harness (`harness = false`), since the program
/// is started once more in a namespace of its own. A panic of the test fails the program. Where nobody may mount anything
/// it says so and succeeds.
pub fn on_a_small_disk(bytes: u64, test: impl FnOnce(&Path)) -> ExitCode {
    if let Some(directory) = env::var_os(CHILD) {
        let size = format!("size={bytes}");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(&directory).status();
        assert!(mount.is_ok_and(|status| status.success()), "it could be mounted elsewhere");
        test(Path::new(&directory));
        return ExitCode::SUCCESS;
    }
    let directory = Directory::new();
    let program = env::current_exe().expect("this program has a path");
    let child = |with: &[&str]| {
        let mut unshare = Command::new("unshare");
        unshare.args(with).arg("--").arg(&program).env(CHILD, directory.path());
        unshare.status().is_ok_and(|status| status.success())
    };
    let can_mount = |with: &[&str]| {
        let mount = ["--", "mount", "-t", "tmpfs", "none", "/mnt"];
        Command::new("unshare").args(with).args(mount).output().is_ok_and(|done| done.status.success())
    };
    let ways: [&[&str]; 2] = [&["-m"], &["-rm"]];
    match ways.into_iter().find(|way| can_mount(way)) {
        Some(way) if child(way) => ExitCode::SUCCESS,
        Some(_) => ExitCode::FAILURE,
        None => {
            eprintln!("NOT TESTED: a full disk, since no tmpfs can be mounted here");
            ExitCode::SUCCESS
        }
    }
}

/// Writes to a file until its disk has not a byte left.
pub fn take_the_last_byte(theirs: &Path) {
    let mut file = File::create(theirs).expect("a file without bytes has room");
    for size in [1 << 20, 4096, 1] {
        let bytes = vec![0; size];
        loop {
            match file.write_all(&bytes) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => panic!("it cannot be written: {error}"),
            }
        }
    }
}
