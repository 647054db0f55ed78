//! The library's closed forms against numerical minimization of the full objective, on random problems:
//! classes of any sizes, unequal decays, every treatment of the bias, arbitrary targets, any widths.

use approx::{assert_relative_eq, assert_ulps_eq};
use nalgebra::{DMatrix, DVector};
use neural_collapse::models::Regime;
use neural_collapse::models::squared::Direction;
use neural_collapse::{
    Basis, Bias, ClassCounts, ClassMatrix, ExplicitPoint, GlobalMinimum, Prediction,
    Regularization, Ufm,
};
use proptest::prelude::*;

use crate::support::bases::random_basis;
use crate::support::kernels::norm;
use crate::support::lbfgs::{ENOUGH, multi_start, multi_start_until};
use crate::support::objective::{MseObjective, Unpacked, one_hot};
use crate::support::strategies::{Problem, Target, config, problems};

/// How far below the claimed minimum a loss may end, by rounding.
const ROUNDING: f64 = 1e-9;

fn ufm(problem: &Problem) -> Ufm {
    let regularization =
        Regularization::new(&problem.weight_decays, problem.feature_decay).unwrap();
    let regularization = regularization.with_bias(problem.bias).unwrap();
    let ufm = match &problem.target {
        Target::Counts(counts) => {
            let counts: Vec<u64> = counts.iter().map(|&count| count as u64).collect();
            Ufm::new(ClassCounts::new(&counts).unwrap(), regularization)
        }
        Target::Matrix(target) => Ufm::from_target(target.clone(), regularization),
    };
    ufm.unwrap().with_widths(&problem.widths).unwrap()
}

fn unpacked(minimizer: &ExplicitPoint) -> Unpacked {
    let head = minimizer.head();
    Unpacked {
        weights: head.weights().to_vec(),
        features: minimizer.features().unwrap(),
        bias: head.bias().cloned().unwrap_or_else(|| DVector::zeros(head.classes())),
    }
}

/// W_M⋯W_(M−m+1).
fn trailing_product(weights: &[DMatrix<f64>], layers: usize) -> DMatrix<f64> {
    let mut last = weights.iter().rev().take(layers);
    let first = last.next().unwrap().clone();
    last.fold(first, |product, weight| product * weight)
}

/// H̄, from features sorted by class.
fn class_means(features: &DMatrix<f64>, counts: &[usize]) -> DMatrix<f64> {
    let mut first = 0;
    let means: Vec<DVector<f64>> = counts
        .iter()
        .map(|&count| {
            let mean = features.columns(first, count).column_mean();
            first += count;
            mean
        })
        .collect();
    DMatrix::from_columns(&means)
}

/// The predicted singular values, each as often as it occurs, in descending order.
fn expanded(values: &[f64], minimum: &GlobalMinimum) -> Vec<f64> {
    let directions = values.iter().zip(minimum.directions());
    let repeated = |(&value, direction): (&f64, Direction)| {
        std::iter::repeat_n(value, *direction.rank().end())
    };
    let mut values: Vec<f64> = directions.flat_map(repeated).collect();
    values.sort_by(|a, b| b.total_cmp(a));
    values
}

/// Asserts that the singular values of a measured matrix are the predicted ones, and then zeros.
fn check_singular_values(
    name: &str,
    measured: &DMatrix<f64>,
    predicted: &[f64],
    tolerance: f64,
) -> Result<(), TestCaseError> {
    let scale = predicted.first().copied().unwrap_or(0.0).max(1e-3);
    let predicted = predicted.iter().copied().chain(std::iter::repeat(0.0));
    for (found, expected) in measured.singular_values().iter().zip(predicted) {
        let error = (found - expected).abs();
        prop_assert!(error <= tolerance * scale, "{name}: {found} is not {expected}");
    }
    Ok(())
}

