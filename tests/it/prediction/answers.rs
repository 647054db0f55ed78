//! What a prediction says in numbers and words, held against explicit matrices.

use nalgebra::{DMatrix, DVector};
use neural_collapse::prediction::SingularValue;
use neural_collapse::problem::TrainingObjective;
use neural_collapse::{
    Bias, ClassCounts, ClassMatrix, ExplicitPoint, Geometry, LinearHead, Prediction,
};

use super::subject::Subject;
use super::unanswered::answered;
use super::{invariances, labels};

/// All answers of a prediction that has matrices; that none is missing `unanswered` has checked.
pub fn check(subject: &Subject<'_>, point: &ExplicitPoint) {
    let (name, prediction, head) = (&subject.name, subject.prediction, point.head());
    check_shape(name, prediction, head);
    check_singular_values(name, prediction, point);
    for layers in 1..=prediction.depth() {
        let product = head.trailing_product(layers).unwrap();
        if let Some(gram) = answered(prediction.trailing_gram(layers)) {
            assert_same(
                &format!("{name}, last {layers}"),
                &gram,
                &(&product * product.transpose()),
            );
        }
    }
    check_bound(name, prediction);
    labels::check(subject, point);
    invariances::check_scale(subject, point);
    let Some(means) = subject.means(point) else { return };
    let outputs = head.product().unwrap() * &means;
    check_class_means(name, prediction, &means);
    if let Some(predicted) = answered(prediction.class_outputs()) {
        assert_same(&format!("{name}, outputs"), &predicted, &outputs);
    }
    if let Some(counts) = prediction.counts() {
        check_classes(name, prediction, head.weights().last(), &means);
        check_words(name, prediction, counts, &outputs);
        invariances::check_order(subject, point, &outputs);
    }
}

/// The Gram matrix of the class means and its rank.
pub fn check_class_means(name: &str, prediction: &dyn Prediction, means: &DMatrix<f64>) {
    if let Some(gram) = answered(prediction.class_means_gram()) {
        assert_same(&format!("{name}, means"), &gram, &(means.transpose() * means));
    }
    if prediction.is_unique()
        && let Some(rank) = answered(prediction.class_mean_rank())
    {
        assert_eq!(rank, affine_rank(means), "{name}: {:?}", means.singular_values());
    }
}

/// The rank of the class means about their mean.
fn affine_rank(means: &DMatrix<f64>) -> usize {
    let mut centered = means.clone();
    let center = means.column_mean();
    centered.column_iter_mut().for_each(|mut mean| mean -= &center);
    let values = centered.singular_values();
    values.iter().filter(|&&value| value > 1e-7 * means.amax().max(1e-300)).count()
}

/// The matrix, or of a family the nearest member.
pub fn assert_same(name: &str, predicted: &ClassMatrix, found: &DMatrix<f64>) {
    let nearest = predicted.nearest_member(found).unwrap();
    let size = found.amax().max(nearest.amax()).max(1e-300);
    let difference = (&nearest - found).amax();
    assert!(difference <= 1e-9 * size, "{name}: {difference:e} of {size:e}");
}

/// Numbers of classes and layers, widths where they are limited, and the bias or that there is none.
fn check_shape(name: &str, prediction: &dyn Prediction, head: &LinearHead) {
    let shape = (prediction.classes(), prediction.depth());
    assert_eq!(shape, (head.classes(), head.depth()), "{name}");
    if let Some(widths) = prediction.widths() {
        assert_eq!(widths, head.widths(), "{name}");
    }
    let bias = prediction.bias().map(DVector::from_vec);
    let objective = prediction.training_objective();
    let has_bias = objective.regularization().is_some_and(|decays| decays.bias() != Bias::None);
    assert_eq!(has_bias, head.bias().is_some(), "{name}");
    if let Some(bias) = &bias {
        let found = head.bias().expect(name);
        assert!((bias - found).amax() <= 1e-11, "{name}: {bias}, {found}");
    }
    let runs = prediction.bias_runs().map(|runs| {
        let entries = runs.into_iter().flat_map(|(number, entry)| vec![entry; number]);
        DVector::from_vec(entries.collect())
    });
    assert_eq!(runs, bias, "{name}");
}

/// No value is below the bound, which is the loss where that is proved.
pub fn check_bound(name: &str, prediction: &dyn Prediction) {
    let (loss, verdict) = (prediction.loss(), prediction.verdict());
    assert_eq!(verdict.is_proved(), verdict.keyword() == "proved", "{name}");
    if let Some(bound) = prediction.lower_bound() {
        assert!(bound <= loss * (1.0 + 1e-11), "{name}: {bound}, {loss}");
        assert!(!verdict.is_proved() || bound == loss, "{name}: {bound}, {loss}");
    }
}

