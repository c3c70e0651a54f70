//! Where a limit lies, to the sample.

use super::*;

const LOAD: Load = Load {
    rate_hz: 20,
    timeout_ms: 10_000,
};

/// Five seconds, in which a hundred samples have their turns.
const PHASES: Phases = Phases {
    load: Moment(0),
    fault: Some(Moment(2_000_000)),
    applied: Some(Moment(2_000_000)),
    heal: Some(Moment(3_000_000)),
    ready: Some(Moment(3_000_000)),
    end: Moment(5_000_000),
};

/// A sample that had its turn and began at these microseconds.
fn begun(scheduled: u64, start: u64) -> Sample {
    Sample {
        probe: Probe::Read,
        scheduled: Moment(scheduled),
        start: Moment(start),
        end: Moment(start + 5000),
        outcome: Outcome::Good,
    }
}

#[test]
fn nine_tenths_of_the_load_are_enough_and_a_tenth_of_it_may_be_late() {
    let told = |number: u64, late: u64, by: u64| {
        let turns = (0..number).map(|turn| turn * 50_000);
        let begun = turns.zip(0..).map(|(turn, nth)| match nth < late {
            true => begun(turn, turn + by),
            false => begun(turn, turn),
        });
        let samples: Vec<_> = begun.collect();
        low_load(Probe::Read, &samples, LOAD, PHASES)
    };
    let low = |what: &str| Some(format!("the load was too low: {what}"));
    assert_eq!(told(90, 0, 0), None);
    assert_eq!(told(89, 0, 0), low("89 of 100 samples of reads were begun"));
    assert_eq!(told(100, 10, 250_001), None);
    assert_eq!(
        told(100, 11, 250_001),
        low("11 of 100 samples of reads started over 250 ms late")
    );
    assert_eq!(told(100, 100, 250_000), None);
    // What had its turn at the end is not of the run.
    let mut samples: Vec<_> = (0..89)
        .map(|turn| begun(turn * 50_000, turn * 50_000))
        .collect();
    samples.push(begun(PHASES.end.0, PHASES.end.0));
    assert!(low_load(Probe::Read, &samples, LOAD, PHASES).is_some());
}

#[test]
fn a_tester_that_began_nothing_for_over_a_second_stood_still() {
    let told = |pause: u64| {
        let after = (500_000 + pause..5_000_000).step_by(500_000);
        let starts = [0, 500_000].into_iter().chain(after);
        let samples: Vec<_> = starts.map(|start| begun(start, start)).collect();
        stalled(Probe::Read, &samples, PHASES, Moment(2_000_000))
    };
    assert_eq!(told(1_000_000), None);
    let told = told(1_200_000).unwrap();
    let expected = "the tester stood still: no sample of reads was begun for 1.20 s, -1.50 s from the fault on";
    assert_eq!(told, expected);
}

#[test]
fn five_samples_a_second_are_enough() {
    let at = |rate_hz: u32| {
        judged(|evidence| {
            let every = u64::from(20 / rate_hz);
            let turn = |sample: &Sample| sample.scheduled.0 / 50_000;
            let samples = &mut evidence.samples;
            samples.retain(|sample| turn(sample).is_multiple_of(every));
            evidence.run.load.rate_hz = rate_hz;
        })
    };
    let enough = at(5);
    assert_eq!(enough.verdict, Ruling::Pass, "{:?}", enough.reasons);
    expect(&at(4), Ruling::Void, "the load was too low: 4 samples");
}

#[test]
fn one_bad_sample_in_fifty_before_the_fault_is_forgiven() {
    // There are 200 before it.
    let bad = |number: usize| {
        judged(|evidence| {
            let own = evidence.samples.iter_mut();
            let own = own.filter(|sample| sample.probe == Probe::NewConnection);
            for sample in own.take(number) {
                sample.outcome = Outcome::Timeout;
            }
            // One that ended with the fault is not of before.
            let mut last = evidence.samples[4 * 199];
            (last.end, last.outcome) = (FAULT, Outcome::Timeout);
            evidence.samples.insert(4 * 199, last);
        })
    };
    let forgiven = bad(4);
    assert_eq!(forgiven.verdict, Ruling::Pass, "{:?}", forgiven.reasons);
    expect(
        &bad(5),
        Ruling::Void,
        "5 of 200 samples of new connections were bad",
    );
}

#[test]
fn a_watch_that_comes_back_is_measured_by_its_longest_gap() {
    // Twice silent for 3 s while the node comes back: then all of it arrives at once, late.
    let silent = [5, 12].map(|s| {
        let from = HEAL.after(Duration::from_secs(s));
        from..from.after(Duration::from_secs(3))
    });
    let verdict = judged(|evidence| {
        for delivery in &mut evidence.history.deliveries {
            if let Some(gap) = silent.iter().find(|gap| gap.contains(&delivery.at)) {
                delivery.at = gap.end;
            }
        }
    });
    assert_eq!(verdict.verdict, Ruling::Pass, "{:?}", verdict.reasons);
    let verdict = judged(|evidence| {
        let until = silent[0].start;
        let deliveries = &mut evidence.history.deliveries;
        deliveries.retain(|delivery| delivery.at < until);
    });
    expect(&verdict, Ruling::Fail, "longest gap of the watch: never");
}