/// Asserts that a measured matrix is the predicted one, or as near to zero if that is zero.
fn check_matrix(
    name: &str,
    measured: &DMatrix<f64>,
    predicted: &ClassMatrix,
    tolerance: f64,
) -> Result<(), TestCaseError> {
    if predicted.to_dense().is_some_and(|dense| dense.amax() == 0.0) {
        prop_assert!(measured.amax() <= tolerance, "{name}: {measured} is not zero");
        return Ok(());
    }
    let member = predicted.nearest_member(measured).unwrap();
    let error = (measured - &member).amax();
    prop_assert!(error <= tolerance * member.amax(), "{name}: {measured} is not {member}");
    Ok(())
}

/// Asserts that a point has the singular values and class matrices of the prediction.
fn check_geometry(
    minimum: &GlobalMinimum,
    problem: &Problem,
    point: &Unpacked,
    tolerance: f64,
) -> Result<(), TestCaseError> {
    let depth = point.weights.len();
    for first in 1..=depth {
        for last in first..=depth {
            let product = trailing_product(&point.weights[..last], last - first + 1);
            let predicted = minimum.direction_singular_values(first..=last).unwrap();
            let name = format!("singular values of W_{last}⋯W_{first}");
            check_singular_values(&name, &product, &expanded(&predicted, minimum), tolerance)?;
        }
    }
    let features = expanded(&minimum.direction_feature_singular_values(), minimum);
    check_singular_values("singular values of H", &point.features, &features, tolerance)?;
    let product = trailing_product(&point.weights, depth);
    let outputs = expanded(&minimum.output_singular_values(), minimum);
    let name = "singular values of the outputs";
    check_singular_values(name, &(&product * &point.features), &outputs, tolerance)?;
    for layers in 1..=depth {
        let trailing = trailing_product(&point.weights, layers);
        let gram = &trailing * trailing.transpose();
        let predicted = minimum.trailing_gram(layers).unwrap();
        check_matrix(&format!("Gram matrix of W^{layers}"), &gram, &predicted, tolerance)?;
    }
    let Target::Counts(counts) = &problem.target else { return Ok(()) };
    let means = class_means(&point.features, counts);
    let gram = means.transpose() * &means;
    check_matrix("H̄ᵀH̄", &gram, &minimum.class_means_gram().unwrap(), tolerance)?;
    let logits = product * &means;
    check_matrix("W H̄", &logits, &minimum.class_outputs().unwrap(), tolerance)?;
    let gram = logits.transpose() * &logits;
    check_matrix("(W H̄)ᵀ W H̄", &gram, &minimum.logit_gram().unwrap(), tolerance)?;
    check_norms(minimum, point, &means, tolerance)
}

/// Asserts that a point has the norms, the collapsed classes and the bias of the prediction.
fn check_norms(
    minimum: &GlobalMinimum,
    point: &Unpacked,
    means: &DMatrix<f64>,
    tolerance: f64,
) -> Result<(), TestCaseError> {
    let classifier = point.weights.last().unwrap();
    for (class, mean) in means.column_iter().enumerate() {
        let predicted = minimum.class(class).unwrap();
        for (measured, expected) in [
            (classifier.row(class).norm_squared(), predicted.classifier_norm_squared),
            (mean.norm_squared(), predicted.feature_norm_squared),
        ] {
            let Some(expected) = expected else { continue };
            let error = (measured - expected).abs();
            prop_assert!(error <= tolerance * expected.max(1.0), "{measured} is not {expected}");
            prop_assert_eq!(predicted.collapsed, Some(expected == 0.0));
        }
    }
    if let Some(bias) = minimum.bias() {
        let error = (&point.bias - DVector::from_vec(bias)).amax();
        prop_assert!(error <= tolerance, "the bias is off by {error}");
    }
    Ok(())
}

/// Asserts that the explicit minimizer attains the claimed minimum, is stationary and has its geometry.
fn check_explicit(
    minimum: &GlobalMinimum,
    problem: &Problem,
    objective: &MseObjective,
    basis: &Basis,
) -> Result<(), TestCaseError> {
    let point = unpacked(&minimum.explicit(basis).unwrap());
    let packed = objective.pack(&point);
    let (loss, claimed) = (objective.loss(&packed), minimum.loss());
    prop_assert!((loss - claimed).abs() <= 1e-13 * claimed.max(1e-3), "{loss} is not {claimed}");
    let gradient = norm(&objective.gradient(&packed));
    prop_assert!(gradient <= 1e-10, "‖∇f‖ = {gradient:e}");
    check_geometry(minimum, problem, &point, 1e-10)
}

