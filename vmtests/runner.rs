//! Runs scenarios one after the other on one cluster, and counts.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use futures::future::LocalBoxFuture;
use regent::cli::interrupt;
use regent::cli::show::{Face, Show, duration};
use regent::image::NodeImage;
use regent::lab::Lab;
use regent::machine::{self, Finding, State};
use regent::spec::Driver;
use tokio_util::sync::CancellationToken;

use crate::bench;
use crate::cluster::{Cluster, RECOVERED, Seen};
use crate::place::{self, Place};
use crate::program::Program;

/// A scenario: its name, and how it runs.
pub struct Scenario {
    pub name: &'static str,
    pub run: Run,
}

/// How a scenario runs.
pub enum Run {
    /// On labs of containers of its own, while the shared cluster is not there.
    Alone(fn(&NodeImage) -> Seen),
    /// The same with virtual machines. Skipped where what they need is not installed.
    Machines(fn(&NodeImage) -> Seen),
    /// By the program's commands, on a cluster of their own that the first of them brings up.
    Commands(fn(&Program) -> Seen),
    /// On the shared cluster.
    Shared(for<'a> fn(&'a Cluster) -> LocalBoxFuture<'a, Seen>),
}

/// Runs the scenarios that the arguments ask for; the long ones only by name or with `--soak`.
pub fn main(all: &'static [Scenario], long: &'static [Scenario]) -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--list") {
        all.iter()
            .chain(long)
            .for_each(|scenario| println!("{}: test", scenario.name));
        return ExitCode::SUCCESS;
    }
    // Fails only when a provider is installed already, and then there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    if let Some(runs) = bench_runs(&args) {
        return match bench::bench(runs) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {}", explain(&*error));
                ExitCode::FAILURE
            }
        };
    }
    let chosen = choose(all, long, &args);
    if chosen.is_empty() {
        eprintln!("no scenario has a name with {args:?}; --list names them");
        return 2.into();
    }
    let mut count = Count::default();
    if !switched_on("REGENT_VMTEST") {
        println!("SKIPPED, every scenario: they make a lab, which takes minutes and needs root");
        println!("`just vmtest` runs the main one, `just e2e` all; both set REGENT_VMTEST=1");
        count.skipped = chosen.len();
    } else if let Some(lacking) = lacking(needs()) {
        for scenario in &chosen {
            count.skip(scenario.name, &lacking);
        }
    } else if let Err(error) = run_all(&chosen, &mut count) {
        println!("FAILED  {}", explain(&*error));
        count.failed += 1;
    }
    println!(
        "\n{} passed, {} failed, {} skipped",
        count.passed, count.failed, count.skipped
    );
    if count.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// How many runs `--bench` asks for.
fn bench_runs(args: &[String]) -> Option<usize> {
    let at = args.iter().position(|arg| arg == "--bench")?;
    Some(
        args.get(at + 1)
            .and_then(|runs| runs.parse().ok())
            .unwrap_or(3),
    )
}

/// What became of the scenarios.
#[derive(Default)]
struct Count {
    passed: usize,
    failed: usize,
    skipped: usize,
}

fn choose<'s>(all: &'s [Scenario], long: &'s [Scenario], args: &[String]) -> Vec<&'s Scenario> {
    if args.iter().any(|arg| arg == "--all") {
        return all.iter().collect();
    }
    if args.iter().any(|arg| arg == "--soak") {
        return long.iter().collect();
    }
    let words: Vec<_> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    if words.is_empty() {
        return all.iter().take(1).collect();
    }
    all.iter()
        .chain(long)
        .filter(|scenario| {
            words
                .iter()
                .any(|word| scenario.name.contains(word.as_str()))
        })
        .collect()
}

/// What this machine has for a lab.
fn needs() -> Vec<Finding> {
    let (state, store) = place::directories();
    machine::examine(&state, &store)
}

/// What is missing among the findings, in words.
fn lacking(findings: Vec<Finding>) -> Option<String> {
    let lacking: Vec<_> = findings
        .into_iter()
        .filter_map(|finding| match finding.state {
            State::Missing { what, mend } => Some(format!("{what} ({mend})")),
            State::Fine { .. } | State::Doubtful { .. } => None,
        })
        .collect();
    (!lacking.is_empty()).then(|| format!("lacks what a lab needs: {}", lacking.join("; ")))
}

