//! What a problem was made of can be read from it, and predictions speak of the problem that was given.

use neural_collapse::audit::AuditOptions;
use neural_collapse::measure::Center;
use neural_collapse::metrics::Nc1Options;
use neural_collapse::models::AnyModel;
use neural_collapse::models::contrastive::UnitFeatures;
use neural_collapse::models::convex::ConvexUfm;
use neural_collapse::models::cross_entropy::LossMean;
use neural_collapse::models::low_rank::{LowRankProblem, Search};
use neural_collapse::models::multi_label::MultiLabelUfm;
use neural_collapse::models::nonnegative::NonnegativeUfm;
use neural_collapse::models::squared::{beta, tau};
use neural_collapse::problem::{CodedClassWeights, LossFunction, TrainingObjective};
use neural_collapse::{Bias, ClassCounts, CrossEntropyUfm, Prediction, Regularization, Seli, Ufm};

fn counts() -> ClassCounts {
    ClassCounts::new(&[6, 4, 4]).unwrap()
}

fn regularization(depth: usize) -> Regularization {
    Regularization::new(&vec![2e-3; depth], 3e-3).unwrap()
}

/// Weights, margins and scales of 1 are those of a problem without a list, which is what they are compared with.
#[test]
fn lists_of_ones_are_no_lists() {
    let (ones, other) = ([1.0; 3], [1.0, 1.0, 2.0]);
    let convex = ConvexUfm::cross_entropy(counts(), regularization(1)).unwrap();
    assert_eq!(convex.clone().with_class_weights(&ones).unwrap(), convex);
    assert_ne!(convex.clone().with_class_weights(&other).unwrap(), convex);
    let nonnegative = NonnegativeUfm::new(counts(), regularization(1)).unwrap();
    assert_eq!(nonnegative.clone().with_class_weights(&ones).unwrap(), nonnegative);
    assert_ne!(nonnegative.clone().with_class_weights(&other).unwrap(), nonnegative);
    let low_rank = LowRankProblem::cross_entropy(counts(), regularization(2)).unwrap();
    assert_eq!(low_rank.clone().with_class_weights(&ones).unwrap(), low_rank);
    assert_ne!(low_rank.clone().with_class_weights(&other).unwrap(), low_rank);
    let seli = Seli::new(counts()).unwrap();
    for list in [Seli::with_margins, Seli::with_logit_scales] {
        assert_eq!(list(seli.clone(), &ones).unwrap(), seli);
        assert_ne!(list(seli.clone(), &other).unwrap(), seli);
    }
    // The last list counts.
    let weighted = convex.clone().with_class_weights(&other).unwrap();
    assert_eq!(weighted.with_class_weights(&ones).unwrap(), convex);
}

