//! Events on a terminal: a bar for what is going on, a line above the bars for what is done.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::consumer::Stamped;
use super::line::{line, prefix};
use crate::event::Event;

/// How often a spinner turns: often enough to be seen alive, rarely enough to cost nothing.
const TICK: Duration = Duration::from_millis(120);

pub(super) struct Bars {
    multi: MultiProgress,
    /// What is going on, by the text that stands at its bar.
    active: BTreeMap<String, ProgressBar>,
}

impl Bars {
    pub(super) fn new() -> Self {
        Self {
            multi: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()),
            active: BTreeMap::new(),
        }
    }

    pub(super) fn show(&mut self, stamped: &Stamped) {
        match &stamped.event {
            Event::BuildStarted { derivation } => self.spin(format!("build {derivation}")),
            Event::BuildFinished { derivation, .. } => self.end(&format!("build {derivation}")),
            Event::StepStarted { step, node } => self.spin(format!("{}{step}", prefix(node))),
            Event::StepFinished { step, node, .. } | Event::StepUnchanged { step, node } => {
                self.end(&format!("{}{step}", prefix(node)));
            }
            Event::Progress { what, done, total } => self.advance(what, *done, *total),
            _ => {}
        }
        let begins = matches!(
            stamped.event,
            Event::BuildStarted { .. } | Event::StepStarted { .. }
        );
        if !begins && let Some(line) = line(&stamped.event) {
            let seconds = stamped.since.as_secs_f64();
            // What the terminal refuses is dropped: showing must never break the work.
            let _ = self.multi.println(format!("{seconds:>7.1}s  {line}"));
        }
    }

    /// Takes every bar off the screen.
    pub(super) fn clear(&mut self) {
        for (_, bar) in std::mem::take(&mut self.active) {
            bar.finish_and_clear();
        }
        let _ = self.multi.clear();
    }

    fn spin(&mut self, text: String) {
        let bar = self.multi.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{elapsed:>8}  {spinner} {msg}") {
            bar.set_style(style);
        }
        bar.set_message(text.clone());
        bar.enable_steady_tick(TICK);
        self.active.insert(text, bar);
    }

    fn advance(&mut self, what: &str, done: u64, total: u64) {
        if done >= total {
            return self.end(what);
        }
        let bar = self.active.entry(what.to_owned()).or_insert_with(|| {
            let bar = self.multi.add(ProgressBar::new(total));
            if let Ok(style) =
                ProgressStyle::with_template("{elapsed:>8}  {bar:30} {percent:>3}% {msg}")
            {
                bar.set_style(style);
            }
            bar.set_message(what.to_owned());
            bar
        });
        bar.set_length(total);
        bar.set_position(done);
    }

    fn end(&mut self, text: &str) {
        if let Some(bar) = self.active.remove(text) {
            bar.finish_and_clear();
        }
    }
}
