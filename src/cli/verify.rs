//! `regent verify`

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use futures::future::join_all;
use jiff::Timestamp;

use super::context::Context;
use super::failure::{Failure, Outcome};
use super::lab::no_such_node;
use crate::fault::{self, Impairment};
use crate::lab;
use crate::name::NodeName;
use crate::ops::{Hold, Opened};
use crate::plan::Plan;
use crate::provider::{self, DomainState, Strength};
use crate::site::Site;
use crate::spec::Limit;
use crate::verify::{self, Fault, Ruling, Scenario, Target, Verdict};

/// Inject a fault under load, measure the outage, and judge
///
/// With `--during` a command takes the fault's place: an upgrade, a node replaced, anything.
///
/// Ends with exit code 0 for the verdict `pass`, 1 for `fail` (a budget or an invariant is broken) and for `void`
/// (the run proves nothing: the fault did not bite, the load was too low, or the cluster was sick before).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent verify                             cut the power of the etcd leader's node
  regent verify --target any-worker         of the worker that runs the most of the test's pods
  regent verify --fault pause --target m2   suspend one node
  regent verify --times 10                  ten runs in a row, summed up; ends at the first that is no pass
  regent verify --during 'regent up'        what does it cost clients to bring the cluster to what the file says now?
  regent verify --judge evidence/RUN        judge kept evidence again")]
pub struct Verify {
    /// What happens
    #[arg(long, value_enum, default_value_t = FaultArg::PowerCut)]
    fault: FaultArg,
    /// To which node: `etcd-leader`, `etcd-follower`, `any-worker`, or a name
    #[arg(long, value_name = "NODE", default_value = "etcd-leader")]
    target: Target,
    /// Of `packet-loss`: how many of a hundred
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=100))]
    percent: u8,
    /// Of `packet-delay`: how late
    #[arg(long, default_value_t = 200)]
    milliseconds: u32,
    /// Of `clock-ahead`: how far
    #[arg(long, default_value_t = 300)]
    seconds: u32,
    /// Seconds from the fault to its reversal; without, long enough for the fault's effects
    #[arg(long, value_name = "SECONDS")]
    hold: Option<u64>,
    /// Leave the fault in place
    #[arg(long)]
    no_heal: bool,
    /// How many runs in a row
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,
    /// Where the evidence goes: one directory a run
    #[arg(long, value_name = "DIR", default_value = "evidence")]
    out: Utf8PathBuf,
    /// No fault but this command, run by `sh` in this directory; it may change the cluster
    #[arg(
        long,
        value_name = "COMMAND",
        value_parser = NonEmptyStringValueParser::new(),
        conflicts_with_all = ["fault", "target", "percent", "milliseconds", "seconds", "hold", "no_heal", "times"]
    )]
    during: Option<String>,
    /// Of `--during`: how long any client may be without the cluster; with `0s` no request may fail
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "2s",
        requires = "during"
    )]
    budget: Limit,
    /// Of `--during`: how long the command may take
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "30m",
        requires = "during"
    )]
    timeout: Limit,
    /// Judge the evidence in this directory again; no cluster is needed
    #[arg(long, value_name = "DIR", conflicts_with_all = ["fault", "target", "hold", "no_heal", "times", "out", "during"])]
    judge: Option<Utf8PathBuf>,
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FaultArg {
    /// The node ends at once, and its peers hear nothing
    PowerCut,
    /// The node's processes are killed one by one, and its peers see connections closed
    Kill,
    /// The node shuts down in an orderly way
    Stop,
    /// The node's processors stop
    Pause,
    /// The node's cable is out: it lives and hears nobody
    LinkDown,
    /// Its reset button is pressed (virtual machines)
    Reset,
    /// Its disk answers ten requests a second (virtual machines)
    SlowDisk,
    /// It loses some of the packets that it receives: `--percent`
    PacketLoss,
    /// It sends every packet late: `--milliseconds`
    PacketDelay,
    /// Its disk is filled to the last block (virtual machines)
    DiskFull,
    /// Its clock is put ahead: `--seconds` (virtual machines)
    ClockAhead,
    /// The load balancer's service restarts; `--target` has no meaning
    RestartLoadBalancer,
}

