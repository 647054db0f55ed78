//! The scalar minimizer, beside one `powf` and one `exp` measured in the same run.

#![allow(missing_docs, clippy::expect_used, reason = "a benchmark, not part of the library")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use neural_collapse::Potential;

/// Slopes spread over twelve decades below the threshold, so that no branch is ever predictable.
fn spread_below(threshold: f64) -> Vec<f64> {
    (0..1024).map(|i| threshold * 10_f64.powf(-12.0 * f64::from(i * 389 % 1024) / 1024.0)).collect()
}

fn minimizer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one minimizer");
    for depth in [1, 2, 3, 6, 17, 150, 1000] {
        let potential = Potential::<f64>::new(depth).expect("the depth is positive");
        let mut slopes = spread_below(potential.slope_threshold()).into_iter().cycle();
        group.bench_function(format!("M = {depth}"), |bencher| {
            bencher.iter(|| potential.minimizer(black_box(slopes.next().expect("endless"))));
        });
    }
    let mut bases = spread_below(1.0).into_iter().cycle();
    group.bench_function("powf, for comparison", |bencher| {
        bencher.iter(|| black_box(bases.next().expect("endless")).powf(black_box(1.0 / 7.0)));
    });
    group.bench_function("exp, for comparison", |bencher| {
        bencher.iter(|| black_box(bases.next().expect("endless")).exp());
    });
    group.finish();
}

criterion_group!(benches, minimizer);
criterion_main!(benches);
