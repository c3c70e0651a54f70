//! What `cluster.yaml` wishes of kubeadm, beyond what regent decides.

use std::collections::BTreeMap;
use std::fmt;

use camino::Utf8PathBuf;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What kubeadm is told besides. Settled for a cluster's life.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(default, deny_unknown_fields, inline)]
pub struct KubeadmSpec {
    /// Flags of `apiServer`, `controllerManager`, `scheduler`, `etcd` and `kubelet`, each a map without the leading `--`.
    /// What regent depends on is refused.
    #[serde(skip_serializing_if = "ExtraArgs::is_empty")]
    #[schemars(extend("examples" = ["{apiServer: {v: \"2\"}}"]))]
    pub extra_args: ExtraArgs,
    /// Directory of kubeadm's patches, relative to the file: files named `TARGET[SUFFIX][+TYPE].yaml` or `.json`, as `kubeadm
    /// init` takes them. They change what kubeadm writes on every node. None by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1), extend("examples" = ["patches"]))]
    pub patches: Option<Utf8PathBuf>,
}

/// Flags by component: name without the leading `--`, and value.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(inline)]
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

    /// The flags of a component by its key; of any other word the kubelet's.
    pub(super) fn of_mut(&mut self, component: &str) -> &mut BTreeMap<String, String> {
        match component {
            "apiServer" => &mut self.api_server,
            "controllerManager" => &mut self.controller_manager,
            "scheduler" => &mut self.scheduler,
            "etcd" => &mut self.etcd,
            _ => &mut self.kubelet,
        }
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

/// A taint of a Node. Displays as it is written, `key=value:Effect`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

impl fmt::Display for Taint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value, effect } = self;
        match value.is_empty() {
            true => write!(f, "{key}:{effect}"),
            false => write!(f, "{key}={value}:{effect}"),
        }
    }
}
