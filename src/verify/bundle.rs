//! What to look at after a run that did not pass: logs and states from every node that answers, bounded in size and
//! time, without secrets.

use std::time::Duration;

use camino::Utf8Path;

use super::etcd::Etcd;
use super::evidence::{EvidenceError, pretty, write_file};
use crate::node::Node;
use crate::plan::NodeRole;
use crate::site::Site;

/// For one command on one node. A dead node costs this once, and all nodes are asked at the same time.
const PATIENCE: Duration = Duration::from_secs(15);

/// The largest file. A journal of a run has some hundred kilobytes.
const LARGEST: usize = 4 << 20;

const JOURNAL: (&str, &str) = (
    "journal.txt",
    "journalctl --no-pager --output=short-precise --lines=5000",
);

const KUBERNETES: [(&str, &str); 3] = [
    (
        "pods.txt",
        "for log in /var/log/pods/*/*/*.log; do [ -f \"$log\" ] || continue; echo \"== $log\"; tail -n 300 \"$log\"; done",
    ),
    (
        "kubeadm.txt",
        "for log in /var/log/regent/*.log; do [ -f \"$log\" ] || continue; echo \"== $log\"; tail -n 500 \"$log\"; done",
    ),
    (
        "cluster.txt",
        "[ ! -f /etc/kubernetes/admin.conf ] || kubectl --kubeconfig /etc/kubernetes/admin.conf --request-timeout=10s \
         get nodes,pods,leases --all-namespaces --output=wide || true",
    ),
];

const HAPROXY: (&str, &str) = (
    "haproxy.txt",
    "for what in 'show info' 'show servers state' 'show stat'; do echo \"== $what\"; \
     echo \"$what\" | socat -t5 - UNIX-CONNECT:/run/haproxy/admin.sock || true; done",
);

/// Fills `OUT/bundle/`, a directory for each node. A node that does not answer gets a file that says so.
pub(super) async fn collect(site: &Site, etcd: &Etcd, out: &Utf8Path) -> Result<(), EvidenceError> {
    let bundle = out.join("bundle");
    let asked = site.plan.nodes.iter().filter_map(|planned| {
        let node = site.node(&planned.name)?;
        Some(async {
            let directory = bundle.join(planned.name.as_str());
            make_directory(&directory)?;
            if let Some(console) = site.provider.console(&planned.name).await {
                write_file(&directory, "console.txt", &redact(&console))?;
            }
            for (file, script) in commands(planned.role) {
                let Some(text) = fetch(node, script).await else {
                    return write_file(&directory, "silent.txt", "the node did not answer\n");
                };
                write_file(&directory, file, &text)?;
            }
            Ok(())
        })
    });
    make_directory(&bundle)?;
    let done = futures::future::join_all(asked).await;
    done.into_iter().collect::<Result<(), EvidenceError>>()?;
    let view = etcd.view().await;
    let members = view.members.iter().map(|(node, status)| {
        let said = status
            .as_ref()
            .map(|status| (status.leader, status.term, status.member));
        (node.to_string(), said)
    });
    let members: std::collections::BTreeMap<_, _> = members.collect();
    write_file(&bundle, "etcd.json", &pretty(&members))
}

fn commands(role: NodeRole) -> Vec<(&'static str, &'static str)> {
    match role {
        NodeRole::LoadBalancer => vec![JOURNAL, HAPROXY],
        NodeRole::ControlPlane | NodeRole::Worker => {
            [JOURNAL].into_iter().chain(KUBERNETES).collect()
        }
    }
}

async fn fetch(node: &Node, script: &str) -> Option<String> {
    let script = format!("{{ {script}; }} 2>&1 | tail -c {LARGEST}");
    let text = node.script(script).deadline(PATIENCE).run().await.ok()?;
    Some(redact(&text))
}

fn make_directory(path: &Utf8Path) -> Result<(), EvidenceError> {
    std::fs::create_dir_all(path).map_err(|source| EvidenceError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Blots out what looks like a secret: bootstrap tokens (`abcdef.0123456789abcdef`), certificate keys (64 hexadecimal
/// digits that no digest's name precedes), service account tokens, and private keys.
fn redact(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut key = false;
    for line in text.split_inclusive('\n') {
        key |= line.contains("-----BEGIN") && line.contains("PRIVATE KEY");
        if key {
            key = !line.contains("-----END");
            clean.push_str(if key { "" } else { "[private key]\n" });
            continue;
        }
        redact_line(line, &mut clean);
    }
    clean
}

fn redact_line(line: &str, clean: &mut String) {
    let part_of_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let mut rest = line;
    while let Some(start) = rest.find(part_of_word) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|c| !part_of_word(c)).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        clean.push_str(before);
        clean.push_str(if secret(word, before) {
            "[secret]"
        } else {
            word
        });
        rest = after;
    }
    clean.push_str(rest);
}

fn secret(word: &str, before: &str) -> bool {
    let lower = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    let token = |(id, secret): (&str, &str)| {
        id.len() == 6 && secret.len() == 16 && lower(id) && lower(secret)
    };
    let hexadecimal = word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    word.split_once('.').is_some_and(token)
        || (hexadecimal && !before.ends_with(':'))
        || (word.starts_with("eyJ") && word.len() > 40)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_blotted_out_and_the_rest_stays() {
        let key = "0123456789abcdef".repeat(4);
        let text = format!(
            "kubeadm join --token abcdef.0123456789abcdef --certificate-key {key}\n\
             image registry.k8s.io/pause@sha256:{key} at m1.kube-system, 3.10.1\n\
             Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6IjEyMyJ9.eyJzdWIiOiJhIn0.c2ln\n\
             -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nafter\n"
        );
        let clean = redact(&text);
        assert_eq!(
            clean,
            format!(
                "kubeadm join --token [secret] --certificate-key [secret]\n\
                 image registry.k8s.io/pause@sha256:{key} at m1.kube-system, 3.10.1\n\
                 Bearer [secret]\n[private key]\nafter\n"
            )
        );
    }
}
