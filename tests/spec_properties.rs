//! What holds for every `cluster.yaml`, right or wrong.

use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::Ipv4Net;
use proptest::prelude::*;
use regent::spec::{
    self, Budgets, CertificateMode, ClusterSpec, Connect, Diagnostics, Driver, DriverChoice, Limit,
    Machine, Memory, Severity, Tuning,
};
use regent::yaml;

const ANY_MACHINE: Machine = Machine {
    available_memory: None,
};

/// Whatever is said about a text, it can be shown, and points into the text.
fn check(text: &str) -> Result<(), TestCaseError> {
    let machine = Machine {
        available_memory: Some(Memory::gib(1).bytes()),
    };
    let said = match spec::load(text, "cluster.yaml", &machine) {
        Ok(loaded) => loaded.warnings,
        Err(diagnostics) => {
            prop_assert!(diagnostics.errors() > 0);
            diagnostics
        }
    };
    for item in &said {
        prop_assert!(
            text.get(item.span.clone()).is_some(),
            "{:?} of {text:?}",
            item.span
        );
        let line = text.split('\n').nth(item.line - 1);
        prop_assert!(
            line.is_some_and(|line| item.column <= line.chars().count() + 1),
            "{item}"
        );
        prop_assert!(said.render(false).contains(&item.message));
    }
    let _ = said.render(true);
    Ok(())
}

fn range(prefix: std::ops::RangeInclusive<u8>, first: u8) -> impl Strategy<Value = Ipv4Net> {
    (any::<u16>(), prefix).prop_map(move |(middle, prefix)| {
        let [b, c] = middle.to_be_bytes();
        Ipv4Net::new_assert(Ipv4Addr::new(first, b, c, 0), prefix).trunc()
    })
}

/// Paths that `manifests` takes: no URL, and not the directory of the file itself (`.`, `././`).
fn directory() -> impl Strategy<Value = String> {
    "[ -~é]{1,20}".prop_filter("a directory of its own", |path| {
        let url = path.contains("://") || path.starts_with("git@");
        !url && path.chars().any(|char| !"./".contains(char))
    })
}

/// Valid specs: three ranges that cannot overlap, and as many workers as the smallest of them has room for.
#[expect(clippy::unwrap_used, reason = "every generated name is valid")]
fn valid() -> impl Strategy<Value = ClusterSpec> {
    let nodes = (
        1..=9u8,
        0..=16u8,
        2..=64u8,
        1700..100_000u64,
        512..100_000u64,
    );
    let ranges = (range(16..=26, 10), range(8..=19, 20), range(12..=24, 30));
    let choices = (
        any::<[bool; 6]>(),
        "[a-z]([a-z0-9-]{0,18}[a-z0-9])?",
        proptest::option::of(directory()),
    );
    let budgets = proptest::array::uniform11(
        (0..=3_600_000u64).prop_map(|ms| Limit(Duration::from_millis(ms))),
    );
    (nodes, ranges, choices, budgets).prop_map(|(nodes, ranges, choices, budgets)| {
        let (masters, workers, cpus, master_mib, worker_mib) = nodes;
        let ([fast, fixed, private, upload, machines, far], name, manifests) = choices;
        let mut spec = ClusterSpec::new(name.parse().unwrap());
        (spec.control_plane.count, spec.control_plane.cpus) = (masters, cpus);
        (spec.workers.count, spec.workers.cpus) = (workers, cpus);
        spec.control_plane.memory = Memory::mib(master_mib);
        spec.workers.memory = Memory::mib(worker_mib);
        (
            spec.network.cidr,
            spec.network.pod_subnet,
            spec.network.service_subnet,
        ) = ranges;
        spec.load_balancer.tuning = if fast {
            Tuning::Fast
        } else {
            Tuning::KubeadmDocs
        };
        let driver = if machines { Driver::Qemu } else { Driver::Lxc };
        if fixed {
            spec.hypervisor.driver = DriverChoice::Fixed(driver);
        }
        if !private {
            spec.hypervisor.connect = match far && machines {
                true => "qemu+ssh://root@host:2222/system?keyfile=/key"
                    .parse()
                    .unwrap(),
                false => Connect::Uri(format!("{driver}:///system?socket=/run/x")),
            };
        }
        spec.certificates = if upload {
            CertificateMode::Upload
        } else {
            CertificateMode::Copy
        };
        spec.manifests = manifests.map(Into::into);
        if upload {
            let recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
            spec.backup.recipient = Some(recipient.parse().unwrap());
            spec.backup.every = format!("{master_mib}m")
                .parse()
                .unwrap_or(spec.backup.every);
        }
        let [
            new,
            reused,
            read,
            write,
            watch,
            hanging,
            dns,
            api,
            service,
            pods,
            ready,
        ] = budgets;
        spec.budgets = Budgets {
            new_connection_outage: new,
            reused_connection_outage: reused,
            read_outage: read,
            write_outage: write,
            watch_gap: watch,
            hanging_requests: hanging,
            cluster_dns_silence: dns,
            kubernetes_service_silence: api,
            pod_service_silence: service,
            pods_elsewhere: pods,
            node_ready: ready,
        };
        spec
    })
}

