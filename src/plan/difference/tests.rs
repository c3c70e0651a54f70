use super::*;
use crate::derive::{self, Beside};
use crate::spec::{CertificateMode, ClusterSpec, Driver, Endpoint, Memory, Tuning};

fn spec(change: impl FnOnce(&mut ClusterSpec)) -> ClusterSpec {
    let mut spec = ClusterSpec::new("demo".parse().unwrap());
    change(&mut spec);
    spec
}

fn changes(change: impl FnOnce(&mut ClusterSpec)) -> Vec<(String, Reach)> {
    let now = derive::plan(&spec(|_| {}), Driver::Lxc, Beside::default());
    let wanted = derive::plan(&spec(change), Driver::Lxc, Beside::default());
    let found = difference(&now, &wanted).into_iter();
    found
        .map(|change| (change.to_string(), change.reach))
        .collect()
}

/// In the file's own words and units, never bytes or a type's name.
#[test]
fn case_words_of_a_difference_are_those_of_the_file() {
    type Edit = fn(&mut ClusterSpec);
    let table: [(Edit, &str, Reach); 13] = [
        (
            |spec| spec.control_plane.memory = Memory::gib(3),
            "controlPlane.memory: 2GiB → 3GiB",
            Reach::Up,
        ),
        // The load balancer that goes with it is not said again.
        (
            |spec| spec.control_plane.endpoint = Endpoint::None,
            "controlPlane.endpoint: loadBalancer → none",
            Reach::Never,
        ),
        (
            |spec| spec.workers.cpus = 4,
            "workers.cpus: 2 → 4",
            Reach::Up,
        ),
        (
            |spec| spec.load_balancer.cpus = 2,
            "loadBalancer.cpus: 1 → 2",
            Reach::Never,
        ),
        (
            |spec| spec.workers.count = 3,
            "workers.count: 2 → 3",
            Reach::Up,
        ),
        (
            |spec| spec.workers.count = 1,
            "workers.count: 2 → 1",
            Reach::Up,
        ),
        (
            |spec| spec.control_plane.count = 5,
            "controlPlane.count: 3 → 5",
            Reach::Up,
        ),
        (
            |spec| spec.load_balancer.tuning = Tuning::KubeadmDocs,
            "loadBalancer.tuning: fast → kubeadm-docs",
            Reach::Never,
        ),
        (
            |spec| spec.certificates = CertificateMode::Copy,
            "certificates: upload → copy",
            Reach::Never,
        ),
        (
            |spec| spec.network.cidr = "192.168.5.0/24".parse().unwrap(),
            "network.cidr: 198.18.0.0/24 → 192.168.5.0/24",
            Reach::Never,
        ),
        (
            |spec| spec.network.pod_subnet = "10.128.0.0/16".parse().unwrap(),
            "network.podSubnet: 10.244.0.0/16 → 10.128.0.0/16",
            Reach::Never,
        ),
        (
            |spec| spec.hypervisor.connect = "lxc:///system".parse().unwrap(),
            "hypervisor.connect: private → lxc:///system",
            Reach::Never,
        ),
        (
            |spec| spec.budgets.write_outage = "1500ms".parse().unwrap(),
            "budgets.writeOutage: 3s → 1500ms",
            Reach::Up,
        ),
    ];
    assert_eq!(changes(|_| {}), []);
    for (edit, text, reach) in table {
        assert_eq!(changes(edit), [(text.to_owned(), reach)]);
    }
}

#[test]
fn another_regent_s_files_and_changed_manifests_are_named() {
    let manifests = |text: &str| vec![("a.yaml".to_owned(), text.to_owned())];
    let beside = |text: &str| Beside {
        manifests: manifests(text),
        patches: vec![("etcd.yaml".to_owned(), text.to_owned())],
        images: vec![ImageArchive {
            file: "app.tar".into(),
            source: "/somewhere/app.tar".into(),
            sha256: text.to_owned(),
            names: ["docker.io/library/app:1".to_owned()].into(),
        }],
    };
    let now = derive::plan(&spec(|_| {}), Driver::Lxc, beside("1"));
    let patched = derive::plan(&spec(|_| {}), Driver::Lxc, beside("2"));
    assert_eq!(
        difference(&now, &patched)[0].to_string(),
        "kubeadm.patches, etcd.yaml: as applied → changed"
    );
    let mut loaded = now.clone();
    loaded.images[0].source = camino::Utf8PathBuf::new();
    assert_eq!(difference(&now, &loaded), []);
    loaded.images[0].sha256 = "2".to_owned();
    let [change] = difference(&now, &loaded).try_into().unwrap();
    let expected = "images, app.tar: as applied → changed";
    assert_eq!((&*change.to_string(), change.reach), (expected, Reach::Up));
    let mut wanted = now.clone();
    wanted.manifests = manifests("2");
    wanted.manifests.push(("b.yaml".to_owned(), String::new()));
    wanted.nodes[1].files[0].content.push('\n');
    wanted.nodes[2].memory = Memory::gib(4);
    let texts = |wanted: &Plan| -> Vec<String> {
        let found = difference(&now, wanted);
        found.iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        texts(&wanted),
        [
            "m2's memory: 2GiB → 4GiB",
            "manifest a.yaml: as applied → changed",
            "manifest b.yaml: not there → new"
        ]
    );
    wanted.nodes[2].memory = Memory::gib(2);
    let path = &wanted.nodes[1].files[0].path;
    let file = format!("{path} on m1: as it is → as this regent writes it");
    assert_eq!(texts(&wanted)[0], file);
    wanted.nodes[1].address = "198.18.0.99".parse().unwrap();
    let address = "m1's address: 198.18.0.21 → 198.18.0.99";
    assert_eq!(texts(&wanted)[0], address);
}