impl Verify {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        if let Some(directory) = &self.judge {
            let verdict = verify::evaluate(directory)?;
            return conclude(context, &verdict);
        }
        // Its thread must not be in the lab's network.
        let operation = self
            .during
            .as_deref()
            .map(|command| verify::Operation::prepare(command, self.timeout.0));
        let operation = operation.transpose()?;
        // From start to end: what else changed the cluster meanwhile would be in the verdict.
        let opened = context.opened(Hold::Change)?;
        self.check_target(&opened.plan)?;
        if let Some(active) = opened.record.faults.first() {
            let lab::ActiveFault {
                node,
                fault,
                revert,
                ..
            } = active;
            return Err(Failure::operation(format!(
                "a fault is in force already: {node}, {fault}"
            ))
            .hint(format!("`{revert}` reverts it")));
        }
        context.show.record(&opened.lab.paths().events());
        if let Some(operation) = operation {
            return self.judge_operation(context, opened, &operation);
        }
        let scenario = self.scenario();
        context.on_opened(opened, async |site| {
            if let Fault::Node { fault, .. } = &scenario.fault
                && let Strength::Missing(why) = fault.strength(&*site.provider, site.plan.driver)
            {
                let what = format!("{} cannot be done to this cluster: {why}", fault.name());
                return Err(Failure::operation(what));
            }
            let mut verdicts = Vec::new();
            let mut outcome = Outcome::Done;
            while outcome == Outcome::Done && (verdicts.len() as u64) < u64::from(self.times) {
                // What the run before has moved has to be at rest again.
                at_rest(context, &site).await?;
                let out = self
                    .out
                    .join(verify::run_name(Timestamp::now(), &site.plan, &scenario));
                let verdict = healed_at_interrupt(context, &site, &scenario, &out).await?;
                outcome = conclude(context, &verdict)?;
                verdicts.push(verdict);
            }
            if self.times > 1 {
                let series = verify::series(&verdicts);
                context.print(&format!("\n{}", series.text()), &series)?;
            }
            Ok(outcome)
        })
    }

    /// Runs the command under load. What it leaves of the cluster, also when it is interrupted, is its own affair.
    fn judge_operation(
        &self,
        context: &Context,
        opened: Opened,
        operation: &verify::Operation,
    ) -> Result<Outcome, Failure> {
        let scenario = operation.scenario();
        context.on_opened(opened, async |site| {
            at_rest(context, &site).await?;
            let out = self
                .out
                .join(verify::run_name(Timestamp::now(), &site.plan, &scenario));
            let verdict = verify::during(&site, operation, self.budget.0, &out).await?;
            if context.interrupt.is_cancelled() {
                let left = format!("the command was ended; what was seen until then is in {out}");
                return Err(Failure::interrupted(left));
            }
            conclude(context, &verdict)
        })
    }

    fn check_target(&self, plan: &Plan) -> Result<(), Failure> {
        match &self.target {
            Target::Node(name) if plan.node(name).is_none() => Err(no_such_node(plan, name)),
            _ => Ok(()),
        }
    }

    fn scenario(&self) -> Scenario {
        use provider::Fault::{Kill, LinkDown, Pause, PowerCut, Reset, SlowDisk, Stop};
        let node = |fault| Fault::Node {
            fault,
            target: self.target.clone(),
        };
        let outside = |fault| node(fault::Fault::Outside(fault));
        let within = |impairment| node(fault::Fault::Within(impairment));
        let delay = Duration::from_millis(self.milliseconds.into());
        let ahead = Duration::from_secs(self.seconds.into());
        let mut scenario = Scenario::new(match self.fault {
            FaultArg::PowerCut => outside(PowerCut),
            FaultArg::Kill => outside(Kill),
            FaultArg::Stop => outside(Stop),
            FaultArg::Pause => outside(Pause),
            FaultArg::LinkDown => outside(LinkDown),
            FaultArg::Reset => outside(Reset),
            FaultArg::SlowDisk => outside(SlowDisk),
            FaultArg::PacketLoss => within(Impairment::PacketLoss(self.percent)),
            FaultArg::PacketDelay => within(Impairment::PacketDelay(delay)),
            FaultArg::DiskFull => within(Impairment::DiskFull),
            FaultArg::ClockAhead => within(Impairment::ClockAhead(ahead)),
            FaultArg::RestartLoadBalancer => Fault::RestartLoadBalancer,
        });
        if let Some(seconds) = self.hold {
            scenario.hold = Duration::from_secs(seconds);
        }
        scenario.heal = !self.no_heal;
        scenario
    }
}

