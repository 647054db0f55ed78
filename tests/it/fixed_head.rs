//! A fixed simplex ETF: features for any soft label against descents, and limits.

use nalgebra::{DMatrix, DVector};
use neural_collapse::models::AnyModel;
use neural_collapse::models::fixed_head::{FixedHeadUfm, FixedSimplexHead};
use neural_collapse::{Basis, ClassCounts, Features, Prediction, audit};
use proptest::prelude::*;

use crate::support::bases::random_basis;
use crate::support::lbfgs::{Smooth, minimize};
use crate::support::strategies;

/// The simplex ETF √(K/(K−1)) (I − 11ᵀ/K) of unit vectors.
fn unit_simplex(classes: usize) -> DMatrix<f64> {
    let k = classes as f64;
    DMatrix::<f64>::identity(classes, classes).add_scalar(-1.0 / k) * (k / (k - 1.0)).sqrt()
}

/// CE(W h, y) + λ/2 ‖h‖² as a function of h.
struct OneSample {
    layer: DMatrix<f64>,
    label: DVector<f64>,
    decay: f64,
}

impl Smooth for OneSample {
    type Workspace = Vec<f64>;

    fn gradient_in(workspace: &Vec<f64>) -> &[f64] {
        workspace
    }

    fn scales(&self) -> Vec<f64> {
        vec![1.0; self.layer.ncols()]
    }

    fn workspace(&self) -> Vec<f64> {
        Vec::new()
    }

    fn evaluate(&self, point: &[f64], gradient: &mut Vec<f64>) -> f64 {
        let feature = DVector::from_column_slice(point);
        let logits = &self.layer * &feature;
        let largest = logits.max();
        let total = logits.map(|z| (z - largest).exp()).sum();
        let log = total.ln() + largest;
        let slope = logits.map(|z| (z - log).exp()) - &self.label;
        gradient.clear();
        gradient.extend((self.layer.transpose() * slope + &feature * self.decay).iter());
        self.label.iter().zip(logits.iter()).map(|(y, z)| y * (log - z)).sum::<f64>()
            + self.decay / 2.0 * feature.norm_squared()
    }
}

#[test]
fn features_minimize_the_loss_for_any_label() {
    for (label, norm_squared, decay) in [
        (vec![1.0, 0.0, 0.0], 1.0, 0.05),
        (vec![0.3, 0.7, 0.0], 2.0, 0.01),
        (vec![0.9, 0.05, 0.05], 0.5, 0.3),
        (vec![0.25, 0.25, 0.25, 0.25], 1.0, 0.1),
        (vec![0.4, 0.3, 0.2, 0.1, 0.0], 3.0, 0.02),
    ] {
        let classes = label.len();
        let head = FixedSimplexHead::new(classes, norm_squared, decay).unwrap();
        let response = head.response(&label).unwrap();
        let layer = unit_simplex(classes) * f64::sqrt(norm_squared);
        let objective = OneSample { layer: layer.clone(), label: label.clone().into(), decay };
        let found = minimize(&objective, &vec![0.1; classes]);
        assert!((found.loss - response.loss).abs() < 1e-13, "{}, {}", found.loss, response.loss);
        let feature = DVector::from_vec(found.parameters);
        let logits = layer * &feature;
        for (a, b) in logits.iter().zip(&response.logits) {
            assert!((a - b).abs() < 1e-7, "{a}, {b}");
        }
        assert!((feature.norm_squared() - response.feature_norm_squared).abs() < 1e-6);
    }
}

proptest! {
    #![proptest_config(strategies::config(128))]

    /// μ z = y − p, logits sum to zero and probabilities to one.
    #[test]
    fn the_equations_hold(
        raw in prop::collection::vec(prop_oneof![Just(0.0), 1e-6_f64..1.0], 2..12),
        log_decay in -200.0_f64..20.0,
    ) {
        let sum: f64 = raw.iter().sum();
        prop_assume!(sum > 0.0);
        let label: Vec<f64> = raw.iter().map(|entry| entry / sum).collect();
        let head = FixedSimplexHead::new(label.len(), 1.0, log_decay.exp()).unwrap();
        let response = head.response(&label).unwrap();
        let (mu, size) = (head.strength(), response.logits.iter().fold(1.0, |m: f64, z| m.max(z.abs())));
        let total: f64 = response.probabilities.iter().sum();
        prop_assert!((total - 1.0).abs() < 1e-13 * (1.0 + mu * size), "{total}");
        prop_assert!(response.logits.iter().sum::<f64>().abs() < 1e-12 * size * label.len() as f64);
        for ((y, z), p) in label.iter().zip(&response.logits).zip(&response.probabilities) {
            prop_assert!((y - p - mu * z).abs() < 1e-13 * (1.0 + mu * size), "{y}, {p}, {z}, {mu}");
        }
    }
}