/// Independent mistakes, each in a section of its own: its text, and how often it must be reported.
const MISTAKES: [(&str, usize); 10] = [
    ("apiVersion: v1", 1),
    ("name: My Cluster", 1),
    ("kubernetes: 1.2.3", 1),
    ("controlPlane: {count: 12, memory: 2Gi, cpu: many}", 4),
    ("worker:\n  count: [2]\n  count: 3", 3),
    ("loadBalancer: {count: 2, tuning: slow}", 2),
    ("network: {cidr: 10.0.0.1/24, podSubnet: 127.0.0.0/16}", 2),
    ("hypervisor: {driver: kvm, connect: xen:///}", 2),
    ("budgets: {readOutage: 3, nodeReady: }", 2),
    ("something: else", 1),
];

fn errors(result: Result<spec::Loaded, Diagnostics>) -> usize {
    result.map_or_else(
        |said| {
            said.iter()
                .filter(|item| item.severity == Severity::Error)
                .count()
        },
        |_| 0,
    )
}

proptest! {
    #[test]
    fn any_text_can_be_read(text in "\\PC*") {
        check(&text)?;
    }

    #[test]
    fn any_text_of_yaml_signs_can_be_read(text in "[a-c:\\-?,{}\\[\\]&*!|>'\"%@`#~<é \t\r\n0-9./]{0,60}") {
        check(&text)?;
    }

    /// One slip of the keyboard in a right file.
    #[test]
    fn any_damage_can_be_explained(at in any::<prop::sample::Index>(), gone in 0..20usize, new in "[\\PC\n\t]{0,3}") {
        let chars: Vec<_> = spec::TEMPLATE.chars().collect();
        let at = at.index(chars.len());
        let rest = &chars[(at + gone).min(chars.len())..];
        let text: String = chars[..at].iter().copied().chain(new.chars()).chain(rest.iter().copied()).collect();
        check(&text)?;
    }

    #[test]
    fn a_valid_spec_reads_back(spec in valid()) {
        let text = yaml::to_string(&spec).unwrap();
        match spec::load(&text, "cluster.yaml", &ANY_MACHINE) {
            Ok(loaded) => prop_assert_eq!(loaded.spec, spec),
            Err(error) => prop_assert!(false, "{}", error),
        }
    }

    /// The last worker's address lies below the broadcast address and its /24 within the pod range: always if the file
    /// is accepted, never if it is refused.
    #[test]
    fn an_accepted_file_has_room_for_every_node(workers in 0..=224u8, cidr in range(20..=30, 10), pods in range(10..=24, 20)) {
        let mut wish = ClusterSpec::new("demo".parse().unwrap());
        wish.workers.count = workers;
        (wish.network.cidr, wish.network.pod_subnet) = (cidr, pods);
        wish.network.service_subnet = "30.0.0.0/16".parse().unwrap();
        let accepted = spec::load(&yaml::to_string(&wish).unwrap(), "cluster.yaml", &ANY_MACHINE).is_ok();
        // Even with no workers the nine addresses of control-plane nodes end at 29.
        let last_host = if workers == 0 { 29 } else { 30 + u32::from(workers) };
        let last_subnet = if workers == 0 { 2 } else { 15 + u32::from(workers) };
        let address = Ipv4Addr::from(u32::from(cidr.network()) + last_host);
        let subnet = Ipv4Addr::from(u32::from(pods.network()) + last_subnet * 256);
        let room = address < cidr.broadcast() && pods.contains(&subnet);
        prop_assert_eq!(accepted, room, "{} {} {}", workers, cidr, pods);
    }

    /// No mistake hides another.
    #[test]
    fn every_mistake_is_reported_at_once(chosen in proptest::sample::subsequence((0..MISTAKES.len()).collect::<Vec<_>>(), 0..=MISTAKES.len())) {
        let mut text = String::new();
        for (i, right) in ["apiVersion: regent/v1", "name: demo"].iter().enumerate() {
            if !chosen.contains(&i) {
                text += &format!("{right}\n");
            }
        }
        for i in &chosen {
            text += &format!("{}\n", MISTAKES[*i].0);
        }
        let expected: usize = chosen.iter().map(|i| MISTAKES[*i].1).sum();
        prop_assert_eq!(errors(spec::load(&text, "cluster.yaml", &ANY_MACHINE)), expected, "{}", text);
    }
}
