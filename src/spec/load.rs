//! From the text of `cluster.yaml` to a [`ClusterSpec`], or to everything that is wrong with it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::str::FromStr;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use ipnet::Ipv4Net;

use super::diagnostic::{Diagnostics, Mark, ValueError};
use super::reader::{Reader, Scalar, Section};
use super::units::{Memory, parse_duration};
use super::{Budgets, ClusterSpec, Machine, Taint, Tuning, lists, rules};
use crate::name::{ClusterName, NameError};
use crate::yaml;

/// The most control-plane nodes: etcd advises against more than 7, and 9 addresses are kept for them.
pub(super) const MAX_CONTROL_PLANE: u8 = 9;

/// The largest file that is read. The default one, with comments, has 3 KiB.
const MAX_BYTES: usize = 1 << 20;

/// The least memory of a control-plane node: kubeadm refuses less (`ControlPlaneMem`).
const MIN_CONTROL_PLANE_MEMORY: Memory = Memory::mib(1700);

/// The least memory of a worker: kubelet, containerd and the cluster's own pods, with room for a few more.
const MIN_WORKER_MEMORY: Memory = Memory::mib(512);

/// The least memory of a load balancer: haproxy and an SSH server, with room.
const MIN_LOAD_BALANCER_MEMORY: Memory = Memory::mib(128);

/// A valid file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// What it says.
    pub spec: ClusterSpec,
    /// What the user should look at all the same.
    pub warnings: Diagnostics,
}

/// Reads and checks `cluster.yaml`. `file_name` is for messages only; nothing outside `text` is read. Fails with every
/// error and warning that the file deserves; only text that is not YAML ends at its first mistake.
pub fn load(text: &str, file_name: &str, machine: &Machine) -> Result<Loaded, Diagnostics> {
    let (spec, marks) = read(text, machine);
    let diagnostics = Diagnostics::new(file_name, text, marks);
    match spec {
        Some(spec) if diagnostics.errors() == 0 => Ok(Loaded {
            spec,
            warnings: diagnostics,
        }),
        _ => Err(diagnostics),
    }
}

fn read(text: &str, machine: &Machine) -> (Option<ClusterSpec>, Vec<Mark>) {
    if text.len() > MAX_BYTES {
        let error = ValueError::new(format!(
            "the file has {} bytes, at most {MAX_BYTES} are read",
            text.len()
        ));
        return (None, vec![error.at(0..0)]);
    }
    let node = match yaml::parse(text) {
        Ok(Some(node)) => node,
        Ok(None) => {
            let error = ValueError::new("the file says nothing")
                .hint("`regent init` writes a file to begin with");
            return (None, vec![error.at(0..0)]);
        }
        Err(error) => {
            let mark = ValueError::new(error.message)
                .hint(error.hint)
                .at(error.span);
            return (None, vec![mark]);
        }
    };
    let mut reader = Reader::default();
    let Some(spec) = cluster(&mut reader, &node) else {
        return (None, reader.marks);
    };
    let mut marks = reader.marks;
    marks.extend(rules::check(&spec, &reader.positions, machine));
    (Some(spec), marks)
}