proptest! {
    #![proptest_config(config(400))]

    /// The strongest test: nothing may ever end below a global minimum.
    #[test]
    fn no_start_ends_below_the_global_minimum(problem in problems(1..=4), seed: u64) {
        let claimed = ufm(&problem).global_minimum().unwrap().loss();
        for loss in multi_start(&problem.objective(), 5, seed).losses {
            prop_assert!(loss >= claimed - ROUNDING * claimed.max(1.0), "{loss} < {claimed}");
        }
    }

    #[test]
    fn up_to_two_layers_the_global_minimum_is_reached(problem in problems(1..=2), seed: u64) {
        let claimed = ufm(&problem).global_minimum().unwrap().loss();
        let best = multi_start_until(&problem.objective(), ENOUGH, seed, claimed + 1e-9).best.loss;
        prop_assert!(best <= claimed + 1e-7, "{best} > {claimed}");
    }

    /// Near a transition the minimum is flat, so that a small gap in the loss says little.
    #[test]
    fn where_the_minimum_is_reached_the_geometry_is_the_predicted_one(
        problem in problems(1..=4).prop_filter("near a transition", |p| p.margin > 0.1),
        seed: u64,
    ) {
        let minimum = ufm(&problem).global_minimum().unwrap();
        let objective = problem.objective();
        let claimed = minimum.loss();
        let best = multi_start_until(&objective, 30, seed, claimed + 1e-12).best;
        prop_assume!(best.loss <= claimed + 1e-11 && best.gradient_norm <= 1e-8);
        check_geometry(&minimum, &problem, &objective.unpack(&best.parameters), 1e-4)?;
    }

    #[test]
    fn the_explicit_minimizer_attains_the_minimum(problem in problems(1..=4), seed: u64) {
        let minimum = ufm(&problem).global_minimum().unwrap();
        let objective = problem.objective();
        check_explicit(&minimum, &problem, &objective, &Basis::Standard)?;
        check_explicit(&minimum, &problem, &objective, &random_basis(&minimum, seed))?;
    }

    /// One-hot targets may be given as counts or as a matrix.
    #[test]
    fn counts_and_their_target_matrix_have_the_same_minimum(problem in problems(1..=4)) {
        let minimum = ufm(&problem).global_minimum().unwrap();
        prop_assume!(!matches!(problem.bias, Bias::Regularized(_)));
        let matrix = Problem { target: Target::Matrix(problem.target.matrix()), ..problem };
        let other = ufm(&matrix).global_minimum().unwrap();
        prop_assert!((minimum.loss() - other.loss()).abs() <= 1e-13 * minimum.loss().max(1e-3));
        let pairs = [
            (minimum.direction_singular_values(1..=1).unwrap(), other.direction_singular_values(1..=1).unwrap()),
            (minimum.direction_feature_singular_values(), other.direction_feature_singular_values()),
        ];
        for (own, others) in pairs {
            let (own, others) = (expanded(&own, &minimum), expanded(&others, &other));
            prop_assert_eq!(own.len(), others.len());
            for (a, b) in own.iter().zip(&others) {
                prop_assert!((a - b).abs() <= 1e-10 * a, "{} is not {}", a, b);
            }
        }
    }
}

/// f at the explicit minimizer, and the norm of its gradient, from the library's own objective.
fn explicit_loss_and_gradient(minimum: &GlobalMinimum, counts: &[usize]) -> (f64, f64) {
    let explicit = minimum.explicit(&random_basis(minimum, 11)).unwrap();
    let features = explicit.features().unwrap();
    let labels: Vec<usize> = counts
        .iter()
        .enumerate()
        .flat_map(|(class, &count)| std::iter::repeat_n(class, count))
        .collect();
    let data = neural_collapse::Features::from_sample_columns(&features).unwrap();
    let data = data.with_labels(&labels, counts.len()).unwrap();
    let regularization = minimum.problem().regularization();
    let objective = neural_collapse::objective::Objective::squared_error(
        &data,
        explicit.head(),
        regularization,
    )
    .unwrap();
    (objective.loss(), objective.gradient_norm)
}

