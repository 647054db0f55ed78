//! Two and three classes by hand.

use crate::error::Error;
use crate::models::svm::{Seli, simplex_margins};
use crate::prediction::explicit::Basis;
use crate::prediction::{Geometry, Prediction, SingularValue, Verdict};
use crate::problem::counts::ClassCounts;
use crate::problem::training_objective::{LossFunction, TrainingObjective};

fn seli(sizes: &[u64]) -> Seli {
    Seli::new(ClassCounts::new(sizes).unwrap()).unwrap()
}

/// The eigenvalue of C diag(7, 1) C is (7 + 1)/2, and X has its root.
#[test]
fn two_classes_have_one_direction() {
    let two = seli(&[7, 1]);
    assert_eq!(two.logit_singular_values(), [SingularValue::new(2.0, 1)]);
    let roots = [SingularValue::new(2.0_f64.sqrt(), 1)];
    assert_eq!(two.singular_values(1..=1).unwrap(), roots);
    assert_eq!(two.feature_singular_values().unwrap(), roots);
    assert_eq!((two.loss(), two.classes(), two.depth()), (2.0, 2, 1));
    let class = two.class(0).unwrap();
    assert_eq!((class.count, class.collapsed), (7, Some(false)));
    // WWᵀ = 2uuᵀ, H̄ᵀH̄ = uuᵀ/2, W H̄ = uuᵀ for u = (1, −1)/√2.
    let norms = [class.classifier_norm_squared, class.feature_norm_squared].map(Option::unwrap);
    assert!((norms[0] - 1.0).abs() < 1e-15 && (norms[1] - 0.25).abs() < 1e-15, "{norms:?}");
    assert_eq!(two.class(2), None);
    let runs = two.class_runs().unwrap();
    assert_eq!((runs.len(), runs[1].0.size, &runs[0].1), (2, 1, &class));
    for (matrix, entry) in [
        (two.trailing_gram(1).unwrap(), 1.0),
        (two.class_means_gram().unwrap(), 0.25),
        (two.class_outputs().unwrap(), 0.5),
    ] {
        assert!((matrix.get(0, 0).unwrap() - entry).abs() < 1e-15);
        assert!((matrix.get(0, 1).unwrap() + entry).abs() < 1e-15);
    }
    assert!(two.trailing_gram(2).is_err() && two.trailing_gram(0).is_err());
    assert!(two.singular_values(1..=2).is_err());
}

/// What margins and scales change, each alone: the objective, the geometry's name, and which classes are alike.
#[test]
fn margins_and_scales_are_told_apart() {
    let plain = seli(&[5, 5, 2]);
    assert_eq!(plain.counts(), Some(&ClassCounts::new(&[5, 5, 2]).unwrap()));
    assert!(plain.is_unique() && plain.is_symmetric() && !plain.has_arbitrary_order());
    assert!(!plain.has_scale() && plain.bias().is_none() && plain.widths().is_none());
    assert_eq!(plain.geometry(), Geometry::SimplexEncodedLabels);
    assert_eq!(seli(&[5, 5]).geometry(), Geometry::SimplexEtf);
    let objective = TrainingObjective::SmallestNorms { loss_function: LossFunction::Margin };
    assert_eq!(plain.training_objective(), objective);
    let source = |seli: &Seli| match seli.verdict() {
        Verdict::Proved(source) => source,
        other => panic!("{other:?}"),
    };
    let numbers = [1.0, 2.0, 1.0];
    let margins = plain.clone().with_margins(&numbers).unwrap();
    let scales = plain.clone().with_logit_scales(&numbers).unwrap();
    for (changed, is_margin) in [(margins, true), (scales, false)] {
        assert!(changed.is_unique() && !changed.is_symmetric() && !changed.has_arbitrary_order());
        assert_eq!(changed.geometry(), Geometry::Structure("SELI with margins and scales".into()));
        assert_ne!(source(&changed), source(&plain));
        let (mut margins, mut logit_scales) = (Vec::new(), Vec::new());
        if is_margin { &mut margins } else { &mut logit_scales }.extend(numbers);
        let objective = TrainingObjective::ScaledMargins { margins, logit_scales };
        assert_eq!(changed.training_objective(), objective);
    }
}

/// Matrices have the predicted Gram matrices and outputs where classes of three scales share one n m²/δ² = 1, beside
/// a larger and a smaller one.
#[test]
fn matrices_have_the_predicted_products() {
    let seli = seli(&[4, 1, 9, 9, 1]).with_margins(&[1.0, 1.0, 1.0, 2.0, 1.0]).unwrap();
    let seli = seli.with_logit_scales(&[2.0, 1.0, 3.0, 0.5, 4.0]).unwrap();
    let point = seli.explicit(&Basis::Standard).unwrap();
    let (layer, means) = (&point.head().weights()[0], point.class_means().unwrap());
    for (found, expected) in [
        (layer * layer.transpose(), seli.trailing_gram(1).unwrap()),
        (means.transpose() * means, seli.class_means_gram().unwrap()),
        (layer * means, seli.class_outputs().unwrap()),
    ] {
        let expected = expected.to_dense().unwrap();
        assert!((&found - &expected).amax() < 1e-13 * expected.amax(), "{found}{expected}");
    }
}

/// √(N/(K n)): 50/90 and 50/10 for 90 and 10 samples, 1 for equal sizes.
#[test]
fn margins_of_a_simplex_are_one_for_equal_sizes() {
    let margins = simplex_margins(&ClassCounts::new(&[90, 10, 50]).unwrap());
    assert_eq!(margins, [(50.0_f64 / 90.0).sqrt(), 5.0_f64.sqrt(), 1.0]);
}

/// n m²/δ² and 1/δ² have to be numbers.
#[test]
fn ranges_are_checked() {
    let refused = |result: Result<Seli, Error>| match result {
        Err(Error::Unrepresentable { quantity, log10 }) => (quantity, log10),
        other => panic!("{other:?}"),
    };
    let squared = "the squared logits n m²/δ² of a class";
    let margins = |margin: f64| refused(seli(&[100, 2]).with_margins(&[margin, 1.0]));
    assert_eq!(margins(1e160), (squared, f64::INFINITY));
    let (quantity, log10) = margins(1e-156);
    assert!(quantity == squared && (log10 + 310.0).abs() < 0.1, "{log10}");
    let fine = seli(&[1 << 50, 2]).with_margins(&[1e10, 1.0]).unwrap();
    let (quantity, log10) = refused(fine.with_logit_scales(&[1e155, 1.0]));
    assert_eq!(quantity, "the inverse square 1/δ² of a logit scale");
    assert!((log10 + 310.0).abs() < 0.1, "{log10}");
}
