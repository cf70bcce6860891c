//! A process of one's own that writes to a store and is killed: the test program once more, with nothing to run but the
//! test that is running, which finds orders in its environment and is the child.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{env, io, process, thread};

use opifex_storage::{Durability, Persistence};

use super::books::Books;
use super::scribe::Scribe;
use super::told::{Line, Tell};
use crate::{Directory, Factory};

const ORDERS: &str = "OPIFEX_CONFORMANCE_CHILD";
const DIRECTORY: &str = "OPIFEX_CONFORMANCE_CHILD_DIRECTORY";
const TELL: &str = "OPIFEX_CONFORMANCE_CHILD_TELL";

/// How long a child may take for what it is asked, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a child does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Orders {
    /// Case and factory: others of the same test do as always.
    pub(crate) who: String,
    pub(crate) directory: PathBuf,
    pub(crate) seed: u64,
    pub(crate) durability: Durability,
    pub(crate) writers: usize,
    /// Of each writer.
    pub(crate) steps: usize,
    /// The file in which it tells; `None`: standard output.
    pub(crate) tell: Option<PathBuf>,
}

impl Orders {
    /// The orders of this process, if it is such a child.
    pub(crate) fn of_this_process(who: &str) -> Option<Orders> {
        let text = env::var(ORDERS).ok()?;
        let mut words = text.rsplitn(5, ' ').collect::<Vec<_>>().into_iter().rev();
        let is_meant = words.next()? == who;
        let mut number = || words.next()?.parse::<u64>().ok();
        let (seed, level, writers, steps) = (number()?, number()?, number()?, number()?);
        is_meant.then(|| Orders {
            who: who.to_owned(),
            directory: env::var_os(DIRECTORY).map(PathBuf::from).unwrap_or_default(),
            seed,
            durability: if level == 0 { Durability::Process } else { Durability::Disk },
            writers: writers as usize,
            steps: steps as usize,
            tell: env::var_os(TELL).map(PathBuf::from),
        })
    }

    pub(crate) fn scribe(&self, writer: usize) -> Scribe {
        Scribe { writer, seed: self.seed, durability: self.durability, steps: self.steps }
    }

    /// Whether this process is the child of another case: then there is nothing to do in this one.
    pub(crate) fn are_of_another(who: &str) -> bool {
        env::var_os(ORDERS).is_some() && Orders::of_this_process(who).is_none()
    }

    /// The command that starts the child.
    ///
    /// # Errors
    /// When the test does not know its own name.
    pub(crate) fn command(&self) -> Result<Command, String> {
        let program = env::current_exe().map_err(|error| format!("the test program has no path: {error}"))?;
        let mut command = Command::new(program);
        command.args([&own_test()?, "--exact", "--nocapture", "--test-threads=1"]);
        let level = u64::from(self.durability > Durability::Process);
        let Orders { who, seed, writers, steps, .. } = self;
        command.env(ORDERS, format!("{who} {seed} {level} {writers} {steps}"));
        command.env(DIRECTORY, &self.directory);
        match &self.tell {
            Some(file) => command.env(TELL, file),
            None => command.env_remove(TELL),
        };
        // It reports to us alone.
        command.env_remove("OPIFEX_CONFORMANCE_REPORT");
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        Ok(command)
    }
}

/// The name of the test that is running: libtest and nextest name its thread so.
fn own_test() -> Result<String, String> {
    let of_thread = thread::current().name().filter(|name| *name != "main").map(str::to_owned);
    // With one thread a test may run on the program's own.
    let asked = || env::args().skip_while(|word| word != "--exact").nth(1);
    of_thread.or_else(asked).filter(|name| !name.starts_with('-')).ok_or_else(|| {
        "a child process is started as the test that is running, and this one does not run in a thread of its name"
            .to_owned()
    })
}

/// The child's part: writes until it is killed, or has made all its steps. It never returns to the test.
pub(crate) async fn obey<F: Factory>(factory: Arc<F>, orders: Orders) -> ! {
    // The line in which the test's name stands is none of ours.
    println!();
    match write(&*factory, &orders).await {
        Ok(()) => process::exit(0),
        Err(what) => {
            eprintln!("the child of {}: {what}", orders.who);
            process::exit(1);
        }
    }
}

async fn write<F: Factory>(factory: &F, orders: &Orders) -> Result<(), String> {
    let place = factory.adopt(&orders.directory).ok_or("the factory adopts no directory")?;
    let store = factory.open(&place).await.map_err(|error| format!("the store does not open: {error}"))?;
    let books = Books::read(&store).await?;
    match &orders.tell {
        None => write_all(factory, &store, orders, &books, &Output)?,
        Some(file) => {
            let file = File::create(file).map_err(|error| format!("{}: {error}", file.display()))?;
            write_all(factory, &store, orders, &books, &Told(Mutex::new(file)))?;
        }
    }
    store.close().await.map_err(|error| format!("the store does not close: {error}"))
}

/// All writers at once, each in a thread of its own.
///
/// # Errors
/// The first one of a writer.
pub(crate) fn write_all<F: Factory>(
    factory: &F,
    store: &F::Store,
    orders: &Orders,
    books: &Books,
    tell: &impl Tell,
) -> Result<(), String> {
    thread::scope(|scope| {
        let write = |writer| move || factory.block_on(orders.scribe(writer).write(store, books, tell));
        let writers: Vec<_> = (0..orders.writers).map(|writer| scope.spawn(write(writer))).collect();
        writers
            .into_iter()
            .try_for_each(|writer| writer.join().map_err(|_| "a writer panicked".to_owned())?)
    })
}

