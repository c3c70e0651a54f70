use super::*;
use crate::derive::{self, Beside};
use crate::spec::{ClusterSpec, Driver};

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        archive.append_data(&mut header, path, *content).unwrap();
    }
    archive.into_inner().unwrap()
}

/// A backup as the script writes it, after something was done to its files.
fn backup(
    about: &str,
    keys: &[&str],
    spoil: impl FnOnce(&mut Vec<(&'static str, Vec<u8>)>),
) -> Vec<u8> {
    let paths: Vec<_> = keys.iter().map(|key| format!("kubernetes/{key}")).collect();
    let keys: Vec<_> = paths
        .iter()
        .map(|path| (path.as_str(), b"key".as_slice()))
        .collect();
    let mut files = vec![
        (ABOUT, about.as_bytes().to_vec()),
        (SNAPSHOT, b"snapshot".to_vec()),
        (FILES_OF_KUBEADM, archive(&keys)),
    ];
    let sums = files
        .iter()
        .map(|(name, content)| format!("{}  {name}\n", Sha256::of(content)));
    let sums: String = sums.collect();
    files.push((SUMS, sums.into_bytes()));
    spoil(&mut files);
    let files: Vec<_> = files
        .iter()
        .map(|(name, content)| (*name, content.as_slice()))
        .collect();
    archive(&files)
}

fn about(cluster: &str, kubernetes: &str) -> String {
    format!(
        r#"{{"version":1,"cluster":"{cluster}","node":"m2","at":"20261127T120000Z","kubernetes":"{kubernetes}","revision":7,"ca":"00"}}"#
    )
}

fn read(archive: &[u8]) -> Result<OpenedBackup, String> {
    let spec = ClusterSpec::new("demo".parse().unwrap());
    let plan = derive::plan(&spec, Driver::Lxc, Beside::default());
    let opened = OpenedBackup::read("b.age".into(), archive, &plan);
    opened.map_err(|error| error.to_string())
}

#[test]
fn what_was_made_is_read() {
    let opened = read(&backup(&about("demo", "v1.35.4"), &KEYS, |_| {})).unwrap();
    assert_eq!(
        (opened.about.node.as_str(), opened.about.revision),
        ("m2", 7)
    );
    assert_eq!(opened.snapshot, b"snapshot");
    let modes: Vec<_> = opened
        .keys
        .iter()
        .map(|file| (file.path.as_str(), file.mode))
        .collect();
    assert_eq!(modes[0], ("/etc/kubernetes/pki/ca.crt", 0o644));
    assert_eq!(modes[1], ("/etc/kubernetes/pki/ca.key", 0o600));
}

/// Nothing that is not whole, or not this cluster's, is taken for a backup.
#[test]
fn what_is_damaged_or_anothers_is_refused() {
    let own = || about("demo", "v1.35.4");
    for (archive, wanted) in [
        (b"".to_vec(), "b.age is damaged: it has no SHA256SUMS"),
        (
            backup(&own(), &KEYS, |files| files[1].1.push(b'!')),
            "b.age is damaged: etcd.db is not what it was",
        ),
        (
            backup(&own(), &KEYS, |files| drop(files.remove(1))),
            "b.age is damaged: it has no etcd.db",
        ),
        (
            backup(&own(), &KEYS, |files| files[3].1.clear()),
            "b.age is damaged: nothing says what about.json was",
        ),
        (
            backup(&own(), &KEYS[1..], |_| {}),
            "b.age is damaged: kubernetes.tar has no pki/ca.crt",
        ),
        (
            backup(&about("other", "v1.35.4"), &KEYS, |_| {}),
            "b.age is of the cluster other, not demo",
        ),
        (
            backup(&about("demo", "v1.34.0"), &KEYS, |_| {}),
            "b.age is of Kubernetes v1.34.0, not v1.35.4",
        ),
        (
            backup(
                &own().replace(r#""version":1"#, r#""version":2"#),
                &KEYS,
                |_| {},
            ),
            "b.age is of format 2: a later regent made it",
        ),
    ] {
        assert_eq!(read(&archive).err().as_deref(), Some(wanted));
    }
    let cut = backup(&own(), &KEYS, |_| {});
    assert!(read(&cut[..cut.len() / 2]).is_err());
}
