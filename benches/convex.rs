//! The convex program at the sizes of long-tailed data sets.

#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]
#![allow(clippy::unwrap_used, reason = "a benchmark may fail by panicking")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use neural_collapse::models::convex::{ConvexMinimum, ConvexUfm};
use neural_collapse::{Bias, ClassCounts, LayerPeeled, Regularization};

/// K sizes that fall geometrically from `largest` to `smallest`.
fn long_tail(classes: u32, largest: f64, smallest: f64) -> ClassCounts {
    let ratio = smallest / largest;
    let sizes = (0..classes)
        .map(|k| (largest * ratio.powf(f64::from(k) / f64::from(classes - 1))).round() as u64);
    ClassCounts::new(&sizes.collect::<Vec<_>>()).unwrap()
}

/// 250 distinct sizes among 8142 classes, from 1000 to 2, most of them small.
fn inaturalist() -> ClassCounts {
    let sizes = (0..250_u64).rev().map(|step| {
        let extra = 749 * step.pow(3) / 249_u64.pow(3);
        (2 + step + extra, 32 + usize::from(step < 142))
    });
    ClassCounts::from_runs(sizes).unwrap()
}

fn solve(counts: &ClassCounts, decay: f64, bias: Bias) -> ConvexMinimum {
    let regularization = Regularization::new(&[decay], decay).unwrap().with_bias(bias).unwrap();
    let ufm = ConvexUfm::cross_entropy(counts.clone(), regularization).unwrap();
    let minimum = ufm.global_minimum().unwrap();
    assert!(minimum.gap() < 1e-10 * neural_collapse::Prediction::loss(&minimum));
    minimum
}

fn convex(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("convex");
    group.sample_size(10);
    let cifar = long_tail(100, 500.0, 5.0);
    for decay in [5e-4, 1e-4, 1e-6] {
        for (name, bias) in [("no", Bias::None), ("free", Bias::Unregularized)] {
            group.bench_function(format!("100 sizes, decay {decay:e}, {name} bias"), |bencher| {
                bencher.iter(|| solve(black_box(&cifar), decay, bias));
            });
        }
    }
    let three = ClassCounts::from_runs([(500, 300_000), (50, 300_000), (5, 400_000)]).unwrap();
    group.bench_function("10⁶ classes of three sizes", |bencher| {
        bencher.iter(|| solve(black_box(&three), 1e-8, Bias::Unregularized));
    });
    group.bench_function("layer-peeled, 100 sizes", |bencher| {
        bencher.iter(|| {
            let problem = LayerPeeled::new(black_box(&cifar).clone(), 5.0, 5.0).unwrap();
            problem.global_minimum().unwrap()
        });
    });
    group.bench_function("8142 classes of 250 sizes, decay 3e-6", |bencher| {
        bencher.iter(|| solve(black_box(&inaturalist()), 3e-6, Bias::None));
    });
    let imagenet = long_tail(1000, 1280.0, 5.0);
    group.bench_function("1000 sizes, decay 3e-5", |bencher| {
        bencher.iter(|| solve(black_box(&imagenet), 3e-5, Bias::None));
    });
    group.finish();
}

criterion_group!(benches, convex);
criterion_main!(benches);
