//! Every implementor of `Prediction` answers for one and the same point: the explicit matrices attain the loss
//! with a vanishing gradient, and norms, Gram matrices, outputs, bias and singular values are theirs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop")]

use nalgebra::DMatrix;
use neural_collapse::measure::LabeledFeatures;
use neural_collapse::models::AnyModel;
use neural_collapse::models::contrastive::UnitFeatures;
use neural_collapse::models::convex::ConvexUfm;
use neural_collapse::models::fixed_head::FixedHeadUfm;
use neural_collapse::models::low_rank::{LowRankProblem, Search};
use neural_collapse::models::multi_label::MultiLabelUfm;
use neural_collapse::models::nonnegative::NonnegativeUfm;
use neural_collapse::models::soft_labels::SparseLabels;
use neural_collapse::objective::Objective;
use neural_collapse::problem::{LossFunction, TrainingObjective};
use neural_collapse::{
    Basis, Bias, ClassCounts, ClassMatrix, CrossEntropyUfm, Error, ExplicitPoint, Features,
    LayerPeeled, Prediction, Regularization, Seli, Ufm,
};

/// How far answers and matrices may differ, relatively: rounding in products of a few layers.
const TOLERANCE: f64 = 1e-11;

/// The explicit matrices of a prediction with the features of all samples.
struct Attained {
    point: ExplicitPoint,
    features: DMatrix<f64>,
    labels: Vec<usize>,
    means: DMatrix<f64>,
    counts: ClassCounts,
}

impl Attained {
    fn new(prediction: &dyn Prediction, seed: u64) -> Self {
        let point = prediction.explicit(&Basis::Random(seed)).unwrap();
        let counts = prediction.counts().unwrap().clone();
        let features = point.features().unwrap();
        let means = point.class_means().unwrap().clone();
        Self { labels: counts.labels().unwrap(), counts, features, means, point }
    }

    fn data(&self) -> LabeledFeatures<'_, f64> {
        let features = Features::from_sample_columns(&self.features).unwrap();
        features.with_labels(&self.labels, self.counts.classes()).unwrap()
    }
}

/// Holds every answer of a prediction against its explicit matrices.
fn check(name: &str, prediction: &dyn Prediction) {
    let attained = Attained::new(prediction, 7);
    match prediction.training_objective() {
        TrainingObjective::Penalized { .. }
        | TrainingObjective::WeightedCrossEntropy { .. }
        | TrainingObjective::WeightedSquaredError { .. } => {
            check_objective(name, prediction, &attained);
        }
        TrainingObjective::Budgeted { weight_energy, feature_energy, .. } => {
            check_budgets(name, prediction, &attained, weight_energy, feature_energy);
            check_constrained(name, prediction, &attained);
        }
        TrainingObjective::SmallestNorms { .. } => check_margins(name, prediction, &attained),
        TrainingObjective::FixedSimplexHead { .. } | TrainingObjective::UnitVectors { .. } => {
            check_constrained(name, prediction, &attained);
        }
        other => panic!("{name} needs a check of {other:?}"),
    }
    check_model(name, prediction);
    let outputs = attained.point.head().product().unwrap() * &attained.means;
    crate::answers::check_shape(name, prediction, attained.point.head());
    crate::answers::check(name, prediction, &outputs, &attained.means);
    check_grams(name, prediction, &attained);
    check_norms(name, prediction, &attained);
    check_singular_values(name, prediction, &attained);
    if let Some(bias) = prediction.bias() {
        let found = attained.point.head().bias().expect(name);
        assert!(bias.iter().zip(found.iter()).all(|(a, b)| (a - b).abs() <= TOLERANCE), "{name}");
    }
    if let Some(bound) = prediction.lower_bound() {
        assert!(bound <= prediction.loss() * (1.0 + TOLERANCE), "{name}: {bound}");
    }
}

/// What is proved for an objective is found again from the objective alone.
fn check_model(name: &str, prediction: &dyn Prediction) {
    let (Some(counts), "proved") = (prediction.counts(), prediction.verdict().keyword()) else {
        return;
    };
    let objective = prediction.training_objective();
    let model = AnyModel::new(&objective, counts.clone(), prediction.widths()).expect(name);
    let (found, loss) = (model.prediction().loss(), prediction.loss());
    assert!((found / loss - 1.0).abs() <= TOLERANCE, "{name}: {found}, {loss}");
}

