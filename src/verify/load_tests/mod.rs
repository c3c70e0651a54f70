//! The load against a server that misbehaves on purpose.

mod fake;

use std::time::Duration;

use regent_load::{
    Clock, Fate, History, Kept, Load, Order, Outcome, Probe, Probes, Recording, Server, Stored,
};

use self::fake::{Fake, Mood};
use super::kubeconfig;
use super::ledger::{ledger, watch};

/// Half the usual rate, so that a busy machine keeps up in a debug build.
const LOAD: Load = Load {
    rate_hz: 10,
    timeout_ms: 10_000,
};

/// Clients that give up sooner, where a test waits for that.
const IMPATIENT: Load = Load {
    timeout_ms: 1000,
    ..LOAD
};

async fn start(fake: &Fake) -> Probes {
    start_with(fake, LOAD).await
}

async fn start_with(fake: &Fake, load: Load) -> Probes {
    fake.put("anchor");
    let order = Order {
        endpoint: kubeconfig::endpoint(&fake.kubeconfig, fake.address).unwrap(),
        servers: vec![Server {
            name: "m1".to_owned(),
            address: fake.address,
        }],
        namespace: "test".to_owned(),
        anchor: "anchor".to_owned(),
        from: 101,
        run: "run".to_owned(),
        load,
        clock: Clock::start(),
        longest: Duration::from_secs(120),
    };
    Probes::start(order, || Ok::<_, std::io::Error>(()))
        .await
        .unwrap()
}

/// Waits until another `wanted` samples were good (or bad) since now.
async fn wait(probes: &Probes, pick: impl Fn((u64, u64)) -> u64, wanted: u64) {
    let before = pick(probes.counts());
    let enough = async {
        while pick(probes.counts()) < before + wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), enough).await;
    assert!(waited.is_ok(), "good and bad: {:?}", probes.counts());
}

/// A server that is well, and a load that has begun to flow.
async fn under_load() -> (Fake, Probes) {
    let fake = Fake::start().await;
    let probes = start(&fake).await;
    good(&probes, 20).await;
    (fake, probes)
}

async fn good(probes: &Probes, wanted: u64) {
    wait(probes, |(good, _)| good, wanted).await;
}

async fn bad(probes: &Probes, wanted: u64) {
    wait(probes, |(_, bad)| bad, wanted).await;
}

fn history(fake: &Fake, recording: &Recording) -> History {
    let stored = fake.stored();
    let keys = stored.iter();
    let agreed = Kept {
        member: None,
        revision: 0,
        keys: keys
            .map(|(name, version, _)| (name.clone(), *version))
            .collect(),
    };
    let stored = stored.into_iter();
    let stored = stored.map(|(name, version, content)| Stored {
        name,
        version,
        content,
    });
    History {
        covered: recording.covered.clone(),
        writes: recording.writes.clone(),
        deliveries: recording.deliveries.clone(),
        interruptions: recording.interruptions.clone(),
        stored: Some(stored.collect()),
        kept: vec![agreed],
    }
}

fn outcomes(recording: &Recording, probe: Probe) -> Vec<Outcome> {
    let samples = recording
        .samples
        .iter()
        .filter(|sample| sample.probe == probe);
    let mut found: Vec<_> = samples.map(|sample| sample.outcome).collect();
    found.dedup();
    found
}

#[tokio::test]
async fn a_healthy_server_gives_good_samples_of_every_kind() {
    let fake = Fake::start().await;
    let probes = start(&fake).await;
    good(&probes, 60).await;
    let recording = probes.stop().await.unwrap();
    for probe in [
        Probe::NewConnection,
        Probe::ReusedConnection,
        Probe::Read,
        Probe::Write,
    ] {
        assert_eq!(outcomes(&recording, probe), [Outcome::Good], "{probe:?}");
    }
    let history = history(&fake, &recording);
    assert!(ledger(&history, &recording.samples).sound());
    let report = watch(&history);
    assert!(report.sound(), "{report:?}");
    assert_eq!(report.delivered, recording.writes.len() as u64);
    assert!(recording.cpu_share > 0.0);
    let covered = &recording.covered[0];
    assert_eq!((covered.server.as_str(), covered.watched), ("m1", true));
    assert_eq!(covered.kept, 6);
}

