//! One node from inside: a script that only reads, and its output.

use jiff::Timestamp;

use super::Patience;
use crate::event::chain;
use crate::node::Node;
use crate::plan::{NodePlan, NodeRole, PlannedFile};
use crate::recipe::health::servers;
use crate::recipe::world::{Guest, Kubeadm};
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
fi
for file in /var/lib/etcd/member/wal/*.wal; do [ -e "$file" ] && echo data=yes && break; done
for task in /run/containerd/io.containerd.runtime.v2.task/k8s.io/*; do [ -d "$task" ] && echo "task=${task##*/}"; done
echo "units=$(systemctl is-active regent-kubeadm kubelet containerd | tr '\n' ' ')"
echo '--- certificates'
cd /etc/kubernetes/pki 2>/dev/null && sed -n '/BEGIN CERT/,/END CERT/p' apiserver*.crt front-proxy-client.crt etcd/healthcheck-client.crt etcd/peer.crt etcd/server.crt /var/lib/kubelet/pki/kubelet-client-current.pem 2>/dev/null
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
    with_images: bool,
    patience: Patience,
) -> Result<Guest, String> {
    let paths: Vec<_> = node.files.iter().map(|file| file.path.as_str()).collect();
    // Paths that can be written to a node need no quotes.
    let files = format!("sha256sum {} 2>/dev/null\n", paths.join(" "));
    let script = match node.role {
        NodeRole::LoadBalancer => format!("set +e\n{BASE}{files}{BALANCER}"),
        NodeRole::ControlPlane | NodeRole::Worker if with_images => {
            let images = images(patience);
            format!("set +e\n{BASE}{files}{images}{KUBERNETES}")
        }
        NodeRole::ControlPlane | NodeRole::Worker => {
            format!("set +e\n{BASE}{files}{KUBERNETES}")
        }
    };
    let look = session.script(script).deadline(patience.node).run();
    match patience.heard(node.address, patience.node, look).await {
        Some(Ok(text)) => Ok(read(&text, &node.files, Timestamp::now())),
        Some(Err(error)) => Err(chain(&error)),
        None => Err("no answer".to_owned()),
    }
}

fn read(text: &str, planned: &[PlannedFile], clock: Timestamp) -> Guest {
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
    Guest {
        configured: word("configured").filter(|_| planned.iter().all(as_planned)),
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
        certificates: rest
            .strip_prefix("certificates\n")
            .map(certificates)
            .unwrap_or_default(),
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

/// Subject and end of each certificate of a text.
fn certificates(pem: &str) -> Vec<(String, Timestamp)> {
    let blocks = x509_parser::pem::Pem::iter_from_buffer(pem.as_bytes());
    blocks
        .flatten()
        .filter_map(|block| {
            let certificate = block.parse_x509().ok()?;
            let ends = certificate.validity().not_after.timestamp();
            Some((
                certificate.subject().to_string(),
                Timestamp::from_second(ends).ok()?,
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;
    use crate::plan::ImageArchive;
    use crate::recipe::world::Stage;

    const CLOCK: Timestamp = Timestamp::constant(1_764_000_000, 0);

    #[test]
    fn a_look_is_read_key_by_key() {
        assert_eq!(read("", &[], CLOCK), Guest::default());
        let guest = read(
            "configured=abc\nuptime=1000.50 1800.1\ninit=1 (a (b) c) S 0 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 90000 1 1\n\
             now=1764153600.250000000\nfile=kubelet.conf\nfile=pki/ca.key\nca=def  pki/ca.crt\ndata=yes\ntask=0a1\ntask=2b3\n\
             archive=77ff\nimage=docker.io/library/app:1\nimage=sha256:11\n\
             units=inactive active active \n--- certificates\n",
            &[],
            CLOCK,
        );
        assert_eq!(guest.configured.as_deref(), Some("abc"));
        assert_eq!(guest.ca.as_deref(), Some("def"));
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
            read("units=activating inactive active \n", &[], CLOCK)
                .kubeadm
                .busy
        );
        assert!(!read("units=inactive active failed \n", &[], CLOCK).kubelet);
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
        let configured = |text: String| read(&text, std::slice::from_ref(&file), CLOCK).configured;
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
            &[],
            CLOCK,
        );
        assert!(guest.balancing);
        assert_eq!(guest.servers.len(), 1);
    }
}
