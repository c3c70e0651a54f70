//! What is so: the nodes' disks, the directory that they share, and which of them run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use camino::Utf8PathBuf;
use serde_json::{Value, json};

use crate::name::NodeName;
use crate::plan::Plan;

/// A member of etcd.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) node: String,
    pub(super) id: String,
    pub(super) learner: bool,
    pub(super) peer: String,
}

/// How many questions each leaves unanswered after the boot of a node that has been in the cluster: a look sees it silent,
/// and it is waited for. A look asks a member three of them, and the API a dozen, of which the leases are one.
const ETCD: usize = 3;
const API: usize = 14;
const LEASES: usize = 2;

/// See the module.
pub(super) struct Truth {
    pub(super) plan: Plan,
    /// A directory for each node, and `cluster`, which they share.
    pub(super) root: Utf8PathBuf,
    pub(super) running: Mutex<BTreeSet<NodeName>>,
    /// How often what starts with a node was asked since; nothing of what has long been there.
    asked: Mutex<BTreeMap<String, usize>>,
    /// What was patched of the API's objects, by path.
    patched: Mutex<BTreeMap<String, Value>>,
    /// Nodes whose pod has left; every other one has one.
    evicted: Mutex<BTreeSet<String>>,
    /// Whether a disruption budget lets no pod leave.
    forbidden: AtomicBool,
}

impl Truth {
    pub(super) fn new(plan: &Plan, root: Utf8PathBuf) -> Self {
        Self {
            plan: plan.clone(),
            root,
            running: Mutex::default(),
            asked: Mutex::default(),
            patched: Mutex::default(),
            evicted: Mutex::default(),
            forbidden: AtomicBool::default(),
        }
    }

    pub(super) fn disk(&self, node: &NodeName) -> Utf8PathBuf {
        self.root.join(node.as_str())
    }

    /// Whether something has been written to the shared directory.
    pub(super) fn shared(&self, name: &str) -> bool {
        self.root.join("cluster").join(name).exists()
    }

    /// What has been written there.
    pub(super) fn read_shared(&self, name: &str) -> String {
        fs::read_to_string(self.root.join("cluster").join(name)).unwrap_or_default()
    }

    /// A node starts, which has been in the cluster before: what runs on it must start too.
    pub(super) fn booted(&self, node: &NodeName) {
        let mut asked = self.asked.lock().unwrap();
        for what in [
            format!("etcd on {node}"),
            "api".to_owned(),
            "leases".to_owned(),
        ] {
            asked.insert(what, 0);
        }
    }

    /// Counts a question; returns whether it is answered.
    fn ask(&self, what: &str, unanswered: usize) -> bool {
        if let Some(asked) = self.asked.lock().unwrap().get_mut(what) {
            *asked += 1;
        }
        self.is_back(what, unanswered)
    }

    fn is_back(&self, what: &str, unanswered: usize) -> bool {
        let asked = self.asked.lock().unwrap();
        asked.get(what).is_none_or(|asked| *asked > unanswered)
    }

    pub(super) fn ask_etcd(&self, node: &NodeName) -> Option<Member> {
        self.ask(&format!("etcd on {node}"), ETCD);
        self.member_on(node)
    }

    pub(super) fn ask_balanced(&self) -> bool {
        let mut balancers = self.plan.load_balancers();
        let balances = balancers.any(|node| self.runs(&node.name, "haproxy"));
        let mut servers = self.plan.control_plane();
        balances && servers.any(|node| self.serves(&node.name)) && self.ask("api", API)
    }

    pub(super) fn ask_api(&self, node: &NodeName) -> bool {
        self.serves(node) && self.ask("api", API)
    }

    /// The kubelets that have renewed their leases.
    pub(super) fn ask_leases(&self) -> Vec<NodeName> {
        self.ask("leases", LEASES);
        let mut nodes = self.nodes();
        nodes.retain(|node| self.kubelet_lives(node));
        nodes
    }

    fn runs(&self, node: &NodeName, unit: &str) -> bool {
        let runs = self.running.lock().unwrap().contains(node);
        runs && self.disk(node).join("run/units").join(unit).exists()
    }

