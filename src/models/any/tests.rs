//! Which model has which objective.

use super::*;

const DECAY: f64 = 1e-3;

fn decays(depth: usize, bias: Bias) -> Regularization {
    Regularization::uniform(depth, DECAY, DECAY).unwrap().with_bias(bias).unwrap()
}

/// The name of the model, or the problem that has none.
fn chosen(
    objective: &TrainingObjective,
    sizes: &[u64],
    widths: Option<&[usize]>,
    is_searched: bool,
) -> &'static str {
    let counts = ClassCounts::new(sizes).unwrap();
    let search = Search::default().with_starts(1);
    let search = is_searched.then_some(&search);
    match AnyModel::new_with(objective, counts, widths, search, &()) {
        Ok(AnyModel::Squared(_)) => "squared",
        Ok(AnyModel::CrossEntropy(_)) => "landscape",
        Ok(AnyModel::Convex(_)) => "convex",
        Ok(AnyModel::Nonnegative(_)) => "nonnegative",
        Ok(AnyModel::LowRank(_)) => "searched",
        Ok(AnyModel::LayerPeeled(_)) => "layer-peeled",
        Ok(AnyModel::SupportVectors(_)) => "support vectors",
        Ok(AnyModel::FixedHead(_)) => "fixed head",
        Ok(AnyModel::UnitVectors(_)) => "unit vectors",
        Err(Error::NoClosedForm { problem }) => problem,
        Err(error) => panic!("{error}"),
    }
}

const ALIKE: &[u64] = &[4, 4, 4];
const UNEQUAL: &[u64] = &[6, 4, 2];

#[test]
fn squared_losses_have_a_closed_form_a_program_or_a_search() {
    let plain =
        |depth, bias| TrainingObjective::penalized(LossFunction::SquaredError, decays(depth, bias));
    let weighted =
        |depth, weights: &[f64], label_smoothing| TrainingObjective::WeightedSquaredError {
            regularization: decays(depth, Bias::None),
            class_weights: weights.to_vec(),
            label_smoothing,
        };
    let (free, penalized) = (Bias::Unregularized, Bias::Regularized(0.1));
    let bias = "a penalized bias with classes of different sizes and several layers";
    let changed = "class weights or smoothing beside the squared loss and several layers";
    for (objective, sizes, alone, searched) in [
        (plain(2, Bias::None), UNEQUAL, "squared", "squared"),
        (plain(2, free), UNEQUAL, "squared", "squared"),
        (plain(2, penalized), ALIKE, "squared", "squared"),
        (plain(1, penalized), UNEQUAL, "convex", "convex"),
        (plain(2, penalized), UNEQUAL, bias, "searched"),
        (weighted(2, &[], 0.0), UNEQUAL, "squared", "squared"),
        (weighted(2, &[1.0; 3], 0.0), UNEQUAL, "squared", "squared"),
        (weighted(2, &[1.0, 2.0, 1.0], 0.0), ALIKE, changed, "searched"),
        (weighted(2, &[], 0.1), ALIKE, changed, "searched"),
        (weighted(1, &[], 0.1), ALIKE, "convex", "convex"),
    ] {
        assert_eq!(chosen(&objective, sizes, None, false), alone, "{objective:?}");
        assert_eq!(chosen(&objective, sizes, None, true), searched, "{objective:?}");
    }
    // Where the program needs more dimensions a search does not.
    let narrow = Some(&[1][..]);
    let objective = weighted(1, &[1.0, 2.0, 1.0], 0.0);
    let alone = chosen(&objective, UNEQUAL, narrow, false);
    assert_eq!(alone, "features of less dimensions than the rank of the convex program's minimum");
    assert_eq!(chosen(&objective, UNEQUAL, narrow, true), "searched");
}

#[test]
fn cross_entropies_have_a_landscape_a_program_or_a_search() {
    let objective =
        |depth, weights: &[f64], offsets: &[f64]| TrainingObjective::WeightedCrossEntropy {
            regularization: decays(depth, Bias::None),
            class_weights: weights.to_vec(),
            label_smoothing: 0.1,
            logit_offsets: offsets.to_vec(),
            nonnegative_features: false,
        };
    let plain = |depth| objective(depth, &[], &[]);
    let several =
        "cross-entropy with several layers and class weights or classes of different sizes";
    let narrow = "the cross-entropy loss with a width below K − 1, the rank of a simplex ETF";
    let offsets = "logit offsets with several layers or a width below K − 1";
    let (one, two) = (Some(&[1][..]), Some(&[2][..]));
    for (objective, sizes, widths, alone, searched) in [
        (plain(2), ALIKE, None, "landscape", "landscape"),
        (plain(1), ALIKE, two, "landscape", "landscape"),
        (objective(2, &[1.0; 3], &[0.5; 3]), ALIKE, None, "landscape", "landscape"),
        (plain(1), ALIKE, one, narrow, "searched"),
        (plain(1), UNEQUAL, None, "convex", "convex"),
        (plain(1), UNEQUAL, one, narrow, "searched"),
        (plain(2), UNEQUAL, None, several, "searched"),
        (objective(1, &[1.0, 2.0, 1.0], &[]), ALIKE, None, "convex", "convex"),
        (objective(2, &[1.0, 2.0, 1.0], &[]), ALIKE, None, several, "searched"),
        (objective(1, &[], &[0.5, 0.5, 0.0]), ALIKE, None, "convex", "convex"),
        (objective(1, &[], &[0.5, 0.5, 0.0]), ALIKE, one, offsets, offsets),
        (objective(2, &[], &[0.5, 0.5, 0.0]), ALIKE, None, offsets, offsets),
    ] {
        assert_eq!(chosen(&objective, sizes, widths, false), alone, "{objective:?} {widths:?}");
        assert_eq!(chosen(&objective, sizes, widths, true), searched, "{objective:?} {widths:?}");
    }
}