#[tokio::test]
async fn samples_begin_on_their_schedule_while_earlier_ones_hang() {
    let fake = Fake::start().await;
    let probes = start_with(&fake, IMPATIENT).await;
    good(&probes, 20).await;
    fake.set(Mood::Silent);
    bad(&probes, 20).await;
    fake.set(Mood::Well);
    good(&probes, 20).await;
    let recording = probes.stop().await.unwrap();
    for probe in [
        Probe::NewConnection,
        Probe::ReusedConnection,
        Probe::Read,
        Probe::Write,
    ] {
        let turns: Vec<_> = recording
            .samples
            .iter()
            .filter(|sample| sample.probe == probe)
            .map(|sample| sample.scheduled)
            .collect();
        for pair in turns.windows(2) {
            assert_eq!(pair[1].since(pair[0]), LOAD.period(), "{probe:?}");
        }
        let found = outcomes(&recording, probe);
        assert!(found.contains(&Outcome::Timeout), "{probe:?}: {found:?}");
        assert_eq!(found.last(), Some(&Outcome::Good), "{probe:?}");
    }
    // Nobody knows what became of the writes that hung.
    let silent = recording
        .writes
        .iter()
        .filter(|write| !matches!(write.fate, Fate::Acknowledged(_)));
    for write in silent {
        assert_eq!(write.fate, Fate::Indeterminate("timeout".to_owned()));
    }
    let history = history(&fake, &recording);
    assert!(ledger(&history, &recording.samples).sound());
    assert!(watch(&history).sound(), "{:?}", watch(&history));
}

#[tokio::test]
async fn connections_that_end_are_made_again_and_the_watch_goes_on_where_it_was() {
    let (fake, probes) = under_load().await;
    fake.set(Mood::Closes);
    // Enough that some of the new connections end before their handshake, also on a busy machine.
    bad(&probes, 80).await;
    fake.set(Mood::Well);
    good(&probes, 60).await;
    let recording = probes.stop().await.unwrap();
    let new = outcomes(&recording, Probe::NewConnection);
    assert!(new.contains(&Outcome::Tls), "{new:?}");
    assert_eq!(new.last(), Some(&Outcome::Good));
    let history = history(&fake, &recording);
    let report = watch(&history);
    assert!(report.sound(), "{report:?}");
    assert_eq!(report.reconnections, 1, "{:?}", recording.interruptions);
    assert!(recording.interruptions[0].resumed.is_some());
    assert!(ledger(&history, &recording.samples).sound());
}

#[tokio::test]
async fn a_server_error_leaves_a_write_open_and_a_refusal_settles_it() {
    let (fake, probes) = under_load().await;
    fake.set(Mood::StoresButFails);
    bad(&probes, 5).await;
    fake.set(Mood::Status(403));
    bad(&probes, 5).await;
    fake.set(Mood::Well);
    good(&probes, 20).await;
    let recording = probes.stop().await.unwrap();
    let found = ledger(&history(&fake, &recording), &recording.samples);
    assert!(found.sound(), "{found:?}");
    assert!(found.indeterminate > 0 && found.indeterminate == found.indeterminate_stored);
    assert!(found.rejected > 0);
}

#[tokio::test]
async fn a_server_that_forgets_is_caught() {
    let (fake, probes) = under_load().await;
    fake.set(Mood::Forgets);
    bad(&probes, 5).await; // linearizable reads that find nothing
    let recording = probes.stop().await.unwrap();
    let history = history(&fake, &recording);
    let found = ledger(&history, &recording.samples);
    assert!(found.lost > 0 && found.stale_reads > 0, "{found:?}");
    assert_eq!(watch(&history).missed, found.lost_names);
}

#[tokio::test]
async fn a_watch_that_lost_its_place_lists_anew_and_says_so() {
    let (fake, probes) = under_load().await;
    fake.set(Mood::Gone);
    good(&probes, 40).await;
    fake.set(Mood::Well);
    good(&probes, 20).await;
    let recording = probes.stop().await.unwrap();
    assert_eq!(recording.interruptions[0].why, "410 Gone");
    let report = watch(&history(&fake, &recording));
    assert!(report.relisted > 0, "{report:?}");
    assert!(
        report.missed.is_empty() && report.duplicated.is_empty(),
        "{report:?}"
    );
}

#[test]
fn the_load_goes_nowhere_but_to_the_planned_endpoint() {
    let text = "apiVersion: v1\nclusters:\n- cluster: {server: 'https://198.18.0.99:6443', certificate-authority-data: ''}\n\
                users:\n- user: {client-certificate-data: '', client-key-data: ''}\n";
    let planned = "198.18.0.11:6443".parse().unwrap();
    let error = kubeconfig::endpoint(text, planned).unwrap_err();
    assert!(
        matches!(error, kubeconfig::KubeconfigError::Elsewhere { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn nothing_secret_is_shown() {
    let fake = Fake::start().await;
    let endpoint = kubeconfig::endpoint(&fake.kubeconfig, fake.address).unwrap();
    assert_eq!(
        format!("{endpoint:?}"),
        format!("Endpoint({})", fake.address)
    );
}
