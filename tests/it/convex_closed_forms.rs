//! What the convex program answers where that is known in closed form or by the conventions of PyTorch.

use nalgebra::{DMatrix, DVector};
use neural_collapse::models::convex::{ConvexMinimum, ConvexUfm};
use neural_collapse::{
    Bias, ClassCounts, CrossEntropyUfm, Geometry, Prediction, Regularization, Seli,
};
use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::convex::{Case, solved};
use crate::support::soft::SoftObjective;

/// PyTorch's conventions, written out: the loss of a sample is −Σ_k ω_k y_k ln p_k, divided by Σᵢ ω of the labels.
#[test]
fn weights_and_smoothing_of_pytorch() {
    let (counts, weight, smoothing) = ([7_u64, 3, 2, 2], [0.5, 1.0, 2.0, 2.0], 0.2);
    for bias in [Bias::None, Bias::Unregularized] {
        let penalties = Regularization::new(&[1e-2], 2e-2).unwrap().with_bias(bias).unwrap();
        let torch = ConvexUfm::pytorch(
            ClassCounts::new(&counts).unwrap(),
            &weight,
            smoothing,
            penalties.clone(),
        );
        let minimum = solved(&torch.unwrap());
        let divisor: f64 = counts.iter().zip(weight).map(|(&n, w)| n as f64 * w).sum();
        let sizes: Vec<usize> = counts.iter().map(|&n| n as usize).collect();
        let decays = (1e-2, 2e-2, bias);
        let mut objective =
            SoftObjective::of_classes(&sizes, &[1.0; 4], smoothing, decays, (4, false));
        for mut column in objective.labels.column_iter_mut() {
            column.component_mul_assign(&DVector::from_column_slice(&weight));
        }
        objective.weights.fill(1.0 / divisor);
        let found = objective.lowest(6, 4);
        assert!(found >= minimum.lower_bound().unwrap() * (1.0 - 1e-14));
        assert!(found <= minimum.loss() * (1.0 + 1e-8), "{found}, {}", minimum.loss());
        // It is not the model whose weights multiply smoothed losses.
        let factor = 14.0 / divisor;
        let ours = ConvexUfm::cross_entropy(ClassCounts::new(&counts).unwrap(), penalties)
            .and_then(|ufm| ufm.with_class_weights(&weight.map(|w| w * factor)))
            .and_then(|ufm| ufm.with_label_smoothing(smoothing))
            .unwrap();
        assert!((solved(&ours).loss() - minimum.loss()).abs() > 1e-4);
    }
}

/// Equal sizes: the closed form of one layer, and of label smoothing as its limit says.
#[test]
fn equal_classes_form_a_simplex() {
    for (classes, bias) in [(2, Bias::None), (5, Bias::Unregularized), (40, Bias::Regularized(0.1))]
    {
        for decay in [1e-8, 1e-4, 1e-2, 3e-2] {
            let counts = ClassCounts::balanced(classes, 9).unwrap();
            let penalties = Regularization::new(&[decay], decay).unwrap();
            let penalties = penalties.with_bias(bias).unwrap();
            let closed = CrossEntropyUfm::new(classes, 9, penalties.clone()).unwrap();
            let best = closed.simplex_etf().unwrap().loss();
            let ufm = ConvexUfm::cross_entropy(counts, penalties).unwrap();
            let convex = solved(&ufm);
            assert!((convex.loss() / best - 1.0).abs() < 1e-12, "{}, {best}", convex.loss());
            let nearly = solved(&ufm.clone().with_label_smoothing(1e-14).unwrap());
            assert!((nearly.loss() / convex.loss() - 1.0).abs() < 1e-10 / decay.min(1e-2));
            let collapsed = convex.geometry() == Geometry::Collapsed;
            assert!(collapsed || convex.geometry() == Geometry::SimplexEtf);
            assert!(convex.bias().is_none_or(|bias| bias.iter().all(|b| b.abs() < 1e-12)));
        }
    }
}

