//! Stories on a cluster of their own.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use regent::event::Events;
use regent::image::NodeImage;
use regent::lab::Lab;
use regent::plan::{self, Plan};
use regent::recipe::Outcome;
use regent::site::Site;
use regent::spec::{CertificateMode, ClusterSpec, Driver, Tuning};

use crate::cluster::{Cluster, RECOVERED, Told};
use crate::lab::State;
use crate::stories::expect;

/// How such a story is told; its cluster does not run yet.
type Story = for<'a> fn(&'a Cluster) -> LocalBoxFuture<'a, Told>;

/// Tells a story on a cluster with a state directory of its own; afterwards nothing of it is left.
pub fn tell(plan: &Plan, image: &NodeImage, story: Story) -> Told {
    let state = State::new()?;
    // A thread of its own: one that has entered a lab's network stays there.
    let told = thread::scope(|scope| {
        let tell = || on_lab(&state, plan, image, story).map_err(|error| error.to_string());
        scope.spawn(tell).join()
    });
    let told = told.map_err(|_| "an assertion does not hold, see above")??;
    state.down(plan)?;
    state.nothing_is_left()?;
    Ok(told)
}

fn on_lab(state: &State, plan: &Plan, image: &NodeImage, story: Story) -> Told {
    let lab = Arc::new(Lab::enter(&state.lab(plan), plan, &Events::none())?);
    let runtime = lab.runtime()?;
    lab.enter_network()?;
    let told = runtime.block_on(async {
        let parts = image.parts.clone();
        let site = Site::open(plan.clone(), lab, parts, Events::none()).await?;
        story(&Cluster::on(site, image.clone())).await
    });
    // A libvirt call that hangs must not keep the story from ending.
    runtime.shutdown_background();
    told
}

/// What the shared cluster is not: certificates copied from node to node, the tuning of kubeadm's guide, a manifest,
/// other address ranges.
pub fn the_other_choices_make_a_cluster(image: &NodeImage) -> Told {
    let mut spec = ClusterSpec::new("mu".parse()?);
    (spec.control_plane.count, spec.workers.count) = (2, 0);
    spec.certificates = CertificateMode::Copy;
    spec.load_balancer.tuning = Tuning::KubeadmDocs;
    spec.network.cidr = "198.19.7.0/24".parse()?;
    spec.network.pod_subnet = "10.32.0.0/16".parse()?;
    spec.network.service_subnet = "10.33.0.0/16".parse()?;
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: notes, namespace: default}\ndata: {applied: last}\n";
    let manifests = vec![("notes.yaml".to_owned(), manifest.to_owned())];
    let plan = plan::derive(&spec, Driver::Lxc, manifests);
    tell(&plan, image, |cluster| other_choices(cluster).boxed_local())
}

async fn other_choices(cluster: &Cluster) -> Told {
    let begun = Instant::now();
    expect(
        cluster.up().await? == Outcome::Changed,
        "a cluster was made",
    )?;
    let took = begun.elapsed();
    cluster.until_noted("applied", RECOVERED).await?;
    expect(
        cluster.up().await? == Outcome::Unchanged,
        "a second `up` changes nothing",
    )?;
    Ok(format!("up in {took:.1?}"))
}
