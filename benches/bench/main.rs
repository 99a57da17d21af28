//! Measures this inotifywait against the original: CPU per line, set-up, memory, renames, start, latency.
//!
//! ```text
//! storm (what happens)  ->  a watcher: the original, this one, or a floor  ->  measure (what it took)  ->  report
//! ```
//!
//! `cargo bench --bench bench`, or `make bench`. In the environment: ROWS, the groups of rows to measure (all, if
//! there are none); ROUNDS, how often (3); SCALE, the size of the trees as a part of the usual one (1); BENCH_OURS and BENCH_REFERENCE, the programs; BENCH_RELEASE, this one
//! as it is installed (cargo's own for a benchmark is larger: it unwinds when it panics); BENCH_STATIC, the same linked statically, for its
//! start; BENCH_DIR, where
//! (/dev/shm). When every group was measured, with this program and in the usual
//! size, the tables are also put into docs/performance.md, and the plot into docs/setup.svg.

mod arrival_floor;
mod arrivals;
mod file_systems;
mod floors;
mod measure;
mod plot;
mod report;
mod rows;
mod storm;

use std::error::Error;
use std::process::{self, ExitCode};
use std::{env, fs, thread};

use nix::sys::signal::{SigSet, Signal};

use crate::measure::Programs;
use crate::report::Report;

/// What goes wrong here ends the benchmark with its message.
type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Measures one group of rows.
type Measure = fn(&Programs, &mut Report) -> Result<()>;

/// The groups, in the order of the table.
const GROUPS: [(&str, Measure); 13] = [
    ("flood", rows::flood),
    ("bursts", rows::bursts),
    ("timefmt", rows::timefmt),
    ("exclude", rows::exclude),
    ("outfile", rows::outfile),
    ("counting", rows::counting),
    ("setup", rows::setup),
    ("arrivals", arrivals::arrivals),
    ("filesystems", file_systems::file_systems),
    ("start", rows::start),
    ("latency", rows::latency),
    ("interfaces", rows::interfaces),
    ("options", rows::options),
];

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/performance.md");
const PLOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/setup.svg");

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let done = match floors::called(&arguments) {
        Some(floor) => floor,
        None => run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let wanted = env::var("ROWS").unwrap_or_default();
    let wanted: Vec<&str> = wanted.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    if let Some(unknown) = wanted.iter().find(|word| GROUPS.iter().all(|(name, _)| name != *word)) {
        let names = GROUPS.map(|(name, _)| name).join(" ");
        return Err(format!("no rows are called '{unknown}'; there are: {names}").into());
    }
    let programs = Programs::from_environment()?;
    clean_up_when_interrupted(&programs)?;
    let mut report = Report::new(report::machine(&programs)?);
    for (name, measure) in GROUPS {
        if wanted.is_empty() || wanted.contains(&name) {
            measure(&programs, &mut report)?;
        }
    }
    let text = report.text();
    print!("{text}");
    let is_usual = env::var_os("BENCH_OURS").is_none() && programs.is_full_size();
    if wanted.is_empty() && is_usual {
        let document = fs::read_to_string(DOCUMENT).map_err(|error| format!("{DOCUMENT}: {error}"))?;
        fs::write(DOCUMENT, report::replaced(&document, &text)?)?;
        fs::write(PLOT, report.plot())?;
    }
    Ok(())
}

/// Lets SIGINT and SIGTERM remove what was made, which takes memory as long as it is there.
///
/// To be called while the process has one thread. The watchers inherit the blocked signals: they end with their
/// pipes, at the latest on hearing that the directory is gone.
fn clean_up_when_interrupted(programs: &Programs) -> Result<()> {
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
    signals.thread_block()?;
    let dir = programs.dir.path().to_path_buf();
    thread::spawn(move || {
        let signal = signals.wait();
        // The other thread may still be adding to it.
        while dir.exists() {
            let _ = fs::remove_dir_all(&dir);
        }
        process::exit(128 + signal.map_or(0, |signal| signal as i32))
    });
    Ok(())
}