struct Output;

impl Tell for Output {
    fn tell(&self, line: &Line) {
        let mut output = io::stdout().lock();
        // One write a line, so that a kill leaves whole lines. When nobody listens there is nothing to do here.
        if output.write_all(format!("{line}\n").as_bytes()).and_then(|()| output.flush()).is_err() {
            process::exit(1);
        }
    }
}

struct Told(Mutex<File>);

impl Tell for Told {
    fn tell(&self, line: &Line) {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(format!("{line}\n").as_bytes()).expect("the file for what is told takes it");
    }
}

/// When a child is killed.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Kill {
    /// So long behind so many lines.
    Behind(usize, Duration),
    /// So long behind its start.
    After(Duration),
    /// It ends by itself.
    Never,
}

/// How a child ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) lines: Vec<Line>,
    pub(crate) was_killed: bool,
    pub(crate) success: bool,
    /// How long it took to its first line.
    pub(crate) first_line: Option<Duration>,
}

/// Runs a child to its end, with SIGKILL or by itself, and reads all that it tells on standard output.
///
/// # Errors
/// It does not start, or hangs.
pub(crate) fn run(mut command: Command, kill: Kill) -> Result<Ended, String> {
    let begun = Instant::now();
    // What a child has made elsewhere when it is killed goes with this.
    let scratch = Directory::new();
    command.env("TMPDIR", scratch.path());
    let mut child = command.spawn().map_err(|error| format!("the child does not start: {error}"))?;
    let output = BufReader::new(child.stdout.take().expect("it is piped"));
    let child = Arc::new(Mutex::new(child));
    let (ended, hears) = channel::<()>();
    let watch = {
        let child = Arc::clone(&child);
        let first = if let Kill::After(pause) = kill { pause } else { PATIENCE };
        thread::spawn(move || {
            let is_over = |wait| hears.recv_timeout(wait) != Err(RecvTimeoutError::Timeout);
            !is_over(first) && kill_now(&child)
        })
    };
    let (mut lines, mut was_killed, mut first_line) = (Vec::new(), false, None);
    for text in read_lines(output) {
        lines.extend(Line::parse(&text));
        if !lines.is_empty() {
            first_line.get_or_insert_with(|| begun.elapsed());
        }
        if let Kill::Behind(enough, pause) = kill
            && !was_killed
            && lines.len() >= enough
        {
            thread::sleep(pause);
            // What is still in the pipe was told, too, and is read on.
            was_killed = kill_now(&child);
        }
    }
    drop(ended);
    let in_time = !watch.join().expect("it only waits");
    let status = child.lock().unwrap_or_else(PoisonError::into_inner).wait();
    let success = status.map_err(|error| format!("nobody knows how the child ended: {error}"))?.success();
    match kill {
        Kill::After(_) => Ok(Ended { lines, was_killed: !in_time, success, first_line }),
        _ if in_time => Ok(Ended { lines, was_killed, success, first_line }),
        _ => Err(format!("the child made {} lines of progress and then none for {PATIENCE:?}", lines.len())),
    }
}

/// Whole lines, until the pipe is closed; a kill leaves half a line at the most, which counts for nothing.
fn read_lines(mut output: impl BufRead) -> impl Iterator<Item = String> {
    std::iter::from_fn(move || {
        let mut line = Vec::new();
        output.read_until(b'\n', &mut line).ok()?;
        line.ends_with(b"\n").then(|| String::from_utf8_lossy(&line).trim_end().to_owned())
    })
}

/// Whether it was still there.
fn kill_now(child: &Mutex<Child>) -> bool {
    let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
    matches!(child.try_wait(), Ok(None)) && child.kill().is_ok()
}

/// Whether something of the orders is missing that the factory has to bring.
///
/// # Errors
/// What is missing.
pub(crate) fn can_adopt<F: Factory>(factory: &F, directory: &Path) -> Result<(), String> {
    let place = factory.adopt(directory);
    let place = place.ok_or("the factory does not adopt directories (`Factory::adopt`)")?;
    match factory.directory(&place) {
        Some(of_place) if of_place == directory => Ok(()),
        _ => {
            Err("`Factory::directory` does not answer the directory that `Factory::adopt` was given"
                .to_owned())
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_a_child_made_elsewhere_goes_with_it() {
        let beside = Directory::new();
        let note = beside.path().join("note");
        let mut command = Command::new("sh");
        command
            .args(["-c", "mkdir $TMPDIR/left; echo $TMPDIR > $0; echo opifex-told 0 base 1; exec sleep 600"]);
        command.arg(&note).stdin(Stdio::null()).stdout(Stdio::piped());
        let ended = run(command, Kill::Behind(1, Duration::ZERO)).expect("it starts");
        assert!(ended.was_killed);
        let scratch = std::fs::read_to_string(note).expect("it has written before it was killed");
        assert!(Path::new(scratch.trim_end()).is_absolute());
        assert!(!Path::new(scratch.trim_end()).exists(), "{scratch}");
    }
}
