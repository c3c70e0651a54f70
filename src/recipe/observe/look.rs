//! One node from inside: a script that only reads, and its output.

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::Timestamp;
use x509_parser::extensions::GeneralName;

use super::Patience;
use crate::event::chain;
use crate::name::ClusterName;
use crate::node::Node;
use crate::plan::{BackupPlan, NodePlan, NodeRole, Plan, PlannedFile};
use crate::recipe::health::servers;
use crate::recipe::world::{Backups, Guest, Kubeadm};
use crate::store::Sha256;

/// Prints one `key=value` a line; every key is optional. Each program that it starts costs milliseconds, on an emulated
/// processor a tenth of a second.
const BASE: &str = r#"
[ -s /var/lib/regent/configured ] && read -r mark </var/lib/regent/configured && echo "configured=$mark"
read -r text </proc/uptime && echo "uptime=$text"
read -r text </proc/1/stat && echo "init=$text"
echo "now=$(date +%s.%N)"
"#;

const KUBERNETES: &str = r#"
if cd /etc/kubernetes 2>/dev/null; then
emptied=
for file in *.conf manifests/*.yaml pki/*.key pki/*.crt pki/*.pub pki/etcd/*.key pki/etcd/*.crt /var/lib/kubelet/config.yaml /var/lib/kubelet/pki/kubelet-client-current.pem; do
if [ -s "$file" ]; then echo "file=$file"; elif [ -f "$file" ]; then emptied=yes; fi
done
[ -n "$emptied" ] && echo "emptied=yes"
[ -s pki/ca.crt ] && echo "ca=$(sha256sum pki/ca.crt)"
grep -Hm1 '^ *server: ' admin.conf super-admin.conf kubelet.conf /root/.kube/config 2>/dev/null
fi
for file in /var/lib/etcd/member/wal/*.wal; do [ -e "$file" ] && echo data=yes && break; done
for task in /run/containerd/io.containerd.runtime.v2.task/k8s.io/*; do [ -d "$task" ] && echo "task=${task##*/}"; done
echo "units=$(systemctl is-active regent-kubeadm kubelet containerd | tr '\n' ' ')"
echo '--- certificates'
cd /etc/kubernetes/pki 2>/dev/null && sed -n '/BEGIN CERT/,/END CERT/p' apiserver.crt apiserver-*.crt front-proxy-client.crt etcd/healthcheck-client.crt etcd/peer.crt etcd/server.crt /var/lib/kubelet/pki/kubelet-client-current.pem 2>/dev/null
exit 0
"#;

/// Costs two programs more. Where containerd is down `ctr` would wait for ten seconds, and all of the node count as silent.
fn images(patience: Patience) -> String {
    let wait = patience.node / 2;
    format!(
        r#"
for mark in /var/lib/regent/images/*; do [ -e "$mark" ] && echo "archive=${{mark##*/}}"; done
ctr --connect-timeout {}ms --namespace k8s.io images list --quiet 2>/dev/null | sed 's/^/image=/'
"#,
        wait.as_millis()
    )
}

/// The newest backup, and what became of the last try. Costs a program.
fn backups(plan: &BackupPlan, cluster: &ClusterName) -> String {
    format!(
        r#"
for backup in {}/{cluster}-*.age; do :; done
echo "backup=${{backup##*/}} $(systemctl is-active regent-backup.service)"
"#,
        plan.to
    )
}

const BALANCER: &str = r#"
[ -s /etc/haproxy/cluster-ca.crt ] && echo "ca=$(sha256sum /etc/haproxy/cluster-ca.crt)"
if systemctl is-active -q haproxy; then
sha256sum -c --status /var/lib/regent/haproxy.sums 2>/dev/null && echo balancing=yes
echo '--- servers'
echo 'show stat -1 4 -1' | socat -t2 - UNIX-CONNECT:/run/haproxy/admin.sock 2>/dev/null
fi
exit 0
"#;

