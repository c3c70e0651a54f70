//! The store's promises: whole or absent, once, noticed when damaged.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use regent::event::{Event, Events};
use regent::store::{
    Build, BuildError, Builder, Derivation, Encoding, Store, StoreError, StorePath, Tool,
};

/// Writes a small tree, and one line to a diary for each time that it is built.
#[derive(Debug, Clone)]
struct Diarist {
    diary: Utf8PathBuf,
    then: Then,
    inputs: Vec<Arc<Derivation>>,
}

/// What a diarist does when its tree is half written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Finish,
    Fail,
    /// Never ends.
    Hang,
    /// Writes something else each time.
    Vary,
    /// Needs a program that nobody has.
    Lack,
}

impl Builder for Diarist {
    fn encode(&self, encoding: &mut Encoding) {
        // Hanging and finishing are the same derivation: one is killed, the other goes on.
        encoding.text("diarist/1").text(if self.then == Then::Hang {
            "Finish"
        } else {
            "other"
        });
    }

    fn inputs(&self) -> Vec<Arc<Derivation>> {
        self.inputs.clone()
    }

    fn tools(&self) -> &'static [Tool] {
        const LACKING: &[Tool] = &[Tool::any("no-such-program", "apt-get install it")];
        if self.then == Then::Lack {
            LACKING
        } else {
            &[]
        }
    }

    fn build(&self, build: &Build<'_>) -> Result<(), BuildError> {
        let mut diary = fs::File::options()
            .create(true)
            .append(true)
            .open(&self.diary)
            .unwrap();
        writeln!(diary, "{}", build.name()).unwrap();
        fs::create_dir(&build.out).unwrap();
        fs::write(build.out.join("a"), "first half").unwrap();
        match self.then {
            Then::Hang => loop {
                thread::park();
            },
            Then::Fail => {
                let program = "true".to_owned();
                return Err(BuildError::Unexpected {
                    what: program,
                    expected: "x".into(),
                    found: "y".into(),
                });
            }
            Then::Vary => fs::write(build.out.join("b"), built(&self.diary).to_string()).unwrap(),
            Then::Finish | Then::Lack => fs::write(build.out.join("b"), "second half").unwrap(),
        }
        Ok(())
    }
}

/// A store in a directory of its own, and a diary beside it.
struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.directory.path())
            .unwrap()
            .join(name)
    }

    fn store(&self) -> Store {
        Store::open(&self.path("store")).unwrap()
    }

    fn derivation(&self, name: &str, then: Then, inputs: &[&Arc<Derivation>]) -> Arc<Derivation> {
        let inputs = inputs.iter().map(|input| Arc::clone(input)).collect();
        Derivation::build(
            name,
            Diarist {
                diary: self.path("diary"),
                then,
                inputs,
            },
        )
        .unwrap()
    }

    fn built(&self) -> usize {
        built(&self.path("diary"))
    }

    /// What is in the store, beside its own directories.
    fn outputs(&self) -> Vec<String> {
        let names = fs::read_dir(self.path("store"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.starts_with('.')).collect()
    }

    fn leftovers(&self) -> usize {
        fs::read_dir(self.path("store/.tmp")).unwrap().count()
    }
}

fn built(diary: &Utf8Path) -> usize {
    fs::read_to_string(diary)
        .unwrap_or_default()
        .lines()
        .count()
}

/// Events, kept.
fn recorded() -> (Events, Arc<Mutex<Vec<Event>>>) {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&kept);
    (
        Events::new(move |event| sink.lock().unwrap().push(event)),
        kept,
    )
}

#[test]
fn a_path_is_known_before_it_is_built_and_built_once() {
    let bench = Bench::new();
    let input = bench.derivation("input", Then::Finish, &[]);
    let output = bench.derivation("output", Then::Finish, &[&input]);
    let expected = bench.store().output(output.path());
    for _ in 0..2 {
        assert_eq!(
            bench.store().realise(&output, &Events::none()).unwrap(),
            expected
        );
    }
    assert_eq!(bench.built(), 2, "input and output, once each");
    assert_eq!(
        fs::read_to_string(expected.join("b")).unwrap(),
        "second half"
    );
    assert_eq!(bench.leftovers(), 0);
    let list = bench.store().list().unwrap();
    assert_eq!(
        list.iter().map(|path| path.path.name()).collect::<Vec<_>>(),
        ["input", "output"]
    );
    assert_eq!((list[1].entries, list[1].bytes), (3, 21));
    assert_eq!(list[1].inputs, [input.path().clone()]);
}

