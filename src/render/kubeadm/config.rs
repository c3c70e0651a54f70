//! What is written, and why.
//!
//! Files, not flags: a flag for each of these settings does not exist, and secrets do not belong in a process list.

use std::collections::BTreeMap;

use base64::Engine as _;

use super::document::*;
use super::{CertificateKey, InitSecrets, JoinSecrets};
use crate::plan::{NodePlan, NodeRole, PATCHES, Plan};
use crate::spec::{Driver, Endpoint, Taint, Tuning};
use crate::yaml;

/// Writes the file for `kubeadm init` on `node`, and for the phases of it that want one later (`upload-certs`):
/// without the cluster's configuration they would ask the internet for the current version.
pub fn init(plan: &Plan, node: &NodePlan, secrets: &InitSecrets) -> Result<String, yaml::Error> {
    written(plan, node, secrets, None)
}

fn written(
    plan: &Plan,
    node: &NodePlan,
    secrets: &InitSecrets,
    certificates_dir: Option<&'static str>,
) -> Result<String, yaml::Error> {
    Ok(yaml::join([
        yaml::to_string(&InitConfiguration {
            meta: Meta::kubeadm("InitConfiguration"),
            bootstrap_tokens: [BootstrapToken {
                token: secrets.token.as_str(),
            }],
            node_registration: node_registration(plan, node),
            local_api_endpoint: ApiEndpoint {
                advertise_address: node.address,
            },
            certificate_key: secrets.certificate_key.as_str(),
            patches: patches(plan),
            timeouts: timeouts(plan.driver),
        })?,
        yaml::to_string(&ClusterConfiguration {
            certificates_dir,
            ..cluster(plan)
        })?,
        yaml::to_string(&kubelet(plan))?,
        yaml::to_string(&PROXY)?,
    ]))
}

/// Where a certificate is made that takes another one's place only when it is whole. On the same file system as that.
pub const ASIDE: &str = "/var/lib/regent/pki";

/// Writes the same file as [`init`] with kubeadm's certificates in [`ASIDE`].
pub fn aside(plan: &Plan, node: &NodePlan, secrets: &InitSecrets) -> Result<String, yaml::Error> {
    written(plan, node, secrets, Some(ASIDE))
}

/// Where a joining node finds what [`discovery`] writes: gone with the next boot.
pub const DISCOVERY: &str = "/run/regent/discovery.conf";

/// The user of [`discovery`]: cluster information is read without credentials.
const NOBODY: &str = "nobody";

/// Writes where the API servers are and what recognises them: the endpoint, and the cluster's CA certificate, which regent has from
/// a member. Not by a bootstrap token, as in kubeadm's guide: for that the controller manager must have signed the cluster's
/// information with it, and kubeadm looks for the signature every 5 s (measured: each join of a new token lost 5 s).
pub fn discovery(plan: &Plan, ca: &[u8]) -> Result<String, yaml::Error> {
    let name = || plan.cluster.to_string();
    yaml::to_string(&KubeConfig {
        meta: Meta {
            api_version: "v1",
            kind: "Config",
        },
        contexts: [NamedContext {
            name: name(),
            context: KubeConfigContext {
                cluster: name(),
                user: NOBODY,
            },
        }],
        current_context: name(),
        users: [NamedUser {
            name: NOBODY,
            user: NoCredentials {},
        }],
        clusters: [NamedCluster {
            name: name(),
            cluster: KubeConfigCluster {
                certificate_authority_data: base64::engine::general_purpose::STANDARD.encode(ca),
                server: format!("https://{}", plan.endpoint()),
            },
        }],
    })
}

