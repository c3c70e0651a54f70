use std::time::Duration;

use proptest::prelude::*;

use regent_load::{Covered, Kept, fate};

use super::*;

fn write(number: u64, fate: Fate) -> Write {
    Write {
        name: format!("w-{number}"),
        content: format!("content {number}"),
        start: Moment(number * 100),
        end: Moment(number * 100 + 10),
        fate,
    }
}

fn acknowledged(number: u64) -> Write {
    write(number, Fate::Acknowledged(number + 1000))
}

fn stored(number: u64) -> Stored {
    Stored {
        name: format!("w-{number}"),
        version: number + 1000,
        content: format!("content {number}"),
    }
}

fn delivery(number: u64) -> Delivery {
    Delivery {
        watch: "m1".to_owned(),
        at: Moment(number * 100 + 20),
        how: How::Added,
        name: format!("w-{number}"),
        version: number + 1000,
        content: format!("content {number}"),
    }
}

fn covered(server: &str) -> Covered {
    Covered {
        server: server.to_owned(),
        kept: 6,
        watched: true,
    }
}

fn history(writes: Vec<Write>, delivered: &[u64], kept: &[u64]) -> History {
    History {
        covered: vec![covered("m1")],
        writes,
        deliveries: delivered.iter().copied().map(delivery).collect(),
        interruptions: Vec::new(),
        stored: Some(kept.iter().copied().map(stored).collect()),
        kept: Vec::new(),
    }
}

fn names(numbers: &[u64]) -> Vec<String> {
    numbers.iter().map(|number| format!("w-{number}")).collect()
}

#[test]
fn only_an_answer_that_excludes_it_rejects_a_write() {
    for (outcome, expected) in [
        (Outcome::Good, "acknowledged"),
        (Outcome::Connect, "rejected"),
        (Outcome::Tls, "rejected"),
        (Outcome::Status(400), "rejected"),
        (Outcome::Status(403), "rejected"),
        (Outcome::Status(422), "rejected"),
        (Outcome::Status(429), "rejected"),
        (Outcome::Status(408), "indeterminate"),
        (Outcome::Status(409), "indeterminate"),
        (Outcome::Status(500), "indeterminate"),
        (Outcome::Status(503), "indeterminate"),
        (Outcome::Status(504), "indeterminate"),
        (Outcome::Closed, "indeterminate"),
        (Outcome::Timeout, "indeterminate"),
        (Outcome::Body, "indeterminate"),
    ] {
        let word = match fate(outcome, Some(7)) {
            Fate::Acknowledged(_) => "acknowledged",
            Fate::Rejected(_) => "rejected",
            Fate::Indeterminate(_) => "indeterminate",
        };
        assert_eq!(word, expected, "{outcome}");
    }
}

#[test]
fn every_write_is_entered_once() {
    let writes = vec![
        acknowledged(1),
        acknowledged(2),
        write(3, Fate::Rejected("http403".to_owned())),
        write(4, Fate::Indeterminate("timeout".to_owned())),
        write(5, Fate::Indeterminate("closed".to_owned())),
    ];
    let mut case = history(writes, &[], &[1, 2, 4]);
    let keys = [1, 2, 4].map(|number| (format!("w-{number}"), number + 1000));
    case.kept = vec![Kept {
        member: None,
        revision: 9,
        keys: keys.into(),
    }];
    let found = ledger(&case, &[]);
    assert!(found.sound(), "{found:?}");
    assert_eq!(found.writes, 5);
    assert_eq!((found.acknowledged, found.rejected), (2, 1));
    assert_eq!((found.indeterminate, found.indeterminate_stored), (2, 1));
}

#[test]
fn a_broken_word_is_found() {
    let writes = vec![
        acknowledged(1),
        acknowledged(2),
        write(3, Fate::Rejected("http403".to_owned())),
    ];
    let mut case = history(writes, &[], &[2, 3]);
    case.stored.as_mut().unwrap()[0].content = "something else".to_owned();
    let found = ledger(&case, &[]);
    assert_eq!(found.lost_names, names(&[1]));
    assert_eq!(found.altered, names(&[2]));
    assert_eq!(found.resurrected, names(&[3]));
    assert!(!found.sound());
}

