//! The timeline as SVG, written by hand: no script, no fonts of its own, light and dark, readable on paper.

use std::fmt::Write;

use super::lanes::{Content, Lane, Look, State};
use crate::verify::clock::Moment;
use crate::verify::evidence::RunRecord;
use crate::verify::outage::Window;
use crate::verify::sample::Sample;

/// Width of the drawing; the page scales it.
const WIDTH: f64 = 1160.0;
/// Where the lanes begin; their labels stand left of it.
const LEFT: f64 = 190.0;
/// Where they end.
const RIGHT: f64 = WIDTH - 20.0;
/// Room for the phases' names above the lanes.
const TOP: f64 = 26.0;
/// Room for the time axis below them.
const BOTTOM: f64 = 26.0;
/// Height of a lane of samples and of one of states.
const TALL: f64 = 30.0;
const FLAT: f64 = 18.0;
/// Between two lanes.
const GAP: f64 = 5.0;
/// A character of a label is about this wide.
const CHARACTER: f64 = 6.2;

const STYLE: &str = "
.t{font:11px system-ui,sans-serif;fill:#1f2328}.s{fill:#656d76}.e{text-anchor:end}.m{text-anchor:middle}
.b{fill:#f6f8fa}.g{stroke:#d0d7de;stroke-width:1}.f{fill:#cf222e;fill-opacity:.09}.h{fill:#0969da;fill-opacity:.09}
.ok{stroke:#2da44e;stroke-width:1;fill:none}.bad{fill:#cf222e}.slow{fill:#d4a72c}
.good{fill:#aceebb}.doubt{fill:#f5d67b}.down{fill:#ff8182}
.p0{fill:#b6e3ff}.p1{fill:#ecd8ff}.p2{fill:#ffd8b5}.p3{fill:#c4f0e8}.p4{fill:#ffd3eb}
@media (prefers-color-scheme:dark){.t{fill:#e6edf3}.s{fill:#8d96a0}.b{fill:#161b22}.g{stroke:#30363d}
.f{fill-opacity:.22}.h{fill-opacity:.22}.ok{stroke:#3fb950}.good{fill:#1f6f36}.doubt{fill:#845306}.down{fill:#a40e26}
.p0{fill:#0a4d8c}.p1{fill:#5a3a8c}.p2{fill:#7a3d0c}.p3{fill:#0f5d55}.p4{fill:#7d2457}}
@media print{.t{fill:#000}}";

/// Draws the lanes within `window`. Times are seconds from the fault.
pub(super) fn draw(lanes: &[Lane], run: &RunRecord, window: Window) -> String {
    let heights: f64 = lanes.iter().map(|lane| height(lane) + GAP).sum();
    let mut drawing = Drawing {
        text: String::new(),
        window,
        origin: run.phases.fault.unwrap_or(window.from),
        bottom: TOP + heights,
    };
    let whole = drawing.bottom + BOTTOM;
    let _ = write!(
        drawing.text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {whole}\" role=\"img\"><style>{STYLE}\n</style>\n"
    );
    drawing.axis();
    drawing.phases(run);
    let mut top = TOP;
    for lane in lanes {
        drawing.lane(lane, top);
        top += height(lane) + GAP;
    }
    drawing.text.push_str("</svg>\n");
    drawing.text
}

fn height(lane: &Lane) -> f64 {
    match lane.content {
        Content::Samples(_) => TALL,
        Content::States(_) => FLAT,
    }
}

struct Drawing {
    text: String,
    window: Window,
    origin: Moment,
    bottom: f64,
}

impl Drawing {
    /// Returns the place of a moment, to a tenth of a pixel, within the lanes.
    fn x(&self, moment: Moment) -> f64 {
        let share =
            moment.since(self.window.from).as_secs_f64() / self.window.length().as_secs_f64();
        let x = LEFT + share.clamp(0.0, 1.0) * (RIGHT - LEFT);
        (x * 10.0).round() / 10.0
    }

    fn axis(&mut self) {
        let step = step(self.window.length().as_secs_f64());
        let first = (self.window.from.millis_from(self.origin) / 1e3 / step).ceil() * step;
        let last = self.window.to.millis_from(self.origin) / 1e3;
        let (bottom, label) = (self.bottom, self.bottom + 16.0);
        let mut second = first;
        while second <= last {
            let micros = self.origin.0 as f64 + second * 1e6;
            let x = self.x(Moment(micros.max(0.0) as u64));
            let _ = writeln!(
                self.text,
                "<path class=\"g\" d=\"M{x} {TOP}V{bottom}\"/><text class=\"t s m\" x=\"{x}\" y=\"{label}\">{second} s</text>"
            );
            second += step;
        }
    }

    fn phases(&mut self, run: &RunRecord) {
        let phases = run.phases;
        let Some(fault) = phases.fault else {
            return;
        };
        match run.operation {
            Some(_) => self.band("f", "command", fault, phases.applied.unwrap_or(phases.end)),
            None => self.band("f", "fault", fault, phases.heal.unwrap_or(phases.end)),
        }
        if let Some(heal) = phases.heal {
            self.band("h", "healing", heal, phases.ready.unwrap_or(phases.end));
        }
    }

    fn band(&mut self, class: &str, name: &str, from: Moment, to: Moment) {
        let (x, end) = (self.x(from), self.x(to));
        let width = round(end - x);
        if width <= 0.0 {
            return;
        }
        let height = self.bottom - TOP + 18.0;
        let (top, label) = (TOP - 18.0, TOP - 5.0);
        let _ = writeln!(
            self.text,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{top}\" width=\"{width}\" height=\"{height}\"><title>{name}: {} to {} s</title></rect>\
             <text class=\"t s\" x=\"{}\" y=\"{label}\">{name}</text>",
            self.seconds(from),
            self.seconds(to),
            x + 4.0,
        );
    }

    fn lane(&mut self, lane: &Lane, top: f64) {
        let (width, height) = (RIGHT - LEFT, height(lane));
        let (label, middle) = (escape(&lane.label), round(top + height / 2.0 + 4.0));
        let _ = writeln!(
            self.text,
            "<text class=\"t e\" x=\"{}\" y=\"{middle}\">{label}</text>\
             <rect class=\"b\" x=\"{LEFT}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" fill-opacity=\".5\"/>",
            LEFT - 8.0,
        );
        match &lane.content {
            Content::Samples(samples) => self.samples(samples, top),
            Content::States(states) => {
                for state in states {
                    self.state(state, top);
                }
            }
        }
    }

    /// Good samples are thin lines, the higher the longer they took (1 ms to 1 s, logarithmic); bad ones are bars
    /// from their start to their end.
    fn samples(&mut self, samples: &[Sample], top: f64) {
        let base = top + TALL;
        let mut path = String::new();
        let mut last = (f64::NAN, 0.0);
        let visible = |s: &&Sample| s.end >= self.window.from && s.start < self.window.to;
        for sample in samples
            .iter()
            .filter(visible)
            .filter(|sample| !sample.bad())
        {
            let decades = (sample.latency().as_secs_f64() * 1e3).max(1.0).log10() / 3.0;
            let height = round(3.0 + decades.min(1.0) * (TALL - 5.0));
            // Half a pixel is as fine as it shows.
            let x = (self.x(sample.start) * 2.0).round() / 2.0;
            if last.0 == x && last.1 >= height {
                continue;
            }
            last = (x, height);
            let _ = write!(path, "M{x} {base}v-{height}");
        }
        let _ = writeln!(self.text, "<path class=\"ok\" d=\"{path}\"/>");
        for sample in samples.iter().filter(|s| s.bad()) {
            if sample.end < self.window.from || sample.start >= self.window.to {
                continue;
            }
            let (x, end) = (self.x(sample.start), self.x(sample.end));
            let class = if sample.slow() { "slow" } else { "bad" };
            let _ = writeln!(
                self.text,
                "<rect class=\"{class}\" x=\"{x}\" y=\"{top}\" width=\"{}\" height=\"{TALL}\" fill-opacity=\".55\"><title>{} s: {} after {:.0} ms</title></rect>",
                round((end - x).max(1.5)),
                self.seconds(sample.start),
                sample.outcome,
                sample.latency().as_secs_f64() * 1e3,
            );
        }
    }

    fn state(&mut self, state: &State, top: f64) {
        if state.to <= self.window.from || state.from >= self.window.to {
            return;
        }
        let (x, end) = (self.x(state.from), self.x(state.to));
        let width = round((end - x).max(1.0));
        let class = match state.look {
            Look::Good => "good".to_owned(),
            Look::Doubtful => "doubt".to_owned(),
            Look::Bad => "down".to_owned(),
            Look::Plain(number) => format!("p{}", number % 5),
        };
        let (title, label) = (escape(&state.title), escape(&state.label));
        let _ = write!(
            self.text,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{top}\" width=\"{width}\" height=\"{FLAT}\"><title>{title}</title></rect>"
        );
        if state.label.chars().count() as f64 * CHARACTER + 6.0 <= width {
            let _ = write!(
                self.text,
                "<text class=\"t\" x=\"{}\" y=\"{}\">{label}</text>",
                round(x + 4.0),
                top + 13.0
            );
        }
        self.text.push('\n');
    }

    fn seconds(&self, moment: Moment) -> String {
        format!("{:+.2}", moment.millis_from(self.origin) / 1e3)
    }
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// Returns a step of the axis that gives at most 16 labels.
fn step(seconds: f64) -> f64 {
    const STEPS: [f64; 9] = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0];
    let fits = |step: &f64| seconds / step <= 16.0;
    STEPS.into_iter().find(fits).unwrap_or(300.0)
}

/// Escapes text for XML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
