//! Class weights and label smoothing beside the squared loss, and which class is which in an audit.

use neural_collapse::models::AnyModel;
use neural_collapse::models::nonnegative::NonnegativeUfm;
use neural_collapse::problem::TrainingObjective;
use neural_collapse::{Error, Features, audit};

use super::*;

/// Every random problem, with weights and smoothing, under the squared loss and every bias.
#[test]
fn no_descent_ends_below_the_bound_of_the_weighted_squared_loss() {
    let mut rng = SmallRng::seed_from_u64(31);
    for index in 0..24 {
        let case = Case::random(&mut rng);
        let counts = ClassCounts::new(&case.counts).unwrap();
        let ufm = ConvexUfm::squared_error(counts, case.regularization())
            .and_then(|ufm| ufm.with_class_weights(&case.weights))
            .and_then(|ufm| ufm.with_label_smoothing(case.smoothing))
            .unwrap();
        let minimum = solved(&ufm);
        let dimension = case.counts.len();
        let objective = SoftObjective { squared_error: true, ..case.objective(dimension) };
        let found = objective.lowest(5, 200 + index);
        let bound = minimum.lower_bound().unwrap();
        assert!(found >= bound * (1.0 - 1e-14), "{found:e} < {bound:e}: {case:?}");
        assert!(found <= minimum.loss() * (1.0 + 1e-8), "{found:e}: {case:?}, {minimum:?}");
        let point = minimum.explicit(&random_basis(&minimum, 2)).unwrap();
        let zeros = DVector::zeros(dimension);
        let bias = point.head().bias().unwrap_or(&zeros);
        let layer = &point.head().weights()[0];
        let objective = SoftObjective { dimension: layer.ncols(), ..objective };
        let value = objective.value(layer, bias, &point.features().unwrap());
        assert!((value / minimum.loss() - 1.0).abs() < 1e-12, "{value:e}: {case:?}");
    }
}

/// Without a bias classes do not see each other: the output of class k is max(0, 1 − Nκ/(ω_k √n_k)).
#[test]
fn fitted_shares_of_the_weighted_squared_loss() {
    let (counts, weights) = ([40_u64, 9, 9, 2], [0.5, 1.0, 3.0, 1.0]);
    for decay in [1e-4, 1e-2, 3e-2, 0.2] {
        let regularization = Regularization::new(&[decay], 0.5 * decay).unwrap();
        let ufm = ConvexUfm::squared_error(ClassCounts::new(&counts).unwrap(), regularization);
        let minimum = solved(&ufm.and_then(|ufm| ufm.with_class_weights(&weights)).unwrap());
        let outputs = minimum.outputs();
        let kappa = decay * 0.5_f64.sqrt();
        let mut loss = 0.0;
        for (k, (&n, weight)) in counts.iter().zip(weights).enumerate() {
            let (n, threshold) = (n as f64, 60.0 * kappa / (weight * (n as f64).sqrt()));
            let share = (1.0 - threshold).max(0.0);
            assert!((outputs[(k, k)] - share).abs() < 1e-9, "{}, {share}", outputs[(k, k)]);
            loss += weight * n / 60.0 * 0.5 * (1.0 - share).powi(2) + kappa * n.sqrt() * share;
        }
        assert!((minimum.loss() / loss - 1.0).abs() < 1e-12, "{}, {loss}", minimum.loss());
    }
}

/// With several layers a weighted squared loss has no closed form: refused, or searched for.
#[test]
fn several_layers_are_refused_with_the_reason() {
    let objective = |depth, class_weights: Vec<f64>| TrainingObjective::WeightedSquaredError {
        regularization: Regularization::uniform(depth, 1e-3, 1e-3).unwrap(),
        class_weights,
        label_smoothing: 0.0,
    };
    let counts = || ClassCounts::new(&[6, 4]).unwrap();
    let model = AnyModel::new(&objective(2, vec![1.0, 2.0]), counts(), None);
    let Err(Error::NoClosedForm { problem }) = model else { panic!("{model:?}") };
    assert!(problem.contains("class weights") && problem.contains("several layers"), "{problem}");
    for weights in [vec![], vec![1.0; 2]] {
        let plain = AnyModel::new(&objective(2, weights), counts(), None).unwrap();
        assert!(matches!(plain, AnyModel::Squared(_)));
    }
    let one = AnyModel::new(&objective(1, vec![1.0, 2.0]), counts(), None).unwrap();
    assert_eq!(one.prediction().training_objective(), objective(1, vec![1.0, 2.0]));
}

/// A prediction for weights or margins of the classes.
type Model<'a> = &'a dyn Fn(&[f64]) -> Box<dyn Prediction>;

/// Two classes of one size with different weights or margins: an audit does not exchange them.
#[test]
fn weights_and_margins_tell_which_class_is_which() {
    let counts = || ClassCounts::new(&[12, 6, 6]).unwrap();
    let penalties = || Regularization::new(&[2e-2], 1e-2).unwrap();
    let (weights, exchanged) = ([1.0, 1.0, 3.0], [1.0, 3.0, 1.0]);
    let convex = |weights: &[f64]| -> Box<dyn Prediction> {
        let ufm = ConvexUfm::cross_entropy(counts(), penalties()).unwrap();
        Box::new(ufm.with_class_weights(weights).unwrap().global_minimum().unwrap())
    };
    let nonnegative = |weights: &[f64]| -> Box<dyn Prediction> {
        let ufm = NonnegativeUfm::new(counts(), penalties()).unwrap();
        Box::new(ufm.with_class_weights(weights).unwrap().global_minimum().unwrap())
    };
    let margins = |weights: &[f64]| -> Box<dyn Prediction> {
        Box::new(Seli::new(counts()).unwrap().with_margins(weights).unwrap())
    };
    let models: [Model<'_>; 3] = [&convex, &nonnegative, &margins];
    for model in models {
        let minimum = model(&weights);
        let trained = minimum.explicit(&random_basis(minimum.as_ref(), 4)).unwrap();
        let features = trained.features().unwrap();
        let labels = counts().labels().unwrap();
        let data = Features::from_sample_columns(&features).unwrap();
        let data = data.with_labels(&labels, 3).unwrap();
        let right = audit(&data, trained.head(), &*model(&weights)).unwrap();
        assert!(right.nc3.unwrap() < 1e-12 && right.matching.is_none());
        let wrong = audit(&data, trained.head(), &*model(&exchanged)).unwrap();
        assert!(wrong.nc3.unwrap() > 1e-3, "{:?}", wrong.nc3);
        assert!(wrong.matching.is_none() && !model(&weights).is_symmetric());
    }
}
