//! Whole workloads for `benches/peers/run workloads`: audits of the data sets that `peers.py` has written, small batches,
//! and the prediction for a million class sizes. Each is printed as JSON with what it has to do at least: bytes to read,
//! operations of matrix products in `f64` and `f32`, or the seconds of the same work done alone.
#![allow(clippy::unwrap_used, reason = "a benchmark may fail by panicking")]
#![allow(clippy::print_stdout, reason = "its result is what it prints")]

mod machine;

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use nalgebra::DMatrix;
use neural_collapse::audit::measure;
use neural_collapse::{
    ClassCounts, ClassStatistics, Features, LinearHead, Potential, Regularization, Ufm, audit,
};

use machine::{DURATION, SIZES, cores, one_read, read};

/// The fastest of the repetitions of `run` within the time, three at least, in seconds.
fn fastest(mut run: impl FnMut()) -> f64 {
    let (mut fastest, start) = (f64::INFINITY, Instant::now());
    let mut runs = 0;
    while runs < 3 || start.elapsed() < DURATION {
        let start = Instant::now();
        run();
        fastest = fastest.min(start.elapsed().as_secs_f64());
        runs += 1;
    }
    fastest
}

/// What a workload cannot do without.
#[derive(Default)]
struct Least {
    bytes: f64,
    double: f64,
    single: f64,
    seconds: f64,
    /// Whether one core does it all.
    alone: bool,
}

fn report(name: &str, least: &Least, run: impl FnMut()) {
    let seconds = fastest(run);
    let Least { bytes, double, single, seconds: alone, .. } = least;
    let cores = if least.alone { 1 } else { cores() };
    println!(
        r#"{{"way": "workload", "name": "{name}", "seconds": {seconds}, "cores": {cores}, "bytes": {bytes}, "f64": {double}, "f32": {single}, "least": {alone}}}"#
    );
}

/// How fast memory is read, by one core and by all.
fn report_bandwidth() {
    let numbers = vec![1.0_f64; 1 << 25];
    for cores in [1, cores()] {
        let mut reads = f64::INFINITY;
        fastest(|| reads = reads.min(one_read(&numbers, cores)));
        let rate = size_of_val(&numbers[..]) as f64 / reads;
        println!(r#"{{"way": "reads", "cores": {cores}, "bytes/s": {rate}}}"#);
    }
}

fn prediction(labels: &[usize], classes: usize) -> neural_collapse::GlobalMinimum {
    let counts = ClassCounts::of_labels(labels, classes).unwrap();
    let regularization = Regularization::new(&[5e-4], 5e-4).unwrap();
    Ufm::new(counts, regularization).unwrap().global_minimum().unwrap()
}

fn report_audits(folder: &Path) {
    for (name, samples, dimension, classes) in SIZES {
        let numbers = read(&folder.join(format!("{name}.f32")), f32::from_le_bytes);
        let labels =
            read(&folder.join(format!("{name}.labels")), |b| u64::from_le_bytes(b) as usize);
        let weights = read(&folder.join(format!("{name}.weights")), f64::from_le_bytes);
        let head = DMatrix::from_row_slice(classes, dimension, &weights);
        let head = LinearHead::new(vec![head], None).unwrap();
        let features = Features::from_row_major(&numbers, samples, dimension).unwrap();
        let data = features.with_labels(&labels, classes).unwrap();
        let prediction = prediction(&labels, classes);
        let (n, d, k) = (samples as f64, dimension as f64, classes as f64);
        let product = 2.0 * n * d * k;
        let bytes = 2.0 * size_of_val(&numbers[..]) as f64;
        // As the definitions have it: outputs of the head and of the nearest class means, of which `f32` is enough for most
        // decisions, and NC1. Where decisions follow from the projections of NC1 they need less.
        let without = Least { bytes, single: 3.0 * product, ..Least::default() };
        report(&format!("audit {name} without penalties"), &without, || {
            black_box(measure(&data, &head).unwrap());
        });
        // The outputs for the objective, both gradients, half of the scatter, and the factor of a d×d matrix.
        let double = 3.0 * product + n * d * d + d * d * d / 3.0;
        let with = Least { double, single: 2.0 * product, ..without };
        report(&format!("audit {name} with penalties"), &with, || {
            black_box(audit(&data, &head, &prediction).unwrap());
        });
    }
}

/// As many as a training loop feeds.
fn report_batches() {
    const DIMENSION: usize = 64;
    const CLASSES: usize = 10;
    for samples in [32, 64, 128, 256] {
        let numbers: Vec<f32> =
            (0..samples * DIMENSION).map(|i| ((i * i) as f32 * 0.37).sin()).collect();
        let labels: Vec<usize> = (0..samples).map(|sample| sample % CLASSES).collect();
        let features = Features::from_row_major(&numbers, samples, DIMENSION).unwrap();
        let data = features.with_labels(&labels, CLASSES).unwrap();
        let weights = DMatrix::from_fn(CLASSES, DIMENSION, |i, j| ((i * 7 + j * 3) as f64).cos());
        let head = LinearHead::new(vec![weights], None).unwrap();
        let prediction = prediction(&labels, CLASSES);
        // Only reading them, which the nearest cache hands out.
        let seconds = fastest(|| {
            one_read(&numbers, 1);
        });
        let least = Least { seconds, alone: true, ..Least::default() };
        report(&format!("statistics of {samples} samples"), &least, || {
            black_box(ClassStatistics::new(&data).unwrap());
        });
        let (n, d, k) = (samples as f64, DIMENSION as f64, CLASSES as f64);
        let double = 6.0 * n * d * k + n * d * d + d * d * d / 3.0;
        let least = Least { double, single: 4.0 * n * d * k, alone: true, ..Least::default() };
        report(&format!("audit of {samples} samples"), &least, || {
            black_box(audit(&data, &head, &prediction).unwrap());
        });
    }
}

/// 1, 2, …, 10⁶ samples in a class, beside as many minimizations and nothing else.
fn report_prediction() {
    const CLASSES: u64 = 1_000_000;
    const DEPTH: usize = 6;
    let counts: Vec<u64> = (1..=CLASSES).collect();
    let regularization = Regularization::new(&[1e-6; DEPTH], 1e-6).unwrap();
    let potential = Potential::<f64>::new(DEPTH as u32).unwrap();
    let threshold = potential.slope_threshold();
    let share = (CLASSES as usize).div_ceil(cores());
    let least = Least {
        seconds: fastest(|| {
            std::thread::scope(|scope| {
                for _ in 0..cores() {
                    scope.spawn(|| {
                        for index in 1..=share {
                            let slope = threshold * index as f64 / share as f64;
                            black_box(potential.minimizer(black_box(slope))).unwrap();
                        }
                    });
                }
            });
        }),
        ..Least::default()
    };
    report("prediction for 10⁶ distinct sizes", &least, || {
        let counts = ClassCounts::new(&counts).unwrap();
        black_box(Ufm::new(counts, regularization.clone()).unwrap().global_minimum().unwrap());
    });
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder] = &arguments[..] else {
        println!("usage: workloads FOLDER, as benches/peers/run does");
        return;
    };
    report_bandwidth();
    report_prediction();
    report_batches();
    report_audits(Path::new(folder));
}
