//! An event as one line of text. Pure; readable without colour.

use std::time::Duration;

use crate::event::Event;
use crate::name::NodeName;

/// Returns the line for an event; none for what only a bar can show.
pub fn line(event: &Event) -> Option<String> {
    Some(match event {
        Event::BuildStarted { derivation } => format!("build {derivation} …"),
        Event::BuildFinished {
            derivation,
            elapsed,
        } => format!("build {derivation} done in {}", duration(*elapsed)),
        Event::Progress { what, done, total } if done == total => {
            format!("{what}: {done} of {total}")
        }
        Event::Progress { .. } => return None,
        Event::StepStarted { step, node } => format!("{}{step} …", prefix(node)),
        Event::StepFinished {
            step,
            node,
            elapsed,
        } => format!("{}{step} done in {}", prefix(node), duration(*elapsed)),
        Event::StepUnchanged { step, node } => format!("{}{step} unchanged", prefix(node)),
        Event::Domain { node, change } => format!("{node}: domain {change}"),
        Event::Observed { subject, what } => format!("{subject}: {what}"),
        Event::Note { text } => text.clone(),
        Event::Warning { text } => format!("warning: {text}"),
    })
}

/// The node that a step works on, before the step's name.
pub(super) fn prefix(node: &Option<NodeName>) -> String {
    node.as_ref()
        .map(|node| format!("{node}: "))
        .unwrap_or_default()
}

/// A duration as a human reads it: `0.24 s`, `12.3 s`, `2 min 05 s`.
pub fn duration(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    if seconds < 9.995 {
        format!("{seconds:.2} s")
    } else if seconds < 99.95 {
        format!("{seconds:.1} s")
    } else {
        let whole = seconds.round() as u64;
        format!("{} min {:02} s", whole / 60, whole % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fit_their_size() {
        let text = |ms| duration(Duration::from_millis(ms));
        assert_eq!(text(240), "0.24 s");
        assert_eq!(text(9_996), "10.0 s");
        assert_eq!(text(12_340), "12.3 s");
        assert_eq!(text(125_400), "2 min 05 s");
    }

    #[test]
    fn lines_name_the_node_first() {
        let node = Some("m2".parse().unwrap());
        let finished = Event::StepFinished {
            step: "join".into(),
            node,
            elapsed: Duration::from_millis(11_200),
        };
        assert_eq!(line(&finished).unwrap(), "m2: join done in 11.2 s");
        let warning = Event::Warning {
            text: "two masters".into(),
        };
        assert_eq!(line(&warning).unwrap(), "warning: two masters");
    }

    #[test]
    fn plain_output_tells_only_the_end_of_a_progress() {
        let progress = |done| Event::Progress {
            what: "fetch".into(),
            done,
            total: 10,
        };
        assert_eq!(line(&progress(3)), None);
        assert_eq!(line(&progress(10)).unwrap(), "fetch: 10 of 10");
    }
}
