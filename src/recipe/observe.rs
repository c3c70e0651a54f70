//! Looking: what stands on the machine and in the cluster right now. Changes nothing, and waits for nothing longer than a
//! part that lives takes to answer.

mod api;
pub(super) mod look;
mod members;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, join_all, select};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::kubernetes::Kubernetes;
use crate::name::NodeName;
use crate::provider::DomainState;
use crate::recipe::world::{Api, Inside, World};
use crate::recipe::{RecipeError, endpoint, health};
use crate::site::Site;
use crate::spec::Driver;

pub(super) use api::is_without_rights;
pub(super) use members::{client, look as look_at_etcd};

/// How long each part may take to answer before it counts as silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// A kernel, to answer the first packet of a connection: it does within milliseconds however busy its programs are.
    pub(super) kernel: Duration,
    /// A node, from the first packet to the end of its look.
    pub(super) node: Duration,
    /// An etcd member.
    pub(super) etcd: Duration,
    /// The API.
    pub(super) api: Duration,
}

impl Patience {
    /// For `up`, which acts on what it takes for silence. A look takes 50 ms on a quiet container and has taken a second
    /// on a busy one; an emulated machine is twenty times slower.
    pub fn to_act(driver: Driver) -> Self {
        let factor = match driver {
            Driver::Lxc => 1,
            Driver::Qemu => 5,
        };
        let node = Duration::from_secs(4) * factor;
        Self {
            kernel: node,
            node,
            etcd: Duration::from_secs(2) * factor,
            api: Duration::from_secs(5),
        }
    }

    /// For `status`, whose user waits for it: who is dead is not waited for, who is merely slow is.
    pub fn to_tell(driver: Driver) -> Self {
        match driver {
            Driver::Lxc => Self {
                kernel: Duration::from_millis(700),
                // A quorum that is lost is not waited for either.
                etcd: Duration::from_millis(700),
                ..Self::to_act(driver)
            },
            Driver::Qemu => Self::to_act(driver),
        }
    }

    /// Awaits the answer of a program on the machine at `address`, for so long if the kernel below it lives. None: silence.
    pub(super) async fn heard<T>(
        self,
        address: Ipv4Addr,
        limit: Duration,
        answer: impl Future<Output = T>,
    ) -> Option<T> {
        // To be refused is an answer.
        let knock = TcpStream::connect((address, UNUSED));
        let kernel = async { timeout(self.kernel, knock).await.is_ok() };
        let answer = pin!(timeout(limit, answer));
        match select(answer, pin!(kernel)).await {
            Either::Left((answer, _)) => answer.ok(),
            Either::Right((true, answer)) => answer.await.ok(),
            Either::Right((false, _)) => None,
        }
    }
}

/// A TCP port that nothing listens on (IANA's `discard`): what listens may mind whoever leaves without a word, as
/// OpenSSH's `PerSourcePenalties` do.
const UNUSED: u16 = 9;

/// Looks at everything at the same time.
///
/// # Errors
/// When libvirt does not say which domains there are. Everything else that is silent is part of the world.
pub async fn observe(
    site: &Site,
    kubernetes: Option<&Kubernetes>,
    patience: Patience,
) -> Result<World, RecipeError> {
    let domains: BTreeMap<_, _> = site.provider.nodes().await?.into_iter().collect();
    let lost = CancellationToken::new();
    let (nodes, etcd, api) = futures::join!(
        nodes(site, &domains, patience),
        async {
            let etcd = members::seen(site, &domains, patience).await;
            if etcd.members.is_some() && !etcd.quorum {
                lost.cancel();
            }
            etcd
        },
        async {
            tokio::select! {
                api = api::seen(site, kubernetes, patience) => api,
                // Without etcd's quorum API servers hang, and there is nothing that they could say.
                () = lost.cancelled() => Api::Silent("etcd has no quorum".to_owned()),
            }
        },
    );
    let mut world = World {
        nodes,
        etcd,
        api,
        kubeconfig: api::kubeconfig(site),
        saved: endpoint::saved(site),
        domains,
        ..World::default()
    };
    world.checks = health::checks(&site.plan, &world);
    Ok(world)
}

/// Looks at every planned node that runs.
async fn nodes(
    site: &Site,
    domains: &BTreeMap<NodeName, DomainState>,
    patience: Patience,
) -> BTreeMap<NodeName, Inside> {
    let running = site.plan.nodes.iter().filter_map(|node| {
        let runs = domains.get(&node.name) == Some(&DomainState::Running);
        Some((node, site.nodes.get(&node.name).filter(|_| runs)?))
    });
    let looks = running.map(|(node, session)| async move {
        let inside = match look::at(session, node, &site.plan, patience).await {
            Ok(guest) => Inside::Answers(Box::new(guest)),
            Err(why) => Inside::Silent(why),
        };
        (node.name.clone(), inside)
    });
    join_all(looks).await.into_iter().collect()
}