/// Looks at a node; why it is taken for silent otherwise.
pub(in crate::recipe) async fn at(
    session: &Node,
    node: &NodePlan,
    plan: &Plan,
    patience: Patience,
) -> Result<Guest, String> {
    let paths: Vec<_> = node.files.iter().map(|file| file.path.as_str()).collect();
    // Paths that can be written to a node need no quotes.
    let files = format!("sha256sum {} 2>/dev/null\n", paths.join(" "));
    let mut script = format!("set +e\n{BASE}{files}");
    if node.role != NodeRole::LoadBalancer && !plan.images.is_empty() {
        script.push_str(&images(patience));
    }
    if let (Some(backup), NodeRole::ControlPlane) = (&plan.backup, node.role) {
        script.push_str(&backups(backup, &plan.cluster));
    }
    script.push_str(match node.role {
        NodeRole::LoadBalancer => BALANCER,
        NodeRole::ControlPlane | NodeRole::Worker => KUBERNETES,
    });
    let look = session.script(script).deadline(patience.node).run();
    match patience.heard(node.address, patience.node, look).await {
        Some(Ok(text)) => Ok(read(&text, node, Timestamp::now())),
        Some(Err(error)) => Err(chain(&error)),
        None => Err("no answer".to_owned()),
    }
}

fn read(text: &str, node: &NodePlan, clock: Timestamp) -> Guest {
    let (values, rest) = text.split_once("--- ").unwrap_or((text, ""));
    let value = |key: &str| {
        values
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    };
    let word = |key: &str| Some(value(key)?.split_whitespace().next()?.to_owned());
    // `HASH  PATH`, as `sha256sum` prints it.
    let as_planned = |file: &PlannedFile| {
        let wanted = format!("{}  {}", Sha256::of(file.content.as_bytes()), file.path);
        values.lines().any(|line| line == wanted)
    };
    let mut units = value("units").unwrap_or_default().split_whitespace();
    let mut active = || matches!(units.next(), Some("active" | "activating"));
    let now = value("now").and_then(seconds);
    let all = |key: &'static str| {
        let lines = values.lines();
        lines.filter_map(move |line| Some(line.strip_prefix(key)?.strip_prefix('=')?.to_owned()))
    };
    // `FILE:    server: URL`, as `grep` prints it.
    let server = |line: &str| {
        let (file, named) = line.split_once(':')?;
        let server = named.trim_start().strip_prefix("server: ")?;
        let own = node.role == NodeRole::ControlPlane && file == "kubelet.conf";
        (!own).then(|| (file.to_owned(), server.trim().to_owned()))
    };
    // `NAME STATE`; the name is the pattern where there is none.
    let backup = value("backup").and_then(|line| line.split_once(' '));
    let certificates = certificates(rest.strip_prefix("certificates\n").unwrap_or_default());
    Guest {
        configured: word("configured").filter(|_| node.files.iter().all(as_planned)),
        ca: word("ca"),
        kubeadm: Kubeadm {
            busy: active(),
            data: value("data").is_some(),
            files: all("file").collect(),
            emptied: value("emptied").is_some(),
        },
        // Without its runtime it can do nothing.
        kubelet: active() & active(),
        containers: all("task").collect(),
        archives: all("archive").collect(),
        images: all("image").collect(),
        balancing: value("balancing").is_some(),
        servers: rest
            .strip_prefix("servers\n")
            .map(servers)
            .unwrap_or_default(),
        booted: now.and_then(|now| booted(now, value("uptime")?, value("init")?)),
        now,
        past: now.map(|now| now.min(clock)),
        backups: Backups {
            newest: backup
                .map(|(name, _)| name.to_owned())
                .filter(|name| !name.contains('*')),
            failed: backup.is_some_and(|(_, state)| state == "failed"),
        },
        kubeconfigs: values.lines().filter_map(server).collect(),
        sans: certificates.iter().find_map(|one| one.sans.clone()),
        certificates: certificates
            .into_iter()
            .map(|one| (one.subject, one.end))
            .collect(),
    }
}

