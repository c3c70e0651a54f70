//! Scenarios on a cluster of their own.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use camino::Utf8Path;
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use regent::beside;
use regent::derive;
use regent::event::Events;
use regent::image::NodeImage;
use regent::lab::Lab;
use regent::plan::Plan;
use regent::recipe::Outcome;
use regent::site::Site;
use regent::spec::{CertificateMode, ClusterSpec, Driver, ExtraArgs, Taint, Tuning};
use regent::store::Sha256;
use serde_json::{Value, json};

use crate::cluster::{Cluster, RECOVERED, Seen};
use crate::lab::State;
use crate::scenarios::expect;

/// How such a scenario runs; its cluster does not run yet.
type Scenario = for<'a> fn(&'a Cluster) -> LocalBoxFuture<'a, Seen>;

/// Runs a scenario on a cluster with a state directory of its own; afterwards nothing of it is left.
pub fn run(plan: &Plan, image: &NodeImage, scenario: Scenario) -> Seen {
    let state = State::new()?;
    // A thread of its own: one that has entered a lab's network stays there.
    let result = thread::scope(|scope| {
        let run = || on_lab(&state, plan, image, scenario).map_err(|error| error.to_string());
        let thread = thread::Builder::new().stack_size(Lab::STACK);
        Ok::<_, Box<dyn Error>>(thread.spawn_scoped(scope, run)?.join())
    });
    let result = result?.map_err(|_| "an assertion does not hold, see above")??;
    state.down(plan)?;
    state.nothing_is_left()?;
    Ok(result)
}

fn on_lab(state: &State, plan: &Plan, image: &NodeImage, scenario: Scenario) -> Seen {
    let lab = Arc::new(Lab::enter(&state.lab(plan), plan, &Events::none())?);
    let runtime = lab.runtime()?;
    lab.enter_network()?;
    let result = runtime.block_on(async {
        let parts = image.parts.clone();
        let site = Site::open(plan.clone(), lab, parts, Events::none()).await?;
        scenario(&Cluster::on(site, image.clone())).await
    });
    // A libvirt call that hangs must not keep the scenario from ending.
    runtime.shutdown_background();
    result
}

/// What the shared cluster is not: certificates copied from node to node, the tuning of kubeadm's guide, a manifest,
/// other address ranges. The manifests need each other.
pub fn the_other_choices_make_a_cluster(image: &NodeImage) -> Seen {
    let mut spec = ClusterSpec::new("mu".parse()?);
    (spec.control_plane.count, spec.workers.count) = (2, 0);
    spec.certificates = CertificateMode::Copy;
    spec.load_balancer.tuning = Tuning::KubeadmDocs;
    spec.network.cidr = "198.19.7.0/24".parse()?;
    spec.network.pod_subnet = "10.32.0.0/16".parse()?;
    spec.network.service_subnet = "10.33.0.0/16".parse()?;
    spec.network.extra_sans = vec!["api.example.com".to_owned()];
    spec.control_plane.labels = BTreeMap::from([("disk".to_owned(), "ssd".to_owned())]);
    spec.control_plane.taints = vec![Taint {
        key: "dedicated".to_owned(),
        value: "etcd".to_owned(),
        effect: "PreferNoSchedule".to_owned(),
    }];
    let flag = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
    spec.kubeadm.extra_args = ExtraArgs {
        api_server: flag("audit-log-maxage", "7"),
        controller_manager: flag("v", "1"),
        scheduler: flag("v", "1"),
        etcd: flag("snapshot-count", "5000"),
        kubelet: flag("max-pods", "50"),
    };
    spec.manifests = Some("apps".into());
    spec.kubeadm.patches = Some("patches".into());
    spec.images = vec!["app.tar".into()];
    let directory = tempfile::tempdir()?;
    let root = Utf8Path::from_path(directory.path()).ok_or("a path that is no text")?;
    for (path, text) in [
        ("apps/10-widget.yaml", WIDGET),
        ("apps/20-later.yaml", LATER),
        ("patches/kube-scheduler+json.yaml", SCHEDULER_PATCH),
        ("patches/kubeletconfiguration.yaml", KUBELET_PATCH),
    ] {
        std::fs::create_dir_all(root.join(path).with_file_name(""))?;
        std::fs::write(root.join(path), text)?;
    }
    write_layout(&root.join("app.tar"), APP)?;
    let beside = beside::read(&spec, &root.join("cluster.yaml"))?;
    let plan = derive::plan(&spec, Driver::Lxc, beside);
    run(&plan, image, |cluster| other_choices(cluster).boxed_local())
}

