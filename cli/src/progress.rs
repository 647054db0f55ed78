//! The progress bar of long audits.

use std::fmt::Write;
use std::io::{IsTerminal, stderr};
use std::ops::ControlFlow;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use neural_collapse::Monitor;

/// Work that takes no longer shows nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// Between two redrawings.
const TICK: Duration = Duration::from_millis(200);

/// While samples are passed over …
const PASS: &str = "{spinner} {msg} [{bar:40}] {percent}%{left}";

/// … and while nothing tells how long it will take.
const NO_END: &str = "{spinner} {msg}, {elapsed}";

/// What is being done and how far it is, on the standard error. Nothing is written unless that is a terminal and
/// the work takes long; at the end, good or bad, all is wiped off.
pub(crate) struct Progress {
    bar: ProgressBar,
    /// Draws the bar once the patience is over; ends early when `end` is dropped.
    starter: Option<JoinHandle<()>>,
    end: Option<Sender<()>>,
}

impl Progress {
    /// Work of unknown length begins.
    pub(crate) fn start(stage: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        bar.set_style(style(NO_END));
        bar.set_message(stage);
        let (end, ended) = channel();
        let shown = bar.clone();
        let start = move || {
            if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                shown.set_draw_target(ProgressDrawTarget::stderr());
                shown.enable_steady_tick(TICK);
            }
        };
        // Without another thread there is no bar.
        let spawn = || thread::Builder::new().spawn(start).ok();
        let starter = if stderr().is_terminal() { spawn() } else { None };
        Self { bar, starter, end: Some(end) }
    }

    /// Passes over `samples` samples altogether begin.
    pub(crate) fn start_passes(&self, samples: u64) {
        self.bar.set_length(samples);
        self.bar.set_style(style(PASS));
        self.bar.reset_elapsed();
    }

    /// Another pass begins.
    pub(crate) fn start_pass(&self, stage: &'static str) {
        self.bar.set_message(stage);
    }

    /// A pass has come this much further.
    pub(crate) fn advance(&self, samples: u64) {
        self.bar.inc(samples);
    }

    /// The passes are over, and work of unknown length begins.
    pub(crate) fn end_passes(&self, stage: &'static str) {
        self.bar.set_style(style(NO_END));
        self.bar.set_message(stage);
    }
}

impl Monitor for Progress {
    /// The bar of a search or a solver.
    fn progress(&self, progress: neural_collapse::Progress) -> ControlFlow<()> {
        if let Some(total) = progress.total {
            if self.bar.length() != Some(total) {
                self.bar.set_length(total);
                self.bar.set_style(style(PASS));
            }
            self.bar.set_position(progress.done);
        }
        self.bar.set_message(progress.stage);
        ControlFlow::Continue(())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end = None;
        if let Some(starter) = self.starter.take() {
            // Only a panic of the thread makes this fail, and there is none to show.
            let _ = starter.join();
        }
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constant, so they are either always understood or never.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("left", |state: &ProgressState, text: &mut dyn Write| {
            // The width of a terminal is all that could be exceeded.
            let _ = write_time_left(state, text);
        })
}

/// The time left if the rest takes as long as the part that is done: a pause between two blocks, as long as it
/// may be, only stretches it.
fn write_time_left(state: &ProgressState, text: &mut dyn Write) -> std::fmt::Result {
    let (done, all) = (state.pos(), state.len().unwrap_or_default());
    let left = state.elapsed().as_secs_f64() * all.saturating_sub(done) as f64 / done as f64;
    match Duration::try_from_secs_f64(left) {
        Ok(left) => write!(text, ", {:#} left", HumanDuration(left)),
        Err(_) => Ok(()), // nothing is done yet
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Command, PredictArguments};
    use crate::phases::phase_of;
    use crate::pictures::Ink;
    use crate::plot::collapse_of;

    fn arguments(line: &str) -> PredictArguments {
        let words = ["neural-collapse", "predict"].into_iter().chain(line.split(' '));
        match Arguments::try_parse_from(words).unwrap().command {
            Command::Predict(arguments) => *arguments,
            _ => panic!("{line}"),
        }
    }

    /// What the bar says last, and its length if it knows one.
    fn told(work: impl FnOnce(&Progress)) -> (String, Option<u64>) {
        let progress = Progress::start("nothing yet");
        work(&progress);
        (progress.bar.message(), progress.bar.length())
    }

    #[test]
    fn programs_searches_and_diagrams_move_the_bar() {
        let decays = "--weight-decay 5e-3 --feature-decay 5e-3";
        let silent = (String::from("nothing yet"), None);
        for (line, is_told) in [
            ("--counts 6,4,2 --depth 2", false),
            ("--loss ce --counts 6,4,2 --depth 1 --search 0", true),
            ("--loss ce --counts 6,4,2 --depth 2 --search 1", true),
        ] {
            let arguments = arguments(&format!("{line} {decays}"));
            let found = told(|progress| drop(arguments.model(progress).unwrap()));
            assert_eq!(found != silent, is_told, "{line}: {found:?}");
        }
        let model = arguments(&format!("--counts 6,4,2 --depth 2 {decays}"));
        let model = model.model(&Progress::start("")).unwrap();
        let phase = told(|progress| drop(phase_of(&model, Ink::Own, progress).unwrap()));
        let collapse = told(|progress| drop(collapse_of(&model, Ink::Own, progress).unwrap()));
        assert!(phase.1.is_some() && collapse.1.is_some(), "{phase:?} {collapse:?}");
    }
}
