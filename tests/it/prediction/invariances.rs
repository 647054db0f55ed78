//! What may be done to a prediction: whether its lengths can be scaled, and whether classes that are treated alike can be
//! exchanged.

use nalgebra::DMatrix;
use neural_collapse::problem::{LossFunction, TrainingObjective};
use neural_collapse::{ClassMatrix, ExplicitPoint, LinearHead, Regularization};

use super::answers::alike_pairs;
use super::data_term::{DataTerm, Held};
use super::subject::{Subject, assert_close};
use super::unanswered::answered;

/// The lengths are determined iff constraints fix them or the objective of twice the matrices is another; of margins, which
/// do neither, the loss falls with every factor.
pub fn check_scale(subject: &Subject<'_>, point: &ExplicitPoint) {
    let (name, prediction) = (&subject.name, subject.prediction);
    let features = point.features().unwrap();
    if features.amax() < 1e-10 {
        return;
    }
    let objective = prediction.training_objective();
    let term = DataTerm::new(&objective, prediction.classes(), &subject.held);
    let is_determined = fixes_lengths(&objective)
        || term.is_some_and(|term| {
            let [one, two] = [1.0, 2.0]
                .map(|factor| penalized(&term, &objective, point.head(), &features, factor));
            (two - one).abs() > 1e-11 * one
        });
    assert_eq!(prediction.has_scale(), is_determined, "{name}");
    if !is_determined {
        let losses = [1.0, 2.0, 3.0, 4.0]
            .map(|factor| of_logits(subject, &objective, point.head(), &features, factor));
        assert!(losses.is_sorted_by(|one, next| one > next), "{name}: {losses:?}");
    }
}

/// Budgets and unit lengths, of which no multiple has the same.
pub fn fixes_lengths(objective: &TrainingObjective) -> bool {
    use TrainingObjective::{Budgeted, FixedSimplexHead, UnitVectors};
    matches!(objective, Budgeted { .. } | FixedSimplexHead { .. } | UnitVectors { .. })
}

/// All layers times a factor; the bias stays.
fn scaled(head: &LinearHead, factor: f64) -> LinearHead {
    let layers = head.weights().iter().map(|weight| weight * factor).collect();
    LinearHead::new(layers, head.bias().cloned()).unwrap()
}

/// The objective without the penalty of the bias, at all layers and features times a factor.
fn penalized(
    term: &DataTerm,
    objective: &TrainingObjective,
    head: &LinearHead,
    features: &DMatrix<f64>,
    factor: f64,
) -> f64 {
    let regularization = objective.regularization().unwrap();
    let layers = head.weights().iter().zip(regularization.weight_decays());
    let energy = layers.map(|(weight, decay)| decay * weight.norm_squared()).sum::<f64>()
        + regularization.feature_decay() * features.norm_squared();
    let value = term.slopes(&scaled(head, factor), &(features * factor)).value;
    value + factor.powi(2) * energy / 2.0
}

/// The cross-entropy of the logits δ_c z_c, which training under margins falls with.
fn of_logits(
    subject: &Subject<'_>,
    objective: &TrainingObjective,
    head: &LinearHead,
    features: &DMatrix<f64>,
    factor: f64,
) -> f64 {
    let cross_entropy = TrainingObjective::Penalized {
        loss_function: LossFunction::CrossEntropy,
        factor: 1.0,
        regularization: Regularization::new(&[1.0], 1.0).unwrap(),
    };
    let term = DataTerm::new(&cross_entropy, subject.prediction.classes(), &subject.held).unwrap();
    let mut weight = head.weights()[0].clone();
    if let TrainingObjective::ScaledMargins { logit_scales, .. } = objective {
        weight.row_iter_mut().zip(logit_scales).for_each(|(mut row, scale)| row *= *scale);
    }
    let head = LinearHead::new(vec![weight], None).unwrap();
    term.slopes(&scaled(&head, factor), &(features * factor)).value
}

/// Exchanging two classes that are treated alike leaves the loss, and leaves the predicted outputs unless the order is
/// arbitrary.
pub fn check_order(subject: &Subject<'_>, point: &ExplicitPoint, outputs: &DMatrix<f64>) {
    let (name, prediction) = (&subject.name, subject.prediction);
    let (Some(counts), Some(predicted)) =
        (prediction.counts(), answered(prediction.class_outputs()))
    else {
        return;
    };
    let pairs = alike_pairs(&prediction.training_objective(), counts);
    let differ = |&(i, j): &(usize, usize)| distance(&predicted, outputs, (i, j)) > 1e-7;
    let is_arbitrary = pairs.iter().any(differ);
    assert_eq!(prediction.has_arbitrary_order(), is_arbitrary, "{name}: {outputs}");
    // What differs most, if anything.
    let exchanged = pairs.iter().copied().find(|pair| differ(pair)).or(pairs.first().copied());
    if let Some(pair) = exchanged {
        check_loss(subject, point, pair);
    }
}

fn exchange(classes: usize, (i, j): (usize, usize)) -> Vec<usize> {
    let mut order: Vec<usize> = (0..classes).collect();
    order.swap(i, j);
    order
}

/// From the outputs with two classes exchanged to the predicted ones, or of a family to the nearest, of their size.
fn distance(predicted: &ClassMatrix, outputs: &DMatrix<f64>, pair: (usize, usize)) -> f64 {
    let order = exchange(outputs.nrows(), pair);
    let exchanged = outputs.select_rows(&order).select_columns(&order);
    let nearest = predicted.nearest_member(&exchanged).unwrap();
    (nearest - &exchanged).amax() / outputs.amax().max(1e-300)
}

/// The data term with two classes exchanged; penalties and norms are sums over classes of one size.
fn check_loss(subject: &Subject<'_>, point: &ExplicitPoint, pair: (usize, usize)) {
    let (name, prediction) = (&subject.name, subject.prediction);
    let Held::Labels(labels) = &subject.held else { panic!("{name} has classes") };
    let objective = prediction.training_objective();
    let Some(term) = DataTerm::new(&objective, prediction.classes(), &subject.held) else { return };
    let (head, features) = (point.head(), point.features().unwrap());
    let order = exchange(prediction.classes(), pair);
    let mut layers = head.weights().to_vec();
    let last = layers.pop().unwrap();
    layers.push(last.select_rows(&order));
    let bias = head.bias().map(|bias| bias.select_rows(&order));
    // A sample of each class has the features of all.
    let first = |class: usize| labels.iter().position(|&label| label == class).unwrap();
    let sources: Vec<usize> = labels.iter().map(|&label| first(order[label])).collect();
    let exchanged = LinearHead::new(layers, bias).unwrap();
    let found = term.slopes(&exchanged, &features.select_columns(&sources)).value;
    assert_close(found, term.slopes(head, &features).value, 1e-10, name);
}