/// What the file wishes of kubeadm, as the cluster has it.
async fn wishes(cluster: &Cluster) -> Result<(), Box<dyn Error>> {
    let m2 = cluster.site.node(&"m2".parse()?).ok_or("no such node")?;
    let address = cluster.site.plan.network.endpoint;
    let script = format!(
        r#"
        export KUBECONFIG=/etc/kubernetes/admin.conf
        curl -s --resolve api.example.com:6443:{address} --cacert /etc/kubernetes/pki/ca.crt https://api.example.com:6443/readyz
        echo
        kubectl get nodes --selector disk=ssd --no-headers | wc -l
        kubectl get node m2 --output jsonpath='{{.spec.taints[*].key}} {{.status.capacity.pods}}'
        echo
        kubectl get widget first --namespace later --output jsonpath='{{.metadata.name}}'
        echo
        cd /etc/kubernetes/manifests
        grep -ho -e --audit-log-maxage=7 kube-apiserver.yaml
        grep -ho -e --v=1 kube-controller-manager.yaml kube-scheduler.yaml
        grep -ho -e --snapshot-count=5000 etcd.yaml
        ctr --namespace k8s.io images list --quiet | grep {APP}
        grep -ho 'owner: lab' kube-scheduler.yaml
        grep -ho 'nodeStatusMaxImages: 7' /var/lib/kubelet/config.yaml
        "#
    );
    let said = m2.script(script).run().await?;
    let mut lines: Vec<_> = said.lines().collect();
    // In whichever order the API has the taints.
    let both = [
        "dedicated node-role.kubernetes.io/control-plane 50",
        "node-role.kubernetes.io/control-plane dedicated 50",
    ];
    let taints = (lines.len() > 2).then(|| lines.remove(2));
    expect(
        taints.is_some_and(|taints| both.contains(&taints)),
        format!("both taints and 50 pods: {taints:?}, {said}"),
    )?;
    let wanted = [
        "ok",
        "2",
        "first",
        "--audit-log-maxage=7",
        "--v=1",
        "--v=1",
        "--snapshot-count=5000",
        APP,
        "owner: lab",
        "nodeStatusMaxImages: 7",
    ];
    expect(lines == wanted, format!("{wanted:?}, not {said}"))
}

/// An archive in the making.
struct Archive(tar::Builder<File>);

impl Archive {
    fn add(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        self.0.append_data(&mut header, name, content)
    }

    fn blob(&mut self, kind: &str, content: &[u8]) -> io::Result<Value> {
        let digest = Sha256::of(content);
        self.add(&format!("blobs/sha256/{digest}"), content)?;
        Ok(json!({
            "mediaType": format!("application/vnd.oci.image.{kind}"),
            "digest": format!("sha256:{digest}"),
            "size": content.len(),
        }))
    }

    /// Begins one with an image without a file: its configuration and its layer.
    fn begin(path: &Utf8Path) -> io::Result<(Self, Value, Value)> {
        let mut archive = Self(tar::Builder::new(File::create(path)?));
        // The end of a tar archive, and nothing before it.
        let layer = archive.blob("layer.v1.tar", &[0; 1024])?;
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        });
        let config = archive.blob("config.v1+json", config.to_string().as_bytes())?;
        Ok((archive, config, layer))
    }
}