fn seconds(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let nanoseconds = fraction.get(..9).unwrap_or(fraction).parse().ok()?;
    Timestamp::new(whole.parse().ok()?, nanoseconds).ok()
}

/// When the first process began. Of a container that is not when its kernel did, and `/proc/uptime` is its kernel's; the
/// 22nd value of a process's `stat` counts from the same moment, in hundredths.
fn booted(now: Timestamp, uptime: &str, init: &str) -> Option<Timestamp> {
    let uptime: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    // The second value is a name in parentheses, which may have spaces.
    let (_, values) = init.rsplit_once(')')?;
    let started: f64 = values.split_whitespace().nth(19)?.parse().ok()?;
    let age = (uptime - started / 100.0).max(0.0);
    now.checked_sub(jiff::SignedDuration::try_from_secs_f64(age).ok()?)
        .ok()
}

/// What is read of a certificate.
struct Certificate {
    subject: String,
    end: Timestamp,
    /// Of an API server's: the names and addresses that it is for.
    sans: Option<BTreeSet<String>>,
}

/// Every certificate of a text.
fn certificates(pem: &str) -> Vec<Certificate> {
    let blocks = x509_parser::pem::Pem::iter_from_buffer(pem.as_bytes());
    blocks
        .flatten()
        .filter_map(|block| {
            let certificate = block.parse_x509().ok()?;
            let subject = certificate.subject().to_string();
            let end = Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()?;
            let names = certificate.subject_alternative_name().ok().flatten();
            let names = names.filter(|_| subject == API_SERVER);
            Some(Certificate {
                sans: names
                    .map(|names| names.value.general_names.iter().filter_map(spelt).collect()),
                subject,
                end,
            })
        })
        .collect()
}

/// The subject that kubeadm gives API servers' certificates.
const API_SERVER: &str = "CN=kube-apiserver";

