//! Work shared among threads so that the result does not depend on how many there are.
//!
//! Work is cut into pieces by its size and for the vector units of the machine. Whichever thread does a piece, it does the same
//! arithmetic, and pieces are put together in their order: the same input gives the same bits.

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use waiting::Waiting;

mod waiting;

/// Operations that are worth another thread: a tenth of a millisecond of them.
const WORTHWHILE: usize = 1 << 19;

/// Operations in whose time a number is written to memory that the system hands out anew.
pub(crate) const NEW_NUMBER: usize = 4;

/// The limit set by [`limit_threads`]; 0 if there is none.
static LIMIT: AtomicUsize = AtomicUsize::new(0);

/// What the machine runs at once, found out once: on Linux that reads files for some 16 µs.
static CORES: OnceLock<usize> = OnceLock::new();

/// Threads for the next work.
static WAITING: Waiting = Waiting::new();

thread_local! {
    /// The limit set by [`with_threads`] for what this thread asks for.
    static LIMIT_HERE: Cell<Option<NonZeroUsize>> = const { Cell::new(None) };
}

/// Limits the number of threads that measurements use in the whole process; `None`, the default, allows
/// as many as the machine runs at once. [`with_threads`] sets a limit for single calls.
///
/// Results do not depend on it: on one machine, the same input gives the same bits with any number of
/// threads, as sums are split by the size of the input alone and put together in a fixed order.
/// A limit of one is for processes that share a machine, such as the workers of a cluster.
///
/// Threads are kept for the next measurement, asleep, with the affinity and the floating-point modes of the thread whose
/// measurement started them. Whatever limit is set ends them, unless they are at work; a process that is forked
/// starts its own.
///
/// ```
/// use std::num::NonZeroUsize;
///
/// neural_collapse::measure::limit_threads(NonZeroUsize::new(1)); // from here on, no other threads
/// neural_collapse::measure::limit_threads(None);
/// ```
pub fn limit_threads(limit: Option<NonZeroUsize>) {
    LIMIT.store(limit.map_or(0, NonZeroUsize::get), Ordering::Relaxed);
    WAITING.end();
}

/// Does `work` with at most `limit` threads for each measurement that it calls on this thread, whatever
/// [`limit_threads`] says; other threads of the process go on as before.
///
/// ```
/// use std::num::NonZeroUsize;
/// use neural_collapse::measure::with_threads;
/// use neural_collapse::{ClassStatistics, Features};
///
/// let data = Features::from_row_major(&[1.0, 2.0, 4.0], 3, 1)?.with_labels(&[0, 0, 1], 2)?;
/// let statistics = with_threads(NonZeroUsize::MIN, || ClassStatistics::new(&data))?;
/// assert_eq!(statistics.counts(), [2, 1]);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
pub fn with_threads<R>(limit: NonZeroUsize, work: impl FnOnce() -> R) -> R {
    /// Puts the limit back that was there before, also if `work` panics.
    struct Restored(Option<NonZeroUsize>);
    impl Drop for Restored {
        fn drop(&mut self) {
            LIMIT_HERE.set(self.0);
        }
    }
    let _restored = Restored(LIMIT_HERE.replace(Some(limit)));
    work()
}

/// The number of threads for so many operations.
pub(crate) fn threads(operations: usize) -> usize {
    match operations / WORTHWHILE + 1 {
        // Small work does not even ask how many threads there could be.
        1 => 1,
        worthwhile => worthwhile.min(allowed()),
    }
}

fn allowed() -> usize {
    match (LIMIT_HERE.get(), LIMIT.load(Ordering::Relaxed)) {
        (Some(limit), _) => limit.get(),
        (None, 0) => cores(),
        (None, limit) => limit,
    }
}

fn cores() -> usize {
    *CORES.get_or_init(|| thread::available_parallelism().map_or(1, NonZeroUsize::get))
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
    on_threads(threads(operations), &|| {
        let mut scratch = scratch();
        while let Some(item) = next() {
            work(&mut scratch, item);
        }
    });
}

/// Runs `run` on so many threads, this one among them. Not generic: threads are compiled once, not for every kind of work.
fn on_threads(threads: usize, run: &(dyn Fn() + Sync)) {
    let others = match threads {
        0 | 1 => return run(),
        more => more - 1,
    };
    if !WAITING.run(others, allowed().min(cores()) - 1, run) {
        on_new_threads(others, run);
    }
}

/// Runs `run` on this thread and on so many that end with it.
fn on_new_threads(others: usize, run: &(dyn Fn() + Sync)) {
    thread::scope(|scope| {
        for _ in 0..others {
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

/// Numbers that one piece of a long slice has.
const PIECE: usize = 1 << 16;

/// What `work` finds of a slice piece by piece, in their order; a short one is one piece.
pub(crate) fn map_slice<T: Sync, R: Send>(
    numbers: &[T],
    work: impl Fn(&[T]) -> R + Sync,
) -> Vec<R> {
    let piece = |index: usize| &numbers[index * PIECE..numbers.len().min((index + 1) * PIECE)];
    map(numbers.len().div_ceil(PIECE), numbers.len(), || (), |(), index| work(piece(index)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn results_keep_their_order() {
        for limit in [1, 2, 7] {
            limit_threads(NonZeroUsize::new(limit));
            assert_eq!(allowed(), limit);
            let results = map(100, usize::MAX, || (), |(), piece| piece * piece);
            assert!(results.into_iter().eq((0..100).map(|piece| piece * piece)));
        }
        limit_threads(None);
        assert!(map(0, usize::MAX, || (), |(), piece| piece).is_empty());
    }

    #[test]
    fn slices_are_cut_into_pieces() {
        for length in [0, 1, PIECE, PIECE + 1, 20 * PIECE - 3] {
            let numbers: Vec<usize> = (0..length).collect();
            assert_eq!(map_slice(&numbers, <[usize]>::to_vec).concat(), numbers);
        }
        assert_eq!(map_slice(&vec![0; PIECE], <[i32]>::len), [PIECE]);
    }

    #[test]
    fn limits_hold_where_they_are_set() {
        let (one, three) = (NonZeroUsize::MIN, NonZeroUsize::MIN.saturating_add(2));
        with_threads(three, || {
            assert_eq!(threads(usize::MAX), 3);
            assert_eq!(with_threads(one, || threads(usize::MAX)), 1);
            assert_eq!(threads(usize::MAX), 3);
            // Small work has one thread whatever is allowed.
            assert_eq!((threads(0), threads(WORTHWHILE - 1), threads(WORTHWHILE)), (1, 1, 2));
            assert!(LIMIT_HERE.get() == Some(three));
        });
        assert!(LIMIT_HERE.get().is_none());
    }

    /// By two threads for each of the outer pieces, which meet.
    #[test]
    fn work_within_work_is_shared_out_too() {
        let two = NonZeroUsize::MIN.saturating_add(1);
        let meet =
            |barrier: &Barrier| map(2, usize::MAX, || (), |(), _| barrier.wait().is_leader());
        let leaders = with_threads(two, || {
            map(5, usize::MAX, || (), |(), _| with_threads(two, || meet(&Barrier::new(2))))
        });
        assert!(leaders.into_iter().all(|pair| pair[0] != pair[1]));
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
