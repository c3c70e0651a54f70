use proptest::prelude::*;

use super::*;
use crate::verify::sample::{Outcome, Probe};

fn sample(start_ms: u64, took_ms: u64, outcome: Outcome) -> Sample {
    Sample {
        probe: Probe::NewConnection,
        scheduled: Moment(start_ms * 1000),
        start: Moment(start_ms * 1000),
        end: Moment((start_ms + took_ms) * 1000),
        outcome,
    }
}

fn window(from_ms: u64, to_ms: u64) -> Window {
    Window {
        from: Moment(from_ms * 1000),
        to: Moment(to_ms * 1000),
    }
}

const GOOD: Outcome = Outcome::Good;

#[test]
fn no_bad_sample_is_no_outage() {
    let samples = [sample(0, 10, GOOD), sample(1000, 1000, GOOD)];
    assert_eq!(outage(&samples, window(500, 5000)), None);
    // Nor is there one where nothing happened, whatever was in flight.
    let samples = [sample(0, 10, Outcome::Closed)];
    assert_eq!(outage(&samples, window(5, 5)), None);
}

#[test]
fn an_outage_lasts_from_the_first_bad_start_to_the_next_good_end() {
    let samples = [
        sample(900, 10, GOOD),
        sample(1000, 10, Outcome::Closed),
        sample(1100, 10, GOOD),
        sample(1200, 1001, GOOD), // slow is bad
        sample(1300, 20, GOOD),
        sample(2300, 20, GOOD),
    ];
    let found = outage(&samples, window(950, 5000)).unwrap();
    assert_eq!(found.window, window(1000, 1320));
    assert_eq!(found.cleared, Moment(2_201_000));
    assert!(found.over);
}

#[test]
fn a_sample_in_flight_as_the_fault_strikes_counts_from_the_fault() {
    let samples = [sample(900, 800, Outcome::Timeout), sample(1800, 10, GOOD)];
    let found = outage(&samples, window(1000, 5000)).unwrap();
    assert_eq!(found.window, window(1000, 1810));
    // The service had never gone for those who began afterwards.
    let samples = [sample(900, 800, Outcome::Timeout), sample(950, 10, GOOD)];
    let found = outage(&samples, window(1000, 5000)).unwrap();
    assert_eq!(found.window, window(1000, 1000));
    assert_eq!(found.cleared, Moment(1_700_000));
}

#[test]
fn bad_samples_before_the_fault_or_after_the_window_are_not_its_own() {
    let samples = [
        sample(100, 10, Outcome::Closed),
        sample(2000, 10, GOOD),
        sample(6000, 10, Outcome::Closed),
    ];
    assert_eq!(outage(&samples, window(1000, 5000)), None);
}

#[test]
fn an_outage_without_an_end_lasts_until_the_observation_ends() {
    let samples = [sample(100, 10, GOOD), sample(2000, 700, Outcome::Connect)];
    let found = outage(&samples, window(1000, 5000)).unwrap();
    assert_eq!(found.window, window(2000, 2700));
    assert!(!found.over);
}

#[test]
fn the_longest_gap_spans_the_edges() {
    let samples = [sample(890, 10, GOOD), sample(2090, 10, GOOD)];
    assert_eq!(longest_gap(&samples, window(1000, 3000)), window(900, 2100));
    // Nothing completes until after the window.
    let samples = [sample(890, 10, GOOD), sample(4000, 10, GOOD)];
    assert_eq!(longest_gap(&samples, window(1000, 3000)), window(900, 4010));
    // Nothing completes at all: the window itself is the gap.
    assert_eq!(longest_gap(&[], window(1000, 3000)), window(1000, 3000));
    // Of two that are as long, the first.
    let samples = [sample(1990, 10, GOOD)];
    assert_eq!(
        longest_gap(&samples, window(1000, 3000)),
        window(1000, 2000)
    );
}

#[test]
fn quantiles_are_in_milliseconds() {
    let samples: Vec<_> = (1..=100).map(|ms| sample(0, ms, GOOD)).collect();
    let found = latency(&samples);
    assert!((found.p50_ms - 50.0).abs() < 0.2, "{found:?}");
    assert!((found.p99_ms - 99.0).abs() < 0.2, "{found:?}");
    assert!((found.max_ms - 100.0).abs() < 0.2, "{found:?}");
    assert_eq!(latency(&[]), Latency::default());
}

