//! Acting: from an action to the module that carries it out.

use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use crate::event::Event;
use crate::image::NodeImage;
use crate::kubernetes::Kubernetes;
use crate::plan::Step;
use crate::recipe::{
    Action, RecipeError, connectivity, control_plane, health, kubeadm, load_balancer, manifests,
    setup,
};
use crate::render::kubeadm::JoinSecrets;
use crate::site::Site;
use crate::spec::Driver;

/// What actions of one run share.
pub(super) struct Run<'a> {
    pub(super) site: &'a Site,
    pub(super) image: &'a NodeImage,
    /// For the joins of this run; never stored.
    secrets: OnceCell<JoinSecrets>,
    kubernetes: OnceCell<Kubernetes>,
}

/// How long a cluster may take after its last join until every check holds, and how often that is looked at.
struct Settling {
    patience: Duration,
    pause: Duration,
}

impl Settling {
    /// Among containers, CoreDNS and the load balancer's checks follow within seconds; a machine under load may need more.
    /// A virtual machine may be emulated: CoreDNS was ready 190 s after the join, and each look costs it a second.
    fn of(driver: Driver) -> Self {
        let (patience, pause) = match driver {
            Driver::Lxc => (Duration::from_secs(180), Duration::from_millis(300)),
            Driver::Qemu => (Duration::from_secs(600), Duration::from_secs(3)),
        };
        Self { patience, pause }
    }
}

impl<'a> Run<'a> {
    pub(super) fn new(site: &'a Site, image: &'a NodeImage) -> Self {
        Self {
            site,
            image,
            secrets: OnceCell::new(),
            kubernetes: OnceCell::new(),
        }
    }

    /// The client of the cluster's API, once there is a kubeconfig.
    pub(super) async fn kubernetes(&self) -> Result<Option<&Kubernetes>, RecipeError> {
        let path = self.site.kubeconfig();
        if !path.exists() {
            return Ok(None);
        }
        Ok(Some(
            self.kubernetes
                .get_or_try_init(|| Kubernetes::connect(&path))
                .await?,
        ))
    }

    /// Carries out an action, and says so before and after.
    pub(super) async fn act(&self, action: &Action) -> Result<(), RecipeError> {
        let (step, node) = (action.name().to_owned(), action.node().cloned());
        self.site.events.emit(Event::StepStarted {
            step: step.clone(),
            node: node.clone(),
        });
        let started = Instant::now();
        self.carry_out(action).await?;
        self.site.events.emit(Event::StepFinished {
            step,
            node,
            elapsed: started.elapsed(),
        });
        Ok(())
    }

    async fn carry_out(&self, action: &Action) -> Result<(), RecipeError> {
        let site = self.site;
        match action {
            Action::Step(step) => self.take(step).await,
            Action::Await(node) => kubeadm::wait(site, node).await,
            Action::Reset(node) => control_plane::reset(site, node).await,
            Action::Kubeconfig(node) => control_plane::fetch_kubeconfig(site, node).await,
        }
    }

    async fn take(&self, step: &Step) -> Result<(), RecipeError> {
        let site = self.site;
        match step {
            Step::Start(node) => setup::start(site, self.image, node).await,
            Step::Configure(node) => setup::configure(site, node).await,
            Step::Connectivity => connectivity::prove(site).await,
            Step::Authority(node) => control_plane::make_authority(site, node).await,
            Step::Balance(node) => load_balancer::balance(site, node).await,
            Step::Init(node) => {
                let secrets = control_plane::init(site, node).await?;
                // Already set only if this run has minted before, and then those are as good.
                let _ = self.secrets.set(secrets);
                Ok(())
            }
            Step::JoinControlPlane(node) | Step::JoinWorker(node) => {
                let secrets = self
                    .secrets
                    .get_or_try_init(|| control_plane::mint(site))
                    .await?;
                control_plane::join(site, node, secrets).await
            }
            Step::Settle => self.settle().await,
            Step::Manifests => match self.kubernetes().await? {
                Some(kubernetes) => manifests::apply(site, kubernetes).await,
                None => Ok(()),
            },
        }
    }

    async fn settle(&self) -> Result<(), RecipeError> {
        let Some(kubernetes) = self.kubernetes().await? else {
            return Ok(());
        };
        let Settling { patience, pause } = Settling::of(self.site.plan.driver);
        let started = Instant::now();
        let mut last = Vec::new();
        loop {
            let checks = health::check(self.site, kubernetes).await;
            let missing: Vec<String> = checks
                .into_iter()
                .filter_map(|check| {
                    check
                        .missing
                        .map(|missing| format!("{}: {missing}", check.name))
                })
                .collect();
            if missing.is_empty() {
                return Ok(());
            }
            if started.elapsed() > patience {
                return Err(RecipeError::Unhealthy {
                    after: started.elapsed(),
                    checks: missing,
                });
            }
            if missing != last {
                let what = missing.join("; ");
                self.site.events.emit(Event::Observed {
                    subject: "waiting".to_owned(),
                    what,
                });
                last = missing;
            }
            tokio::time::sleep(pause).await;
        }
    }
}