/// Runs the scenarios that need no cluster, then those that share one.
fn run_all(scenarios: &[&'static Scenario], count: &mut Count) -> Result<(), Box<dyn Error>> {
    let interrupted = interrupt::listen(false)?;
    let show = Show::start(Face::choose(false))?;
    let place = Place::open(&show.events())?;
    // What an earlier run kept is not what this run makes.
    Lab::down(&place.paths, &show.events())?;
    let (mut shared, mut commands) = (Vec::new(), Vec::new());
    for scenario in scenarios {
        match scenario.run {
            Run::Alone(run) => {
                run_alone(scenario.name, run, Driver::Lxc, &place, &show, count);
            }
            Run::Machines(run) => match lacking(machine::for_machines()) {
                Some(lacking) => count.skip(scenario.name, &lacking),
                None => run_alone(scenario.name, run, Driver::Qemu, &place, &show, count),
            },
            Run::Commands(run) => commands.push((scenario.name, run)),
            Run::Shared(run) => shared.push((scenario.name, run)),
        }
        if interrupted.is_cancelled() {
            return Err("interrupted".into());
        }
    }
    if !commands.is_empty() {
        by_command(&commands, &interrupted, &show, count)?;
    }
    if interrupted.is_cancelled() {
        return Err("interrupted".into());
    }
    if shared.is_empty() {
        return Ok(());
    }
    let failed_before = count.failed;
    if let Err(error) = on_cluster(&place, &show, &interrupted, &shared, count) {
        println!("FAILED  {}", explain(&*error));
        count.failed += 1;
    }
    if count.failed > failed_before && keep() {
        println!("{}", way_in());
        return Ok(());
    }
    let begin = begin("nothing_is_left");
    let down = Lab::down(&place.paths, &show.events());
    let result = down
        .map(|()| "the lab is down".to_owned())
        .map_err(Into::into);
    count.end("nothing_is_left", &show, begin, result);
    Ok(())
}

/// Runs a scenario that makes labs of its own, with what their nodes boot.
fn run_alone(
    name: &'static str,
    run: fn(&NodeImage) -> Seen,
    driver: Driver,
    place: &Place,
    show: &Show,
    count: &mut Count,
) {
    let begin = begin(name);
    let image = place.image_of(driver, &show.events());
    let result = image.and_then(|image| guarded(run, &image));
    count.end(name, show, begin, result);
}

/// Runs a scenario to its end; one whose assertion fails has failed, and the others run all the same.
fn guarded(run: fn(&NodeImage) -> Seen, image: &NodeImage) -> Seen {
    std::panic::catch_unwind(|| run(image))
        .unwrap_or_else(|_| Err("an assertion does not hold, see above".into()))
}

/// A scenario by the program's commands.
type ByCommand = (&'static str, fn(&Program) -> Seen);

/// Runs scenarios by the program's commands; the last is the end of their cluster.
fn by_command(
    scenarios: &[ByCommand],
    interrupted: &CancellationToken,
    show: &Show,
    count: &mut Count,
) -> Result<(), Box<dyn Error>> {
    let program = Program::new()?;
    for (name, run) in scenarios {
        let begun = begin(name);
        count.end(name, show, begun, run(&program));
        if interrupted.is_cancelled() {
            break;
        }
    }
    let name = "case_down_time";
    let begun = begin(name);
    count.end(name, show, begun, program.down_at_once());
    Ok(())
}

/// A scenario on the shared cluster.
type OnCluster = (
    &'static str,
    for<'a> fn(&'a Cluster) -> LocalBoxFuture<'a, Seen>,
);

/// Makes the cluster, which is a scenario of its own, and runs the others on it.
fn on_cluster(
    place: &Place,
    show: &Show,
    interrupted: &CancellationToken,
    scenarios: &[OnCluster],
    count: &mut Count,
) -> Result<(), Box<dyn Error>> {
    let first = "from_one_file_to_a_cluster";
    let begun = begin(first);
    let lab = Arc::new(Lab::enter(&place.paths, &place.plan, &show.events())?);
    let runtime = lab.runtime()?;
    lab.enter_network()?;
    let result = runtime.block_on(async {
        let cluster = Cluster::new(place, lab, &show.events()).await?;
        let up = unless(interrupted, cluster.up()).await;
        let nodes = place.plan.nodes.len();
        let result = up.map(|_| format!("{nodes} nodes, every check holds"));
        if !count.end(first, show, begun, result) {
            return Ok(());
        }
        for (name, run) in scenarios {
            let begun = begin(name);
            let result = unless(interrupted, async {
                cluster.is_as_planned().await?;
                let seen = run(&cluster).await?;
                // What it leaves unwell is its own failure, not the next one's.
                cluster.healthy(RECOVERED).await?;
                Ok(seen)
            });
            let passed = count.end(name, show, begun, result.await);
            if interrupted.is_cancelled() || (!passed && keep()) {
                break;
            }
        }
        Ok(())
    });
    // A libvirt call that hangs must not keep the process from going on.
    runtime.shutdown_background();
    result
}

fn begin(name: &str) -> Instant {
    println!("running {name}");
    Instant::now()
}

impl Count {
    /// Says that a scenario does not run, and counts it: where the scenarios are what counts, as a failure.
    fn skip(&mut self, name: &str, lacking: &str) {
        println!("SKIPPED {name}: this machine {lacking}");
        if std::env::var("CI").is_ok_and(|ci| ci == "true") {
            println!("with CI=true that is a failure");
            self.failed += 1;
        } else {
            self.skipped += 1;
        }
    }

    /// Says what became of a scenario, and counts it; true if it passed.
    fn end(&mut self, name: &str, show: &Show, begun: Instant, result: Seen) -> bool {
        show.flush();
        let took = duration(begun.elapsed());
        match result {
            Ok(seen) => {
                println!("ok      {name} ({took}): {seen}");
                self.passed += 1;
                true
            }
            Err(error) => {
                println!("FAILED  {name} ({took}): {}", explain(&*error));
                self.failed += 1;
                false
            }
        }
    }
}

/// Awaits `work` unless the user interrupts.
async fn unless<T>(
    interrupted: &CancellationToken,
    work: impl Future<Output = Result<T, Box<dyn Error>>>,
) -> Result<T, Box<dyn Error>> {
    tokio::select! {
        result = work => result,
        () = interrupted.cancelled() => Err("interrupted".into()),
    }
}

/// Whether to keep the cluster when a scenario failed.
fn keep() -> bool {
    switched_on("REGENT_KEEP")
}

fn switched_on(variable: &str) -> bool {
    std::env::var(variable).is_ok_and(|value| !matches!(value.as_str(), "" | "0"))
}

fn way_in() -> String {
    let regent = format!("{} -f {}", env!("CARGO_BIN_EXE_regent"), place::FILE);
    format!(
        "\nREGENT_KEEP: the cluster runs on. To get in:\n  {regent} status\n  {regent} ssh m1\n  {regent} kubectl get pods -A\nand to end it:\n  {regent} down"
    )
}

/// An error and its causes on one line.
fn explain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}