/// An archive as an OCI layout.
fn write_layout(path: &Utf8Path, name: &str) -> io::Result<()> {
    let (mut archive, config, layer) = Archive::begin(path)?;
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": [layer]});
    let mut manifest = archive.blob("manifest.v1+json", manifest.to_string().as_bytes())?;
    manifest["annotations"] = json!({"io.containerd.image.name": name});
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    archive.add("oci-layout", br#"{"imageLayoutVersion": "1.0.0"}"#)?;
    archive.add("index.json", index.to_string().as_bytes())?;
    archive.0.finish()
}

/// An archive as `docker save` wrote it before it wrote OCI layouts.
fn write_saved(path: &Utf8Path, name: &str) -> io::Result<()> {
    let (mut archive, config, layer) = Archive::begin(path)?;
    let file = |blob: &Value| {
        let digest = blob["digest"].as_str().unwrap_or_default();
        format!("blobs/{}", digest.replace(':', "/"))
    };
    let saved = json!([{"Config": file(&config), "RepoTags": [name], "Layers": [file(&layer)]}]);
    archive.add("manifest.json", saved.to_string().as_bytes())?;
    archive.0.finish()
}

/// The name of an image that the file brings.
const APP: &str = "lab.example.com/app:1";

/// And of one that it brings later, as `docker save` has it and as containerd does.
const LATER_APP: (&str, &str) = ("later:2", "docker.io/library/later:2");

const SCHEDULER_PATCH: &str = "- {op: add, path: /metadata/labels/owner, value: lab}\n";

const KUBELET_PATCH: &str = "nodeStatusMaxImages: 7\n";

/// A kind, and an object of it in a namespace that only the next file brings.
const WIDGET: &str = "\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  names: {kind: Widget, plural: widgets}
  scope: Namespaced
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
---
apiVersion: example.com/v1
kind: Widget
metadata: {name: first, namespace: later}
";
const LATER: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: later}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: notes, namespace: default}
data: {applied: last}
";

async fn other_choices(cluster: &Cluster) -> Seen {
    let begun = Instant::now();
    expect(
        cluster.up().await? == Outcome::Changed,
        "a cluster was made",
    )?;
    let took = begun.elapsed();
    cluster.until_noted("applied", RECOVERED).await?;
    wishes(cluster).await?;
    cluster.is_as_planned().await?;
    images_come_back(cluster).await?;
    the_file_changes(cluster).await?;
    Ok(format!("up in {took:.1?}"))
}

/// An image that was deleted is loaded again, also where containerd was stopped after that.
async fn images_come_back(cluster: &Cluster) -> Result<(), Box<dyn Error>> {
    let m1 = cluster.site.node(&"m1".parse()?).ok_or("no such node")?;
    let remove = format!("ctr --namespace k8s.io images remove {APP}\nsystemctl stop containerd");
    expect(
        m1.script(remove).run().await?.trim() == APP,
        "an image was removed by hand",
    )?;
    expect(
        cluster.up().await? == Outcome::Changed && has_image(cluster, "m1", APP).await?,
        "`up` brings it back",
    )
}

/// A further archive is loaded by the next `up`; other patches are refused.
async fn the_file_changes(cluster: &Cluster) -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let root = Utf8Path::from_path(directory.path()).ok_or("a path that is no text")?;
    write_saved(&root.join("later.tar"), LATER_APP.0)?;
    let mut spec = ClusterSpec::new(cluster.site.plan.cluster.clone());
    spec.images = vec!["later.tar".into()];
    let beside = beside::read(&spec, &root.join("cluster.yaml"))?;
    let grown = cluster.wanted(|plan| plan.images.extend(beside.images));
    expect(
        grown.up().await? == Outcome::Changed,
        "a further archive is loaded",
    )?;
    for node in ["m1", "m2"] {
        let all =
            has_image(cluster, node, APP).await? && has_image(cluster, node, LATER_APP.1).await?;
        expect(all, format!("{node} has both images"))?;
    }
    // Loaded once: no look finds it missing.
    grown.is_as_planned().await?;
    let patched = grown.wanted(|plan| plan.patches[0].1.push_str("# changed\n"));
    let refused = patched.up().await.err().map(|error| error.to_string());
    let words = "kubeadm.patches, kube-scheduler+json.yaml";
    expect(
        refused.as_ref().is_some_and(|said| said.contains(words)),
        format!("another patch is refused: {refused:?}"),
    )
}

async fn has_image(cluster: &Cluster, node: &str, image: &str) -> Result<bool, Box<dyn Error>> {
    let node = cluster.site.node(&node.parse()?).ok_or("no such node")?;
    let list = node.script("ctr --namespace k8s.io images list --quiet");
    Ok(list.run().await?.lines().any(|line| line == image))
}
