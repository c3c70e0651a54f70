//! What a builder's programs may see and do. Needs root, as namespaces do.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a skipped test says so")]

use std::fs;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use regent::event::Events;
use regent::store::{Build, BuildError, Builder, Derivation, Encoding, Store, StoreError};

/// Runs a script that writes `$1`.
#[derive(Debug)]
struct Script(&'static str);

impl Builder for Script {
    fn encode(&self, encoding: &mut Encoding) {
        encoding.text("script/1").text(self.0);
    }

    fn build(&self, build: &Build<'_>) -> Result<(), BuildError> {
        build
            .command("sh")
            .args(["-euc", self.0, "sh", build.out.as_str()])
            .run()
    }
}

fn run(script: &'static str) -> Option<(tempfile::TempDir, Result<Utf8PathBuf, StoreError>)> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: needs root");
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(Utf8Path::from_path(directory.path()).unwrap()).unwrap();
    let derivation: Arc<Derivation> = Derivation::build("script", Script(script)).unwrap();
    let result = store.realise(&derivation, &Events::none());
    Some((directory, result))
}

#[test]
fn a_program_sees_no_network_no_environment_and_no_other_process() {
    let script = "{ env | cut -d = -f 1 | sort | tr '\\n' ' '; tail -n +3 /proc/net/dev | cut -d : -f 1; ls -d /proc/[0-9]* | wc -l; umask; } >$1";
    let Some((_directory, result)) = run(script) else {
        return;
    };
    let text = fs::read_to_string(result.unwrap()).unwrap();
    let words: Vec<&str> = text.split_whitespace().collect();
    let expected = [
        "HOME",
        "LC_ALL",
        "PATH",
        "PWD",
        "SOURCE_DATE_EPOCH",
        "TMPDIR",
        "TZ",
        "lo",
    ];
    assert_eq!(words[..8], expected);
    assert!(words[8].parse::<u32>().unwrap() < 6, "{text}");
    assert_eq!(words[9], "0022");
}

#[test]
fn a_failing_program_shows_the_end_of_its_log() {
    let Some((_directory, result)) = run("seq 100; echo 'the reason' >&2; exit 3") else {
        return;
    };
    let Err(StoreError::Build {
        source: BuildError::Failed {
            status, tail, log, ..
        },
        ..
    }) = result
    else {
        panic!("{result:?}");
    };
    assert_eq!(status.code(), Some(3));
    assert!(tail.ends_with("99\n100\nthe reason"), "{tail}");
    assert!(!tail.contains("\n50\n"));
    assert!(fs::read_to_string(log).unwrap().contains("\n50\n"));
}

#[test]
fn a_full_disk_is_said_so_and_nothing_is_left() {
    let Some((directory, result)) = run(
        "mkdir small; mount -t tmpfs -o size=64k none small; head -c 100000 /dev/zero >small/file",
    ) else {
        return;
    };
    let error = result.unwrap_err();
    assert!(error.is_full(), "{error:?}");
    let names = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| !name.starts_with('.')).count(), 0);
    assert_eq!(
        fs::read_dir(directory.path().join(".tmp")).unwrap().count(),
        0
    );
}

#[test]
fn what_a_program_leaves_running_ends_with_it() {
    let Some((directory, result)) = run("sleep 1000 & echo $! >$1; cp /proc/self/mountinfo $1")
    else {
        return;
    };
    result.unwrap();
    let running = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.unwrap().path().join("cwd")).ok());
    let ours = running
        .filter(|cwd| cwd.starts_with(directory.path()))
        .count();
    assert_eq!(ours, 0);
}