/// Half the loss is that of a mean over 2N samples, other shares are class weights.
#[test]
fn factors_of_the_loss_count() {
    let objective = |loss_function, factor, depth| TrainingObjective::Penalized {
        loss_function,
        factor,
        regularization: decays(depth, Bias::None),
    };
    let (cross_entropy, squared) = (LossFunction::CrossEntropy, LossFunction::SquaredError);
    let several =
        "cross-entropy with several layers and class weights or classes of different sizes";
    let changed = "class weights or smoothing beside the squared loss and several layers";
    for (objective, expected) in [
        (objective(cross_entropy, 0.5, 2), "landscape"),
        (objective(cross_entropy, 0.25, 1), "convex"),
        (objective(cross_entropy, 0.25, 2), several),
        (objective(squared, 0.5, 1), "convex"),
        (objective(squared, 0.5, 2), changed),
    ] {
        assert_eq!(chosen(&objective, ALIKE, None, false), expected, "{objective:?}");
    }
    let counts = ClassCounts::new(ALIKE).unwrap();
    let loss = |factor, decay: f64| {
        let objective = TrainingObjective::Penalized {
            loss_function: cross_entropy,
            factor,
            regularization: Regularization::new(&[decay], decay).unwrap(),
        };
        AnyModel::new(&objective, counts.clone(), None).unwrap().prediction().loss()
    };
    // A share of the loss beside decays is that share of the loss beside larger decays.
    for factor in [0.5, 0.25] {
        let expected = factor * loss(1.0, 1e-3 / factor);
        assert!((loss(factor, 1e-3) / expected - 1.0).abs() < 1e-10, "{factor}");
    }
}

#[test]
fn nonnegative_features_have_one_layer_and_no_offsets() {
    let objective = |depth, offsets: &[f64]| TrainingObjective::WeightedCrossEntropy {
        regularization: decays(depth, Bias::None),
        class_weights: vec![1.0, 2.0, 1.0],
        label_smoothing: 0.1,
        logit_offsets: offsets.to_vec(),
        nonnegative_features: true,
    };
    for (objective, expected) in [
        (objective(1, &[]), "nonnegative"),
        (objective(1, &[0.5; 3]), "nonnegative"),
        (objective(2, &[]), "non-negative features under several layers"),
        (objective(1, &[0.5, 0.0, 0.0]), "logit offsets beside non-negative features"),
    ] {
        assert_eq!(chosen(&objective, UNEQUAL, None, false), expected, "{objective:?}");
    }
}

/// Each loss without decays has its model, which knows no widths below K − 1.
#[test]
fn objectives_without_decays_have_their_models() {
    let unit = |loss_function, nonnegative_features| TrainingObjective::UnitVectors {
        loss_function,
        temperature: 0.3,
        nonnegative_features,
    };
    let margins = |margins: &[f64], logit_scales: &[f64]| TrainingObjective::ScaledMargins {
        margins: margins.to_vec(),
        logit_scales: logit_scales.to_vec(),
    };
    let budgeted = |loss_function| TrainingObjective::Budgeted {
        loss_function,
        weight_energy: 1.0,
        feature_energy: 2.0,
    };
    let fixed = TrainingObjective::FixedSimplexHead {
        classifier_norm_squared: 1.0,
        feature_decay: 1e-3,
        label_smoothing: 0.1,
    };
    let norms = |loss_function| TrainingObjective::SmallestNorms { loss_function };
    let contrastive = LossFunction::SupervisedContrastive;
    let several = &[1.0, 2.0, 3.0];
    for (objective, expected) in [
        (budgeted(LossFunction::CrossEntropy), "layer-peeled"),
        (norms(LossFunction::Margin), "support vectors"),
        (margins(&[], &[]), "support vectors"),
        (margins(several, &[]), "support vectors"),
        (margins(several, several), "support vectors"),
        (fixed, "fixed head"),
        (unit(LossFunction::CrossEntropy, false), "unit vectors"),
        (unit(contrastive, false), "unit vectors"),
        (unit(contrastive, true), "unit vectors"),
    ] {
        assert_eq!(chosen(&objective, ALIKE, Some(&[2]), false), expected, "{objective:?}");
        let narrow = "this model with a width below K − 1";
        assert_eq!(chosen(&objective, ALIKE, Some(&[1]), false), narrow, "{objective:?}");
    }
    let penalized = |loss| TrainingObjective::penalized(loss, decays(1, Bias::None));
    for (objective, expected) in [
        (penalized(LossFunction::PickAllLabels), "this loss function beside decays"),
        (unit(LossFunction::SquaredError, false), "this loss function of unit vectors"),
        (budgeted(LossFunction::SquaredError), "this loss function with these constraints"),
        (norms(LossFunction::SupportMargin), "this loss function with these constraints"),
    ] {
        assert_eq!(chosen(&objective, ALIKE, None, false), expected, "{objective:?}");
    }
}