#[test]
fn the_explicit_minimizer_of_a_large_problem_is_stationary() {
    let counts: Vec<usize> = (0..50).map(|class| 3 + class % 7).collect();
    let sizes: Vec<u64> = counts.iter().map(|&count| count as u64).collect();
    let decays: Vec<f64> = (0..9).map(|layer| 1e-4 * (1.0 + f64::from(layer))).collect();
    for (bias, width) in [(Bias::None, 64), (Bias::Unregularized, 64), (Bias::None, 30)] {
        let regularization = Regularization::new(&decays, 2e-4).unwrap().with_bias(bias).unwrap();
        let ufm = Ufm::new(ClassCounts::new(&sizes).unwrap(), regularization).unwrap();
        let minimum = ufm.with_widths(&[width; 9]).unwrap().global_minimum().unwrap();
        assert!(minimum.directions().any(|d| d.regime() == Regime::Positive));
        let (loss, gradient) = explicit_loss_and_gradient(&minimum, &counts);
        // With the default `epsilon` small numbers would be equal whatever they are.
        assert_relative_eq!(loss, minimum.loss(), epsilon = 0.0, max_relative = 1e-13);
        assert!(gradient <= 1e-10, "{bias:?}, width {width}: ‖∇f‖ = {gradient:e}");
    }
}

/// Theorem 3.1 (c): at the threshold of two layers nothing and everything are both optimal.
#[test]
fn at_a_tie_every_rank_is_a_global_minimum() {
    // P = 2⁻⁸ makes a/n = N √(N P)/n = 4 · √(4 · 2⁻⁸)/2 = 1/4 = τ₂, without rounding.
    let regularization = Regularization::new(&[1.0 / 16.0, 1.0 / 16.0], 1.0).unwrap();
    let ufm = Ufm::new(ClassCounts::new(&[2, 2]).unwrap(), regularization).unwrap();
    let minimum = ufm.global_minimum().unwrap();
    assert_eq!(minimum.direction(0).unwrap().ratio(), minimum.threshold());
    assert_eq!(minimum.direction(0).unwrap().rank(), 0..=2);
    assert!(!minimum.is_unique());
    assert_eq!(minimum.class(0).unwrap().collapsed, None);
    assert_eq!(minimum.loss(), 0.5);

    let explicit = unpacked(&minimum.explicit(&Basis::Standard).unwrap());
    let objective = MseObjective::new(one_hot(&[2, 2]), &[1.0 / 16.0; 2], 1.0, Bias::None, &[2; 2]);
    assert_ulps_eq!(objective.loss(&objective.pack(&explicit)), 0.5, epsilon = 0.0, max_ulps = 4);
    let zero = vec![0.0; objective.dimension()];
    assert_ulps_eq!(objective.loss(&zero), 0.5, epsilon = 0.0, max_ulps = 4);

    let gram = minimum.trailing_gram(1).unwrap();
    let x = 1.0; // (M − 1)^(1/M)
    let energy = minimum.scale() / 4.0 * x;
    let one_class = DMatrix::from_diagonal(&DVector::from_vec(vec![energy * 16.0, 0.0]));
    assert!(gram.distance(&one_class).unwrap() < 1e-15);
    assert!(gram.distance(&DMatrix::identity(2, 2)).unwrap() < 1e-15);
}

