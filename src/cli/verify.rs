//! `regent verify`

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::context::Context;
use super::failure::{Failure, Outcome};
use super::lab::no_such_node;
use crate::hypervisor::{self, DomainState};
use crate::plan::Plan;
use crate::site::Site;
use crate::verify::{self, Fault, Ruling, Scenario, Target, Verdict};

/// Inject a fault under load, measure the outage, and judge
///
/// Ends with exit code 0 for the verdict `pass`, 1 for `fail` (a budget or an invariant is broken) and for `void`
/// (the run proves nothing: the fault did not bite, the load was too low, or the cluster was sick before).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent verify                             cut the power of the etcd leader's node
  regent verify --target any-worker         of the worker that runs the most of the test's pods
  regent verify --fault pause --target m2   suspend one node
  regent verify --times 10                  ten runs in a row; ends at the first that is no pass
  regent verify --judge evidence/RUN        judge kept evidence again")]
pub struct Verify {
    /// What happens
    #[arg(long, value_enum, default_value_t = FaultArg::PowerCut)]
    fault: FaultArg,
    /// To which node: `etcd-leader`, `etcd-follower`, `any-worker`, or a name
    #[arg(long, value_name = "NODE", default_value = "etcd-leader")]
    target: Target,
    /// Seconds from the fault to its healing; without, long enough for the fault's effects
    #[arg(long, value_name = "SECONDS")]
    hold: Option<u64>,
    /// Leave the fault in place
    #[arg(long)]
    no_heal: bool,
    /// How many runs in a row
    #[arg(long, value_name = "N", default_value_t = 1)]
    times: u32,
    /// Where the evidence goes: one directory a run
    #[arg(long, value_name = "DIR", default_value = "evidence")]
    out: Utf8PathBuf,
    /// Judge the evidence in this directory again; no cluster is needed
    #[arg(long, value_name = "DIR", conflicts_with_all = ["fault", "target", "hold", "no_heal", "times", "out"])]
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
    /// The load balancer's service restarts; `--target` has no meaning
    RestartLoadBalancer,
}

impl Verify {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        if let Some(directory) = &self.judge {
            let verdict = verify::evaluate(directory)?;
            return conclude(context, &verdict);
        }
        let plan = context.plan()?;
        self.check_target(&plan)?;
        let lab = context.lab(&plan)?;
        let parts = context.image(&plan)?.parts;
        context.show.record(&lab.paths().events());
        let scenario = self.scenario();
        context.on_lab(lab, plan, parts, async |site| {
            for _ in 0..self.times {
                let out = self
                    .out
                    .join(verify::run_name(Timestamp::now(), &site.plan, &scenario));
                let verdict = healed_at_interrupt(context, &site, &scenario, &out).await?;
                if conclude(context, &verdict)? == Outcome::NotPassed {
                    return Ok(Outcome::NotPassed);
                }
            }
            Ok(Outcome::Done)
        })
    }

    fn check_target(&self, plan: &Plan) -> Result<(), Failure> {
        match &self.target {
            Target::Node(name) if plan.node(name).is_none() => Err(no_such_node(plan, name)),
            _ => Ok(()),
        }
    }

    fn scenario(&self) -> Scenario {
        let node = |fault| Fault::Node {
            fault,
            target: self.target.clone(),
        };
        let mut scenario = Scenario::new(match self.fault {
            FaultArg::PowerCut => node(hypervisor::Fault::PowerCut),
            FaultArg::Kill => node(hypervisor::Fault::Kill),
            FaultArg::Stop => node(hypervisor::Fault::Stop),
            FaultArg::Pause => node(hypervisor::Fault::Pause),
            FaultArg::LinkDown => node(hypervisor::Fault::LinkDown),
            FaultArg::RestartLoadBalancer => Fault::RestartLoadBalancer,
        });
        if let Some(seconds) = self.hold {
            scenario.hold = Duration::from_secs(seconds);
        }
        scenario.heal = !self.no_heal;
        scenario
    }
}

/// What an interrupted run leaves.
const HEALED: &str = "every node that ran before runs again, and there is no verdict";

/// Does the scenario. An interrupt ends the load, and starts again what ran before.
async fn healed_at_interrupt(
    context: &Context,
    site: &Site,
    scenario: &Scenario,
    out: &Utf8Path,
) -> Result<Verdict, Failure> {
    let before = site.hypervisor.nodes().await?;
    tokio::select! {
        verdict = verify::run(site, scenario, out) => Ok(verdict?),
        () = context.interrupt.cancelled() => {
            for (node, state) in &before {
                if *state == DomainState::Running {
                    site.hypervisor.heal(node).await?;
                }
            }
            Err(Failure::interrupted(HEALED))
        }
    }
}

fn conclude(context: &Context, verdict: &Verdict) -> Result<Outcome, Failure> {
    context.print(&verify::summary(verdict), verdict)?;
    Ok(match verdict.verdict {
        Ruling::Pass => Outcome::Done,
        Ruling::Fail | Ruling::Void => Outcome::NotPassed,
    })
}