    fn names(&self, of: &str) -> Vec<String> {
        let entries = self.root.join("cluster").join(of).read_dir_utf8();
        let mut names: Vec<_> = entries
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name().to_owned())
            .collect();
        names.sort();
        names
    }

    pub(super) fn cluster(&self) -> String {
        let id = fs::read_to_string(self.root.join("cluster/id"));
        id.unwrap_or_default().trim().to_owned()
    }

    pub(super) fn members(&self) -> Vec<Member> {
        let read = |node: String| {
            let line = fs::read_to_string(self.root.join("cluster/members").join(&node)).ok()?;
            let mut words = line.split_whitespace();
            Some(Member {
                node,
                id: words.next()?.to_owned(),
                learner: words.next()? == "true",
                peer: words.next()?.to_owned(),
            })
        };
        self.names("members").into_iter().filter_map(read).collect()
    }

    /// The member whose etcd runs on a node, with the data that is on its disk.
    fn member_on(&self, node: &NodeName) -> Option<Member> {
        let disk = self.disk(node);
        let id = fs::read_to_string(disk.join("var/lib/etcd/member/wal/0.wal")).ok()?;
        let planned = disk.join("etc/kubernetes/manifests/etcd.yaml").exists();
        if !planned
            || !self.runs(node, "kubelet")
            || !self.is_back(&format!("etcd on {node}"), ETCD)
        {
            return None;
        }
        let mut members = self.members().into_iter();
        members.find(|member| member.id == id.trim())
    }

    pub(super) fn quorum(&self) -> bool {
        let voters = self
            .members()
            .iter()
            .filter(|member| !member.learner)
            .count();
        let up = self
            .plan
            .control_plane()
            .filter_map(|node| self.member_on(&node.name));
        voters > 0 && up.filter(|member| !member.learner).count() > voters / 2
    }

    pub(super) fn remove_member(&self, id: &str) {
        for member in self.members().iter().filter(|member| member.id == id) {
            fs::remove_file(self.root.join("cluster/members").join(&member.node)).unwrap();
        }
    }

    fn serves(&self, node: &NodeName) -> bool {
        let pod = "etc/kubernetes/manifests/kube-apiserver.yaml";
        self.quorum() && self.disk(node).join(pod).exists() && self.member_on(node).is_some()
    }

    pub(super) fn nodes(&self) -> Vec<NodeName> {
        let names = self.names("nodes").into_iter();
        names.map(|name| name.parse().unwrap()).collect()
    }

    pub(super) fn is_marked(&self, node: &NodeName) -> bool {
        let node = self.root.join("cluster/nodes").join(node.as_str());
        fs::read_to_string(node).is_ok_and(|text| text.contains("control-plane"))
    }

    pub(super) fn delete_node(&self, name: &str) {
        let _ = fs::remove_file(self.root.join("cluster/nodes").join(name));
        let path = format!("/api/v1/nodes/{name}");
        self.patched.lock().unwrap().remove(&path);
    }

    pub(super) fn kubelet_lives(&self, node: &NodeName) -> bool {
        self.runs(node, "kubelet") && self.is_back("leases", LEASES)
    }

    /// How many pods of somebody's are on a node.
    pub(super) fn pods(&self, node: &str) -> usize {
        usize::from(!self.evicted.lock().unwrap().contains(node))
    }

    pub(super) fn forbid_eviction(&self, forbid: bool) {
        self.forbidden.store(forbid, Ordering::Relaxed);
    }

    /// Has the pod of a node leave, if it may.
    pub(super) fn evict(&self, node: &str) -> bool {
        let may = !self.forbidden.load(Ordering::Relaxed);
        if may {
            self.evicted.lock().unwrap().insert(node.to_owned());
        }
        may
    }

    pub(super) fn object(&self, path: &str) -> Value {
        let name = path.rsplit('/').next();
        let patched = self.patched.lock().unwrap();
        let object = patched.get(path).cloned();
        object.unwrap_or_else(|| json!({ "metadata": { "name": name }, "spec": {} }))
    }

    pub(super) fn patch(&self, path: &str, patch: Value) -> Value {
        let mut object = self.object(path);
        merge(&mut object, patch);
        let mut patched = self.patched.lock().unwrap();
        patched.insert(path.to_owned(), object.clone());
        object
    }
}

fn merge(into: &mut Value, patch: Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                match value {
                    Value::Null => drop(into.remove(&key)),
                    value => merge(into.entry(key).or_insert_with(|| json!({})), value),
                }
            }
        }
        (into, patch) => *into = patch,
    }
}
