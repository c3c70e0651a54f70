//! Promises about data.

use super::*;
use crate::verify::history::How;

#[test]
fn data_that_is_not_as_etcd_promised() {
    each(&[
        (
            "acknowledged write deleted from etcd",
            |evidence| {
                let name = settled(&mut evidence.history, 40);
                let stored = evidence.history.stored.as_mut().unwrap();
                stored.retain(|stored| stored.name != name);
            },
            Ruling::Fail,
            "acknowledged writes lost: 1",
        ),
        (
            "etcd rolled back under living API servers",
            |evidence| {
                let stored = evidence.history.stored.as_mut().unwrap();
                stored.retain(|stored| stored.version < 1400);
            },
            Ruling::Fail,
            "acknowledged writes lost",
        ),
        (
            "etcd rolled back, and written to again",
            |evidence| {
                for write in &mut evidence.history.writes {
                    if let Fate::Acknowledged(version) = &mut write.fate
                        && write.start > HEAL
                    {
                        *version -= 500;
                    }
                }
            },
            Ruling::Fail,
            "writes ordered against real time",
        ),
        (
            "acknowledged write altered in etcd",
            |evidence| evidence.history.stored.as_mut().unwrap()[40].version += 5000,
            Ruling::Fail,
            "acknowledged writes altered: 1",
        ),
        (
            "rejected write stored",
            |evidence| {
                let name = settled(&mut evidence.history, 40);
                let mut writes = evidence.history.writes.iter_mut();
                let write = writes.find(|write| write.name == name).unwrap();
                write.fate = Fate::Rejected("http403".to_owned());
            },
            Ruling::Fail,
            "rejected writes stored: 1",
        ),
        (
            "stale read",
            |evidence| {
                samples(evidence, Probe::Read, (HEAL, 0, 40), |_, sample| {
                    sample.outcome = Outcome::Status(404);
                });
            },
            Ruling::Fail,
            "1 linearizable reads did not find a write acknowledged before",
        ),
    ]);
}

#[test]
fn case_rollback() {
    each(&[
        (
            "etcd restored from an older snapshot, and the API servers' caches know everything",
            |evidence| {
                for kept in &mut evidence.history.kept {
                    kept.keys.retain(|_, version| *version < 1400);
                }
            },
            Ruling::Fail,
            "what a quorum of etcd holds is not what was answered",
        ),
        (
            "one member behind",
            |evidence| {
                evidence.history.kept[3]
                    .keys
                    .retain(|_, version| *version < 2200);
            },
            Ruling::Fail,
            "what etcd's member m3 holds is not what was answered",
        ),
        (
            "one member has another revision of one write",
            |evidence| *evidence.history.kept[2].keys.get_mut("w-000500").unwrap() += 1,
            Ruling::Fail,
            "what etcd's member m2 holds is not what was answered: 1 (w-000500)",
        ),
        (
            "one member has what the others have not",
            |evidence| {
                let keys = &mut evidence.history.kept[1].keys;
                keys.insert("w-999999".to_owned(), 8000);
            },
            Ruling::Fail,
            "what etcd's member m1 holds is not what was answered: 1 (w-999999)",
        ),
        (
            "a member could not be read",
            |evidence| {
                let why = "m3's etcd member could not be read".to_owned();
                evidence.run.trouble.push(why);
            },
            Ruling::Fail,
            "m3's etcd member could not be read",
        ),
        (
            "nobody read etcd",
            |evidence| evidence.history.kept.clear(),
            Ruling::Fail,
            "etcd itself was not read after healing",
        ),
    ]);
}

#[test]
fn case_watch() {
    each(&[
        (
            "event dropped",
            |evidence| drop(evidence.history.deliveries.remove(200)),
            Ruling::Fail,
            "stored writes that the watch never delivered: 1",
        ),
        (
            "event of a write that nobody acknowledged dropped",
            |evidence| {
                let history = &mut evidence.history;
                let stored = history.stored.as_ref().unwrap();
                let open = history.writes.iter().find(|write| {
                    matches!(write.fate, Fate::Indeterminate(_))
                        && stored.iter().any(|stored| stored.name == write.name)
                });
                let name = open.unwrap().name.clone();
                history.deliveries.retain(|delivery| delivery.name != name);
            },
            Ruling::Fail,
            "stored writes that the watch never delivered: 1",
        ),
        (
            "event doubled",
            |evidence| {
                let again = evidence.history.deliveries[200].clone();
                evidence.history.deliveries.insert(201, again);
            },
            Ruling::Fail,
            "writes that the watch delivered more than once: 1",
        ),
        (
            "events reordered",
            |evidence| evidence.history.deliveries.swap(200, 203),
            Ruling::Fail,
            "writes that the watch delivered out of order: 1",
        ),
        (
            "event of another content",
            |evidence| {
                let delivery: &mut Delivery = &mut evidence.history.deliveries[200];
                delivery.content.push('!');
            },
            Ruling::Fail,
            "writes that the watch delivered altered: 1",
        ),
        (
            "the watch lost its place",
            |evidence| evidence.history.deliveries[200].how = How::Relisted,
            Ruling::Fail,
            "the watch lost its place (410 Gone), 1 writes came only by listing anew",
        ),
    ]);
}