/// Writes the file for `kubeadm join` on `node`, as a control-plane node or a worker, as its role says.
pub fn join(plan: &Plan, node: &NodePlan, secrets: &JoinSecrets) -> Result<String, yaml::Error> {
    yaml::to_string(&JoinConfiguration {
        meta: Meta::kubeadm("JoinConfiguration"),
        node_registration: node_registration(plan, node),
        discovery: Discovery {
            file: FileDiscovery {
                kube_config_path: DISCOVERY,
            },
            tls_bootstrap_token: secrets.token.as_str(),
        },
        control_plane: (node.role == NodeRole::ControlPlane).then(|| JoinControlPlane {
            local_api_endpoint: ApiEndpoint {
                advertise_address: node.address,
            },
            certificate_key: secrets.certificate_key.as_ref().map(CertificateKey::as_str),
        }),
        patches: patches(plan),
        timeouts: timeouts(plan.driver),
    })
}

fn patches(plan: &Plan) -> Option<Patches> {
    (!plan.patches.is_empty()).then_some(Patches { directory: PATCHES })
}

/// kubeadm's own waits are 4 and 5 minutes. With a container's, several times what a healthy node takes on two busy
/// cores, it is kubeadm that gives up, and it says why. A virtual machine may be emulated, and then takes minutes.
fn timeouts(driver: Driver) -> Timeouts {
    match driver {
        Driver::Lxc => Timeouts {
            control_plane_component_health_check: "2m0s",
            kubelet_health_check: "1m0s",
            tls_bootstrap: "1m0s",
            discovery: "1m0s",
        },
        Driver::Qemu => Timeouts {
            control_plane_component_health_check: "6m0s",
            kubelet_health_check: "4m0s",
            tls_bootstrap: "5m0s",
            discovery: "5m0s",
        },
    }
}

fn node_registration(plan: &Plan, node: &NodePlan) -> NodeRegistration {
    NodeRegistration {
        name: node.name.to_string(),
        cri_socket: "unix:///run/containerd/containerd.sock",
        // Every image is in the node already. With `Never` a missing one would show only later, as a pod.
        image_pull_policy: "IfNotPresent",
        ignore_preflight_errors: ignored_preflight_errors(plan.driver),
        kubelet_extra_args: kubelet_args(plan, node),
        taints: taints(node),
    }
}

fn kubelet_args(plan: &Plan, node: &NodePlan) -> Vec<Arg> {
    // Else kubelet may come to report the address of the pods' bridge.
    let mut flags = vec![Arg::new("node-ip", node.address)];
    if !node.labels.is_empty() {
        let labels = node.labels.iter();
        let labels: Vec<_> = labels
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        flags.push(Arg::new("node-labels", labels.join(",")));
    }
    flags.extend(args(&plan.extra_args.kubelet));
    flags
}

/// What was wished for replaces kubeadm's own taint, so that stands beside it.
fn taints(node: &NodePlan) -> Option<Vec<Taint>> {
    let own = Taint {
        key: "node-role.kubernetes.io/control-plane".to_owned(),
        value: String::new(),
        effect: "NoSchedule".to_owned(),
    };
    let own = (node.role == NodeRole::ControlPlane).then_some(own);
    let all = own.into_iter().chain(node.taints.iter().cloned());
    (!node.taints.is_empty()).then(|| all.collect())
}

fn args(flags: &BTreeMap<String, String>) -> impl Iterator<Item = Arg> {
    flags.iter().map(|(name, value)| Arg::new(name, value))
}

/// What kubeadm's checks may find wrong without stopping.
fn ignored_preflight_errors(driver: Driver) -> Vec<&'static str> {
    // The spec is free to plan nodes below kubeadm's minimum of 2 processors and 1700 MB.
    let mut ignored = vec!["NumCPU", "Mem"];
    if driver == Driver::Lxc {
        // A node shares the host's kernel: its configuration file is not in the node, its cgroups may be version 1,
        // its swap may be on.
        ignored.extend(["SystemVerification", "Swap"]);
    }
    ignored
}

