//! What a minimum says of itself.

use super::*;
use crate::problem::regularization::Regularization;

fn ufm(sizes: &[u64], decays: [f64; 2], bias: Bias) -> ConvexUfm {
    let regularization = Regularization::new(&[decays[0]], decays[1]).unwrap();
    let regularization = regularization.with_bias(bias).unwrap();
    ConvexUfm::cross_entropy(ClassCounts::new(sizes).unwrap(), regularization).unwrap()
}

/// Classes of two sizes where only the large ones differ: N²λ_Wλ_H is between 50 and the 26.5 of the direction between.
#[test]
fn one_contrast_is_left_near_the_total_collapse() {
    let [weight, feature] =
        [(49.9_f64 / 4.0).sqrt() / 106.0, 4.0 * (49.9_f64 / 4.0).sqrt() / 106.0];
    let ufm = ufm(&[50, 50, 3, 3], [weight, feature], Bias::None).with_widths(&[1]).unwrap();
    let minimum = ufm.global_minimum().unwrap();
    assert_eq!((minimum.geometry(), minimum.rank()), (Geometry::Convex, 1));
    assert!(minimum.is_unique() && minimum.is_symmetric() && !minimum.has_arbitrary_order());
    assert_eq!((Prediction::classes(&minimum), minimum.depth()), (4, 1));
    assert_eq!(minimum.lower_bound(), Some(minimum.loss() - minimum.gap()));
    // One sibling: W ∝ (1, −1, 0, 0), with the energy κσ, σ = q√50.
    let q = minimum.outputs()[(0, 0)] * 2.0;
    let sigma = q * 50.0_f64.sqrt();
    let classes = minimum.class_runs().unwrap();
    let (large, small) = (&classes[0].1, &classes[1].1);
    let norms = [large.classifier_norm_squared, large.feature_norm_squared].map(Option::unwrap);
    // WWᵀ = √(λ_H/λ_W) (XXᵀ)^½, half of σ for each class, and λ_W‖W‖² = λ_H‖H‖².
    assert!((norms[0] / sigma - 1.0).abs() < 1e-14, "{norms:?}, {sigma}");
    assert!((norms[1] * 50.0 * 4.0 / norms[0] - 1.0).abs() < 1e-14);
    assert_eq!((large.collapsed, small.collapsed), (Some(false), Some(true)));
    assert_eq!((large.count, small.count), (50, 3));
    let gram = minimum.trailing_gram(1).unwrap().to_dense().unwrap();
    assert!((gram[(0, 0)] - norms[0]).abs() < 1e-14 && (gram[(0, 1)] + norms[0]).abs() < 1e-14);
    let layer = minimum.explicit(&Basis::Standard).unwrap().head().weights()[0].clone();
    assert!(layer.ncols() == 1 && (&layer * layer.transpose() - gram).amax() < 1e-14);
}

/// The common number that cross-entropy leaves open is taken out of a bias; the squared loss leaves none open: with
/// all outputs zero b is the mean target.
#[test]
fn free_biases_sum_to_zero_under_cross_entropy() {
    let sizes = [40, 10, 10, 5];
    let minimum = ufm(&sizes, [0.01; 2], Bias::Unregularized).global_minimum().unwrap();
    let bias = minimum.bias().unwrap();
    assert!(bias.iter().sum::<f64>().abs() < 1e-15 && bias[0] > 0.1, "{bias:?}");
    assert!(minimum.steps() > 1, "{}", minimum.steps());
    let regularization = Regularization::new(&[1.0], 1.0).unwrap();
    let regularization = regularization.with_bias(Bias::Unregularized).unwrap();
    let squared =
        ConvexUfm::squared_error(ClassCounts::new(&sizes).unwrap(), regularization).unwrap();
    let minimum = squared.global_minimum().unwrap();
    assert_eq!((minimum.steps(), minimum.rank(), minimum.geometry()), (0, 0, Geometry::Collapsed));
    let bias = minimum.bias().unwrap();
    for (b, size) in bias.iter().zip(sizes) {
        assert!((b - size as f64 / 65.0).abs() < 1e-15, "{bias:?}");
    }
}

/// A decay near the smallest number is fine where energies are, and named where they are not.
#[test]
fn ranges_are_checked() {
    let fine = ufm(&[3, 2], [2.3e-308, 1.0], Bias::None).global_minimum().unwrap();
    let sizes = fine.singular_values(1..=1).unwrap();
    assert!(sizes[0].value.is_finite() && sizes[0].value > 1.0);
    for decays in [[1e-320, 1e300], [1e300, 1e-320]] {
        let refused = ufm(&[3, 2], decays, Bias::None).global_minimum().unwrap_err();
        let quantity = "a squared singular value of the weights or features";
        assert_eq!(refused, Error::Unrepresentable { quantity, log10: f64::INFINITY });
    }
    let refused = ufm(&[3, 2], [1e-320, 1e-310], Bias::None).global_minimum().unwrap_err();
    let quantity = "the price √(λ_W λ_H) of the norm";
    assert!(matches!(refused, Error::Unrepresentable { quantity: found, .. } if found == quantity));
}