fn check_objective(name: &str, prediction: &dyn Prediction, attained: &Attained) {
    let objective = prediction.training_objective();
    let measured = Objective::new(&attained.data(), attained.point.head(), &objective).unwrap();
    let loss = prediction.loss();
    assert!((measured.loss() - loss).abs() <= TOLERANCE * loss, "{name}: {measured:?}, {loss}");
    // λ‖W‖ of a layer is √(λ · λ‖W‖²), and λ‖W‖² is the same for all layers.
    let regularization = objective.regularization().unwrap();
    let decays = regularization.weight_decays().iter().copied();
    let least = decays.chain([regularization.feature_decay()]).fold(f64::INFINITY, f64::min);
    let scale = (least * 2.0 * measured.feature_penalty).sqrt().max(1e-6);
    assert!(measured.gradient_norm <= 1e-7 * scale, "{name}: {measured:?}");
}

fn check_budgets(
    name: &str,
    prediction: &dyn Prediction,
    attained: &Attained,
    weight_energy: f64,
    feature_energy: f64,
) {
    let classes = prediction.classes() as f64;
    let product = attained.point.head().product().unwrap();
    let close = |found: f64, expected: f64| {
        assert!((found - expected).abs() <= 1e-9 * expected, "{name}: {found}, {expected}");
    };
    close(product.norm_squared() / classes, weight_energy);
    close(attained.means.norm_squared() / classes, feature_energy);
}

/// Every margin is at least 1, and the loss is ½‖W‖² + ½‖H‖².
fn check_margins(name: &str, prediction: &dyn Prediction, attained: &Attained) {
    let product = attained.point.head().product().unwrap();
    let outputs = &product * &attained.means;
    for (class, column) in outputs.column_iter().enumerate() {
        for (other, output) in column.iter().enumerate() {
            let margin = column[class] - output;
            assert!(other == class || margin >= 1.0 - 1e-9, "{name}: {class}, {other}: {margin}");
        }
    }
    let norms = (product.norm_squared() + attained.features.norm_squared()) / 2.0;
    assert!((norms - prediction.loss()).abs() <= 1e-9 * norms, "{name}: {norms}");
}

/// The objective is the loss, and no gradient is left in the directions that its constraints allow.
fn check_constrained(name: &str, prediction: &dyn Prediction, attained: &Attained) {
    let (data, head) = (attained.data(), attained.point.head());
    let measured = Objective::new(&data, head, &prediction.training_objective()).unwrap();
    let loss = prediction.loss();
    assert!((measured.loss() - loss).abs() <= TOLERANCE * loss, "{name}: {measured:?}, {loss}");
    let objective = TrainingObjective::DataTerm { loss_function: LossFunction::CrossEntropy };
    let whole = Objective::new(&data, head, &objective).unwrap().gradient_norm;
    assert!(measured.gradient_norm <= 1e-7 * whole, "{name}: {measured:?}, {whole}");
}

/// Holds the answers of a prediction without classes against its explicit matrices; all questions about classes are
/// refused.
fn check_without_classes(name: &str, prediction: &dyn Prediction) {
    let point = prediction.explicit(&Basis::Random(7)).unwrap();
    assert!(prediction.counts().is_none() && point.class_means().is_none(), "{name}");
    assert!(matches!(prediction.class_runs(), Err(Error::NotAnswered { .. })), "{name}");
    crate::answers::check_shape(name, prediction, point.head());
    let weight = &point.head().weights()[0];
    let gram = prediction.trailing_gram(1).unwrap().to_dense().unwrap();
    let found = weight * weight.transpose();
    assert!((&gram - &found).amax() <= 1e-9 * found.amax(), "{name}");
    let (of_layer, of_features) =
        (prediction.singular_values(1..=1), prediction.feature_singular_values());
    same_values(&format!("{name}, W"), &of_layer.unwrap(), weight.clone());
    same_values(&format!("{name}, H"), &of_features.unwrap(), point.features().unwrap());
    if let TrainingObjective::SmallestNorms { .. } = prediction.training_objective() {
        let norms = (weight.norm_squared() + point.features().unwrap().norm_squared()) / 2.0;
        assert!((norms - prediction.loss()).abs() <= 1e-9 * norms, "{name}: {norms}");
    }
    if let Some(bound) = prediction.lower_bound() {
        assert!(bound <= prediction.loss() * (1.0 + TOLERANCE), "{name}: {bound}");
    }
}

