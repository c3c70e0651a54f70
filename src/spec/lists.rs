//! Values of `cluster.yaml` that are lists or maps of words, each item reported at its place.

use std::collections::BTreeMap;
use std::ops::Range;

use camino::Utf8PathBuf;

use super::diagnostic::ValueError;
use super::kubeadm::{ExtraArgs, Taint};
use crate::yaml::{Node, Value};

/// What is wrong, and where.
pub(super) type Wrong = Vec<(ValueError, Range<usize>)>;

/// Reads a list of words.
pub(super) fn words<T>(
    node: &Node,
    parse: impl Fn(&str) -> Result<T, ValueError>,
) -> Result<Vec<T>, Wrong> {
    let Value::Sequence(items) = &node.value else {
        let error = ValueError::new("must be a list").hint("such as `[one, two]`");
        return Err(vec![(error, node.span.clone())]);
    };
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for item in items {
        match text(item).and_then(&parse) {
            Ok(value) => found.push(value),
            Err(error) => wrong.push((error, item.span.clone())),
        }
    }
    if wrong.is_empty() {
        Ok(found)
    } else {
        Err(wrong)
    }
}

/// Reads a map of words to words.
pub(super) fn pairs(
    node: &Node,
    check: impl Fn(&str, &str) -> Result<(), ValueError>,
) -> Result<BTreeMap<String, String>, Wrong> {
    let (mut found, mut wrong) = (BTreeMap::new(), Vec::new());
    for (key, value) in entries(node)? {
        let read = text(key).and_then(|key| Ok((key, text(value)?)));
        match read.and_then(|(key, value)| check(key, value).map(|()| (key, value))) {
            Ok((name, value)) => {
                if found.insert(name.to_owned(), value.to_owned()).is_some() {
                    let error = ValueError::new(format!("`{name}` is given twice"));
                    wrong.push((error.hint("keep one of the two"), key.span.clone()));
                }
            }
            Err(error) => wrong.push((error, key.span.clone())),
        }
    }
    if wrong.is_empty() {
        Ok(found)
    } else {
        Err(wrong)
    }
}

fn entries(node: &Node) -> Result<&[(Node, Node)], Wrong> {
    match &node.value {
        Value::Mapping(entries) => Ok(entries),
        _ => {
            let error = ValueError::new("must be a map").hint("such as `{key: value}`");
            Err(vec![(error, node.span.clone())])
        }
    }
}

fn text(node: &Node) -> Result<&str, ValueError> {
    match &node.value {
        Value::Scalar { text, .. } if text.contains(char::is_control) => {
            Err(ValueError::new("has control characters"))
        }
        Value::Scalar { text, .. } => Ok(text),
        _ => Err(ValueError::new("must be a single word")),
    }
}

/// An archive's path, relative to the file.
pub(super) fn archive(text: &str) -> Result<Utf8PathBuf, ValueError> {
    if text.contains("://") {
        return Err(ValueError::new(format!("`{text}` is no file"))
            .hint("save the image into an archive beside this file: docker save IMAGE > app.tar"));
    }
    match text.is_empty() {
        false => Ok(text.into()),
        true => Err(ValueError::new("this is no file").hint("such as `app.tar`")),
    }
}

/// A host name or an address, for a certificate.
pub(super) fn san(text: &str) -> Result<String, ValueError> {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let name = text.strip_prefix("*.").unwrap_or(text);
    let is_name = name.len() <= 253 && name.split('.').all(label);
    match text.parse::<std::net::IpAddr>().is_ok() || is_name {
        true => Ok(text.to_owned()),
        false => Err(
            ValueError::new(format!("`{text}` is neither a host name nor an address"))
                .hint("such as `api.example.com` or `203.0.113.7`, without scheme and port"),
        ),
    }
}

/// Whether a key and value may be a label that a kubelet sets of its own node.
pub(super) fn label(key: &str, value: &str) -> Result<(), ValueError> {
    let (prefix, name) = key.rsplit_once('/').unwrap_or(("", key));
    qualified(name, key)?;
    let theirs = ["kubernetes.io", "k8s.io"]
        .iter()
        .any(|domain| prefix == *domain || prefix.ends_with(&format!(".{domain}")));
    let allowed = prefix == "node.kubernetes.io" || prefix == "kubelet.kubernetes.io";
    if theirs && !allowed {
        return Err(
            ValueError::new(format!("a kubelet may not give its node the label `{key}`")).hint(
                "take a prefix of your own; or set it afterwards: regent kubectl label node NODE …",
            ),
        );
    }
    if value.is_empty() {
        return Ok(());
    }
    qualified(value, value)
}