#[test]
fn another_input_is_another_path() {
    let bench = Bench::new();
    let (one, two) = (
        bench.derivation("one", Then::Finish, &[]),
        bench.derivation("two", Then::Finish, &[]),
    );
    let paths = [&one, &two].map(|input| {
        bench
            .derivation("output", Then::Finish, &[input])
            .path()
            .clone()
    });
    assert_ne!(paths[0], paths[1]);
}

#[test]
fn a_damaged_path_is_noticed_at_its_next_use_and_built_again() {
    type Damage = fn(&Utf8Path, &Utf8Path);
    let damages: [Damage; 6] = [
        |output, _| fs::write(output.join("b"), "SECOND HALF").unwrap(),
        |output, _| fs::remove_file(output.join("a")).unwrap(),
        |output, _| fs::write(output.join("c"), "").unwrap(),
        |output, _| fs::remove_dir_all(output).unwrap(),
        |_, registration| fs::remove_file(registration).unwrap(),
        |_, registration| fs::write(registration, "{").unwrap(),
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        let bench = Bench::new();
        let output = bench.derivation("output", Then::Finish, &[]);
        let path = bench.store().realise(&output, &Events::none()).unwrap();
        damage(
            &path,
            &bench
                .path("store/.registry")
                .join(format!("{}.json", output.path())),
        );
        let (events, kept) = recorded();
        bench.store().realise(&output, &events).unwrap();
        assert_eq!(bench.built(), 2, "damage {number}");
        assert_eq!(fs::read_to_string(path.join("b")).unwrap(), "second half");
        let warned = kept
            .lock()
            .unwrap()
            .iter()
            .any(|event| matches!(event, Event::Warning { .. }));
        // What is gone altogether is nothing to warn of.
        assert_eq!(warned, number != 3, "damage {number}");
    }
}

#[test]
fn verifying_finds_damage_that_hides_its_time() {
    let bench = Bench::new();
    let (good, bad) = (
        bench.derivation("good", Then::Finish, &[]),
        bench.derivation("bad", Then::Finish, &[]),
    );
    bench
        .store()
        .realise_all(&[good, Arc::clone(&bad)], &Events::none())
        .unwrap();
    let file = bench.store().output(bad.path()).join("b");
    let time = fs::metadata(&file).unwrap().modified().unwrap();
    fs::write(&file, "SECOND HALF").unwrap();
    fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(time)
        .unwrap();

    bench.store().realise(&bad, &Events::none()).unwrap();
    assert_eq!(bench.built(), 2, "the quick look cannot see it");
    let findings = bench.store().verify(&Events::none()).unwrap();
    let unsound: Vec<&str> = findings
        .iter()
        .filter(|finding| !finding.sound)
        .map(|finding| finding.path.name())
        .collect();
    assert_eq!((findings.len(), unsound), (2, vec!["bad"]));
    bench.store().realise(&bad, &Events::none()).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "second half");
}

#[test]
fn a_failed_build_leaves_nothing() {
    let bench = Bench::new();
    let output = bench.derivation("output", Then::Fail, &[]);
    let error = bench.store().realise(&output, &Events::none()).unwrap_err();
    assert!(
        matches!(error, StoreError::Build { ref derivation, .. } if derivation == "output"),
        "{error:?}"
    );
    assert_eq!((bench.outputs(), bench.leftovers()), (vec![], 0));
    assert_eq!(bench.store().list().unwrap(), []);
}

