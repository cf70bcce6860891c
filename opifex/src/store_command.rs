//! `opifex store`: a store that no broker runs on, moved to a file and back, or looked through.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, anyhow};
use opifex_storage::transfer::{self, Counts, Event, TransferError};
use opifex_storage::{Persistence, Timestamp};

use crate::cli::{StoreArgs, StoreCommand};
use crate::config::StorageConfig;
use crate::failure::Failure;
use crate::store::{StoreTask, with_store};

mod new_file;

use new_file::NewFile;

/// How often a long command says how far it is.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// So much of a file is read or written at once.
const BUFFER_BYTES: usize = 1 << 20;

/// Does what `opifex store` is asked to do.
pub(crate) fn run(args: &StoreArgs) -> Result<(), Failure> {
    let config = match &args.command {
        StoreCommand::Export { place, .. } | StoreCommand::Check { place } => {
            let config = place.to_config();
            exists(&config)?;
            config
        }
        StoreCommand::Import { place, .. } => place.to_config(),
    };
    if !config.backend.has_files() {
        return Err(Failure::usage(anyhow!(
            "a store in memory ends with its process: choose another one with --storage"
        )));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start the runtime").map_err(Failure::Runtime)?;
    match &args.command {
        StoreCommand::Export { file, .. } => with_store(&config, usize::MAX, &runtime, Export(file)),
        StoreCommand::Import { file, .. } => with_store(&config, usize::MAX, &runtime, Import(file)),
        StoreCommand::Check { .. } => with_store(&config, usize::MAX, &runtime, Check),
    }
}

/// Opening makes a store where there is none: not for a look at one.
fn exists(config: &StorageConfig) -> Result<(), Failure> {
    if !config.backend.has_files() || config.backend.has_store_in(&config.data_dir) {
        return Ok(());
    }
    Err(Failure::runtime(anyhow!(
        "there is no {} store in {}: choose one with --data-dir and --storage",
        config.backend,
        config.data_dir.display()
    )))
}

struct Export<'a>(&'a Path);

impl StoreTask for Export<'_> {
    async fn run<P: Persistence>(self, store: P) -> Result<(), Failure> {
        let mut teller = Teller::default();
        let counts = if is_standard(self.0) {
            let out = BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock());
            transfer::export(&store, out, |event| teller.hear(event)).await
        } else {
            let name = || format!("cannot write {}", self.0.display());
            let file = NewFile::create(self.0).with_context(name).map_err(Failure::Runtime)?;
            let out = BufWriter::with_capacity(BUFFER_BYTES, file.as_file());
            match transfer::export(&store, out, |event| teller.hear(event)).await {
                Ok(counts) => {
                    file.keep().with_context(name).map_err(Failure::Runtime)?;
                    Ok(counts)
                }
                Err(error) => Err(error),
            }
        };
        let counts = counts.map_err(|error| failed("the export", self.0, error))?;
        close(store).await?;
        teller.end("exported", &counts, "what could not be read is not in the file")
    }
}

struct Import<'a>(&'a Path);

impl StoreTask for Import<'_> {
    async fn run<P: Persistence>(self, store: P) -> Result<(), Failure> {
        let input: Box<dyn Read> = if is_standard(self.0) {
            Box::new(io::stdin().lock())
        } else {
            let file = File::open(self.0).with_context(|| format!("cannot read {}", self.0.display()));
            Box::new(file.map_err(Failure::Runtime)?)
        };
        let mut teller = Teller::default();
        let input = BufReader::with_capacity(BUFFER_BYTES, input);
        let imported = transfer::import(&store, input, now(), |event| teller.hear(event)).await;
        close(store).await?;
        let counts = imported.map_err(|error| match error {
            TransferError::NotEmpty => Failure::runtime(anyhow!(
                "the store is not empty, and an import adds to nothing: choose another directory with --data-dir"
            )),
            error @ TransferError::Foreign => failed("the import", self.0, error),
            error => {
                let failure = failed("the import", self.0, error);
                Failure::runtime(anyhow!("{failure}; the store is incomplete, remove it"))
            }
        })?;
        teller.end("imported", &counts, "what belongs to nothing was left out")
    }
}

struct Check;

impl StoreTask for Check {
    async fn run<P: Persistence>(self, store: P) -> Result<(), Failure> {
        let mut teller = Teller::default();
        let checked = transfer::check(&store, now(), |event| teller.hear(event)).await;
        let checked = checked.map_err(|error| failed("the check", Path::new("-"), error))?;
        close(store).await?;
        teller.end("checked", &checked.counts, "nothing was changed")
    }
}

async fn close(store: impl Persistence) -> Result<(), Failure> {
    store.close().await.map_err(Failure::runtime)
}

fn is_standard(file: &Path) -> bool {
    file == Path::new("-")
}

fn failed(what: &str, file: &Path, error: TransferError) -> Failure {
    let error = anyhow::Error::from(error);
    let error = match is_standard(file) {
        true => error.context(format!("{what} failed")),
        false => error.context(format!("{what} failed: {}", file.display())),
    };
    Failure::Runtime(error)
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| since.as_millis() as u64))
}

/// What the person who waits is told, on standard error.
struct Teller {
    faults: u64,
    said: Instant,
}

impl Default for Teller {
    fn default() -> Teller {
        Teller { faults: 0, said: Instant::now() }
    }
}

impl Teller {
    fn hear(&mut self, event: Event<'_>) {
        match event {
            Event::Fault(fault) => {
                self.faults += 1;
                say(&format!("fault: {fault}"));
            }
            Event::Progress(counts) if self.said.elapsed() >= SAY_EVERY => {
                self.said = Instant::now();
                say(&format!("{} records so far", counts.total()));
            }
            Event::Progress(_) => {}
        }
    }

    fn end(&self, what: &str, counts: &Counts, about_faults: &str) -> Result<(), Failure> {
        say(&format!("{what}: {counts}"));
        match self.faults {
            0 => Ok(()),
            faults => Err(Failure::runtime(anyhow!("{faults} faults: {about_faults}"))),
        }
    }
}

fn say(line: &str) {
    // Nobody may be reading; the work goes on.
    let _ = writeln!(io::stderr(), "{line}");
}