/// The form of a label's name and of its value: 63 characters, letters and digits at both ends.
fn qualified(name: &str, shown: &str) -> Result<(), ValueError> {
    let ends = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    match name.len() <= 63 && ends(name) && name.bytes().all(inner) {
        true => Ok(()),
        false => Err(ValueError::new(format!("`{shown}` is no label"))
            .hint("letters, digits, `-`, `_` and `.`, at most 63, beginning and ending with a letter or digit")),
    }
}

/// A taint, `key=value:Effect` or `key:Effect`.
pub(super) fn taint(text: &str) -> Result<Taint, ValueError> {
    let wrong = || {
        ValueError::new(format!("`{text}` is no taint"))
            .hint("such as `dedicated=batch:NoSchedule`; effects are NoSchedule, PreferNoSchedule, NoExecute")
    };
    let (what, effect) = text.rsplit_once(':').ok_or_else(wrong)?;
    if !matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
        return Err(wrong());
    }
    let (key, value) = what.split_once('=').unwrap_or((what, ""));
    let (_, name) = key.rsplit_once('/').unwrap_or(("", key));
    qualified(name, key).map_err(|_| wrong())?;
    if !value.is_empty() {
        qualified(value, value).map_err(|_| wrong())?;
    }
    Ok(Taint {
        key: key.to_owned(),
        value: value.to_owned(),
        effect: effect.to_owned(),
    })
}

/// Flags that regent sets itself, or that the cluster would not come up with, by component; and where else they are set.
const OURS: [(&str, &[&str], &str); 5] = [
    (
        "apiServer",
        &[
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
        "regent's recipe, its load balancer and `loadBalancer.tuning` depend on it",
    ),
    (
        "controllerManager",
        &[
            "allocate-node-cidrs",
            "cluster-cidr",
            "kubeconfig",
            "node-monitor-grace-period",
            "node-monitor-period",
            "service-cluster-ip-range",
        ],
        "`network` and `loadBalancer.tuning` decide it",
    ),
    ("scheduler", &["kubeconfig"], "kubeadm decides it"),
    (
        "etcd",
        &[
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
        "kubeadm decides it",
    ),
    (
        "kubelet",
        &[
            "bootstrap-kubeconfig",
            "config",
            "container-runtime-endpoint",
            "kubeconfig",
            "node-ip",
            "node-labels",
            "register-with-taints",
        ],
        "regent decides it; labels and taints have keys of their own",
    ),
];

/// Reads the flags of each component.
pub(super) fn extra_args(node: &Node) -> Result<ExtraArgs, Wrong> {
    let (mut args, mut wrong) = (ExtraArgs::default(), Vec::new());
    for (component, flags) in entries(node)? {
        let name = text(component).unwrap_or_default();
        let Some((_, ours, why)) = OURS.iter().find(|(known, ..)| *known == name) else {
            let known = OURS.map(|(known, ..)| format!("`{known}`")).join(", ");
            let error = ValueError::new(format!("`{name}` is no component of kubeadm's"));
            wrong.push((
                error.hint(format!("they are {known}")),
                component.span.clone(),
            ));
            continue;
        };
        let check = |flag: &str, _: &str| {
            let is_flag = flag.starts_with(|c: char| c.is_ascii_lowercase())
                && flag
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            if !is_flag {
                let error = ValueError::new(format!("`{flag}` is no flag"));
                return Err(error.hint("without the leading `--`, such as `v`"));
            }
            match ours.contains(&flag) {
                true => Err(ValueError::new(format!("`{flag}` cannot be set: {why}"))),
                false => Ok(()),
            }
        };
        match pairs(flags, check) {
            Ok(found) => *args.of_mut(name) = found,
            Err(more) => wrong.extend(more),
        }
    }
    if wrong.is_empty() {
        Ok(args)
    } else {
        Err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_labels_and_taints_are_kubernetes_own() {
        for good in [
            "api.example.com",
            "*.example.com",
            "203.0.113.7",
            "2001:db8::1",
            "x",
        ] {
            assert_eq!(san(good).unwrap(), good);
        }
        for bad in [
            "",
            "API.example.com",
            "https://x",
            "x:6443",
            "-x",
            "a..b",
            "x y",
        ] {
            san(bad).unwrap_err();
        }
        for (key, value) in [("disk", "ssd"), ("example.com/zone", "a.1"), ("empty", "")] {
            label(key, value).unwrap();
        }
        for (key, value) in [
            ("node-role.kubernetes.io/x", ""),
            ("-a", "b"),
            ("a", "b c"),
            ("", "x"),
        ] {
            label(key, value).unwrap_err();
        }
        let batch = taint("dedicated=batch:NoSchedule").unwrap();
        assert_eq!(batch.to_string(), "dedicated=batch:NoSchedule");
        assert_eq!(
            taint("gone:NoExecute").unwrap().to_string(),
            "gone:NoExecute"
        );
        for bad in ["", "a", "a=b", "a:Never", ":NoExecute", "a b:NoExecute"] {
            taint(bad).unwrap_err();
        }
    }
}
