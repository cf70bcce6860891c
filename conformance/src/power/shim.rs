//! `shim.c`, built with the system's C compiler and put between a process and its files. What the record means is not
//! here, but with those who read it.

use std::collections::hash_map::DefaultHasher;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const SOURCE: &str = include_str!("shim.c");

/// The library, built once and kept beside the test program; or why it cannot be had here.
pub fn library() -> Result<&'static Path, &'static str> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match BUILT.get_or_init(build) {
        Ok(library) => Ok(library),
        Err(why) => Err(why),
    }
}

/// Has a command's process watched: all that it does below `disk` (absolute, without symbolic links), and its sockets.
/// It obeys the orders of the [`super::control::Control`] at `control`, and writes its record to `log`. Nothing of either
/// when they are not given.
///
/// # Errors
/// Why the library cannot be had here.
pub fn watch(
    command: &mut Command,
    disk: &Path,
    control: Option<&Path>,
    log: Option<&Path>,
) -> Result<(), &'static str> {
    command.env("LD_PRELOAD", library()?);
    command.env("OPIFEX_CONFORMANCE_SHIM_DIR", disk);
    let mut set = |name: &str, path: Option<&Path>| match path {
        Some(path) => drop(command.env(name, path)),
        None => drop(command.env_remove(name)),
    };
    set("OPIFEX_CONFORMANCE_SHIM_CONTROL", control);
    set("OPIFEX_CONFORMANCE_SHIM_LOG", log);
    Ok(())
}

fn build() -> Result<PathBuf, String> {
    if !cfg!(target_os = "linux") {
        return Err("the recorder of writes and syncs knows Linux only".to_owned());
    }
    let mut hasher = DefaultHasher::new();
    SOURCE.hash(&mut hasher);
    let name = format!("opifex-shim-{:016x}", hasher.finish());
    let beside = env::current_exe().ok().and_then(|program| program.parent().map(Path::to_owned));
    if let Some(directory) = beside {
        let library = directory.join(&name).with_extension("so");
        // Under a name of this process first, since others may be at the same.
        let own = directory.join(format!("{name}-{}", std::process::id()));
        if library.exists() || compile(&own).is_ok_and(|made| fs::rename(made, &library).is_ok()) {
            return Ok(library);
        }
    }
    // Nobody else's file is loaded from there.
    compile(&env::temp_dir().join(format!("{name}-{}", std::process::id())))
        .map_err(|why| format!("the recorder of writes and syncs cannot be built: {why}"))
}

/// `own.so`, made of `own.c`.
fn compile(own: &Path) -> Result<PathBuf, String> {
    let (source, library) = (own.with_extension("c"), own.with_extension("so"));
    fs::write(&source, SOURCE).map_err(|error| format!("{}: {error}", source.display()))?;
    let mut cc = Command::new(env::var_os("CC").as_deref().unwrap_or(OsStr::new("cc")));
    cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-o"]).arg(&library).arg(&source);
    let output = cc.args(["-ldl", "-lpthread"]).output();
    drop(fs::remove_file(source));
    let output = output.map_err(|error| format!("the C compiler does not start: {error}"))?;
    match output.status.success() {
        true => Ok(library),
        false => Err(format!("the C compiler refuses it: {}", String::from_utf8_lossy(&output.stderr))),
    }
}