#[test]
fn a_missing_tool_is_named_before_anything_is_built() {
    let bench = Bench::new();
    let input = bench.derivation("input", Then::Finish, &[]);
    let output = bench.derivation("output", Then::Lack, &[&input]);
    let error = bench.store().realise(&output, &Events::none()).unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Tool {
                mend: "apt-get install it",
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(bench.built(), 0);
}

/// Not a test of its own: the process that `a_killed_build_leaves_nothing_that_passes_for_whole` kills.
#[test]
fn hang_when_told_to() {
    if let Ok(directory) = std::env::var("REGENT_TEST_HANG_IN") {
        let directory = Utf8PathBuf::from(directory);
        let builder = Diarist {
            diary: directory.join("diary"),
            then: Then::Hang,
            inputs: Vec::new(),
        };
        let output = Derivation::build("output", builder).unwrap();
        Store::open(&directory.join("store"))
            .unwrap()
            .realise(&output, &Events::none())
            .unwrap();
    }
}

#[test]
fn a_killed_build_leaves_nothing_that_passes_for_whole() {
    let bench = Bench::new();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "hang_when_told_to", "--test-threads=1"])
        .env("REGENT_TEST_HANG_IN", bench.path(""))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the child builds", || bench.built() == 1);
    let builder = Diarist {
        diary: bench.path("diary"),
        then: Then::Hang,
        inputs: Vec::new(),
    };
    let path = Derivation::build("output", builder.clone())
        .unwrap()
        .path()
        .clone();

    // Somebody else who needs the path waits for the child, and says so; then the child dies.
    let (events, kept) = recorded();
    let store = bench.store();
    let other = Derivation::build("output", Waiter(builder)).unwrap();
    assert_eq!(*other.path(), path);
    let waiting = thread::spawn(move || store.realise(&other, &events).unwrap());
    wait_until("the other waits", || {
        kept.lock()
            .unwrap()
            .iter()
            .any(|event| matches!(event, Event::Note { .. }))
    });
    assert_eq!(
        bench.outputs(),
        Vec::<String>::new(),
        "half a path must not be seen"
    );
    child.kill().unwrap();
    child.wait().unwrap();

    let output = waiting.join().unwrap();
    assert_eq!(bench.built(), 2);
    assert_eq!(fs::read_to_string(output.join("b")).unwrap(), "second half");
    bench.store().realise_all(&[], &Events::none()).unwrap();
    assert_eq!(bench.leftovers(), 0, "the next run sweeps");
}

/// The same derivation as the diarist that it holds, but it finishes.
#[derive(Debug)]
struct Waiter(Diarist);

impl Builder for Waiter {
    fn encode(&self, encoding: &mut Encoding) {
        self.0.encode(encoding);
    }

    fn build(&self, build: &Build<'_>) -> Result<(), BuildError> {
        Diarist {
            then: Then::Finish,
            ..self.0.clone()
        }
        .build(build)
    }
}

#[test]
fn many_at_once_build_each_path_once() {
    let bench = Bench::new();
    let input = bench.derivation("input", Then::Finish, &[]);
    let output = bench.derivation("output", Then::Finish, &[&input]);
    let barrier = Barrier::new(4);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let store = bench.store();
                barrier.wait();
                store.realise(&output, &Events::none()).unwrap();
            });
        }
    });
    assert_eq!(bench.built(), 2);
    assert_eq!(bench.leftovers(), 0);
}

#[test]
fn building_again_names_the_first_file_that_differs() {
    let bench = Bench::new();
    let same = bench.derivation("same", Then::Finish, &[]);
    let varying = bench.derivation("varying", Then::Vary, &[&same]);
    let checked = bench
        .store()
        .check(&Derivation::closure([&varying]), &Events::none())
        .unwrap();
    let found: Vec<_> = checked
        .iter()
        .map(|c| {
            (
                c.path.name(),
                c.first_difference.as_deref().and_then(|p| p.to_str()),
            )
        })
        .collect();
    assert_eq!(found, [("same", None), ("varying", Some("b"))]);
    assert_eq!(bench.leftovers(), 0);
}

#[test]
fn a_collection_keeps_what_is_needed() {
    let bench = Bench::new();
    let all: Vec<_> = ["kept", "used", "unused"]
        .map(|name| bench.derivation(name, Then::Finish, &[]))
        .into();
    let store = bench.store();
    store.realise_all(&all, &Events::none()).unwrap();
    let path = |number: usize| -> StorePath { Arc::clone(&all[number]).path().clone() };
    let (lab, gone) = (bench.path("lab"), bench.path("gone"));
    fs::create_dir(&lab).unwrap();
    store.retain(&lab, &[path(1)]).unwrap();
    store.retain(&gone, &[path(2)]).unwrap();

    let collected = store.collect(&[path(0)], &Events::none()).unwrap();
    assert_eq!((collected.removed, collected.bytes), (vec![path(2)], 21));
    fs::remove_dir(&lab).unwrap();
    let collected = store.collect(&[path(0)], &Events::none()).unwrap();
    assert_eq!(collected.removed, [path(1)]);
    assert_eq!(bench.outputs(), [path(0).as_str()]);
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "still waiting until {what}"
        );
        thread::sleep(Duration::from_millis(5));
    }
}