/// As the decay vanishes, the geometry becomes that of the support vector machine, as slowly as 1/ln(1/λ).
#[test]
fn without_decay_it_is_the_support_vector_machine() {
    let counts = ClassCounts::new(&[40, 20, 20, 5]).unwrap();
    let svm = Seli::new(counts.clone()).unwrap().classifier_gram().to_dense().unwrap();
    let mut last = f64::INFINITY;
    for decay in [1e-3, 1e-6, 1e-12, 1e-24, 1e-48] {
        let penalties = Regularization::new(&[decay], decay).unwrap();
        let minimum = solved(&ConvexUfm::cross_entropy(counts.clone(), penalties).unwrap());
        let distance = minimum.trailing_gram(1).unwrap().distance(&svm).unwrap();
        assert!(distance < 0.7 * last, "{decay}: {distance}");
        last = distance;
    }
    assert!(last < 0.02, "{last}");
}

/// p_own − p_sibling and the merging of siblings, on both sides of the threshold, for every bias.
#[test]
fn siblings_merge_where_the_closed_form_says() {
    let counts = [60, 60, 20, 20, 20, 7, 7];
    for bias in [Bias::None, Bias::Unregularized, Bias::Regularized(0.03)] {
        for smoothing in [0.0, 0.1] {
            let case = Case {
                counts: counts.to_vec(),
                weights: vec![1.0, 1.0, 1.5, 1.5, 1.5, 1.0, 1.0],
                smoothing,
                decays: (1.1e-2, 1.3e-2),
                bias,
            };
            let ufm = case.ufm();
            let minimum = solved(&ufm);
            let probabilities = probabilities(&minimum);
            for (own, sibling) in [(0, 1), (2, 3), (5, 6)] {
                let gap = probabilities[(own, own)] - probabilities[(sibling, own)];
                let expected = ufm.probability_gap(own).unwrap();
                assert!((gap - expected).abs() < 1e-13, "{gap}, {expected}: {case:?}");
                let threshold = ufm.merging_count(case.weights[own]).unwrap();
                assert_eq!(expected > 0.0, counts[own] as f64 > threshold);
            }
            // Scale the decays so that n* is just below and just above the size of a class.
            let threshold = ufm.merging_count(1.5).unwrap();
            for (factor, merged) in [(1.0 - 1e-9, false), (1.0 + 1e-9, true)] {
                let decays = (1.1e-2 * (20.0 / threshold * factor), 1.3e-2);
                let minimum = solved(&Case { decays, ..case.clone() }.ufm());
                let outputs = minimum.class_outputs().unwrap();
                assert_eq!(outputs.get(2, 2) == outputs.get(3, 2), merged, "{bias:?}, {factor}");
            }
        }
    }
}

/// Probabilities by the outputs and the bias, a column a class.
fn probabilities(minimum: &ConvexMinimum) -> DMatrix<f64> {
    let mut outputs = minimum.outputs();
    let bias = minimum.bias().map(DVector::from_vec);
    for mut column in outputs.column_iter_mut() {
        if let Some(bias) = &bias {
            column += bias;
        }
        let largest = column.max();
        column.apply(|entry| *entry = (*entry - largest).exp());
        let sum = column.sum();
        column /= sum;
    }
    outputs
}

/// Everything is zero from the critical decays on, and not before.
#[test]
fn total_collapse_where_the_closed_form_says() {
    let mut rng = SmallRng::seed_from_u64(23);
    for _ in 0..40 {
        let mut case = Case::random(&mut rng);
        if matches!(case.bias, Bias::Regularized(_)) {
            case.bias = Bias::Unregularized;
        }
        let critical = case.ufm().critical_decay_product().unwrap().sqrt();
        for (factor, collapsed) in [(1.0 - 1e-5, false), (1.0 + 1e-9, true)] {
            let decay = critical * factor;
            let minimum = solved(&Case { decays: (decay, decay), ..case.clone() }.ufm());
            let found = minimum.geometry() == Geometry::Collapsed;
            assert_eq!(found, collapsed, "{factor}: {case:?}\n{minimum:?}");
        }
    }
}
