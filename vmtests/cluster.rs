//! The cluster that the stories share.

use std::error::Error;
use std::fmt::Display;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use jiff::Timestamp;
use regent::event::Events;
use regent::hypervisor::Fault;
use regent::image::NodeImage;
use regent::kubernetes::Kubernetes;
use regent::lab::Lab;
use regent::name::NodeName;
use regent::recipe::{self, Outcome};
use regent::site::Site;
use regent::verify::{self, Ruling, Scenario, Verdict};

use crate::place::{FILE, Place};

/// What became of a story: a line that says what was seen, or why it went wrong.
pub type Told = Result<String, Box<dyn Error>>;

/// The running cluster, and what can be done to it.
pub struct Cluster {
    pub site: Site,
    image: NodeImage,
}

impl Cluster {
    /// The cluster of a lab that was entered; nothing of it need run yet.
    pub async fn new(
        place: &Place,
        lab: Arc<Lab>,
        events: &Events,
    ) -> Result<Self, Box<dyn Error>> {
        let parts = place.image.parts.clone();
        Ok(Self {
            site: Site::open(place.plan.clone(), lab, parts, events.clone()).await?,
            image: place.image.clone(),
        })
    }

    /// Brings the cluster to what was planned, from wherever the story before left it.
    pub async fn up(&self) -> Result<Outcome, Box<dyn Error>> {
        Ok(recipe::up(&self.site, &self.image).await?)
    }

    /// Does a scenario under load; only the verdict `pass` will do, and the cluster must be healthy again.
    pub async fn survives(&self, scenario: Scenario) -> Told {
        let verdict = self.verdict(&scenario).await?;
        if verdict.verdict != Ruling::Pass {
            return Err(verify::summary(&verdict).into());
        }
        self.healthy(RECOVERED).await?;
        Ok(verify::headline(&verdict))
    }

    async fn verdict(&self, scenario: &Scenario) -> Result<Verdict, Box<dyn Error>> {
        let run = verify::run_name(Timestamp::now(), &self.site.plan, scenario);
        let out = Utf8PathBuf::from("evidence").join(run);
        println!("        evidence: {out}/report.html");
        Ok(verify::run(&self.site, scenario, &out).await?)
    }

    /// Waits until every health check holds.
    pub async fn healthy(&self, deadline: Duration) -> Result<(), Box<dyn Error>> {
        let kubernetes = self.kubernetes().await?;
        until("the cluster is healthy", deadline, async || {
            let checks = recipe::health(&self.site, &kubernetes).await;
            let missing: Vec<_> = checks
                .into_iter()
                .filter_map(|check| Some(format!("{}: {}", check.name, check.missing?)))
                .collect();
            if missing.is_empty() {
                Ok(())
            } else {
                Err(missing.join("; "))
            }
        })
        .await
    }

    /// Waits until the API shows a node as Ready, or as not Ready; returns how long that took.
    pub async fn until_ready(
        &self,
        node: &NodeName,
        wanted: bool,
        deadline: Duration,
    ) -> Result<Duration, Box<dyn Error>> {
        let begin = Instant::now();
        let kubernetes = self.kubernetes().await?;
        let what = if wanted { "is Ready" } else { "is not Ready" };
        until(format!("{node} {what}"), deadline, async || {
            let nodes = kubernetes
                .nodes()
                .await
                .map_err(|error| error.to_string())?;
            match nodes.iter().find(|status| status.name == node.as_str()) {
                Some(status) if status.ready == wanted => Ok(()),
                Some(_) => Err(format!("it {}", if wanted { "is not" } else { "still is" })),
                None => Err("the API does not know it".to_owned()),
            }
        })
        .await?;
        Ok(begin.elapsed())
    }

    /// Kills a node's processes.
    pub async fn kill(&self, node: &NodeName) -> Result<(), Box<dyn Error>> {
        self.site.hypervisor.inject(node, Fault::Kill).await?;
        Ok(())
    }

    /// Starts a node that is off.
    pub async fn start(&self, node: &NodeName) -> Result<(), Box<dyn Error>> {
        Ok(self.site.hypervisor.heal(node).await?)
    }

    /// Runs `regent -f FILE ARGS…` to its end; its standard output if it ended with `code`.
    pub fn regent(&self, args: &[&str], code: i32) -> Told {
        let output = Command::new(env!("CARGO_BIN_EXE_regent"))
            .args(["-f", FILE])
            .args(args)
            .output()?;
        if output.status.code() == Some(code) {
            return Ok(String::from_utf8(output.stdout)?);
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        Err(format!("regent {args:?}: {}, not {code}: {stderr}", output.status).into())
    }

    /// What the load balancers' haproxy has logged in the last `time`.
    pub async fn balancer_log(&self, time: Duration) -> Told {
        let mut log = String::new();
        for planned in self.site.plan.load_balancers() {
            let node = self.site.node(&planned.name).ok_or("no such node")?;
            let since = time.as_secs();
            let journal = format!("journalctl --unit haproxy --output cat --since '-{since} s'");
            log += &node.script(journal).run().await?;
        }
        Ok(log)
    }

    async fn kubernetes(&self) -> Result<Kubernetes, Box<dyn Error>> {
        Ok(Kubernetes::connect(&self.site.kubeconfig()).await?)
    }
}

/// How long a healed cluster may take until every check holds: a started node is Ready within 30 s, and CoreDNS
/// then rolls out again.
const RECOVERED: Duration = Duration::from_secs(90);

/// How often a condition is looked at; each look costs a request.
const LOOK: Duration = Duration::from_millis(250);

/// Looks until `condition` holds; at the deadline the error says what the last look saw.
async fn until(
    what: impl Display,
    deadline: Duration,
    mut condition: impl AsyncFnMut() -> Result<(), String>,
) -> Result<(), Box<dyn Error>> {
    let begin = Instant::now();
    loop {
        match condition().await {
            Ok(()) => return Ok(()),
            Err(seen) if begin.elapsed() > deadline => {
                return Err(format!("not within {deadline:?}: {what} ({seen})").into());
            }
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}