fn check_grams(name: &str, prediction: &dyn Prediction, attained: &Attained) {
    let same = |what: &str, predicted: &ClassMatrix, found: &DMatrix<f64>| {
        let nearest = predicted.nearest_member(found).unwrap();
        let size = found.amax().max(nearest.amax()).max(1e-300);
        let difference = (&nearest - found).amax();
        assert!(difference <= 1e-9 * size, "{name}, {what}: {difference:e} of {size:e}");
    };
    for layers in 1..=prediction.depth() {
        let product = attained.point.head().trailing_product(layers).unwrap();
        let gram = &product * product.transpose();
        same("layers", &prediction.trailing_gram(layers).unwrap(), &gram);
    }
    let means = &attained.means;
    same("means", &prediction.class_means_gram().unwrap(), &(means.transpose() * means));
    let outputs = attained.point.head().product().unwrap() * means;
    same("outputs", &prediction.class_outputs().unwrap(), &outputs);
}

fn check_norms(name: &str, prediction: &dyn Prediction, attained: &Attained) {
    let classifier = attained.point.head().weights().last().unwrap();
    let largest = |norms: Vec<f64>| norms.into_iter().fold(0.0, f64::max);
    let largest = (
        largest(classifier.row_iter().map(|row| row.norm_squared()).collect()),
        largest(attained.means.column_iter().map(|mean| mean.norm_squared()).collect()),
    );
    for (run, class) in prediction.class_runs().unwrap() {
        for index in run.classes() {
            let found =
                (classifier.row(index).norm_squared(), attained.means.column(index).norm_squared());
            if let Some(predicted) = class.classifier_norm_squared {
                assert!((found.0 - predicted).abs() <= 1e-9 * largest.0, "{name}, w_{index}");
            }
            if let Some(predicted) = class.feature_norm_squared {
                assert!((found.1 - predicted).abs() <= 1e-9 * largest.1, "{name}, h_{index}");
            }
            if class.collapsed == Some(true) {
                assert!(found.0 <= 1e-12 * largest.0 && found.1 <= 1e-12 * largest.1, "{name}");
            }
            assert_eq!(class.count, attained.counts.count(index).unwrap(), "{name}");
        }
    }
}

fn check_singular_values(name: &str, prediction: &dyn Prediction, attained: &Attained) {
    let depth = prediction.depth();
    for (first, last) in (1..=depth).flat_map(|last| (1..=last).map(move |first| (first, last))) {
        let weights = &attained.point.head().weights()[first - 1..last];
        let product =
            weights.iter().skip(1).fold(weights[0].clone(), |product, weight| weight * product);
        let predicted = prediction.singular_values(first..=last).unwrap();
        same_values(&format!("{name}, W{first}…W{last}"), &predicted, product);
    }
    let predicted = prediction.feature_singular_values().unwrap();
    same_values(&format!("{name}, H"), &predicted, attained.features.clone());
}

fn same_values(
    name: &str,
    predicted: &[neural_collapse::prediction::SingularValue],
    matrix: DMatrix<f64>,
) {
    let mut found: Vec<f64> = matrix.singular_values().iter().copied().collect();
    found.sort_by(|a, b| b.total_cmp(a));
    let mut expected: Vec<f64> = predicted
        .iter()
        .flat_map(|value| core::iter::repeat_n(value.value, value.multiplicity))
        .collect();
    assert!(expected.is_sorted_by(|a, b| a >= b), "{name}: not by falling value");
    assert!(predicted.iter().all(|value| value.value > 0.0 && value.multiplicity > 0), "{name}");
    let length = expected.len().max(found.len());
    expected.resize(length, 0.0);
    found.resize(length, 0.0);
    let largest = found.first().copied().unwrap_or(0.0).max(1e-300);
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs() <= 1e-8 * largest, "{name}: {found}, {expected}");
    }
}

/// A generator of problems: the same for every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }

    fn decay(&mut self) -> f64 {
        10.0_f64.powf(-2.0 - 2.0 * self.below(1000) as f64 / 1000.0)
    }

    fn counts(&mut self) -> ClassCounts {
        let classes = 2 + self.below(5);
        let sizes: Vec<u64> = (0..classes).map(|_| 1 + self.below(6) as u64 * 3).collect();
        ClassCounts::new(&sizes).unwrap()
    }

    fn regularization(&mut self, most_layers: usize) -> Regularization {
        let depth = 1 + self.below(most_layers);
        let decays: Vec<f64> = (0..depth).map(|_| self.decay()).collect();
        Regularization::new(&decays, self.decay()).unwrap()
    }
}

