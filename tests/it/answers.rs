//! What a prediction says of itself in words and numbers, held against the outputs and class means of its matrices.

use nalgebra::DMatrix;
use neural_collapse::{ClassCounts, Geometry, LinearHead, Prediction};

/// Whether two numbers of one size agree but for rounding.
fn alike(a: f64, b: f64, size: f64) -> bool {
    (a - b).abs() <= 1e-7 * size
}

/// Whether exchanging any two classes of one size leaves the outputs as they are.
fn are_exchangeable(outputs: &DMatrix<f64>, counts: &ClassCounts) -> bool {
    let classes = outputs.nrows();
    let size = outputs.amax();
    let exchanged = |i: usize, j: usize, k: usize| match k {
        k if k == i => j,
        k if k == j => i,
        k => k,
    };
    let pairs = (0..classes).flat_map(|j| (0..j).map(move |i| (i, j)));
    pairs.filter(|&(i, j)| counts.count(i) == counts.count(j)).all(|(i, j)| {
        let other = |(a, b)| outputs[(exchanged(i, j, a), exchanged(i, j, b))];
        let entries = (0..classes).flat_map(|b| (0..classes).map(move |a| (a, b)));
        entries.into_iter().all(|entry| alike(outputs[entry], other(entry), size))
    })
}

/// The rank of the class means about their mean.
fn affine_rank(means: &DMatrix<f64>) -> usize {
    let mut centered = means.clone();
    let center = means.column_mean();
    centered.column_iter_mut().for_each(|mut mean| mean -= &center);
    let values = centered.singular_values();
    values.iter().filter(|&&value| value > 1e-7 * means.amax().max(1e-300)).count()
}

/// Numbers of classes and layers, widths where they are limited, and the bias or that there is none.
pub fn check_shape(name: &str, prediction: &dyn Prediction, head: &LinearHead) {
    assert_eq!(
        (prediction.classes(), prediction.depth()),
        (head.classes(), head.depth()),
        "{name}"
    );
    if let Some(widths) = prediction.widths() {
        assert_eq!(widths, head.widths(), "{name}");
    }
    let (bias, of_head) = (prediction.bias(), head.bias().map(|bias| bias.as_slice().to_vec()));
    assert_eq!(bias.as_ref().map(Vec::len), of_head.as_ref().map(Vec::len), "{name}");
    let mut entries = bias.iter().flatten().zip(of_head.iter().flatten());
    assert!(entries.all(|(a, b)| alike(*a, *b, 1.0)), "{name}: {bias:?}, {of_head:?}");
}

/// Symmetry, rank, geometry and the runs of the bias.
pub fn check(
    name: &str,
    prediction: &dyn Prediction,
    outputs: &DMatrix<f64>,
    means: &DMatrix<f64>,
) {
    let counts = prediction.counts().unwrap();
    let is_zero = outputs.amax() <= 1e-12;
    assert_eq!(prediction.geometry() == Geometry::Collapsed, is_zero, "{name}: {outputs}");
    if prediction.is_unique() && !is_zero {
        // Of each other only classes that count alike are symmetric.
        let is_weighted = name.starts_with("convex");
        if !is_weighted {
            assert_eq!(prediction.is_symmetric(), are_exchangeable(outputs, counts), "{name}");
        }
        if let Ok(rank) = prediction.class_mean_rank() {
            assert_eq!(rank, affine_rank(means), "{name}: {:?}", means.singular_values());
        }
    }
    let runs = prediction.bias_runs().map(|runs| {
        runs.into_iter().flat_map(|(number, entry)| vec![entry; number]).collect::<Vec<f64>>()
    });
    assert_eq!(runs, prediction.bias(), "{name}");
    let verdict = prediction.verdict();
    assert_eq!(verdict.is_proved(), verdict.keyword() == "proved", "{name}");
}
