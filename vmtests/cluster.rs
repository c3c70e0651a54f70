//! The cluster that the scenarios share.

use std::error::Error;
use std::fmt::Display;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use jiff::Timestamp;
use regent::event::{Event, Events};
use regent::image::NodeImage;
use regent::kubernetes::Kubernetes;
use regent::lab::Lab;
use regent::name::NodeName;
use regent::plan::Plan;
use regent::provider::Fault;
use regent::recipe::{self, Outcome};
use regent::site::Site;
use regent::spec::Driver;
use regent::verify::{self, Ruling, Scenario, Verdict};

use crate::place::{FILE, Place};

/// What became of a scenario: a line that says what was seen, or why it went wrong.
pub type Seen = Result<String, Box<dyn Error>>;

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
        let site = Site::open(place.plan.clone(), lab, parts, events.clone()).await?;
        Ok(Self::on(site, place.image.clone()))
    }

    /// The cluster of a site whose nodes boot this image.
    pub fn on(site: Site, image: NodeImage) -> Self {
        Self { site, image }
    }

    /// The same cluster, of which another plan is wanted.
    pub fn wanted(&self, change: impl FnOnce(&mut Plan)) -> Self {
        let mut site = self.site.clone();
        change(&mut site.plan);
        Self::on(site, self.image.clone())
    }

    /// Brings the cluster to what was planned, from wherever it is.
    pub async fn up(&self) -> Result<Outcome, Box<dyn Error>> {
        self.site.lab.boots(&self.image, None)?;
        Ok(recipe::up(&self.site, &self.image).await?)
    }

    /// Has `up` look that there is nothing to do; else it does it, so that only one scenario fails, and the error says what.
    pub async fn is_as_planned(&self) -> Result<(), Box<dyn Error>> {
        let done = Arc::new(Mutex::new(Vec::new()));
        let mut watched = Self::on(self.site.clone(), self.image.clone());
        watched.site.events = {
            let (done, events) = (Arc::clone(&done), self.site.events.clone());
            Events::new(move |event| {
                let line = match &event {
                    Event::StepStarted { step, node: None } => Some(step.clone()),
                    Event::StepStarted {
                        step,
                        node: Some(node),
                    } => Some(format!("{step} {node}")),
                    Event::Observed { subject, what } => Some(format!("{subject}: {what}")),
                    _ => None,
                };
                let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                done.extend(line);
                events.emit(event);
            })
        };
        let outcome = watched.up().await?;
        let done = done.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Outcome::Unchanged => Ok(()),
            Outcome::Changed => {
                Err(format!("`up` had something to do: {}", done.join("; ")).into())
            }
        }
    }

    /// Does a scenario under load; only the verdict `pass` will do, and the cluster must be healthy again. A run that is
    /// void proves nothing either way, as on a machine that stalled: there is another one, and only one.
    pub async fn survives(&self, scenario: Scenario) -> Seen {
        let mut verdict = self.verdict(&scenario).await?;
        if verdict.verdict == Ruling::Void {
            println!("        once more: {}", verdict.reasons.join("; "));
            self.healthy(RECOVERED).await?;
            verdict = self.verdict(&scenario).await?;
        }
        if verdict.verdict != Ruling::Pass {
            return Err(verify::summary(&verdict).into());
        }
        self.healthy(RECOVERED).await?;
        Ok(verify::headline(&verdict))
    }

    /// Does a scenario under load; whatever the verdict is.
    pub async fn verdict(&self, scenario: &Scenario) -> Result<Verdict, Box<dyn Error>> {
        let run = verify::run_name(Timestamp::now(), &self.site.plan, scenario);
        let out = Utf8PathBuf::from("evidence").join(run);
        println!("        evidence: {out}/report.html");
        Ok(verify::run(&self.site, scenario, &out).await?)
    }

    /// Waits until every health check holds.
    pub async fn healthy(&self, deadline: Duration) -> Result<(), Box<dyn Error>> {
        let kubernetes = self.answers().await?;
        until(
            "the cluster is healthy",
            self.within(deadline),
            async || {
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
            },
        )
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
        let what = if wanted { "is Ready" } else { "is not Ready" };
        until(
            format!("{node} {what}"),
            self.within(deadline),
            async || {
                let kubernetes = self.answers().await?;
                let nodes = kubernetes
                    .nodes()
                    .await
                    .map_err(|error| error.to_string())?;
                match nodes.iter().find(|status| status.name == node.as_str()) {
                    Some(status) if status.ready == wanted => Ok(()),
                    Some(_) => Err(format!("it {}", if wanted { "is not" } else { "still is" })),
                    None => Err("the API does not know it".to_owned()),
                }
            },
        )
        .await?;
        Ok(begin.elapsed())
    }

    /// Kills a node's processes.
    pub async fn kill(&self, node: &NodeName) -> Result<(), Box<dyn Error>> {
        self.site.provider.inject(node, Fault::Kill).await?;
        Ok(())
    }

    /// Cuts a node's power.
    pub async fn cut(&self, node: &NodeName) -> Result<(), Box<dyn Error>> {
        self.site.provider.inject(node, Fault::PowerCut).await?;
        Ok(())
    }

    /// Has the cluster store a word.
    pub async fn note(&self, word: &str) -> Result<(), Box<dyn Error>> {
        until(
            format!("`{word}` is stored"),
            self.within(RECOVERED),
            async || {
                let kubernetes = self.answers().await?;
                let stored = kubernetes.set_config_value(NOTES.0, NOTES.1, word, word);
                stored.await.map_err(|error| error.to_string())
            },
        )
        .await
    }

    /// Waits until the cluster shows a word that was stored.
    pub async fn until_noted(&self, word: &str, deadline: Duration) -> Result<(), Box<dyn Error>> {
        until(
            format!("`{word}` is there"),
            self.within(deadline),
            async || {
                let kubernetes = self.answers().await?;
                match kubernetes.config_value(NOTES.0, NOTES.1, word).await {
                    Ok(Some(_)) => Ok(()),
                    Ok(None) => Err("it is not".to_owned()),
                    Err(error) => Err(error.to_string()),
                }
            },
        )
        .await
    }

    /// Waits until a node's kubelet says that it is well; the API may show a dead one's last word.
    pub async fn until_kubelet_lives(
        &self,
        node: &NodeName,
        deadline: Duration,
    ) -> Result<(), Box<dyn Error>> {
        let session = self.site.node(node).ok_or("no such node")?;
        until(
            format!("kubelet lives on {node}"),
            self.within(deadline),
            async || {
                let asked = session.script("curl -sf --max-time 5 http://127.0.0.1:10248/healthz");
                match asked.run().await {
                    Ok(_) => Ok(()),
                    Err(error) => Err(error.to_string()),
                }
            },
        )
        .await
    }

    /// Starts a node that is off.
    pub async fn start(&self, node: &NodeName) -> Result<(), Box<dyn Error>> {
        Ok(self.site.provider.heal(node).await?)
    }

    /// Runs `regent -f FILE ARGS…` to its end; its standard output if it ended with `code`.
    pub fn regent(&self, args: &[&str], code: i32) -> Seen {
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
    pub async fn balancer_log(&self, time: Duration) -> Seen {
        let mut log = String::new();
        for planned in self.site.plan.load_balancers() {
            let node = self.site.node(&planned.name).ok_or("no such node")?;
            let since = time.as_secs();
            let journal = format!("journalctl --unit haproxy --output cat --since '-{since} s'");
            log += &node.script(journal).run().await?;
        }
        Ok(log)
    }

    /// How often to look, and for how long.
    fn within(&self, deadline: Duration) -> (Duration, Duration) {
        let pause = match self.site.plan.driver {
            Driver::Lxc => LOOK.0,
            Driver::Qemu => LOOK.1,
        };
        (pause, deadline)
    }

    /// The cluster's API; in words why there is none yet.
    async fn answers(&self) -> Result<Kubernetes, String> {
        let connected = Kubernetes::connect(&self.site.kubeconfig()).await;
        connected.map_err(|error| error.to_string())
    }
}

/// The ConfigMap for words: namespace and name.
const NOTES: (&str, &str) = ("default", "notes");

/// How long a healed cluster may take until every check holds: a started node is Ready within 30 s, and CoreDNS
/// then rolls out again.
pub const RECOVERED: Duration = Duration::from_secs(90);

/// How often a condition of containers, and of machines, is looked at: each look costs a request, and an emulated API
/// server a second.
const LOOK: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(3));

/// Looks until `condition` holds; at the deadline the error says what the last look saw.
async fn until(
    what: impl Display,
    (pause, deadline): (Duration, Duration),
    mut condition: impl AsyncFnMut() -> Result<(), String>,
) -> Result<(), Box<dyn Error>> {
    let begin = Instant::now();
    loop {
        match condition().await {
            Ok(()) => return Ok(()),
            Err(seen) if begin.elapsed() > deadline => {
                return Err(format!("not within {deadline:?}: {what} ({seen})").into());
            }
            Err(_) => tokio::time::sleep(pause).await,
        }
    }
}