/// Classes: a simplex ETF for any sizes, whose matrices attain the loss.
#[test]
fn classes_form_a_simplex() {
    for (sizes, decay, smoothing) in
        [([9, 3, 1], 1e-2, 0.0), ([4, 4, 4], 1e-4, 0.1), ([1, 50, 2], 0.3, 0.2)]
    {
        let counts = ClassCounts::new(&sizes).unwrap();
        let samples = counts.samples() as f64;
        let ufm =
            FixedHeadUfm::new(counts, 1.7, decay).unwrap().with_label_smoothing(smoothing).unwrap();
        let minimum = ufm.global_minimum().unwrap();
        let point = minimum.explicit(&random_basis(&minimum, 4)).unwrap();
        let (layer, means) = (&point.head().weights()[0], point.class_means().unwrap());
        let gram = minimum.trailing_gram(1).unwrap().to_dense().unwrap();
        assert!((layer * layer.transpose() - &gram).norm() < 1e-14 * gram.norm());
        assert!((gram[(0, 0)] - 1.7).abs() < 1e-14);
        let of_means = minimum.class_means_gram().unwrap().to_dense().unwrap();
        assert!((means.transpose() * means - &of_means).norm() < 1e-14 * of_means.norm());
        let outputs = minimum.class_outputs().unwrap().to_dense().unwrap();
        assert!((layer * means - &outputs).norm() < 1e-14 * outputs.norm());
        let mut loss = decay / 2.0 * point.features().unwrap().norm_squared();
        for (class, &size) in sizes.iter().enumerate() {
            let column = outputs.column(class);
            let log = column.iter().map(|z| z.exp()).sum::<f64>().ln();
            let own = (1.0 - smoothing) * (log - column[class]);
            let spread = column.iter().map(|z| (log - z) * smoothing / 3.0).sum::<f64>();
            loss += size as f64 / samples * (own + spread);
        }
        assert!((loss / minimum.loss() - 1.0).abs() < 1e-13, "{loss}, {}", minimum.loss());
        let values = minimum.feature_singular_values().unwrap();
        let total: f64 = values.iter().map(|s| s.value.powi(2) * s.multiplicity as f64).sum();
        assert!((total / point.features().unwrap().norm_squared() - 1.0).abs() < 1e-13);
        assert!(minimum.is_unique());
        let mu = samples * decay * 2.0 / 3.0 / 1.7;
        let alpha = minimum.margin();
        let residual = (alpha.exp() + 2.0).recip() - (smoothing + mu * alpha) / 3.0;
        assert!(residual.abs() < 1e-14);
    }
}

#[test]
fn bad_input_is_refused() {
    let head = FixedSimplexHead::new(3, 1.0, 0.1).unwrap();
    for label in [&[1.0, 0.0][..], &[0.5, 0.6, 0.0], &[-0.5, 1.5, 0.0], &[f64::NAN, 1.0, 0.0]] {
        assert!(head.response(label).is_err(), "{label:?}");
    }
    assert!(FixedSimplexHead::new(1, 1.0, 0.1).is_err());
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(
            FixedSimplexHead::new(3, bad, 0.1).is_err()
                && FixedSimplexHead::new(3, 1.0, bad).is_err()
        );
        assert!(FixedHeadUfm::new(ClassCounts::balanced(3, 2).unwrap(), 1.0, bad).is_err());
    }
    assert!(FixedSimplexHead::new(3, 1e-300, 1e300).is_err());
    let ufm = FixedHeadUfm::new(ClassCounts::balanced(3, 2).unwrap(), 1.0, 0.1).unwrap();
    assert!(ufm.with_label_smoothing(1.0).is_err());
    // Tiny decays leave finite logits.
    let response =
        FixedSimplexHead::new(3, 1.0, 1e-300).unwrap().response(&[1.0, 0.0, 0.0]).unwrap();
    assert!(response.logits.iter().all(|z| z.is_finite()) && response.logits[0] > 100.0);
}

/// An explicit minimum stands in for a trained network.
#[test]
fn the_audit_of_the_minimum_finds_it() {
    let counts = ClassCounts::new(&[5, 2, 3]).unwrap();
    let minimum = FixedHeadUfm::new(counts.clone(), 2.0, 1e-3).unwrap().global_minimum().unwrap();
    let point = minimum.explicit(&Basis::Standard).unwrap();
    let features = point.features().unwrap();
    let labels = counts.labels().unwrap();
    let data = Features::from_sample_columns(&features).unwrap().with_labels(&labels, 3).unwrap();
    let found = audit(&data, point.head(), &minimum).unwrap();
    assert!(found.nc2[0].unwrap() < 1e-14 && found.nc3.unwrap() < 1e-14);
    assert!(found.nc2_class_means.unwrap() < 1e-14);
    assert!(found.loss_gap().unwrap().abs() < 1e-14);
    // The model that has this objective is the same.
    let objective = minimum.training_objective();
    let model = AnyModel::new(&objective, counts, None).unwrap();
    assert_eq!(model.prediction().loss(), minimum.loss());
    // Longer features cost more.
    let longer = &features * 1.5;
    let data = Features::from_sample_columns(&longer).unwrap().with_labels(&labels, 3).unwrap();
    let worse = audit(&data, point.head(), &minimum).unwrap();
    assert!(worse.loss_gap().unwrap() > 1e-3 && worse.nc3.unwrap() < 1e-14);
}