#[test]
fn one_broken_promise_is_enough() {
    let name = || names(&[1]);
    let good = Ledger {
        read: true,
        etcd_read: true,
        ..Ledger::default()
    };
    assert!(good.sound());
    let broken: [fn(&mut Ledger, Vec<String>); 8] = [
        |ledger, _| ledger.read = false,
        |ledger, _| ledger.etcd_read = false,
        |ledger, _| ledger.lost = 1,
        |ledger, name| ledger.altered = name,
        |ledger, name| ledger.resurrected = name,
        |ledger, name| ledger.misordered = name,
        |ledger, name| ledger.in_etcd = BTreeMap::from([("m1".to_owned(), name)]),
        |ledger, _| ledger.stale_reads = 1,
    ];
    for spoil in broken {
        let mut ledger = good.clone();
        spoil(&mut ledger, name());
        assert!(!ledger.sound(), "{ledger:?}");
    }
    assert!(WatchReport::default().sound());
    let broken: [fn(&mut WatchReport, Vec<String>); 6] = [
        |watch, _| watch.relisted = 1,
        |watch, name| watch.missed = name,
        |watch, name| watch.duplicated = name,
        |watch, name| watch.disordered = name,
        |watch, name| watch.altered = name,
        |watch, name| watch.resurrected = name,
    ];
    for spoil in broken {
        let mut watch = WatchReport::default();
        spoil(&mut watch, name());
        assert!(!watch.sound(), "{watch:?}");
    }
}

#[test]
fn without_a_quorum_read_nothing_is_lost_and_nothing_is_proven() {
    let mut case = history(vec![acknowledged(1)], &[], &[]);
    case.stored = None;
    let found = ledger(&case, &[]);
    assert!(found.lost == 0);
    assert!(!found.sound());
}

#[test]
fn a_read_that_misses_an_acknowledged_write_is_stale() {
    let sample = Sample {
        probe: Probe::Read,
        scheduled: Moment(0),
        start: Moment(0),
        end: Moment(1),
        outcome: Outcome::Status(404),
    };
    let found = ledger(&history(vec![], &[], &[]), &[sample]);
    assert_eq!(found.stale_reads, 1);
    assert!(!found.sound());
    // Another answer is no word about the write, and other probes do not ask for one.
    let unavailable = Sample {
        outcome: Outcome::Status(503),
        ..sample
    };
    let other = Sample {
        probe: Probe::NewConnection,
        ..sample
    };
    let found = ledger(&history(vec![], &[], &[]), &[unavailable, other]);
    assert_eq!(found.stale_reads, 0);
}

#[test]
fn a_member_is_compared_with_the_quorum_at_the_same_revision() {
    let kept = |member: Option<&str>, revision, numbers: &[u64]| Kept {
        member: member.map(str::to_owned),
        revision,
        keys: numbers
            .iter()
            .map(|number| (format!("w-{number}"), number + 1000))
            .collect(),
    };
    let open = || vec![write(1, Fate::Indeterminate("timeout".to_owned()))];
    let mut case = history(open(), &[], &[]);
    case.kept = vec![kept(None, 9, &[1]), kept(Some("m1"), 9, &[])];
    let found = ledger(&case, &[]);
    assert_eq!(
        found.in_etcd,
        BTreeMap::from([("m1".to_owned(), names(&[1]))])
    );
    assert!(found.etcd_read);
    case.kept[1].revision = 8;
    assert!(ledger(&case, &[]).in_etcd.is_empty());
    // Without a quorum's word etcd was not read.
    case.kept.remove(0);
    let found = ledger(&case, &[]);
    assert!(found.in_etcd.is_empty() && !found.etcd_read);
}

#[test]
fn a_watch_delivers_once_and_in_order() {
    let all = || (1..=4).map(acknowledged).collect::<Vec<_>>();
    assert!(watch(&history(all(), &[1, 2, 3, 4], &[])).sound());
    assert_eq!(watch(&history(all(), &[1, 3, 4], &[])).missed, names(&[2]));
    let found = watch(&history(all(), &[1, 2, 2, 3, 2, 4], &[]));
    assert_eq!(found.duplicated, names(&[2]));
    assert!(found.disordered.is_empty());
    let found = watch(&history(all(), &[1, 3, 2, 4], &[]));
    assert_eq!(found.disordered, names(&[2]));
    let mut relisted = history(all(), &[1, 2, 3, 4], &[]);
    relisted.deliveries[2].how = How::Relisted;
    let found = watch(&relisted);
    assert_eq!(
        (found.relisted, found.delivered, found.sound()),
        (1, 4, false)
    );
    // A list has no order.
    let mut relisted = history(all(), &[1, 3, 2, 4], &[]);
    relisted.deliveries[2].how = How::Relisted;
    assert!(watch(&relisted).disordered.is_empty());
    let mut deleted = history(all(), &[1, 2, 3, 4], &[]);
    deleted.deliveries[1].how = How::Deleted;
    assert_eq!(watch(&deleted).altered, names(&[2]));
    let mut altered = history(all(), &[1, 2, 3, 4], &[]);
    altered.deliveries[3].version += 1;
    assert_eq!(watch(&altered).altered, names(&[4]));
}