#[test]
fn the_squared_loss_answers_for_its_matrices() {
    let mut dice = Dice(1);
    for case in 0..60 {
        let (counts, regularization) = (dice.counts(), dice.regularization(3));
        let bias = match case % 3 {
            0 => Bias::None,
            1 => Bias::Unregularized,
            _ => Bias::Regularized(0.1 + f64::from(case) / 20.0),
        };
        let counts = match bias {
            Bias::Regularized(_) => ClassCounts::balanced(counts.classes(), 4).unwrap(),
            _ => counts,
        };
        let ufm = Ufm::new(counts, regularization.with_bias(bias).unwrap()).unwrap();
        let ufm = match case % 4 {
            3 => {
                let widths = vec![1 + dice.below(6); ufm.depth()];
                ufm.with_widths(&widths).unwrap()
            }
            _ => ufm,
        };
        check(&format!("squared {case}"), &ufm.global_minimum().unwrap());
    }
}

#[test]
fn cross_entropy_answers_for_its_matrices() {
    let mut dice = Dice(2);
    for case in 0..25 {
        let regularization = dice.regularization(3);
        let bias = [Bias::None, Bias::Unregularized, Bias::Regularized(0.3)][case % 3];
        let regularization = regularization.with_bias(bias).unwrap();
        let (classes, samples) = (2 + dice.below(7), 1 + dice.below(10) as u64);
        let ufm = CrossEntropyUfm::new(classes, samples, regularization).unwrap();
        let landscape = ufm.landscape().unwrap();
        check(&format!("cross-entropy {case}: {}", landscape.geometry()), &landscape);
        for point in landscape.points() {
            check(&format!("cross-entropy {case}: {}", point.geometry()), point);
        }
    }
}

/// Proved within a gap: the point is as near to the minimum as the gap says, a relative 1e-10, and its gradient is
/// the square root of that.
#[test]
fn convex_programs_answer_for_their_matrices() {
    let mut dice = Dice(3);
    for case in 0..20 {
        let bias = [Bias::None, Bias::Unregularized, Bias::Regularized(0.3)][case % 3];
        let regularization = dice.regularization(1).with_bias(bias).unwrap();
        let counts = dice.counts();
        let weights: Vec<f64> =
            (0..counts.classes()).map(|_| 0.5 + dice.below(20) as f64 / 10.0).collect();
        let ufm = ConvexUfm::cross_entropy(counts, regularization).unwrap();
        let ufm = ufm.with_class_weights(&weights).unwrap();
        let ufm = ufm.with_label_smoothing([0.0, 0.1][case % 2]).unwrap();
        check(&format!("convex {case}"), &ufm.global_minimum().unwrap());
    }
}

#[test]
fn nonnegative_features_answer_for_their_matrices() {
    let mut dice = Dice(4);
    for case in 0..20 {
        let (counts, regularization) = (dice.counts(), dice.regularization(1));
        let ufm = NonnegativeUfm::new(counts, regularization).unwrap();
        check(&format!("non-negative {case}"), &ufm.global_minimum().unwrap());
    }
}

#[test]
fn the_layer_peeled_model_answers_for_its_matrices() {
    for (sizes, energies) in [
        (vec![(30, 5), (10, 5)], (1.0, 1.0)),
        (vec![(1000, 3), (10, 2)], (4.0, 0.5)),
        (vec![(20, 6)], (2.0, 3.0)),
        (vec![(7, 1), (3, 1)], (1.0, 2.0)),
    ] {
        let counts = ClassCounts::from_runs(sizes).unwrap();
        let model = LayerPeeled::new(counts, energies.0, energies.1).unwrap();
        check("layer-peeled", &model.global_minimum().unwrap());
    }
}

#[test]
fn seli_answers_for_its_matrices() {
    let mut dice = Dice(3);
    for case in 0..10 {
        check(&format!("SELI {case}"), &Seli::new(dice.counts()).unwrap());
    }
}

#[test]
fn searched_points_answer_for_their_matrices() {
    let mut dice = Dice(5);
    for case in 0..12 {
        let bias = [Bias::None, Bias::Unregularized, Bias::Regularized(0.3)][case % 3];
        let regularization = dice.regularization(3).with_bias(bias).unwrap();
        let problem = match case % 2 {
            0 => LowRankProblem::cross_entropy(dice.counts(), regularization)
                .unwrap()
                .with_label_smoothing(0.1)
                .unwrap(),
            _ => LowRankProblem::squared(dice.counts(), regularization).unwrap(),
        };
        let found = problem.minimize(&Search::default().with_starts(3), &()).unwrap();
        check(&format!("search {case}"), &found);
    }
}

#[test]
fn fixed_heads_answer_for_their_matrices() {
    let mut dice = Dice(6);
    for case in 0..10 {
        let (norm, decay) = (0.5 + dice.below(100) as f64, dice.decay());
        let ufm = FixedHeadUfm::new(dice.counts(), norm, decay).unwrap();
        check(&format!("fixed head {case}"), &ufm.global_minimum().unwrap());
    }
}