/// Before a run everything that a run needs must hold within this: after the loss of a worker its pods are on their way
/// for half a minute.
const AT_REST: Duration = Duration::from_secs(120);

/// What an interrupt before a run leaves.
const UNTOUCHED: &str = "the cluster is as it was";

/// Waits until everything that a run needs holds. What is still missing then is in the verdict.
async fn at_rest(context: &Context, site: &Site) -> Result<(), Failure> {
    tokio::select! {
        _ = verify::await_preconditions(site, AT_REST) => Ok(()),
        () = context.interrupt.cancelled() => Err(Failure::interrupted(UNTOUCHED)),
    }
}

/// How long an interrupted run may take to heal what it did and to write down what there is: the start of a node, and a
/// last read that fails.
const WIND_UP: Duration = Duration::from_secs(120);

/// How long one node may take until it is as it was and answers: an emulated machine boots for a minute or more.
const HEAL: Duration = Duration::from_secs(200);

/// Does the scenario. A signal ends it early: the run heals what it did and leaves its evidence; then whatever ran
/// before runs again, as far as that can be had, one node's failure keeping no other from it.
async fn healed_at_interrupt(
    context: &Context,
    site: &Site,
    scenario: &Scenario,
    out: &Utf8Path,
) -> Result<Verdict, Failure> {
    let before = site.provider.nodes().await?;
    let late = async {
        context.interrupt.cancelled().await;
        tokio::time::sleep(WIND_UP).await;
    };
    let verdict = tokio::select! {
        verdict = verify::run(site, scenario, out) => Some(verdict),
        () = late => None,
    };
    if !context.interrupt.is_cancelled() {
        return match verdict {
            Some(verdict) => Ok(verdict?),
            None => Err(Failure::operation("the run did not end")),
        };
    }
    let running = before
        .into_iter()
        .filter(|(_, state)| *state == DomainState::Running);
    let healed = join_all(running.map(|(node, _)| async move {
        let healing = tokio::time::timeout(HEAL, fault::revert(site, &node)).await;
        match healing {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some((node, error.to_string())),
            Err(_) => Some((node, format!("not within {} s", HEAL.as_secs()))),
        }
    }))
    .await;
    Err(interrupted(
        matches!(verdict, Some(Ok(_))).then_some(out),
        healed.into_iter().flatten().collect(),
    ))
}

/// What an interrupted run leaves: its evidence, and the nodes that could not be healed.
fn interrupted(evidence: Option<&Utf8Path>, sick: Vec<(NodeName, String)>) -> Failure {
    let evidence = match evidence {
        Some(out) => format!("what was seen until then is in {out}"),
        None => "there is no evidence of the run".to_owned(),
    };
    if sick.is_empty() {
        return Failure::interrupted(format!("every node that ran before runs again; {evidence}"));
    }
    let failure = Failure::interrupted(evidence);
    sick.into_iter().fold(failure, |failure, (node, why)| {
        failure.hint(format!(
            "{node} could not be healed ({why}): `regent node heal {node}`"
        ))
    })
}

fn conclude(context: &Context, verdict: &Verdict) -> Result<Outcome, Failure> {
    context.print(&verify::summary(verdict), verdict)?;
    Ok(match verdict.verdict {
        Ruling::Pass => Outcome::Done,
        Ruling::Fail | Ruling::Void => Outcome::NotPassed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One node that cannot be healed keeps no other from it, and is named with what to do.
    #[test]
    fn case_sighup_an_interrupted_run_says_what_it_leaves() {
        let out = Utf8Path::new("evidence/run");
        let clean = interrupted(Some(out), vec![]);
        assert_eq!(
            clean.hints(),
            ["every node that ran before runs again; what was seen until then is in evidence/run"]
        );
        let sick = ["m1", "w2"].map(|node| (node.parse().unwrap(), "no answer".to_owned()));
        let failed = interrupted(None, sick.into());
        assert_eq!(
            failed.hints(),
            [
                "there is no evidence of the run",
                "m1 could not be healed (no answer): `regent node heal m1`",
                "w2 could not be healed (no answer): `regent node heal w2`",
            ]
        );
    }
}
