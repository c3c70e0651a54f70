//! Acting: from an action to the module that carries it out.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use crate::event::Event;
use crate::image::NodeImage;
use crate::kubernetes::{Kubernetes, patiently};
use crate::name::NodeName;
use crate::recipe::backup::OpenedBackup;
use crate::recipe::failpoint::{self, Moment};
use crate::recipe::load_balancer::NOTICED;
use crate::recipe::observe::{Patience, observe};
use crate::recipe::revive::Survivor;
use crate::recipe::up::Worked;
use crate::recipe::world::{RunSoFar, World};
use crate::recipe::{
    Action, RecipeError, addons, connectivity, control_plane, drain, endpoint, images, kubeadm,
    load_balancer, manifests, membership, recover, revive, setup,
};
use crate::render::kubeadm::JoinSecrets;
use crate::site::Site;
use crate::spec::Driver;

/// What actions of one run share.
pub(super) struct Run<'a> {
    pub(super) site: &'a Site,
    pub(super) image: &'a NodeImage,
    /// Nodes whose etcd members are given up for good.
    pub(super) lost: BTreeSet<NodeName>,
    /// What etcd begins from where nobody has its data any more.
    pub(super) backup: Option<OpenedBackup>,
    /// For the joins of this run; never stored.
    secrets: OnceCell<JoinSecrets>,
    /// What etcd went on with, where it had lost its quorum.
    pub(super) survivor: OnceCell<Survivor>,
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

/// Looks at everything, to act on it.
pub(super) async fn look(site: &Site) -> Result<World, RecipeError> {
    // What is wrong with the kubeconfig the look finds out itself.
    let kubernetes = Kubernetes::connect(&site.kubeconfig()).await.ok();
    let patience = Patience::to_act(site.plan.driver);
    observe(site, kubernetes.as_ref(), patience).await
}

impl Worked for Run<'_> {
    fn begun(&self) -> RunSoFar {
        RunSoFar {
            lost: self.lost.clone(),
            backup: self.backup.is_some(),
            ..RunSoFar::default()
        }
    }

    async fn look(&self) -> Result<World, RecipeError> {
        look(self.site).await
    }

    /// Carries out an action, and says so before and after.
    async fn act(&self, action: &Action) -> Result<(), RecipeError> {
        let (step, node) = (action.name().to_owned(), action.node().cloned());
        self.site.events.emit(Event::StepStarted {
            step: step.clone(),
            node: node.clone(),
        });
        let started = Instant::now();
        failpoint::pass(action, Moment::Before);
        let _during = failpoint::pass_during(action);
        self.carry_out(action).await?;
        failpoint::pass(action, Moment::After);
        self.site.events.emit(Event::StepFinished {
            step,
            node,
            elapsed: started.elapsed(),
        });
        Ok(())
    }
}

impl<'a> Run<'a> {
    pub(super) fn new(site: &'a Site, image: &'a NodeImage) -> Self {
        Self {
            site,
            image,
            lost: BTreeSet::new(),
            backup: None,
            secrets: OnceCell::new(),
            survivor: OnceCell::new(),
        }
    }

    /// The client of the cluster's API, which an action needs.
    async fn kubernetes(&self) -> Result<Kubernetes, RecipeError> {
        Ok(Kubernetes::connect(&self.site.kubeconfig()).await?)
    }