#[test]
fn unit_vectors_answer_for_their_matrices() {
    for (classes, temperature) in [(2, 0.1), (3, 1.0), (7, 0.3)] {
        let counts = ClassCounts::balanced(classes, 5).unwrap();
        let model = UnitFeatures::spherical_cross_entropy(counts, temperature).unwrap();
        check(&format!("spherical {classes}"), &model.global_minimum().unwrap());
    }
}

/// The contrastive loss has no classifier: its answers are held against its class means.
#[test]
fn contrastive_features_answer_for_their_class_means() {
    let counts = ClassCounts::balanced(5, 4).unwrap();
    let model = UnitFeatures::supervised_contrastive(counts, 0.2).unwrap();
    for model in [model.clone(), model.with_nonnegative_features().unwrap()] {
        let minimum = model.global_minimum().unwrap();
        let prediction: &dyn Prediction = &minimum;
        let basis = Basis::Random(7);
        assert!(matches!(prediction.explicit(&basis), Err(Error::NotAnswered { .. })));
        assert!(matches!(prediction.trailing_gram(1), Err(Error::NotAnswered { .. })));
        let means = minimum.class_means(&basis).unwrap();
        let gram = prediction.class_means_gram().unwrap().to_dense().unwrap();
        assert!((means.transpose() * &means - gram).amax() <= 1e-12);
    }
}

#[test]
fn labels_of_several_classes_answer_for_their_matrices() {
    for (sets, bias) in [
        (vec![(1, 10), (2, 3)], Bias::None),
        (vec![(2, 5), (3, 1)], Bias::Unregularized),
        (vec![(1, 4), (4, 2)], Bias::Regularized(0.1)),
    ] {
        let regularization = Regularization::new(&[1e-3], 2e-3).unwrap().with_bias(bias).unwrap();
        let ufm = MultiLabelUfm::new(5, &sets, regularization).unwrap();
        check_without_classes("multi-label", &ufm.global_minimum().unwrap());
    }
    for supports in [vec![vec![0, 1], vec![1, 2], vec![3]], vec![vec![0], vec![1], vec![2, 3]]] {
        let problem = SparseLabels::new(4, &supports, &[10, 4, 7]).unwrap();
        check_without_classes("sparse labels", &problem.global_minimum().unwrap());
    }
    // The centered supports of the last two are not the minimum.
    for (classes, supports, samples) in [
        (4, vec![vec![0], vec![1], vec![2, 3]], vec![10, 4, 7]),
        (5, vec![vec![0, 1, 2], vec![0, 3], vec![1, 3], vec![2, 4]], vec![9, 1, 1, 4]),
        (
            4,
            vec![vec![0, 1], vec![0, 2], vec![0], vec![0, 1, 2, 3], vec![0, 1]],
            vec![3, 8, 2, 5, 1],
        ),
    ] {
        let problem = SparseLabels::new(classes, &supports, &samples).unwrap();
        let smallest = problem.smallest_logits().unwrap();
        check_without_classes("smallest logits", &smallest);
        // The matrices have the logits, and the features their Gram matrix.
        let point = smallest.explicit(&Basis::Random(7)).unwrap();
        let features = point.features().unwrap();
        let of_context = |index: usize| samples[..index].iter().sum::<u64>() as usize;
        let columns: Vec<usize> = (0..supports.len()).map(of_context).collect();
        let features = features.select_columns(&columns);
        let logits = &point.head().weights()[0] * &features;
        assert!((logits - smallest.logits()).amax() < 1e-11, "{supports:?}");
        let gram = smallest.context_gram().unwrap().to_dense().unwrap();
        assert!((features.transpose() * &features - &gram).amax() < 1e-11 * gram.amax());
    }
}

/// What has no answer, and why: a target matrix has no classes.
#[test]
fn a_target_matrix_has_no_classes() {
    let target = DMatrix::from_fn(3, 5, |i, j| (i * 5 + j) as f64 * 0.1);
    let regularization = Regularization::new(&[1e-3, 1e-3], 1e-3).unwrap();
    let minimum = Ufm::from_target(target, regularization).unwrap().global_minimum().unwrap();
    let prediction: &dyn Prediction = &minimum;
    assert!(prediction.counts().is_none());
    for answer in [prediction.class_means_gram(), prediction.class_outputs()] {
        assert!(matches!(answer, Err(Error::NotAnswered { .. })));
    }
    assert!(matches!(prediction.class_runs(), Err(Error::NotAnswered { .. })));
    assert!(prediction.trailing_gram(2).is_ok());
}