#[test]
fn lateness_is_the_distance_from_the_schedule() {
    let mut late = sample(100, 1, GOOD);
    late.scheduled = Moment(40_000);
    let mut just = late;
    just.scheduled = Moment(50_000);
    let found = lateness(&[sample(0, 1, GOOD), late, just, late]);
    assert_eq!(found.over50_ms, 2);
    assert!((found.max_ms - 60.0).abs() < 0.2, "{found:?}");
}

#[test]
fn a_window_has_its_first_moment_and_not_its_last() {
    let moments = [999, 1000, 1999, 2000].map(|ms| Moment(ms * 1000));
    let contained = moments.map(|moment| window(1000, 2000).contains(moment));
    assert_eq!(contained, [false, true, true, false]);
}

#[test]
fn what_touches_an_edge_of_the_window() {
    for (start, took, own) in [
        (900, 99, false),
        (900, 100, true), // ended as the window began
        (1000, 10, true),
        (4999, 10, true),
        (5000, 10, false),
    ] {
        let samples = [sample(start, took, Outcome::Closed), sample(6000, 10, GOOD)];
        let found = outage(&samples, window(1000, 5000));
        assert_eq!(found.is_some(), own, "outage of {start}+{took}");
        let found = longest_hang(&samples[..1], window(1000, 5000));
        assert_eq!(found.is_some(), own, "hang of {start}+{took}");
    }
    // A good one that began together with the last bad one did not come after it.
    let samples = [
        sample(1000, 10, Outcome::Closed),
        sample(1000, 20, GOOD),
        sample(1100, 10, GOOD),
    ];
    let found = outage(&samples, window(1000, 5000)).unwrap();
    assert_eq!(found.window, window(1000, 1110));
}

#[test]
fn a_request_hangs_from_its_turn_on_within_the_window() {
    let hang = |samples: &[Sample]| longest_hang(samples, window(1000, 5000));
    let mut late = sample(2000, 500, GOOD);
    late.scheduled = Moment(1_900_000);
    assert_eq!(hang(&[late]), Some(Duration::from_millis(600)));
    let caught = sample(500, 1200, Outcome::Timeout);
    assert_eq!(hang(&[late, caught]), Some(Duration::from_millis(700)));
    assert_eq!(hang(&[]), None);
}

#[test]
fn the_longest_pause_is_between_two_starts_or_at_an_edge() {
    for (begun, from, to) in [
        (&[][..], 1000, 5000),
        (&[4000, 1500, 2000], 2000, 4000),
        (&[3500, 3000], 1000, 3000),
        (&[1500, 3000], 3000, 5000),
        (&[500, 2000, 6000], 2000, 5000),
    ] {
        let samples: Vec<_> = begun.iter().map(|ms| sample(*ms, 10, GOOD)).collect();
        let found = longest_pause(&samples, window(1000, 5000));
        assert_eq!(found, window(from, to), "{begun:?}");
    }
}

/// Twenty samples a second, of which those fail that begin in one of these stretches.
fn failing(until: u64, stretches: &[(u64, u64)]) -> Vec<Sample> {
    let begun = (0..until).step_by(50);
    let one = |start| match stretches
        .iter()
        .any(|(from, to)| (*from..*to).contains(&start))
    {
        true => sample(start, 10, Outcome::Closed),
        false => sample(start, 10, GOOD),
    };
    begun.map(one).collect()
}

