//! Threads that wait from one piece of work to the next.
//!
//! A new thread begins 50 to 130 µs after it was asked for, one that waits after 3 to 30 µs if it had work a moment ago. Only one
//! caller has them at a time: whoever comes meanwhile, from other threads or from within the work, starts threads of its own and
//! never waits for the work of others.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

use rayon_core::{ThreadPool, ThreadPoolBuilder};

/// How long a caller that has done its share looks out for the others before it sleeps: waking up takes some 50 µs.
const PATIENCE: Duration = Duration::from_micros(100);

/// Threads, once there was work for them; locked while they have some.
pub(super) struct Waiting(Mutex<Option<Kept>>);

struct Kept {
    process: u32,
    /// So many were to be started.
    tried: usize,
    /// `None` if they could not be started.
    pool: Option<ThreadPool>,
}

impl Waiting {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Does `run` on this thread and on `count` others, or on fewer if no more can be started, and returns whether it did: not
    /// if all are at work or there are none, and not on a worker of rayon. Threads are started where there are not as many,
    /// `most` if these are more.
    pub(super) fn run(&self, count: usize, most: usize, run: &(dyn Fn() + Sync)) -> bool {
        // While a worker waits it does other work of its pool, which may need what is being computed.
        let is_worker = rayon_core::current_thread_index().is_some();
        // WebAssembly has no process ids.
        if is_worker || cfg!(target_family = "wasm") {
            return false;
        }
        let Some(mut kept) = self.lock() else { return false };
        let process = std::process::id();
        // Those of the process that this one was forked from are not here. To drop them would take locks that some may have held.
        std::mem::forget(kept.take_if(|kept| kept.process != process));
        let kept = kept.get_or_insert(Kept { process, tried: 0, pool: None });
        if kept.tried < count {
            kept.tried = count.max(most);
            kept.pool = start(kept.tried).ok().or(kept.pool.take());
        }
        let Some(pool) = &kept.pool else { return false };
        on_all(pool, count.min(pool.current_num_threads()), run);
        true
    }

    /// Lets them end, unless they are at work.
    pub(super) fn end(&self) {
        if let Some(mut kept) = self.lock() {
            drop(kept.take_if(|kept| kept.process == std::process::id()));
        }
    }

    /// Does not wait: a lock that is held in the moment when a process is forked stays so in the child.
    fn lock(&self) -> Option<MutexGuard<'_, Option<Kept>>> {
        match self.0.try_lock() {
            Ok(kept) => Some(kept),
            // Work has panicked, which threads do not mind.
            Err(TryLockError::Poisoned(kept)) => Some(kept.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

fn start(count: usize) -> Result<ThreadPool, rayon_core::ThreadPoolBuildError> {
    let name = |_| "neural-collapse".to_owned();
    ThreadPoolBuilder::new().num_threads(count).thread_name(name).build()
}

/// Does `run` on so many threads of a pool and on this one.
fn on_all(pool: &ThreadPool, count: usize, run: &(dyn Fn() + Sync)) {
    let at_work = AtomicUsize::new(count);
    pool.in_place_scope(|scope| {
        for _ in 0..count {
            scope.spawn(|_| {
                run();
                at_work.fetch_sub(1, Ordering::Release);
            });
        }
        run();
        let start = Instant::now();
        while at_work.load(Ordering::Acquire) > 0 && start.elapsed() < PATIENCE {
            std::hint::spin_loop();
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::Barrier;
    use std::thread::{self, ThreadId};

    /// The threads that do work on so many others at once, `None` if it is not done.
    fn threads(waiting: &Waiting, count: usize, most: usize) -> Option<HashSet<ThreadId>> {
        let (found, barrier) = (Mutex::new(HashSet::new()), Barrier::new(count + 1));
        let done = waiting.run(count, most, &|| {
            found.lock().unwrap().insert(thread::current().id());
            // Nobody can do the share of another one.
            barrier.wait();
        });
        done.then(|| found.into_inner().unwrap())
    }

    #[test]
    fn the_same_threads_do_the_next_work() {
        let waiting = Waiting::new();
        let three = threads(&waiting, 3, 0).unwrap();
        assert_eq!(three.len(), 4);
        for count in [1, 3, 2] {
            let again = threads(&waiting, count, 0).unwrap();
            assert!(again.len() == count + 1 && again.is_subset(&three));
        }
        let five = threads(&waiting, 4, 5).unwrap();
        assert_eq!(five.intersection(&three).collect::<Vec<_>>(), [&thread::current().id()]);
        let all = threads(&waiting, 5, 0).unwrap();
        assert!(all.len() == 6 && five.is_subset(&all));
        waiting.end();
        let others = threads(&waiting, 5, 0).unwrap();
        assert_eq!(others.intersection(&all).count(), 1);
    }

    #[test]
    fn one_caller_has_them_at_a_time() {
        let waiting = Waiting::new();
        let refused = AtomicUsize::new(0);
        assert!(waiting.run(2, 0, &|| {
            let (of_work, of_another) = (
                threads(&waiting, 1, 0),
                thread::scope(|scope| scope.spawn(|| threads(&waiting, 1, 0)).join().unwrap()),
            );
            assert!(of_work.is_none() && of_another.is_none());
            refused.fetch_add(1, Ordering::Relaxed);
        }));
        assert_eq!(refused.into_inner(), 3);
        assert!(threads(&waiting, 2, 0).is_some());
    }

    /// A worker that waits for other threads takes up more of its own pool's work.
    #[test]
    fn workers_of_other_pools_do_not_wait_for_them() {
        let waiting = Waiting::new();
        let others = start(1).unwrap();
        assert!(!others.install(|| waiting.run(1, 0, &|| panic!("nobody does this"))));
        assert!(threads(&waiting, 1, 0).is_some());
    }

    #[test]
    fn they_outlive_work_that_panics() {
        let waiting = Waiting::new();
        let before = threads(&waiting, 2, 0);
        let caller = thread::current().id();
        for is_caller in [true, false] {
            let result = std::panic::catch_unwind(|| {
                waiting.run(2, 0, &|| {
                    let is_own = thread::current().id() == caller;
                    assert!(is_own != is_caller, "as this test wants it");
                });
            });
            assert!(result.is_err());
        }
        assert_eq!(threads(&waiting, 2, 0), before);
    }

    /// As where a process may have no more of them: those that are there do what there is to do.
    #[test]
    fn fewer_do_where_no_more_can_be_started() {
        let waiting = Waiting::new();
        let calls = || {
            let calls = AtomicUsize::new(0);
            let run = || {
                calls.fetch_add(1, Ordering::Relaxed);
            };
            (waiting.run(5, 5, &run), calls.into_inner())
        };
        threads(&waiting, 1, 0).unwrap();
        let tried = |tried| waiting.lock().unwrap().as_mut().unwrap().tried = tried;
        tried(5);
        assert_eq!(calls(), (true, 2));
        tried(1);
        assert_eq!(calls(), (true, 6));
        waiting.lock().unwrap().as_mut().unwrap().pool = None;
        assert_eq!(calls(), (false, 0));
    }

    /// As after a fork: nothing is asked of threads that another process has.
    #[test]
    fn those_of_another_process_are_not_asked() {
        let waiting = Waiting::new();
        let before = threads(&waiting, 1, 0).unwrap();
        if let Some(kept) = waiting.lock().unwrap().as_mut() {
            kept.process = kept.process.wrapping_add(1);
        }
        waiting.end();
        assert!(waiting.lock().unwrap().is_some());
        let after = threads(&waiting, 1, 0).unwrap();
        assert_eq!(after.intersection(&before).count(), 1);
    }
}