#[test]
fn problems_say_what_they_were_made_of() {
    let ufm = ConvexUfm::cross_entropy(counts(), regularization(1)).unwrap();
    assert_eq!((ufm.label_smoothing(), ufm.logit_offsets()), (0.0, None));
    let ufm = ufm.with_label_smoothing(0.2).unwrap();
    let ufm = ufm.with_logit_offsets(&[0.5, 0.0, -1.0]).unwrap().with_widths(&[7]).unwrap();
    assert_eq!((ufm.label_smoothing(), ufm.widths()), (0.2, Some(&[7][..])));
    assert_eq!(ufm.logit_offsets(), Some(&[0.5, 0.0, -1.0][..]));
    assert_eq!((ufm.loss_function(), ufm.counts()), (LossFunction::CrossEntropy, &counts()));
    let squared = ConvexUfm::squared_error(counts(), regularization(1)).unwrap();
    assert_eq!(squared.loss_function(), LossFunction::SquaredError);

    let ufm = CrossEntropyUfm::new(3, 5, regularization(2)).unwrap();
    assert_eq!((ufm.label_smoothing(), ufm.loss_mean()), (0.0, LossMean::Samples));
    let ufm = ufm.with_label_smoothing(0.2).unwrap().with_loss_mean(LossMean::TwiceSamples);
    assert_eq!((ufm.label_smoothing(), ufm.loss_mean()), (0.2, LossMean::TwiceSamples));
    assert_eq!(ufm.simplex_potential().label_smoothing(), 0.2);

    let problem = LowRankProblem::cross_entropy(counts(), regularization(2)).unwrap();
    assert_eq!(problem.label_smoothing(), 0.0);
    assert_eq!(problem.with_label_smoothing(0.2).unwrap().label_smoothing(), 0.2);
    let ufm = NonnegativeUfm::new(counts(), regularization(1)).unwrap();
    assert_eq!(ufm.label_smoothing(), 0.0);
    assert_eq!(ufm.with_label_smoothing(0.2).unwrap().label_smoothing(), 0.2);
    let model = UnitFeatures::spherical_cross_entropy(counts(), 0.3).unwrap();
    assert_eq!(model.temperature(), 0.3);

    let seli = Seli::new(counts()).unwrap();
    assert_eq!((seli.margins(), seli.logit_scales()), (None, None));
    let seli = seli.with_margins(&[1.0, 2.0, 3.0]).unwrap();
    let seli = seli.with_logit_scales(&[0.5, 0.25, 1.0]).unwrap();
    assert_eq!(seli.margins(), Some(&[1.0, 2.0, 3.0][..]));
    assert_eq!(seli.logit_scales(), Some(&[0.5, 0.25, 1.0][..]));

    let search = Search::default();
    assert_eq!((search.starts(), search.seed(), search.largest_rank()), (25, 0, None));
    let search = search.with_starts(3).with_seed(9).with_largest_rank(2);
    assert_eq!((search.starts(), search.seed(), search.largest_rank()), (3, 9, Some(2)));
    let code = CodedClassWeights::new(&[2.0, 1.0, 0.5], 0.1).unwrap();
    assert_eq!((code.weight(), code.label_smoothing()), (&[2.0, 1.0, 0.5][..], 0.1));

    // Theorems 3.1 and 4.4 of Dang et al.: τ = 1 and 1/4, β = M τ.
    assert_eq!([1, 2].map(|depth| tau(depth).unwrap()), [1.0, 0.25]);
    assert_eq!([1, 2].map(|depth| beta(depth).unwrap()), [1.0, 0.5]);
}

/// Widths that are wide enough change nothing but are kept, by whichever way a model is chosen.
#[test]
fn predictions_keep_counts_widths_and_depth() {
    let check = |name: &str, prediction: &dyn Prediction, widths: Option<&[usize]>| {
        assert_eq!(prediction.widths(), widths, "{name}");
        let depth = widths.map_or(prediction.depth(), <[usize]>::len);
        assert_eq!(prediction.depth(), depth, "{name}");
        assert_eq!(prediction.classes(), prediction.counts().map_or(5, ClassCounts::classes));
    };
    let search = Search::default().with_starts(2);
    for widths in [None, Some(&[9, 8][..])] {
        let one = widths.map(|widths| &widths[..1]);
        let objective = |loss, depth| TrainingObjective::penalized(loss, regularization(depth));
        let (entropy, squared) = (LossFunction::CrossEntropy, LossFunction::SquaredError);
        let balanced = ClassCounts::balanced(3, 4).unwrap();
        for (name, objective, counts, widths) in [
            ("squared", objective(squared, 2), counts(), widths),
            ("landscape", objective(entropy, 2), balanced.clone(), widths),
            ("convex", objective(entropy, 1), counts(), one),
            ("searched", objective(entropy, 2), counts(), widths),
        ] {
            let model =
                AnyModel::new_with(&objective, counts.clone(), widths, Some(&search), &()).unwrap();
            check(name, model.prediction(), widths);
            assert_eq!(model.prediction().counts(), Some(&counts), "{name}");
            assert_eq!(model.prediction().training_objective(), objective, "{name}");
        }
        let mut ufm = NonnegativeUfm::new(counts(), regularization(1)).unwrap();
        let mut labels = MultiLabelUfm::new(5, &[(1, 3), (2, 4)], regularization(1)).unwrap();
        if let Some(one) = one {
            ufm = ufm.with_widths(one).unwrap();
            labels = labels.with_widths(one).unwrap();
        }
        assert_eq!((ufm.widths(), labels.widths()), (one, one));
        let minimum = ufm.global_minimum().unwrap();
        check("non-negative", &minimum, one);
        assert_eq!(minimum.living_classes(), 3);
        check("multi-label", &labels.global_minimum().unwrap(), one);
    }
    let free = regularization(2).with_bias(Bias::Unregularized).unwrap();
    let minimum = Ufm::new(counts(), free).unwrap().global_minimum().unwrap();
    let bias = minimum.bias().unwrap();
    for (class, &entry) in bias.iter().enumerate() {
        assert_eq!(minimum.bias_of_class(class), Some(entry));
    }
    assert_eq!(minimum.bias_of_class(3), None);
}

