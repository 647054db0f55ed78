//! Long work: other Python threads run meanwhile, Ctrl-C ends it, and a callback hears how far it is.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use neural_collapse::{Monitor, Progress};
use pyo3::prelude::*;

use crate::error::OrRaise;

/// How often signals are looked for and the callback is called.
const INTERVAL: Duration = Duration::from_millis(50);

/// What the working threads and the waiting one share.
#[derive(Default)]
struct Watch {
    ended: AtomicBool,
    latest: Mutex<Option<Progress>>,
}

impl Monitor for Watch {
    fn progress(&self, progress: Progress) -> ControlFlow<()> {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress);
        match self.ended.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

/// Does `work` in a thread of its own, while this one looks for signals and calls `callback(stage, done, total)`:
/// Python delivers Ctrl-C to its main thread only, and callbacks may belong to a thread.
pub(crate) fn watched<T: Send>(
    py: Python<'_>,
    callback: Option<&Bound<'_, PyAny>>,
    work: impl FnOnce(&dyn Monitor) -> neural_collapse::Result<T> + Send,
) -> PyResult<T> {
    let callback = callback.map(|callback| callback.clone().unbind());
    let watch = Watch::default();
    let (result, interruption) = py.detach(|| {
        std::thread::scope(|scope| {
            let (sender, receiver) = channel();
            let watch = &watch;
            scope.spawn(move || {
                // Nobody listens any more if the waiting thread has panicked.
                let _ = sender.send(work(watch));
            });
            let mut interruption = None;
            loop {
                match receiver.recv_timeout(INTERVAL) {
                    Ok(result) => return (Some(result), interruption),
                    Err(RecvTimeoutError::Disconnected) => return (None, interruption),
                    Err(RecvTimeoutError::Timeout) if interruption.is_none() => {
                        interruption =
                            Python::attach(|py| poll(py, watch, callback.as_ref())).err();
                        watch.ended.store(interruption.is_some(), Ordering::Relaxed);
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                }
            }
        })
    });
    match (interruption, result) {
        (Some(interruption), _) => Err(interruption),
        (None, Some(result)) => result.or_raise(py),
        (None, None) => {
            neural_collapse::Result::Err(neural_collapse::Error::Cancelled).or_raise(py)
        }
    }
}

fn poll(py: Python<'_>, watch: &Watch, callback: Option<&Py<PyAny>>) -> PyResult<()> {
    py.check_signals()?;
    let latest = watch.latest.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let (Some(callback), Some(Progress { stage, done, total, .. })) = (callback, latest) {
        callback.call1(py, (stage, done, total))?;
    }
    Ok(())
}
