//! Flags of Kubernetes' components, beyond what regent decides.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::diagnostic::ValueError;
use super::lists::{entries, pairs_schema, read_pairs, text};
use super::rule::{Rule, Wrong};
use crate::yaml::Node;

/// Flags by component: name without the leading `--`, and value.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ExtraArgs {
    /// Of the API server.
    pub api_server: BTreeMap<String, String>,
    /// Of the controller manager.
    pub controller_manager: BTreeMap<String, String>,
    /// Of the scheduler.
    pub scheduler: BTreeMap<String, String>,
    /// Of etcd.
    pub etcd: BTreeMap<String, String>,
    /// Of every node's kubelet.
    pub kubelet: BTreeMap<String, String>,
}

impl ExtraArgs {
    /// Whether there is no flag.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for ExtraArgs {
    /// All flags on one line, `apiServer --v=2`; `none` if there are none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        for (component, flags) in [
            ("apiServer", &self.api_server),
            ("controllerManager", &self.controller_manager),
            ("scheduler", &self.scheduler),
            ("etcd", &self.etcd),
            ("kubelet", &self.kubelet),
        ] {
            let flags = flags.iter();
            words.extend(flags.map(|(flag, value)| format!("{component} --{flag}={value}")));
        }
        match words.is_empty() {
            true => f.write_str("none"),
            false => f.write_str(&words.join(", ")),
        }
    }
}

/// A component that takes flags.
struct Component {
    /// Its key.
    name: &'static str,
    /// Whose flags they are, for the schema.
    doc: &'static str,
    /// Where they are kept.
    of: fn(&mut ExtraArgs) -> &mut BTreeMap<String, String>,
    /// Flags that regent sets itself, or that the cluster would not come up with.
    ours: &'static [&'static str],
    /// Where else those are set.
    why: &'static str,
}

const COMPONENTS: [Component; 5] = [
    Component {
        name: "apiServer",
        doc: "Of the API server.",
        of: |args| &mut args.api_server,
        ours: &[
            "advertise-address",
            "anonymous-auth",
            "bind-address",
            "client-ca-file",
            "default-not-ready-toleration-seconds",
            "default-unreachable-toleration-seconds",
            "etcd-servers",
            "secure-port",
            "service-cluster-ip-range",
            "tls-cert-file",
            "tls-private-key-file",
        ],
        why: "regent's recipe, its load balancer and `loadBalancer.tuning` depend on it",
    },
    Component {
        name: "controllerManager",
        doc: "Of the controller manager.",
        of: |args| &mut args.controller_manager,
        ours: &[
            "allocate-node-cidrs",
            "cluster-cidr",
            "kubeconfig",
            "node-monitor-grace-period",
            "node-monitor-period",
            "service-cluster-ip-range",
        ],
        why: "`network` and `loadBalancer.tuning` decide it",
    },
    Component {
        name: "scheduler",
        doc: "Of the scheduler.",
        of: |args| &mut args.scheduler,
        ours: &["kubeconfig"],
        why: "kubeadm decides it",
    },
    Component {
        name: "etcd",
        doc: "Of etcd.",
        of: |args| &mut args.etcd,
        ours: &[
            "advertise-client-urls",
            "cert-file",
            "data-dir",
            "initial-advertise-peer-urls",
            "initial-cluster",
            "initial-cluster-state",
            "key-file",
            "listen-client-urls",
            "listen-peer-urls",
            "name",
        ],
        why: "kubeadm decides it",
    },
    Component {
        name: "kubelet",
        doc: "Of every node's kubelet.",
        of: |args| &mut args.kubelet,
        ours: &[
            "bootstrap-kubeconfig",
            "config",
            "container-runtime-endpoint",
            "kubeconfig",
            "node-ip",
            "node-labels",
            "register-with-taints",
        ],
        why: "regent decides it; labels and taints have keys of their own",
    },
];

impl Component {
    /// Whether a flag is one, and the user's to set.
    fn check(&self, flag: &str) -> Result<(), ValueError> {
        let is_flag = flag.starts_with(|c: char| c.is_ascii_lowercase())
            && flag
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !is_flag {
            let error = ValueError::new(format!("`{flag}` is no flag"));
            return Err(error.hint("without the leading `--`, such as `v`"));
        }
        let why = self.why;
        match self.ours.contains(&flag) {
            true => Err(ValueError::new(format!("`{flag}` cannot be set: {why}"))),
            false => Ok(()),
        }
    }
}

/// Flags of each component.
pub(super) fn extra_args() -> Rule<ExtraArgs> {
    let properties: serde_json::Map<_, _> = COMPONENTS
        .iter()
        .map(|component| {
            let mut schema = pairs_schema();
            schema["description"] = component.doc.into();
            schema["default"] = json!({});
            (component.name.to_owned(), schema)
        })
        .collect();
    let schema = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
        "examples": ["{apiServer: {v: \"2\"}}"],
    });
    Rule::new(schema, read_extra_args)
}

fn read_extra_args(node: &Node) -> Result<ExtraArgs, Wrong> {
    let (mut args, mut wrong) = (ExtraArgs::default(), Vec::new());
    for (key, flags) in entries(node)? {
        let name = text(key).unwrap_or_default();
        let Some(component) = COMPONENTS.iter().find(|known| known.name == name) else {
            let error = ValueError::new(format!("`{name}` is no component of kubeadm's"));
            let known = COMPONENTS
                .map(|known| format!("`{}`", known.name))
                .join(", ");
            wrong.push((error.hint(format!("they are {known}")), key.span.clone()));
            continue;
        };
        match read_pairs(flags, |flag, _| component.check(flag)) {
            Ok(found) => *(component.of)(&mut args) = found,
            Err(more) => wrong.extend(more),
        }
    }
    match wrong.is_empty() {
        true => Ok(args),
        false => Err(wrong),
    }
}