    async fn carry_out(&self, action: &Action) -> Result<(), RecipeError> {
        let site = self.site;
        match action {
            Action::Start(node) => setup::start(site, self.image, node).await,
            Action::Configure(node) => setup::configure(site, node).await,
            Action::Load(node) => images::load(site, node).await,
            Action::Await(node) => kubeadm::wait(site, node).await,
            Action::AwaitEtcd(nodes) => membership::await_etcd(site, nodes).await,
            Action::AwaitApi => membership::await_api(site, &self.kubernetes().await?).await,
            Action::SetAside(node) => revive::set_aside(site, node).await,
            Action::Revive(node) => {
                let survivor = revive::revive(site, node).await?;
                // There is one in a run.
                let _ = self.survivor.set(survivor);
                Ok(())
            }
            Action::Recover(node) => {
                let none = || RecipeError::Mismatch("there is no backup".to_owned());
                let backup = self.backup.as_ref().ok_or_else(none)?;
                let _ = self
                    .survivor
                    .set(recover::recover(site, node, backup).await?);
                Ok(())
            }
            Action::Restore(node) => control_plane::restore(site, node).await,
            Action::Renew(node) => control_plane::renew(site, node).await,
            Action::Forget { node, peer } => membership::forget(site, node, peer).await,
            Action::Reset(node) => membership::reset(site, node).await,
            Action::DeleteNode(node) => {
                let kubernetes = self.kubernetes().await?;
                Ok(patiently(NOTICED, async || {
                    kubernetes.release_leases(node.as_str()).await?;
                    kubernetes.delete_node(node.as_str()).await
                })
                .await?)
            }
            Action::Remove(node) => {
                let kubernetes = self.kubernetes().await.ok();
                membership::remove(site, kubernetes.as_ref(), node).await
            }
            Action::Drain(node) => drain::drain(site, &self.kubernetes().await?, node).await,
            Action::Stay(node) => {
                let kubernetes = self.kubernetes().await?;
                Ok(patiently(NOTICED, || kubernetes.stay(node.as_str())).await?)
            }
            Action::Connectivity => connectivity::prove(site).await,
            Action::Authority(node) => control_plane::make_authority(site, node).await,
            Action::Balance(node) => load_balancer::balance(site, node).await,
            Action::Init(node) => {
                let secrets = control_plane::init(site, node).await?;
                // Already set only if this run has minted before, and then those are as good.
                let _ = self.secrets.set(secrets);
                self.begin_addons().await
            }
            Action::Save(node) => endpoint::save(site, node).await,
            Action::Certify(node) => endpoint::certify(site, node).await,
            Action::Repoint(node) => endpoint::repoint(site, node).await,
            Action::Endpoint => endpoint::announce(site, &self.kubernetes().await?).await,
            Action::Kubeconfig(node) => control_plane::fetch_kubeconfig(site, node).await,
            Action::JoinControlPlane(node) | Action::JoinWorker(node) => {
                let secrets = self
                    .secrets
                    .get_or_try_init(|| control_plane::mint(site))
                    .await?;
                control_plane::join(site, node, secrets).await
            }
            Action::Kubelet(node) => membership::start_kubelet(site, node).await,
            Action::Register(node) => {
                membership::register(site, &self.kubernetes().await?, node).await
            }
            Action::Mark(node) => membership::mark(site, node).await,
            Action::Settle => self.settle().await,
            Action::Manifests => manifests::apply(site, &self.kubernetes().await?).await,
        }
    }

    /// Says at once how many CoreDNS there will be, so that each starts as its node joins.
    async fn begin_addons(&self) -> Result<(), RecipeError> {
        let kubernetes = self.kubernetes().await?;
        let started = Instant::now();
        // The load balancer has yet to notice the API server; who joins would wait for that too.
        while addons::ensure(&self.site.plan, &kubernetes).await.is_err()
            && started.elapsed() < NOTICED
        {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    async fn settle(&self) -> Result<(), RecipeError> {
        let Settling { patience, pause } = Settling::of(self.site.plan.driver);
        let started = Instant::now();
        let mut last = Vec::new();
        loop {
            let world = self.look().await?;
            let missing: Vec<String> = world
                .checks
                .into_iter()
                .filter_map(|check| Some(format!("{}: {}", check.name, check.missing?)))
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
            // A request that fails is made again at the next look.
            let _ = addons::ensure(&self.site.plan, &self.kubernetes().await?).await;
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