#[test]
fn partial_failure_is_more_than_one_in_twenty_of_any_five_seconds() {
    for (what, until, stretches, found) in [
        ("nothing fails", 10_000, &[][..], None),
        ("five of a hundred", 10_000, &[(1000, 1250)], None),
        (
            "six of a hundred",
            10_000,
            &[(1000, 1300)],
            Some((300, true)),
        ),
        (
            "the sixth is five seconds after the first",
            10_000,
            &[(1000, 1050), (5800, 6050)],
            None,
        ),
        (
            "coming back counts again",
            30_000,
            &[(1000, 1300), (20_000, 20_400)],
            Some((700, true)),
        ),
        (
            "what lies between the bad ones counts once",
            30_000,
            &[(8000, 8200), (9000, 9200)],
            Some((1200, true)),
        ),
        (
            "one of the nineteen of the last second fails",
            10_000,
            &[(1000, 1300), (9500, 9550)],
            Some((300, false)),
        ),
        (
            "one fails just before the last second",
            10_000,
            &[(1000, 1300), (9000, 9050)],
            Some((300, true)),
        ),
        ("to the end", 10_000, &[(8000, 10_000)], Some((2000, false))),
    ] {
        let expected = found.map(|(ms, over)| Degraded {
            length: Duration::from_millis(ms),
            over,
        });
        let samples = failing(until, stretches);
        assert_eq!(degraded(&samples, window(0, until)), expected, "{what}");
    }
    // Forty samples a second: one of the 39 of the last second is within the share.
    let mut samples = failing(10_000, &[(1000, 1600), (9500, 9550)]);
    samples.extend(failing(10_000, &[]).into_iter().map(|mut sample| {
        sample.start.0 += 25_000;
        sample
    }));
    let found = degraded(&samples, window(0, 10_000)).unwrap();
    assert!(found.over, "{found:?}");
}

fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let one = (
        0..60u64,
        0..25u64,
        prop_oneof![Just(GOOD), Just(Outcome::Closed)],
    );
    // Steps of 100 ms make equal moments and latencies on both sides of a second frequent.
    proptest::collection::vec(one, 0..12).prop_map(|all| {
        all.into_iter()
            .map(|(start, took, outcome)| sample(start * 100, took * 100, outcome))
            .collect()
    })
}

/// Walks through the samples in the order in which they began, with the definition's words as they stand.
fn outage_by_brute_force(samples: &[Sample], window: Window) -> Option<(u64, u64)> {
    let ms = |moment: Moment| moment.0 / 1000;
    let mut ordered = samples.to_vec();
    ordered.sort_by_key(|s| (s.start, s.bad(), s.end));
    let own = |s: &Sample| s.bad() && s.end >= window.from && s.start < window.to;
    let (mut from, mut to, mut over) = (None, 0, false);
    for sample in &ordered {
        if own(sample) {
            from.get_or_insert(sample.start.max(window.from));
            over = false;
        } else if !sample.bad() && from.is_some() && !over {
            // Two that began together are not one after the other.
            let together = |other: &Sample| own(other) && other.start == sample.start;
            if !ordered.iter().any(together) {
                (to, over) = (ms(sample.end), true);
            }
        }
    }
    if !over {
        to = samples.iter().map(|s| ms(s.end)).max()?;
    }
    Some((ms(from?), to.max(ms(window.from))))
}

/// For every pair of moments, whether nothing good completed strictly between them.
fn gap_by_brute_force(samples: &[Sample], window: Window) -> Duration {
    let good: Vec<_> = samples.iter().filter(|s| !s.bad()).map(|s| s.end).collect();
    let mut edges = good.clone();
    if !good.iter().any(|end| *end <= window.from) {
        edges.push(window.from);
    }
    if !good.iter().any(|end| *end >= window.to) {
        edges.push(window.to);
    }
    let mut longest = Duration::ZERO;
    for a in &edges {
        for b in &edges {
            let silent = !good.iter().any(|end| a < end && end < b);
            let touches = *a < window.to && *b > window.from;
            if silent && touches {
                longest = longest.max(b.since(*a));
            }
        }
    }
    longest
}

proptest! {
    #[test]
    fn outage_agrees_with_brute_force(samples in samples(), from in 0..60u64, length in 1..40u64) {
        let window = window(from * 100, (from + length) * 100);
        let found = outage(&samples, window).map(|o| (o.window.from.0 / 1000, o.window.to.0 / 1000));
        prop_assert_eq!(found, outage_by_brute_force(&samples, window));
    }

    #[test]
    fn longest_gap_agrees_with_brute_force(samples in samples(), from in 0..60u64, length in 1..40u64) {
        let window = window(from * 100, (from + length) * 100);
        prop_assert_eq!(longest_gap(&samples, window).length(), gap_by_brute_force(&samples, window));
    }
}
