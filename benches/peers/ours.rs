//! Our side of `benches/peers/run`: reads a data set that `peers.py` has written, measures NC1, NC2 and NC3
//! from the raw numbers on, and prints the fastest time and the peak memory as JSON. In turn with that it reads the same
//! numbers twice and does nothing else: on a shared machine memory gives half as much in one minute as in the next.
#![allow(clippy::unwrap_used, reason = "a benchmark may fail by panicking")]
#![allow(clippy::print_stdout, reason = "its result is what it prints")]

mod machine;

use std::path::Path;
use std::time::Instant;

use nalgebra::DMatrix;
use neural_collapse::measure::Scalar;
use neural_collapse::metrics::{Nc1Options, nc1, nc2, nc3};
use neural_collapse::{ClassMatrix, ClassStatistics, Features, LinearHead};

use machine::{DURATION, SIZES, cores, one_read, read};

/// A field of /proc/self/status, in MB; 0 where there is none.
fn memory(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) / 1000.0
}

fn measure<T: Scalar>(
    numbers: &[T],
    labels: &[usize],
    head: &LinearHead,
    (dimension, classes): (usize, usize),
) -> neural_collapse::Result<[f64; 3]> {
    let features = Features::from_row_major(numbers, labels.len(), dimension)?;
    let data = features.with_labels(labels, classes)?;
    let statistics = ClassStatistics::new(&data)?;
    let nc1 = nc1(&data, &statistics, &Nc1Options::default())?.value;
    let etf = ClassMatrix::simplex_etf(classes)?;
    Ok([nc1, nc2(head, 1, &etf)?, nc3(&statistics.class_means()?, head, &etf)?])
}

fn report<T: Scalar>(folder: &Path, name: &str, numbers: &[T]) {
    let size = name.split('/').next().unwrap();
    let &(_, samples, dimension, classes) = SIZES.iter().find(|row| row.0 == size).unwrap();
    let labels = read(&folder.join(format!("{size}.labels")), |b| u64::from_le_bytes(b) as usize);
    let weights = read(&folder.join(format!("{size}.weights")), f64::from_le_bytes);
    let head = DMatrix::from_row_slice(classes, dimension, &weights);
    let head = LinearHead::new(vec![head], None).unwrap();
    assert_eq!((numbers.len(), labels.len()), (samples * dimension, samples));
    let run = || measure(numbers, &labels, &head, (dimension, classes)).unwrap();
    // Forget the peak so far, that of reading.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let (before, start) = (memory("VmRSS"), Instant::now());
    let (mut fastest, mut values, mut runs) = (f64::INFINITY, [0.0; 3], 0);
    let mut reads = f64::INFINITY;
    while runs < 3 || start.elapsed() < DURATION {
        reads = reads.min(2.0 * one_read(numbers, cores()));
        let start = Instant::now();
        values = run();
        fastest = fastest.min(start.elapsed().as_secs_f64());
        runs += 1;
    }
    let megabytes = memory("VmHWM") - before;
    let way = if std::env::var_os("GLIBC_TUNABLES").is_some() { "large" } else { "ours" };
    println!(
        r#"{{"way": "{way}", "name": "{name}", "seconds": {fastest}, "reads": {reads}, "megabytes": {megabytes}, "values": {values:?}}}"#
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, name] = &arguments[..] else {
        println!("usage: peers FOLDER NAME, as benches/peers/run does");
        return;
    };
    let folder = Path::new(folder);
    let path = folder.join(name.replace('/', "."));
    if name.ends_with("f32") {
        report(folder, name, &read(&path, f32::from_le_bytes));
    } else {
        report(folder, name, &read(&path, f64::from_le_bytes));
    }
}