/// Reads every section; what is wrong or absent has its default.
fn cluster(reader: &mut Reader, node: &yaml::Node) -> Option<ClusterSpec> {
    let root = reader.root(node)?;
    #[expect(clippy::expect_used, reason = "a literal that is a name")]
    let mut spec = ClusterSpec::new("unnamed".parse().expect("a name"));

    reader.require(
        &root,
        "apiVersion",
        "begin the file with `apiVersion: regent/v1`",
    );
    reader.value(&root, "apiVersion", &mut spec.api_version, text);
    reader.require(&root, "name", "name the cluster, such as `name: demo`");
    reader.value(&root, "name", &mut spec.name, name);
    reader.value(&root, "kubernetes", &mut spec.kubernetes, text);

    let (section, nodes) = (reader.open(&root, "controlPlane"), &mut spec.control_plane);
    reader.value(
        &section,
        "count",
        &mut nodes.count,
        number(1..=MAX_CONTROL_PLANE),
    );
    reader.value(
        &section,
        "memory",
        &mut nodes.memory,
        memory(MIN_CONTROL_PLANE_MEMORY),
    );
    // Two are kubeadm's own limit (`ControlPlaneNumCPU`).
    reader.value(&section, "cpus", &mut nodes.cpus, number(2..=64));
    reader.tree(&section, "labels", &mut nodes.labels, labels);
    reader.tree(&section, "taints", &mut nodes.taints, taints);

    let (section, nodes) = (reader.open(&root, "workers"), &mut spec.workers);
    // As many as a /24 has addresses for.
    reader.value(&section, "count", &mut nodes.count, number(0..=224));
    reader.value(
        &section,
        "memory",
        &mut nodes.memory,
        memory(MIN_WORKER_MEMORY),
    );
    reader.value(&section, "cpus", &mut nodes.cpus, number(1..=64));
    reader.tree(&section, "labels", &mut nodes.labels, labels);
    reader.tree(&section, "taints", &mut nodes.taints, taints);

    let (section, nodes) = (reader.open(&root, "loadBalancer"), &mut spec.load_balancer);
    reader.value(&section, "count", &mut nodes.count, load_balancers);
    reader.value(
        &section,
        "memory",
        &mut nodes.memory,
        memory(MIN_LOAD_BALANCER_MEMORY),
    );
    reader.value(&section, "cpus", &mut nodes.cpus, number(1..=64));
    reader.value(&section, "tuning", &mut nodes.tuning, text);

    let (section, network) = (reader.open(&root, "network"), &mut spec.network);
    reader.value(&section, "cidr", &mut network.cidr, range);
    reader.value(&section, "podSubnet", &mut network.pod_subnet, range);
    reader.value(
        &section,
        "serviceSubnet",
        &mut network.service_subnet,
        range,
    );
    reader.tree(&section, "extraSans", &mut network.extra_sans, |node| {
        lists::words(node, lists::san)
    });

    let (section, hypervisor) = (reader.open(&root, "hypervisor"), &mut spec.hypervisor);
    reader.value(&section, "driver", &mut hypervisor.driver, text);
    reader.value(&section, "connect", &mut hypervisor.connect, text);

    let (section, kubeadm) = (reader.open(&root, "kubeadm"), &mut spec.kubeadm);
    reader.tree(
        &section,
        "extraArgs",
        &mut kubeadm.extra_args,
        lists::extra_args,
    );
    reader.value(&section, "patches", &mut kubeadm.patches, |scalar| {
        directory(scalar, "patches")
    });

    reader.value(&root, "certificates", &mut spec.certificates, text);
    reader.tree(&root, "images", &mut spec.images, |node| {
        lists::words(node, lists::archive)
    });
    reader.value(&root, "manifests", &mut spec.manifests, |scalar| {
        directory(scalar, "manifests")
    });
    spec.budgets = budgets(reader, &root, spec.load_balancer.tuning);
    Some(spec)
}

fn budgets(reader: &mut Reader, root: &Section<'_>, tuning: Tuning) -> Budgets {
    let section = reader.open(root, "budgets");
    let mut wish = Budgets::of(tuning);
    for (key, budget) in Budgets::KEYS.into_iter().zip(wish.limits_mut()) {
        reader.value(&section, key, budget, |scalar| parse_duration(scalar.text));
    }
    wish
}

fn labels(node: &yaml::Node) -> Result<BTreeMap<String, String>, lists::Wrong> {
    lists::pairs(node, lists::label)
}

fn taints(node: &yaml::Node) -> Result<Vec<Taint>, lists::Wrong> {
    lists::words(node, lists::taint)
}

fn text<T: FromStr<Err = ValueError>>(scalar: Scalar<'_>) -> Result<T, ValueError> {
    scalar.text.parse()
}