/// Norms and sizes of all classes.
pub fn check_classes(
    name: &str,
    prediction: &dyn Prediction,
    classifier: Option<&DMatrix<f64>>,
    means: &DMatrix<f64>,
) {
    let counts = prediction.counts().expect(name);
    let of_rows = |weight: &DMatrix<f64>| weight.row_iter().map(|row| row.norm_squared()).collect();
    let rows: Option<Vec<f64>> = classifier.map(of_rows);
    let columns: Vec<f64> = means.column_iter().map(|mean| mean.norm_squared()).collect();
    let close = |predicted: Option<f64>, found: &[f64], class: usize| {
        let largest = found.iter().copied().fold(0.0, f64::max);
        let difference = predicted.map_or(0.0, |predicted| (found[class] - predicted).abs());
        assert!(difference <= 1e-9 * largest, "{name}, class {class}: {difference:e}");
        found[class] <= 1e-12 * largest
    };
    let mut next = 0;
    for (run, class) in prediction.class_runs().unwrap() {
        for index in run.classes() {
            assert_eq!((index, class.count), (next, counts.count(index).unwrap()), "{name}");
            next += 1;
            let is_zero = close(class.feature_norm_squared, &columns, index);
            if let Some(rows) = &rows {
                let is_zero = close(class.classifier_norm_squared, rows, index) && is_zero;
                assert!(class.collapsed.is_none_or(|own| !own || is_zero), "{name}: {index}");
            }
        }
    }
    assert_eq!(next, counts.classes(), "{name}");
}

/// The name of the geometry, and whether classes of one size are alike.
fn check_words(
    name: &str,
    prediction: &dyn Prediction,
    counts: &ClassCounts,
    outputs: &DMatrix<f64>,
) {
    let is_zero = outputs.amax() <= 1e-12;
    assert_eq!(prediction.geometry() == Geometry::Collapsed, is_zero, "{name}: {outputs}");
    if !prediction.is_unique() || is_zero {
        return;
    }
    let alike = are_exchangeable(outputs, counts);
    if prediction.is_symmetric() {
        assert!(alike, "{name}: {outputs}");
    } else {
        let objective = prediction.training_objective();
        assert!(!alike || treats_differently(&objective, counts), "{name}: {outputs}");
    }
}

/// Whether exchanging any two classes of one size leaves the outputs as they are.
fn are_exchangeable(outputs: &DMatrix<f64>, counts: &ClassCounts) -> bool {
    let (classes, size) = (outputs.nrows(), outputs.amax());
    pairs(counts).all(|(i, j)| {
        let mut order: Vec<usize> = (0..classes).collect();
        order.swap(i, j);
        let exchanged = outputs.select_rows(&order).select_columns(&order);
        (exchanged - outputs).amax() <= 1e-7 * size
    })
}

/// Pairs of classes of one size that no weights, margins or constants tell apart.
pub fn alike_pairs(objective: &TrainingObjective, counts: &ClassCounts) -> Vec<(usize, usize)> {
    let lists: [&[f64]; 2] = match objective {
        TrainingObjective::WeightedCrossEntropy { class_weights, logit_offsets, .. } => {
            [class_weights, logit_offsets]
        }
        TrainingObjective::WeightedSquaredError { class_weights, .. } => [class_weights, &[]],
        TrainingObjective::WeightedEntries { entry_weights, .. } => [entry_weights, &[]],
        TrainingObjective::ScaledMargins { margins, logit_scales } => [margins, logit_scales],
        _ => [&[], &[]],
    };
    pairs(counts).filter(|&(i, j)| lists.iter().all(|list| list.get(i) == list.get(j))).collect()
}

/// Whether weights, margins or constants tell classes of one size apart.
fn treats_differently(objective: &TrainingObjective, counts: &ClassCounts) -> bool {
    alike_pairs(objective, counts).len() < pairs(counts).count()
}

/// Pairs of classes of one size.
fn pairs(counts: &ClassCounts) -> impl Iterator<Item = (usize, usize)> {
    let all = (0..counts.classes()).flat_map(|j| (0..j).map(move |i| (i, j)));
    all.filter(|&(i, j)| counts.count(i) == counts.count(j))
}

/// Those of all products of neighboring layers, and of the features of all samples.
fn check_singular_values(name: &str, prediction: &dyn Prediction, point: &ExplicitPoint) {
    let depth = prediction.depth();
    for (first, last) in (1..=depth).flat_map(|last| (1..=last).map(move |first| (first, last))) {
        let weights = &point.head().weights()[first - 1..last];
        let product =
            weights.iter().skip(1).fold(weights[0].clone(), |product, weight| weight * product);
        if let Some(predicted) = answered(prediction.singular_values(first..=last)) {
            same_values(&format!("{name}, W{first}…W{last}"), &predicted, product);
        }
    }
    if let Some(predicted) = answered(prediction.feature_singular_values()) {
        same_values(&format!("{name}, H"), &predicted, point.features().unwrap());
    }
}

/// Predicted singular values, positive and by falling value, beside those of a matrix.
pub fn same_values(name: &str, predicted: &[SingularValue], matrix: DMatrix<f64>) {
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