/// The convex program of balanced classes has the landscape's minimum.
#[test]
fn one_layer_is_a_convex_program() {
    let ufm =
        CrossEntropyUfm::new(4, 5, regularization(1)).unwrap().with_label_smoothing(0.1).unwrap();
    let landscape = ufm.landscape().unwrap();
    for mean in [LossMean::Samples, LossMean::TwiceSamples] {
        let ufm = ufm.clone().with_loss_mean(mean);
        let program = ufm.to_convex().unwrap();
        let convex = program.global_minimum().unwrap();
        assert!((convex.loss() / ufm.landscape().unwrap().loss() - 1.0).abs() < 1e-11, "{mean:?}");
        let factor = program.collapse_factor().unwrap() / ufm.simplex_collapse_factor();
        assert!((factor - 1.0).abs() < 1e-12, "{mean:?}: {factor}");
    }
    let values = landscape.best().logit_singular_values();
    assert_eq!(values.iter().map(|value| value.multiplicity).sum::<usize>(), 3);
    // Decays times this factor are where everything is zero.
    let factor = ufm.simplex_collapse_factor();
    for (step, is_zero) in [(0.999, false), (1.001, true)] {
        let regularization =
            Regularization::new(&[2e-3 * factor * step], 3e-3 * factor * step).unwrap();
        let ufm =
            CrossEntropyUfm::new(4, 5, regularization).unwrap().with_label_smoothing(0.1).unwrap();
        let found = ufm.landscape().unwrap();
        assert_eq!(found.best().logit_singular_values().is_empty(), is_zero, "{step}");
    }
}

/// The eigenvalues of the Hessian by which it is called well conditioned, and the largest stable step.
#[test]
fn condition_numbers_are_quotients_of_eigenvalues() {
    let curvature = Ufm::new(counts(), regularization(2)).unwrap().global_minimum().unwrap();
    let curvature = curvature.curvature().unwrap();
    let positive = curvature.eigenvalues().iter().map(|eigenvalue| eigenvalue.value);
    let positive = positive.filter(|&value| value > 0.0);
    let (least, most) =
        (positive.clone().fold(f64::INFINITY, f64::min), positive.fold(0.0, f64::max));
    assert_eq!((curvature.smallest_positive(), curvature.largest()), (least, most));
    assert_eq!(curvature.condition_number(), most / least);
    assert_eq!(curvature.largest_step(), 2.0 / most);
}

/// The norms of a class of another size are those of the classes where it is one of them.
#[test]
fn norms_of_a_size_are_those_of_its_classes() {
    for depth in [1, 3] {
        let minimum = Ufm::new(counts(), regularization(depth)).unwrap().global_minimum().unwrap();
        for (run, class) in minimum.class_runs().unwrap() {
            let (w, h) = minimum.norms_of_size(run.size as f64).unwrap();
            let expected =
                (class.classifier_norm_squared.unwrap(), class.feature_norm_squared.unwrap());
            assert!((w / expected.0 - 1.0).abs() < 1e-13, "{w} {expected:?}");
            assert!((h / expected.1 - 1.0).abs() < 1e-13, "{h} {expected:?}");
        }
    }
    let convex =
        ConvexUfm::cross_entropy(counts(), regularization(1)).unwrap().global_minimum().unwrap();
    assert!((1..30).contains(&convex.steps()), "{}", convex.steps());
}

/// Every option is kept beside the others, whatever order they are given in.
#[test]
fn options_are_kept() {
    let nc1 = Nc1Options::default()
        .with_divide_by_classes(false)
        .with_center(Center::Classes)
        .with_rank_cutoff(1e-3)
        .with_largest_rank(2);
    assert_eq!((nc1.center, nc1.divide_by_classes), (Center::Classes, false));
    assert_eq!((nc1.rank_cutoff, nc1.largest_rank), (1e-3, Some(2)));
    let objective = TrainingObjective::penalized(LossFunction::CrossEntropy, regularization(1));
    let options = AuditOptions::default()
        .with_objective(objective.clone())
        .with_all_metrics(true)
        .with_other_samples(true)
        .with_standard_errors(true)
        .with_nc1(nc1)
        .with_features_squared(7.0)
        .with_predicted_rank(Some(3))
        .with_balance(false);
    assert_eq!(options.objective, Some(objective));
    assert!(options.all_metrics && options.other_samples && options.standard_errors);
    assert!(options.nc1 == nc1 && options.without_balance);
    assert_eq!((options.features_squared, options.predicted_rank), (Some(7.0), Some(3)));
}
