//! Work shared among threads so that the result does not depend on how many there are.
//!
//! Work is cut into pieces by its size alone. Whichever thread does a piece, it does the same
//! arithmetic, and pieces are put together in their order: the same input gives the same bits.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Operations that are worth another thread: a tenth of a millisecond of them.
const WORTHWHILE: usize = 1 << 19;

/// The limit set by [`limit_threads`]; 0 if there is none.
static LIMIT: AtomicUsize = AtomicUsize::new(0);

/// Limits the number of threads that measurements of this process use; `None`, the default, allows
/// as many as the machine runs at once.
///
/// Results do not depend on it: on one machine, the same input gives the same bits with any number of
/// threads, as sums are split by the size of the input alone and put together in a fixed order.
/// A limit of one is for processes that share a machine, such as the workers of a cluster.
///
/// ```
/// use std::num::NonZeroUsize;
///
/// neural_collapse::measure::limit_threads(NonZeroUsize::new(1)); // from here on, no other threads
/// neural_collapse::measure::limit_threads(None);
/// ```
pub fn limit_threads(limit: Option<NonZeroUsize>) {
    LIMIT.store(limit.map_or(0, NonZeroUsize::get), Ordering::Relaxed);
}

/// The number of threads for so many operations.
pub(crate) fn threads(operations: usize) -> usize {
    let allowed = match LIMIT.load(Ordering::Relaxed) {
        0 => thread::available_parallelism().map_or(1, NonZeroUsize::get),
        limit => limit,
    };
    allowed.min(operations / WORTHWHILE + 1)
}

/// Calls `work` for every item, on several threads if `operations` are many. Each thread has a
/// scratch value of its own.
pub(crate) fn for_each<I, S>(
    items: I,
    operations: usize,
    scratch: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, I::Item) + Sync,
) where
    I: Iterator + Send,
{
    let queue = Mutex::new(items);
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let run = || {
        let mut scratch = scratch();
        while let Some(item) = next() {
            work(&mut scratch, item);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads(operations) {
            // Without another thread this one does all the work.
            if thread::Builder::new().spawn_scoped(scope, run).is_err() {
                break;
            }
        }
        run();
    });
}

/// The results of `work` for 0, …, `pieces`−1, in this order.
pub(crate) fn map<S, R: Send>(
    pieces: usize,
    operations: usize,
    scratch: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize) -> R + Sync,
) -> Vec<R> {
    let mut results: Vec<Option<R>> = (0..pieces).map(|_| None).collect();
    for_each(results.iter_mut().enumerate(), operations, scratch, |scratch, (piece, result)| {
        *result = Some(work(scratch, piece));
    });
    results.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_their_order() {
        for limit in [1, 2, 7] {
            limit_threads(NonZeroUsize::new(limit));
            let results = map(100, usize::MAX, || (), |(), piece| piece * piece);
            assert!(results.into_iter().eq((0..100).map(|piece| piece * piece)));
        }
        limit_threads(None);
        assert!(map(0, usize::MAX, || (), |(), piece| piece).is_empty());
    }

    #[test]
    fn every_item_is_visited_once() {
        let mut numbers = vec![0; 1000];
        for_each(
            numbers.chunks_mut(7),
            usize::MAX,
            || 1,
            |step, chunk| {
                chunk.iter_mut().for_each(|number| *number += *step);
            },
        );
        assert!(numbers.iter().all(|&number| number == 1));
    }
}
