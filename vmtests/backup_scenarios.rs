//! Backups: made on a schedule and when asked for, and what brings a cluster back of which no disk is left.

use std::process::Command;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use regent::image::NodeImage;

use crate::cluster::Seen;
use crate::lab::Result;
use crate::operations::{THREE, file};
use crate::program::{Program, says};
use crate::scenarios::expect;

/// What `regent` exits with when an operation failed.
const FAILED: i32 = 4;

/// A timer of a minute, its first run a minute after the node has it, and a busy machine.
const SCHEDULED: Duration = Duration::from_secs(150);

const NODES: [&str; 3] = ["m1", "m2", "m3"];

/// Every control-plane node's disk is gone; the last backup brings the cluster back: its keys, what was stored before it, and who
/// had joined.
pub fn a_backup_brings_everything_back(image: &NodeImage) -> Seen {
    let program = Program::new()?;
    let keys = ["key.txt", "other.txt"].map(|key| Ok(program.directory()?.join(key)));
    let [key, other] = keys.map(|key: Result<_>| key);
    let (key, other) = (key?, other?);
    let age = |words: &[&str]| {
        let mut command = Command::new(image.root.join("usr/bin/age-keygen"));
        command.args(words);
        says(command)
    };
    age(&["-o", other.as_str()])?;
    age(&["-o", key.as_str()])?;
    let recipient = age(&["-y", key.as_str()])?;
    let backup = format!(
        "backup: {{ recipient: {}, every: 1m, keep: 1 }}\n",
        recipient.trim()
    );
    program.write(&(file(THREE) + &backup))?;
    let told = brought_back(&program, &key, &other);
    program.down()?;
    told
}

fn brought_back(program: &Program, key: &Utf8Path, other: &Utf8Path) -> Seen {
    program.says(&["up"])?;
    let waited = scheduled(program)?;
    let status = program.status()?;
    expect(
        status["backups"]["newest"].is_string(),
        format!("it is told: {status}"),
    )?;
    program.says(&["kubectl", "create", "configmap", "before"])?;
    let backup = program.directory()?.join("backup.age");
    let made = program.says(&["--json", "backup", "--out", backup.as_str()])?;
    let made: serde_json::Value = serde_json::from_str(made.lines().last().unwrap_or_default())?;
    let revision = made["revision"].as_u64().ok_or("no revision")?;
    let content = std::fs::read(&backup)?;
    let (sealed, secret) = (
        content.starts_with(b"age-encryption.org/v1\n"),
        b"PRIVATE KEY",
    );
    let open = content.windows(secret.len()).any(|some| some == secret);
    expect(sealed && !open, "it is encrypted".to_owned())?;
    program.says(&["kubectl", "create", "configmap", "after"])?;

    let with = |from: &Utf8Path, key: &Utf8Path| {
        let words = [
            "restore",
            "--from",
            from.as_str(),
            "--identity",
            key.as_str(),
        ];
        words.map(str::to_owned)
    };
    let refuses = |from: &Utf8Path, key: &Utf8Path, why: &str| {
        let words = with(from, key);
        let refused = program.refuses(&words.each_ref().map(String::as_str), FAILED)?;
        expect(refused.contains(why), refused)
    };
    refuses(&backup, key, "etcd has a quorum")?;
    for node in NODES {
        program.says(&["node", "cut", node])?;
    }
    for node in NODES {
        std::fs::remove_dir_all(program.paths()?.node(&node.parse()?))?;
    }
    let refused = program.refuses(&["up"], FAILED)?;
    expect(refused.contains("regent restore --from"), refused)?;
    refuses(&backup, other, "age does not decrypt")?;
    let cut = program.directory()?.join("cut.age");
    std::fs::write(&cut, &content[..content.len() / 2])?;
    refuses(&cut, key, "age does not decrypt")?;

    let begun = Instant::now();
    let words = with(&backup, key);
    let said = program.says(&[&["--json"][..], &words.each_ref().map(String::as_str)].concat())?;
    let took = begun.elapsed();
    let said: serde_json::Value = serde_json::from_str(said.lines().last().unwrap_or_default())?;
    expect(
        said["survivor"]["revision"] == revision,
        format!("of revision {revision}: {said}"),
    )?;
    program.is_healthy()?;
    program.is_as_planned()?;
    program.keeps(&["before".to_owned()])?;
    let maps = program.says(&["kubectl", "get", "configmaps", "--output", "name"])?;
    expect(
        !maps.contains("/after"),
        format!("nothing of after it: {maps}"),
    )?;
    program.says(&["kubectl", "create", "configmap", "again"])?;
    Ok(format!(
        "a backup every minute, the first after {waited:.0?}; from no disk at all to healthy in {took:.1?}"
    ))
}

/// Waits until a node has made a backup by itself; how long. What it keeps is root's, and no more than it is told to.
fn scheduled(program: &Program) -> Result<Duration> {
    let look = "cd /var/lib/regent/backups 2>/dev/null || exit 0; \
                for one in *; do [ ! -e \"$one\" ] || stat -c '%a %n' \"$one\"; done";
    let begun = Instant::now();
    loop {
        let mut found = String::new();
        for node in NODES {
            found += &program.says(&["ssh", node, look])?;
        }
        if let [only] = found.lines().collect::<Vec<_>>()[..] {
            let whole = only.starts_with("600 omicron-") && only.ends_with("Z.age");
            expect(whole, format!("one that root alone can read: {found}"))?;
            return Ok(begun.elapsed());
        }
        expect(found.is_empty(), format!("one at a time: {found}"))?;
        let waited = begun.elapsed();
        expect(waited < SCHEDULED, format!("one within {SCHEDULED:?}"))?;
        std::thread::sleep(Duration::from_secs(2));
    }
}