/// A name of a certificate as a user writes it.
fn spelt(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let v6 = || <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
            v4.or_else(|_| v6()).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;
    use rcgen::SanType;

    use super::*;
    use crate::derive::{self, Beside};
    use crate::kubernetes::authority::Authority;
    use crate::plan::ImageArchive;
    use crate::recipe::world::Stage;
    use crate::spec::{ClusterSpec, Driver};

    const CLOCK: Timestamp = Timestamp::constant(1_764_000_000, 0);

    /// A node without files.
    fn node(name: &str) -> NodePlan {
        let spec = ClusterSpec::new("demo".parse().unwrap());
        let plan = derive::plan(&spec, Driver::Lxc, Beside::default());
        NodePlan {
            files: Vec::new(),
            ..plan.node(&name.parse().unwrap()).unwrap().clone()
        }
    }

    #[test]
    fn an_api_server_s_certificate_says_what_it_is_for() {
        let names = vec![
            SanType::DnsName("demo-api".try_into().unwrap()),
            SanType::IpAddress("198.18.0.11".parse().unwrap()),
            SanType::IpAddress("fd00::1".parse().unwrap()),
        ];
        let pem = Authority::new().leaf(names, None).certificate.pem();
        let guest = read(&format!("--- certificates\n{pem}"), &node("m1"), CLOCK);
        let names = ["demo-api", "198.18.0.11", "fd00::1"].map(str::to_owned);
        assert_eq!(guest.sans, Some(names.into()));
        assert_eq!(guest.certificates.len(), 1);
    }

    #[test]
    fn backups_are_told_apart_from_none() {
        let read = |line: &str| read(line, &node("m1"), CLOCK).backups;
        assert_eq!(read("backup=demo-*.age inactive"), Backups::default());
        let kept = read("backup=demo-20261127T120000Z.age failed");
        assert_eq!(kept.newest.as_deref(), Some("demo-20261127T120000Z.age"));
        assert!(kept.failed);
    }

    #[test]
    fn a_look_is_read_key_by_key() {
        assert_eq!(read("", &node("w1"), CLOCK), Guest::default());
        let guest = read(
            "configured=abc\nuptime=1000.50 1800.1\ninit=1 (a (b) c) S 0 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 90000 1 1\n\
             now=1764153600.250000000\nfile=kubelet.conf\nfile=pki/ca.key\nca=def  pki/ca.crt\ndata=yes\ntask=0a1\ntask=2b3\n\
             archive=77ff\nimage=docker.io/library/app:1\nimage=sha256:11\n\
             admin.conf:    server: https://198.18.0.11:6443\nkubelet.conf:  server: https://198.18.0.21:6443\n\
             units=inactive active active \n--- certificates\n",
            &node("m1"),
            CLOCK,
        );
        assert_eq!(guest.configured.as_deref(), Some("abc"));
        assert_eq!(guest.ca.as_deref(), Some("def"));
        // kubelet's own is for the node's own API server.
        let named = [("admin.conf", "https://198.18.0.11:6443")];
        let named = named.map(|(file, server)| (file.to_owned(), server.to_owned()));
        assert_eq!(guest.kubeconfigs, named.into());
        assert_eq!(guest.sans, None);
        assert!(guest.kubeadm.data && guest.kubelet && !guest.kubeadm.busy);
        assert_eq!(guest.containers.len(), 2);
        let mut archive = ImageArchive {
            file: "app.tar".into(),
            source: Utf8PathBuf::new(),
            sha256: "77ff".to_owned(),
            names: ["docker.io/library/app:1".to_owned()].into(),
        };
        assert!(guest.loaded(&archive));
        // Somebody has deleted one; or it is another archive of the same name.
        archive.names.insert("docker.io/library/app:2".to_owned());
        assert!(!guest.loaded(&archive));
        archive.sha256 = "88ff".to_owned();
        archive.names.pop_last();
        assert!(!guest.loaded(&archive));
        assert_eq!(guest.kubeadm.stage(NodeRole::Worker), Stage::Partial);
        assert_eq!(guest.kubeadm.stage(NodeRole::ControlPlane), Stage::Partial);
        // regent's clock says less.
        assert_eq!(guest.past, Some(CLOCK));
        // It began 900 s after its kernel, which began 1000.5 s ago.
        let age = guest.now.unwrap().duration_since(guest.booted.unwrap());
        assert_eq!(age.as_millis(), 100_500);
        assert!(
            read("units=activating inactive active \n", &node("w1"), CLOCK)
                .kubeadm
                .busy
        );
        assert!(!read("units=inactive active failed \n", &node("w1"), CLOCK).kubelet);
    }

    /// Its mark says that they were written; that they are still there is looked at.
    #[test]
    fn a_node_is_configured_while_its_files_are_as_planned() {
        let file = PlannedFile {
            path: "/etc/hosts".into(),
            mode: 0o644,
            content: "127.0.0.1 localhost\n".to_owned(),
        };
        let hash = Sha256::of(file.content.as_bytes());
        let node = NodePlan {
            files: vec![file],
            ..node("w1")
        };
        let configured = |text: String| read(&text, &node, CLOCK).configured;
        let whole = format!("configured=abc\n{hash}  /etc/hosts\n");
        assert_eq!(configured(whole).as_deref(), Some("abc"));
        let other = Sha256::of(b"by hand");
        for text in [
            format!("configured=abc\n{other}  /etc/hosts\n"),
            "configured=abc\n".to_owned(),
            format!("{hash}  /etc/hosts\n"),
        ] {
            assert_eq!(configured(text), None);
        }
    }

    #[test]
    fn a_balancer_tells_its_servers() {
        let guest = read(
            "ca=def  /etc/haproxy/cluster-ca.crt\nbalancing=yes\n--- servers\n# pxname,svname,status,check_status\nmasters,m1,UP,L7OK\n",
            &node("lb1"),
            CLOCK,
        );
        assert!(guest.balancing);
        assert_eq!(guest.servers.len(), 1);
    }
}
