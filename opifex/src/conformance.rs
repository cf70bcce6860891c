//! `opifex conformance`: holds any broker to the statements of the standard. What the statements and the cases are, the
//! crate `opifex-conformance` knows; here are the files, the progress and the exit code.

use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, anyhow};
use opifex_conformance::statements::{CaseReport, CaseVerdict, Descriptor, Options, TcpTarget, run};
use opifex_packet::Version;

use crate::cli::{ConformanceArgs, Mqtt};
use crate::failure::Failure;

/// Runs the cases; the exit code tells whether one failed.
pub(crate) fn conformance(args: &ConformanceArgs) -> Result<ExitCode, Failure> {
    let descriptor = match &args.descriptor {
        None => Descriptor::default(),
        Some(file) => {
            let text = std::fs::read_to_string(file).with_context(|| file.display().to_string());
            let text = text.map_err(Failure::usage)?;
            Descriptor::parse(&text)
                .map_err(|error| Failure::usage(anyhow!("{}: {error}", file.display())))?
        }
    };
    let versions = match args.mqtt {
        None => vec![Version::V3_1_1, Version::V5_0],
        Some(Mqtt::V3_1_1) => vec![Version::V3_1_1],
        Some(Mqtt::V5_0) => vec![Version::V5_0],
    };
    let options = Options { versions, only: args.only.clone(), name: name(), ..Options::default() };
    let options = options.with_concurrency(args.jobs.get());
    if options.cases() == 0 {
        let only = args.only.as_deref().unwrap_or_default();
        return Err(Failure::usage(anyhow!("no case shows a statement that begins with {only:?}")));
    }
    // Nobody waits minutes for a report that cannot be written.
    let json = args.json.as_ref().map(|file| {
        let opened = File::options().write(true).create(true).truncate(false).open(file);
        opened.with_context(|| file.display().to_string())
    });
    let json = json.transpose().map_err(Failure::usage)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::runtime)?;

    let mut progress = Progress::new(args.verbose);
    let target = Arc::new(TcpTarget::new(args.broker.as_str()));
    let report = runtime.block_on(run(target, descriptor, options, |case| progress.show(case)));
    // Nobody is to be tested, so nothing was found: as wrong as a wrong flag.
    let report = report.map_err(|error| Failure::usage(anyhow!("{}: {error}", args.broker)))?;
    progress.end();

    // A reader that leaves early does not change what was found.
    let _ = std::io::stdout().write_all(report.text().as_bytes());
    if let Some(mut file) = json {
        let written = file.set_len(0).and_then(|()| file.write_all(report.json().as_bytes()));
        written.context("the report").map_err(Failure::runtime)?;
    }
    if let Some(why) = &report.ended_early {
        return Err(Failure::runtime(anyhow!("{}: {why}", args.broker)));
    }
    Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Letters and digits that no other run has in the same two weeks.
fn name() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis());
    let mut rest = now % 36_u128.pow(6);
    let mut name = String::from("c");
    for _ in 0..6 {
        name.push(char::from_digit((rest % 36) as u32, 36).unwrap_or('0'));
        rest /= 36;
    }
    name
}

/// One line on standard error: a terminal sees it change, a file gets the failures alone.
struct Progress {
    verbose: bool,
    terminal: bool,
    ended: usize,
    failed: usize,
}

impl Progress {
    fn new(verbose: bool) -> Progress {
        Progress { verbose, terminal: std::io::stderr().is_terminal(), ended: 0, failed: 0 }
    }

    fn show(&mut self, case: &CaseReport) {
        self.ended += 1;
        let failed = matches!(case.verdict, CaseVerdict::Failed(_));
        self.failed += usize::from(failed);
        let word = match &case.verdict {
            CaseVerdict::Passed => "passed".to_owned(),
            CaseVerdict::Failed(_) => "FAILED".to_owned(),
            CaseVerdict::NotApplicable(what) => format!("not applicable: it needs {what}"),
        };
        let mut stderr = std::io::stderr().lock();
        // Progress that nobody sees is no failure.
        if self.terminal {
            let _ = write!(stderr, "\r\x1b[K");
        }
        if self.verbose || failed {
            let seconds = case.duration.as_secs_f64();
            let _ = writeln!(stderr, "{} in {}: {word} ({seconds:.2} s)", case.id, case.version);
        }
        if self.terminal {
            let _ = write!(stderr, "{} cases, {} failed", self.ended, self.failed);
            let _ = stderr.flush();
        }
    }

    fn end(&self) {
        if self.terminal {
            let _ = writeln!(std::io::stderr());
        }
    }
}