fn name(scalar: Scalar<'_>) -> Result<ClusterName, ValueError> {
    let text = scalar.text;
    if scalar.plain && matches!(text, "true" | "false") {
        let error = ValueError::new(format!("`{text}` is a boolean, not a name"));
        return Err(error.hint("put it into quotes if that is the name"));
    }
    text.parse().map_err(|error: NameError| {
        let similar = text
            .to_lowercase()
            .replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let similar = similar.trim_matches('-');
        let hint = match similar.parse::<ClusterName>() {
            Ok(similar) if text.is_ascii() => {
                format!("host names are made of it: `{similar}` would do")
            }
            _ => "host names are made of it: `demo`, `ha-1`".to_owned(),
        };
        ValueError::new(error.to_string()).hint(hint)
    })
}

fn number(allowed: RangeInclusive<u8>) -> impl Fn(Scalar<'_>) -> Result<u8, ValueError> {
    move |scalar| {
        let Scalar { text, plain } = scalar;
        let (low, high) = allowed.clone().into_inner();
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let hint = format!("write a whole number from {low} to {high}");
        if !digits || (text.len() > 1 && text.starts_with('0')) {
            return Err(ValueError::new(format!("`{text}` is not a whole number")).hint(hint));
        }
        if !plain {
            return Err(ValueError::new(format!("`{text}` in quotes is text"))
                .hint(format!("write {text} without quotes")));
        }
        text.parse()
            .ok()
            .filter(|number| allowed.contains(number))
            .ok_or_else(|| ValueError::new(format!("{text} is out of range")).hint(hint))
    }
}

fn load_balancers(scalar: Scalar<'_>) -> Result<u8, ValueError> {
    match number(0..=u8::MAX)(scalar) {
        Ok(1) => Ok(1),
        Ok(0) => Err(ValueError::new("there is always a load balancer")),
        Ok(_) => Err(ValueError::new(
            "more than one load balancer is not supported yet",
        )),
        Err(error) => Err(error),
    }
    .map_err(|error| error.hint("write 1"))
}

fn memory(least: Memory) -> impl Fn(Scalar<'_>) -> Result<Memory, ValueError> {
    move |scalar| {
        let memory: Memory = scalar.text.parse()?;
        if memory < least {
            let error = ValueError::new(format!("{memory} is too little for such a node"));
            return Err(error.hint(format!("write at least `{least}`")));
        }
        Ok(memory)
    }
}

fn range(scalar: Scalar<'_>) -> Result<Ipv4Net, ValueError> {
    let text = scalar.text;
    let error = || ValueError::new(format!("`{text}` is not an IPv4 range"));
    let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
    if address.parse::<std::net::Ipv6Addr>().is_ok() {
        return Err(error().hint("IPv6 is not supported yet"));
    }
    if address.parse::<std::net::Ipv4Addr>().is_err() {
        return Err(error().hint("write an address and a prefix length, such as `198.18.0.0/24`"));
    }
    if prefix.is_empty() {
        return Err(error().hint(format!("add the prefix length, such as `{address}/24`")));
    }
    let range: Ipv4Net = text
        .parse()
        .map_err(|_| error().hint("a prefix length is a number from 0 to 32"))?;
    if range != range.trunc() {
        let error = ValueError::new(format!(
            "`{text}` is an address within a range, not the range"
        ));
        return Err(error.hint(format!("the range is `{}`", range.trunc())));
    }
    Ok(range)
}

/// A directory of its own beside the file, of what `of` says.
fn directory(scalar: Scalar<'_>, of: &str) -> Result<Option<Utf8PathBuf>, ValueError> {
    if scalar.text.is_empty() || scalar.text.contains(char::is_control) {
        return Err(ValueError::new("this is not a directory's path")
            .hint("write a path relative to this file"));
    }
    if scalar.text.contains("://") || scalar.text.starts_with("git@") {
        return Err(ValueError::new(format!("a URL is not a directory of {of}"))
            .hint("fetch them into a directory beside this file, and name that"));
    }
    let own = Utf8Path::new(scalar.text)
        .components()
        .all(|part| part == Utf8Component::CurDir);
    if own {
        return Err(
            ValueError::new("this is the directory of the cluster's file itself").hint(format!(
                "give {of} a directory of their own, such as `{of}`"
            )),
        );
    }
    Ok(Some(scalar.text.into()))
}