/// Names and addresses in the API servers' certificates beside those that kubeadm puts there by itself: of who reaches one
/// through the endpoint, a load balancer, or a forwarded port.
pub fn sans(plan: &Plan) -> Vec<String> {
    let mut sans = match plan.endpoint {
        Endpoint::LoadBalancer => vec![plan.endpoint_name(), plan.network.endpoint.to_string()],
        Endpoint::None => Vec::new(),
    };
    for node in plan.load_balancers() {
        sans.push(node.name.to_string());
        if node.address != plan.network.endpoint {
            sans.push(node.address.to_string());
        }
    }
    sans.extend(["localhost".to_owned(), "127.0.0.1".to_owned()]);
    sans.extend(plan.extra_sans.iter().cloned());
    sans
}

fn cluster(plan: &Plan) -> ClusterConfiguration {
    let (mut api_server, mut controller_manager) = (Vec::new(), Vec::new());
    // Each node's pods have their planned subnet (`render::cni`); the controller would hand out others.
    controller_manager.push(Arg::new("allocate-node-cidrs", false));
    if plan.tuning == Tuning::Fast {
        // A silent worker is NotReady after 15 to 22 s and its pods are evicted 10 s later, instead of 50 s and 5
        // minutes. The price: a worker that is cut off for half a minute loses its pods. Kubelets renew every 5 s
        // (`nodeLeaseDurationSeconds`), so three renewals in a row must fail.
        controller_manager.push(Arg::new("node-monitor-grace-period", "20s"));
        controller_manager.push(Arg::new("node-monitor-period", "2s"));
        api_server.push(Arg::new("default-not-ready-toleration-seconds", 10));
        api_server.push(Arg::new("default-unreachable-toleration-seconds", 10));
    }
    let extra = &plan.extra_args;
    api_server.extend(args(&extra.api_server));
    controller_manager.extend(args(&extra.controller_manager));
    ClusterConfiguration {
        meta: Meta::kubeadm("ClusterConfiguration"),
        cluster_name: plan.cluster.to_string(),
        kubernetes_version: format!("v{}", plan.kubernetes),
        control_plane_endpoint: plan.control_plane_endpoint(),
        certificates_dir: None,
        networking: Networking {
            pod_subnet: plan.network.pod_subnet,
            service_subnet: plan.network.service_subnet,
        },
        // An RSA key takes 9 to 16 s on an emulated processor, and kubeadm makes a dozen.
        encryption_algorithm: "ECDSA-P256",
        api_server: ApiServer {
            cert_sans: sans(plan),
            extra_args: api_server,
        },
        controller_manager: Component {
            extra_args: controller_manager,
        },
        scheduler: Component {
            extra_args: args(&extra.scheduler).collect(),
        },
        etcd: (!extra.etcd.is_empty()).then(|| Etcd {
            local: Component {
                extra_args: args(&extra.etcd).collect(),
            },
        }),
    }
}

fn kubelet(plan: &Plan) -> KubeletConfiguration {
    let lxc = plan.driver == Driver::Lxc;
    KubeletConfiguration {
        meta: Meta {
            api_version: "kubelet.config.k8s.io/v1beta1",
            kind: "KubeletConfiguration",
        },
        cgroup_driver: "systemd",
        // The host decides on cgroups and swap.
        fail_cgroup_v1: lxc.then_some(false),
        fail_swap_on: lxc.then_some(false),
        // No image comes back once it is deleted: there is no registry.
        image_gc_high_threshold_percent: 100,
        // Only memory: the disk is the host's, and how full it is says nothing about the node.
        eviction_hard: lxc.then(|| BTreeMap::from([("memory.available", "100Mi")])),
        // Renewed after a quarter of it; the stock 40 s would leave one missed renewal within the fast grace period.
        node_lease_duration_seconds: (plan.tuning == Tuning::Fast).then_some(20),
    }
}

const PROXY: KubeProxyConfiguration = KubeProxyConfiguration {
    meta: Meta {
        api_version: "kubeproxy.config.k8s.io/v1alpha1",
        kind: "KubeProxyConfiguration",
    },
    // Its image has nft; iptables would need modules that a container's kernel may lack.
    mode: "nftables",
    // The size of the connection table is the host's, and read-only in a node.
    conntrack: Conntrack {
        max_per_core: 0,
        min: 0,
    },
};
