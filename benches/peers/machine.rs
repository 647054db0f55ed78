//! What the machine allows, for the programs beside this file.

use std::path::Path;
use std::time::{Duration, Instant};

use neural_collapse::measure::Scalar;

/// Each measurement is repeated for so long, and the fastest counts.
pub(crate) const DURATION: Duration = Duration::from_secs(6);

/// Name, samples N, dimension d, classes K; as in `peers.py`.
pub(crate) const SIZES: [(&str, usize, usize, usize); 3] =
    [("A", 50_000, 512, 10), ("B", 10_000, 2048, 100), ("C", 20_000, 2048, 1000)];

/// The numbers of a file.
pub(crate) fn read<const N: usize, T>(path: &Path, number: fn([u8; N]) -> T) -> Vec<T> {
    let bytes = std::fs::read(path).unwrap();
    bytes.as_chunks().0.iter().map(|&chunk| number(chunk)).collect()
}

/// All cores.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().unwrap().get()
}

/// The seconds in which so many cores read all numbers once.
pub(crate) fn one_read<T: Scalar>(numbers: &[T], cores: usize) -> f64 {
    /// As many sums as fill the registers of any machine.
    const LANES: usize = 32;
    let sum = |part: &[T]| {
        let mut sums = [T::zero(); LANES];
        for chunk in part.as_chunks::<LANES>().0 {
            sums.iter_mut().zip(chunk).for_each(|(sum, &number)| *sum += number);
        }
        std::hint::black_box(sums);
    };
    let start = Instant::now();
    std::thread::scope(|scope| {
        // This thread takes its share, as it does in the library.
        let (own, others) = numbers.split_at(numbers.len() / cores);
        for part in others.chunks(numbers.len().div_ceil(cores)) {
            scope.spawn(move || sum(part));
        }
        sum(own);
    });
    start.elapsed().as_secs_f64()
}
