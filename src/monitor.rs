//! Watching and cancelling long work.

use core::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::{Error, Result};

/// How far long work has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// What is being done, in a few words.
    pub stage: &'static str,
    /// Steps done: samples, starts or iterations.
    pub done: u64,
    /// Steps in all, if that is known.
    pub total: Option<u64>,
}

/// Somebody who watches long work (searches, solvers, audits of many samples) and may end it.
///
/// The library starts no thread for it and prints nothing: between two steps it calls
/// [`progress`](Self::progress), from whichever thread works, and ends with [`Error::Cancelled`] once that
/// answers [`ControlFlow::Break`]. `&()` watches nothing; a closure can watch too.
///
/// ```
/// use std::ops::ControlFlow;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use neural_collapse::{Monitor, Progress};
///
/// let seen = AtomicU64::new(0);
/// let bar = |progress: Progress| {
///     seen.store(progress.done, Ordering::Relaxed);
///     ControlFlow::Continue(())
/// };
/// let monitor: &dyn Monitor = &bar;
/// # let _ = monitor;
/// ```
pub trait Monitor: Sync {
    /// Hears how far the work has come and says whether it shall go on.
    fn progress(&self, progress: Progress) -> ControlFlow<()>;
}

impl Monitor for () {
    fn progress(&self, _: Progress) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

impl<F: Fn(Progress) -> ControlFlow<()> + Sync> Monitor for F {
    fn progress(&self, progress: Progress) -> ControlFlow<()> {
        self(progress)
    }
}

impl dyn Monitor + '_ {
    /// Reports that `done` of `total` steps are done.
    ///
    /// # Errors
    /// [`Error::Cancelled`] if the work shall end.
    pub(crate) fn report(&self, stage: &'static str, done: u64, total: Option<u64>) -> Result<()> {
        match self.progress(Progress { stage, done, total }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Cancelled),
        }
    }
}

/// Steps of one stage that several threads take, counted for a monitor that may end them.
pub(crate) struct Steps<'a> {
    monitor: &'a dyn Monitor,
    stage: &'static str,
    total: u64,
    begun: AtomicU64,
    ended: AtomicBool,
}

impl<'a> Steps<'a> {
    pub(crate) fn new(monitor: &'a dyn Monitor, stage: &'static str, total: usize) -> Self {
        let (begun, ended) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { monitor, stage, total: total as u64, begun, ended }
    }

    /// Another step begins.
    ///
    /// # Errors
    /// [`Error::Cancelled`] if the work shall end.
    pub(crate) fn step(&self) -> Result<()> {
        self.report(self.begun.fetch_add(1, Ordering::Relaxed))
    }

    /// The same where no further step of the count begins.
    pub(crate) fn check(&self) -> Result<()> {
        self.report(self.begun.load(Ordering::Relaxed))
    }

    fn report(&self, done: u64) -> Result<()> {
        // Once the work is ended the monitor is not asked again.
        if self.ended.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        let goes_on = self.monitor.report(self.stage, done, Some(self.total));
        if goes_on.is_err() {
            self.ended.store(true, Ordering::Relaxed);
        }
        goes_on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_counted_until_they_are_ended() {
        let heard = AtomicU64::new(0);
        let patience = |progress: Progress| {
            heard.fetch_add(1, Ordering::Relaxed);
            assert_eq!((progress.stage, progress.total), ("steps", Some(9)));
            match progress.done {
                ..3 => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            }
        };
        let steps = Steps::new(&patience, "steps", 9);
        let cancelled = Err(Error::Cancelled);
        assert_eq!([steps.step(), steps.check(), steps.step()], [Ok(()), Ok(()), Ok(())]);
        assert_eq!([steps.step(), steps.step()], [Ok(()), cancelled.clone()]);
        assert_eq!([steps.check(), steps.step()], [cancelled.clone(), cancelled]);
        assert_eq!(heard.load(Ordering::Relaxed), 5);
    }

    #[test]
    fn a_break_cancels() {
        let patience = |progress: Progress| match progress.done {
            ..3 => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        };
        let monitor: &dyn Monitor = &patience;
        assert_eq!(monitor.report("steps", 2, None), Ok(()));
        assert_eq!(monitor.report("steps", 3, Some(5)), Err(Error::Cancelled));
        assert_eq!((&() as &dyn Monitor).report("steps", 3, Some(5)), Ok(()));
    }
}