#[test]
fn every_watch_has_to_deliver_everything() {
    let mut case = history((1..=3).map(acknowledged).collect(), &[1, 2, 3], &[]);
    case.covered.push(covered("m2"));
    let found = watch(&case);
    assert_eq!((found.missed, found.delivered), (names(&[1, 2, 3]), 0));
    let second = |number: u64, at: u64| Delivery {
        watch: "m2".to_owned(),
        at: Moment(at),
        ..delivery(number)
    };
    case.deliveries
        .extend([second(1, 900_000), second(2, 900_001), second(3, 900_002)]);
    let found = watch(&case);
    assert!(found.sound() && found.delivered == 3, "{found:?}");
    // Its clients waited as long as those of the last.
    let samples = watch_samples(&case, Moment(5_000_000));
    assert_eq!(samples[0].end, Moment(900_000));
    case.deliveries.push(second(3, 900_003));
    assert_eq!(watch(&case).duplicated, names(&[3]));
}

#[test]
fn a_watch_may_deliver_what_is_indeterminate_and_not_what_was_rejected() {
    let writes = vec![
        write(1, Fate::Indeterminate("timeout".to_owned())),
        write(2, Fate::Rejected("http403".to_owned())),
    ];
    let found = watch(&history(writes, &[1, 2], &[]));
    assert_eq!(found.resurrected, names(&[2]));
    assert!(found.missed.is_empty() && found.altered.is_empty());
}

#[test]
fn a_watch_has_to_deliver_what_is_stored_unless_it_ended_before() {
    for (delivered, kept, missed) in [
        (&[2][..], &[1, 2][..], &[1][..]),
        (&[2], &[2], &[]),
        (&[2], &[2, 3], &[]), // stored after all that was delivered
        (&[2], &[1, 2, 3], &[1]),
        (&[], &[1, 2], &[1, 2]), // it never began to deliver
    ] {
        let open = |number| write(number, Fate::Indeterminate("timeout".to_owned()));
        let writes = vec![open(1), acknowledged(2), open(3)];
        let found = watch(&history(writes, delivered, kept));
        assert_eq!(found.missed, names(missed), "{delivered:?} {kept:?}");
    }
}

#[test]
fn names_that_no_write_used_are_others_business() {
    let mut case = history(vec![acknowledged(1)], &[1], &[1]);
    case.deliveries[0].name = "kube-root-ca.crt".to_owned();
    assert_eq!(watch(&case).delivered, 0);
}

#[test]
fn the_watch_is_sampled_from_acknowledgement_to_delivery() {
    let mut case = history((1..=3).map(acknowledged).collect(), &[1, 2], &[]);
    case.deliveries[1].at = Moment(0); // overtook the acknowledgement
    let samples = watch_samples(&case, Moment(5_000_000));
    let latencies: Vec<_> = samples.iter().map(Sample::latency).collect();
    assert_eq!(latencies[0], Duration::from_micros(10));
    assert_eq!(latencies[1], Duration::ZERO);
    assert_eq!(samples[2].outcome, Outcome::Closed);
    assert_eq!(samples[2].end, Moment(5_000_000));
}

proptest! {
    /// The definition, pair by pair.
    #[test]
    fn misordered_agrees_with_brute_force(
        all in proptest::collection::vec((0..30u64, 0..10u64, 1..30u64, any::<bool>()), 0..12),
    ) {
        let writes: Vec<_> = all.iter().enumerate().map(|(number, (start, took, version, ok))| Write {
            name: format!("w-{number:02}"),
            content: String::new(),
            start: Moment(*start),
            end: Moment(start + took),
            fate: if *ok { Fate::Acknowledged(*version) } else { Fate::Indeterminate("timeout".to_owned()) },
        }).collect();
        let version = |write: &Write| match write.fate { Fate::Acknowledged(version) => Some(version), _ => None };
        let mut expected: Vec<_> = writes.iter().filter(|later| writes.iter().any(|earlier| {
            earlier.end < later.start
                && version(earlier).zip(version(later)).is_some_and(|(a, b)| b <= a)
        })).map(|write| write.name.clone()).collect();
        expected.sort();
        let mut found = misordered(&writes);
        found.sort();
        prop_assert_eq!(found, expected);
    }

    /// Losing, repeating or swapping deliveries is always noticed; leaving them alone never is.
    #[test]
    fn a_watch_is_sound_only_if_it_delivered_exactly_what_was_acknowledged(
        count in 1..8u64,
        delivered in proptest::collection::vec(1..8u64, 0..10),
    ) {
        let writes = (1..=count).map(acknowledged).collect();
        let relevant: Vec<u64> = delivered.iter().copied().filter(|n| *n <= count).collect();
        let exact = relevant == (1..=count).collect::<Vec<_>>();
        prop_assert_eq!(watch(&history(writes, &delivered, &[])).sound(), exact);
    }
}