/// Theorems E.2 and F.2: with too few dimensions for a tie, any subspace of the tied classes is optimal.
#[test]
fn tied_classes_share_too_few_dimensions_in_any_way() {
    let regularization = Regularization::new(&[1e-3, 2e-3], 1e-3).unwrap();
    let counts = ClassCounts::new(&[3, 5, 3, 3, 2]).unwrap();
    let ufm = Ufm::new(counts, regularization).unwrap().with_widths(&[9, 3]).unwrap();
    let minimum = ufm.global_minimum().unwrap();
    assert_eq!(minimum.problem().rank_limit(), 3);
    assert!(!minimum.is_unique());
    let ranks: Vec<_> = minimum.directions().map(|direction| direction.rank()).collect();
    assert_eq!(ranks, [1..=1, 2..=2, 0..=0]);
    let collapsed: Vec<_> = (0..5).map(|class| minimum.class(class).unwrap().collapsed).collect();
    assert_eq!(collapsed, [None, Some(false), None, None, Some(true)]);

    // Rotating the tied block of a minimizer by any rotation gives another one.
    let gram = minimum.trailing_gram(1).unwrap();
    assert_eq!((gram.get(0, 2), gram.get(0, 1), gram.get(4, 4)), (None, Some(0.0), Some(0.0)));
    let (s, c) = 0.7_f64.sin_cos();
    let mut rotation = DMatrix::identity(5, 5);
    (rotation[(0, 0)], rotation[(0, 3)], rotation[(3, 0)], rotation[(3, 3)]) = (c, -s, s, c);
    let point = unpacked(&minimum.explicit(&random_basis(&minimum, 3)).unwrap());
    let mut rotated = point.clone();
    rotated.weights[1] = &rotation * &point.weights[1];
    let means = class_means_of(&point, &[3, 5, 3, 3, 2]) * rotation.transpose();
    rotated.features = expand(&means, &[3, 5, 3, 3, 2]);
    let objective =
        MseObjective::new(one_hot(&[3, 5, 3, 3, 2]), &[1e-3, 2e-3], 1e-3, Bias::None, &[9, 3]);
    let loss = objective.loss(&objective.pack(&rotated));
    assert!((loss - minimum.loss()).abs() < 1e-15, "{loss}");
    let measured = &rotated.weights[1] * rotated.weights[1].transpose();
    assert!(gram.distance(&measured).unwrap() < 1e-14);
    // A block of full rank is not a member, however scaled.
    assert!(gram.distance(&DMatrix::identity(5, 5)).unwrap() > 0.1);
}

fn class_means_of(point: &Unpacked, counts: &[usize]) -> DMatrix<f64> {
    class_means(&point.features, counts)
}

fn expand(means: &DMatrix<f64>, counts: &[usize]) -> DMatrix<f64> {
    let columns: Vec<_> = means
        .column_iter()
        .zip(counts)
        .flat_map(|(mean, &count)| std::iter::repeat_n(mean.into_owned(), count))
        .collect();
    DMatrix::from_columns(&columns)
}

/// Section 4 of the theory: between λ_b = 0 and ∞ the geometry goes from the simplex ETF to the
/// orthogonal frame; for one layer the all-ones direction appears at λ_b/(1+λ_b) = K √(n λ_W λ_H).
#[test]
fn a_regularized_bias_leads_from_the_etf_to_the_orthogonal_frame() {
    let (classes, size, decay) = (4_usize, 25_u64, 5e-3_f64);
    let critical = classes as f64 * (size as f64).sqrt() * decay;
    let minimum = |share: f64| {
        let regularization = Regularization::new(&[decay], decay).unwrap();
        let regularization =
            regularization.with_bias(Bias::Regularized(share / (1.0 - share))).unwrap();
        let counts = ClassCounts::balanced(classes, size).unwrap();
        Ufm::new(counts, regularization).unwrap().global_minimum().unwrap()
    };
    let rank = |share: f64| *minimum(share).directions().last().unwrap().rank().end();
    assert_eq!((rank(critical * 0.999), rank(critical * 1.001)), (0, 1));
    let distance = |share: f64, frame: ClassMatrix| {
        frame.distance(&minimum(share).trailing_gram(1).unwrap().to_dense().unwrap()).unwrap()
    };
    assert!(distance(1e-9, ClassMatrix::simplex_etf(classes).unwrap()) < 1e-15);
    assert!(distance(1.0 - 1e-9, ClassMatrix::orthogonal_frame(classes).unwrap()) < 1e-8);
}
