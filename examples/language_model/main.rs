//! NC2, NC3 and their variants for as many classes as a language model has tokens, without a K×K matrix,
//! which would take 20 GB:
//!
//! ```console
//! cargo run --release --example language_model             # K = 50 000, d = 1024
//! cargo run --release --example language_model 5000 256
//! ```
#![allow(clippy::print_stdout, reason = "an example shows what it has computed")]

use std::time::Instant;

use nalgebra::DMatrix;
use neural_collapse::measure::ClassVectors;
use neural_collapse::metrics::{
    Shape, Spread, class_outputs, cosine_spread, duality_cosines, norm_spread, self_duality,
    trailing_gram,
};
use neural_collapse::{ClassMatrix, LinearHead};

/// Numbers in −1..1 that look random (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ bits >> 31) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}

/// Calls `work` and prints its result with the time it took.
fn timed<R: std::fmt::Debug>(
    name: &str,
    work: impl FnOnce() -> neural_collapse::Result<R>,
) -> neural_collapse::Result<()> {
    let start = Instant::now();
    let result = work()?;
    println!("{:7.2} s  {name}: {result:.6?}", start.elapsed().as_secs_f64());
    Ok(())
}

fn main() -> neural_collapse::Result<()> {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let classes = arguments.next().unwrap_or(50_000);
    let dimension = arguments.next().unwrap_or(1024);
    let start = Instant::now();
    let mut numbers = Numbers(1);
    let means = DMatrix::from_fn(dimension, classes, |_, _| numbers.next());
    let noisy = |i: usize, j: usize| means[(j, i)] + 0.3 * numbers.next();
    let head = LinearHead::new(vec![DMatrix::from_fn(classes, dimension, noisy)], None)?;
    println!(
        "{:7.2} s  {classes} classes in {dimension} dimensions",
        start.elapsed().as_secs_f64()
    );

    // Held against each frame, with what does not depend on the frame computed once.
    let (gram, outputs) = (trailing_gram(&head, 1)?, class_outputs(&means, &head)?);
    let lengths: Vec<f64> = means.column_iter().map(|mean| mean.norm_squared()).collect();
    for (name, target) in [
        ("orthogonal frame", ClassMatrix::orthogonal_frame(classes)?),
        ("simplex ETF", ClassMatrix::simplex_etf(classes)?),
        ("general orthogonal frame", ClassMatrix::diagonal(&lengths)?),
    ] {
        timed(&format!("NC2 to the {name}"), || gram.distance(&target))?;
        timed(&format!("NC3 to the {name}"), || outputs.distance(&target))?;
    }
    for weights in head.weights() {
        let (rows, columns) = (ClassVectors::rows(weights)?, ClassVectors::columns(&means)?);
        timed("self-duality", || self_duality(&columns, &rows))?;
        timed("duality", || duality_cosines(&columns, &rows).map(|cosines| Spread::of(&cosines)))?;
        timed("norms of the classifier", || Ok(norm_spread(&rows)))?;
        timed("cosines of the classifier", || cosine_spread(&rows))?;
        // Norms, cosines and, in one pass over all pairs, angles and logarithmic energy.
        timed("shape of the means", || Ok(Shape::of(&columns)))?;
    }
    println!("{:7.2} s  in all", start.elapsed().as_secs_f64());
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().filter(|line| line.starts_with("VmHWM")).for_each(|line| println!("{line}"));
    Ok(())
}
