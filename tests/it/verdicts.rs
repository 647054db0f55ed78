//! Where training has come to: networks at points that are known exactly.

use nalgebra::DMatrix;
use neural_collapse::audit::{Arrival, predicted_rank};
use neural_collapse::{
    Audit, ClassCounts, Features, GlobalMinimum, LinearHead, Prediction, Regularization, Ufm, audit,
};

const CLASSES: usize = 5;
const SAMPLES: u64 = 12;
const DEPTH: usize = 3;

/// The minimum at this share of the decay at which all classes collapse.
fn minimum(share: f64) -> GlobalMinimum {
    let ufm = |decay| {
        let counts = ClassCounts::balanced(CLASSES, SAMPLES).unwrap();
        let regularization = Regularization::uniform(DEPTH, decay, decay).unwrap();
        let ufm = Ufm::new(counts, regularization).unwrap().with_widths(&[CLASSES; DEPTH]).unwrap();
        ufm.global_minimum().unwrap()
    };
    let threshold = 1e-3 * ufm(1e-3).largest_decay_factor().unwrap();
    ufm(share * threshold)
}

/// A network that fits the directions of `vectors` (K×r, orthonormal) as the minimum fits its own.
fn fitted(minimum: &GlobalMinimum, vectors: &DMatrix<f64>) -> Audit {
    let direction = &minimum.direction(0).unwrap();
    let regularization = minimum.problem().regularization();
    let size = |decay: f64| (direction.energy() / decay).sqrt();
    let square =
        |factor: f64| {
            DMatrix::from_fn(CLASSES, CLASSES, |i, j| {
                if i == j && i < vectors.ncols() { factor } else { 0.0 }
            })
        };
    let padded =
        DMatrix::from_fn(
            CLASSES,
            CLASSES,
            |i, j| {
                if j < vectors.ncols() { vectors[(i, j)] } else { 0.0 }
            },
        );
    let decays = regularization.weight_decays();
    let mut layers: Vec<_> = decays.iter().map(|&decay| square(size(decay))).collect();
    layers[DEPTH - 1] = &padded * size(decays[DEPTH - 1]);
    let means =
        padded.transpose() * (size(regularization.feature_decay()) / (SAMPLES as f64).sqrt());
    let labels: Vec<usize> =
        (0..CLASSES * SAMPLES as usize).map(|i| i / SAMPLES as usize).collect();
    let features = DMatrix::from_fn(CLASSES, labels.len(), |i, sample| means[(i, labels[sample])]);
    let data = Features::from_sample_columns(&features).unwrap();
    let head = LinearHead::new(layers, None).unwrap();
    audit(&data.with_labels(&labels, CLASSES).unwrap(), &head, minimum).unwrap()
}

/// With two classes in one direction a network is stationary, and near the threshold its loss is nearly the lowest one.
#[test]
fn two_classes_in_one_direction_are_a_local_minimum() {
    let half = 0.5_f64.sqrt();
    let merged = DMatrix::from_fn(CLASSES, CLASSES - 1, |i, j| match (i, j) {
        (3 | 4, 3) => half,
        _ if i == j && j < 3 => 1.0,
        _ => 0.0,
    });
    let mut gaps = Vec::new();
    for share in [0.5, 0.98, 0.9999] {
        let minimum = minimum(share);
        let whole = fitted(&minimum, &DMatrix::identity(CLASSES, CLASSES));
        assert_eq!(whole.verdict.kind, Arrival::GlobalMinimum, "{share}: {}", whole.verdict.text);
        let found = fitted(&minimum, &merged);
        let text = &found.verdict.text;
        assert!(found.measurement.relative_gradient().unwrap() < 1e-12, "{share}: {text}");
        assert_eq!(found.verdict.kind, Arrival::LocalMinimum, "{share}: {text}");
        assert!(text.contains("the class means have rank 3 instead of 4"), "{text}");
        assert!(text.contains("two classes share a direction"), "{text}");
        gaps.push(found.loss_gap_relative().unwrap());
    }
    assert!(gaps[0] > 0.01 && gaps[2] > 0.0 && gaps[2] < 0.001, "{gaps:?}");
}

/// NC1 on the rank of the prediction leaves out the noise that the plain one consists of.
#[test]
fn nc1_is_measured_on_the_predicted_rank() {
    let counts = ClassCounts::new(&[40, 30, 2, 2]).unwrap();
    let regularization = Regularization::new(&[2e-2], 2e-2).unwrap();
    let minimum = Ufm::new(counts, regularization).unwrap().global_minimum().unwrap();
    // Two classes collapse: two means at right angles and two at zero.
    assert_eq!(predicted_rank(&minimum).unwrap(), Some(2));
    let labels: Vec<usize> = minimum.counts().unwrap().labels().unwrap();
    let noise = |i: usize, j: usize| 1e-5 * ((i * 37 + j * 101 + i * j) as f64).sin();
    let mean = |i: usize, label: usize| f64::from(u8::from(i == label && label < 2));
    let features =
        DMatrix::from_fn(9, labels.len(), |i, sample| mean(i, labels[sample]) + noise(i, sample));
    let data = Features::from_sample_columns(&features).unwrap();
    let head = LinearHead::new(vec![DMatrix::identity(4, 9)], None).unwrap();
    let audit = audit(&data.with_labels(&labels, 4).unwrap(), &head, &minimum).unwrap();
    let measured = &audit.measurement;
    let (all, predicted) = (measured.nc1().unwrap(), measured.nc1_predicted_rank().unwrap());
    assert_eq!((all.rank, predicted.rank), (3, 2));
    assert!(all.value > 1e-2, "{all:?}");
    // tr(Σ_W Σ_B†)/K on the two leading eigenvectors of Σ_B, from the definition.
    let differences = measured.centered_means() / 2.0;
    let deviations = DMatrix::from_fn(9, labels.len(), |i, sample| {
        features[(i, sample)] - measured.class_means()[(i, labels[sample])]
    });
    let eigen = (&differences * differences.transpose()).symmetric_eigen();
    let mut order: Vec<usize> = (0..9).collect();
    order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
    let along = |&index: &usize| {
        let across = deviations.tr_mul(&eigen.eigenvectors.column(index));
        across.norm_squared() / eigen.eigenvalues[index]
    };
    let expected = order[..2].iter().map(along).sum::<f64>() / labels.len() as f64 / 4.0;
    assert!((predicted.value / expected - 1.0).abs() < 1e-6, "{predicted:?} {expected}");
}
