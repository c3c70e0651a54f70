//! How long `up` and `down` take, step by step: `just bench RUNS`.
//!
//! `REGENT_RIVAL` may hold a shell command that brings up the same cluster in another way (a script, kind); it is
//! then timed in turn with regent, since a machine's speed changes from hour to hour.

use std::error::Error;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use regent::cli::show::{Face, Show};
use regent::event::{Event, Events};
use regent::lab::Lab;
use regent::spec::Machine;

use crate::cluster::Cluster;
use crate::place::Place;

/// A step's name and what it took.
type Steps = Vec<(String, Duration)>;

/// Brings the cluster up and down `runs` times and prints a table: a row a step, a column a run, seconds.
pub fn bench(runs: usize) -> Result<(), Box<dyn Error>> {
    let rival = std::env::var("REGENT_RIVAL").ok();
    let show = Show::start(Face::choose(false))?;
    let place = Place::open(&show.events())?;
    show.flush();
    let mut table: Vec<(String, Vec<String>)> = Vec::new();
    for run in 0..runs {
        let mut rows = one_run(&place)?;
        if let Some(rival) = &rival {
            rows.push(("rival".to_owned(), seconds(timed(rival)?)));
        }
        for (name, cell) in rows {
            let row = match table.iter_mut().find(|(known, _)| *known == name) {
                Some((_, row)) => row,
                None => {
                    table.push((name, Vec::new()));
                    &mut table.last_mut().ok_or("a row was just added")?.1
                }
            };
            // A step that the runs before did not have.
            row.resize(run, "-".to_owned());
            row.push(cell);
        }
        println!("run {} of {runs} done", run + 1);
    }
    println!();
    for (name, row) in table {
        let cells: Vec<_> = row.iter().map(|cell| format!("{cell:>9}")).collect();
        println!("{name:<44}{}", cells.join(""));
    }
    Ok(())
}

fn one_run(place: &Place) -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let steps = Arc::new(Mutex::new(Steps::new()));
    let sink = Arc::clone(&steps);
    let events = Events::new(move |event| {
        if let Event::StepFinished {
            step,
            node,
            elapsed,
        } = event
        {
            let name = node.map_or(step.clone(), |node| format!("{node}: {step}"));
            if let Ok(mut steps) = sink.lock() {
                steps.push((name, elapsed));
            }
        }
    });
    Lab::down(&place.paths, &Events::none())?;
    let before = Machine::observe().available_memory;
    let begin = Instant::now();
    let lab = Arc::new(Lab::enter(&place.paths, &place.plan, &events)?);
    let runtime = lab.runtime()?;
    lab.enter_network()?;
    runtime.block_on(async { Cluster::new(place, lab, &events).await?.up().await })?;
    let up = begin.elapsed();
    let after = Machine::observe().available_memory;
    runtime.shutdown_background();
    let begin = Instant::now();
    Lab::down(&place.paths, &Events::none())?;
    let down = begin.elapsed();

    let steps = std::mem::take(&mut *steps.lock().map_err(|_| "a thread panicked")?);
    let mut rows: Vec<_> = steps
        .into_iter()
        .map(|(name, took)| (name, seconds(took)))
        .collect();
    rows.push(("up".to_owned(), seconds(up)));
    rows.push(("down".to_owned(), seconds(down)));
    if let (Some(before), Some(after)) = (before, after) {
        let gib = before.saturating_sub(after) as f64 / f64::from(1u32 << 30);
        rows.push(("memory of the machine, GiB".to_owned(), format!("{gib:.2}")));
    }
    if let Some(kib) = peak_memory() {
        let mib = format!("{:.0}", kib as f64 / 1024.0);
        rows.push(("memory of regent at most, MiB".to_owned(), mib));
    }
    Ok(rows)
}

/// The most memory that this process ever had, in KiB: `VmHWM` of proc(5).
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Runs a shell command and returns how long it took.
fn timed(command: &str) -> Result<Duration, Box<dyn Error>> {
    let begin = Instant::now();
    let status = Command::new("sh").args(["-c", command]).status()?;
    if !status.success() {
        return Err(format!("`{command}`: {status}").into());
    }
    Ok(begin.elapsed())
}

fn seconds(took: Duration) -> String {
    format!("{:.2}", took.as_secs_f64())
}
