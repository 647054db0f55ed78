//! Regression: descents of the full objective, audited, and the metrics at points that no training reached.

use std::ops::ControlFlow;

use nalgebra::{DMatrix, DVector};
use neural_collapse::audit::{
    RegressionAudit, RegressionStatistics, RegressionSums, audit_regression, audit_regression_with,
};
use neural_collapse::metrics::{nrc1, nrc1_with, nrc2, nrc2_with, nrc3, predicted_gamma};
use neural_collapse::{Bias, Error, Features, LinearHead, Progress, Regularization};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::{Distribution, StandardNormal};

use crate::support::lbfgs::multi_start;
use crate::support::objective::MseObjective;
use crate::support::sent::sent;

/// A sample a column.
fn columns(features: &DMatrix<f64>) -> Features<'_, f64> {
    Features::from_sample_columns(features).unwrap()
}

fn normal(rows: usize, columns: usize, seed: u64) -> DMatrix<f64> {
    let mut rng = SmallRng::seed_from_u64(seed);
    DMatrix::from_fn(rows, columns, |_, _| StandardNormal.sample(&mut rng))
}

/// Correlated targets of different sizes around a mean.
fn targets() -> DMatrix<f64> {
    let mixing = DMatrix::from_row_slice(3, 3, &[1.5, 0.0, 0.3, 0.4, 0.8, 0.0, -0.2, 0.1, 0.5]);
    let mut targets = mixing * normal(3, 14, 11);
    targets.row_mut(0).add_scalar_mut(2.0);
    targets
}

/// The best of some descents from random starts.
fn trained(
    decays: &[f64],
    feature_decay: f64,
    bias: Bias,
    widths: &[usize],
) -> (DMatrix<f64>, LinearHead, f64) {
    let objective = MseObjective::new(targets(), decays, feature_decay, bias, widths);
    let best = multi_start(&objective, 6, 3).best;
    let point = objective.unpack(&best.parameters);
    let bias = (bias != Bias::None).then_some(point.bias);
    (point.features, LinearHead::new(point.weights, bias).unwrap(), best.loss)
}

#[test]
fn descents_end_where_the_audit_expects_them() {
    for (decays, bias, widths) in [
        (&[0.3][..], Bias::Unregularized, &[5][..]),
        (&[4e-3], Bias::None, &[4]),
        (&[3e-3, 6e-3], Bias::Unregularized, &[5, 4]),
        (&[2e-3, 4e-3, 3e-3], Bias::None, &[4, 3, 3]),
    ] {
        let (features, head, loss) = trained(decays, 2e-3, bias, widths);
        let regularization = Regularization::new(decays, 2e-3).unwrap().with_bias(bias).unwrap();
        let audit =
            audit_regression(&columns(&features), &targets(), &head, &regularization).unwrap();
        assert!((audit.loss / loss - 1.0).abs() < 1e-12);
        assert!(
            audit.loss_gap().unwrap().abs() < 1e-10 * loss,
            "{decays:?} {:?}",
            audit.loss_gap()
        );
        for distance in &audit.gram_distances {
            assert!(distance.unwrap() < 1e-4, "{decays:?}: {:?}", audit.gram_distances);
        }
        assert!(audit.output_distance.unwrap() < 1e-4);
        assert!((audit.fit.unwrap() - audit.fit_predicted.unwrap()).abs() < 1e-5);
        assert!(audit.nrc1.unwrap() < 1e-8 && audit.nrc2.unwrap() < 1e-8);
        match (decays, bias) {
            ([decay], Bias::Unregularized) => {
                let gamma = audit.gamma.unwrap();
                assert_eq!(gamma, predicted_gamma(14, *decay, 2e-3));
                assert!(audit.nrc3.unwrap() < 1e-8, "{:?}", audit.nrc3);
                // No other γ fits as well.
                let mean = targets().column_mean();
                let mut centered = targets();
                centered.column_iter_mut().for_each(|mut column| column -= &mean);
                let covariance = &centered * centered.transpose() / 14.0;
                for other in [0.0, 0.5 * gamma, 2.0 * gamma] {
                    assert!(nrc3(&head, &covariance, other).unwrap() > 1e-5);
                }
            }
            _ => assert!(audit.nrc3.is_none() && audit.reasons.contains_key("nrc3")),
        }
    }
}

#[test]
fn a_penalized_bias_is_measured_without_a_prediction() {
    let regularization = Regularization::new(&[1e-2], 1e-2).unwrap();
    let regularization = regularization.with_bias(Bias::Regularized(0.1)).unwrap();
    let head = LinearHead::new(vec![normal(3, 4, 1)], Some(DVector::zeros(3))).unwrap();
    let audit =
        audit_regression(&columns(&normal(4, 14, 2)), &targets(), &head, &regularization).unwrap();
    assert_eq!((audit.loss_optimum, audit.loss_gap(), audit.nrc3), (None, None, None));
    assert!(audit.reasons["loss_optimum"].contains("regularized bias"));
    assert!(audit.loss > 0.0 && audit.nrc1.is_some());
}

/// Projections by the singular vectors of all samples.
#[test]
fn the_metrics_are_projections() {
    let features = normal(6, 30, 5).add_scalar(3.0);
    let mean = features.column_mean();
    let mut directions = features.clone();
    for mut column in directions.column_iter_mut() {
        column -= &mean;
    }
    let centered = directions.clone();
    directions.column_iter_mut().for_each(|mut column| column /= column.norm());
    let outside = |basis: &DMatrix<f64>| {
        let rest = &directions - basis * (basis.transpose() * &directions);
        rest.norm_squared() / 30.0
    };
    let svd = centered.svd(true, false);
    let principal = svd.u.unwrap().columns(0, 2).into_owned();
    assert!((nrc1(&columns(&features), 2).unwrap() - outside(&principal)).abs() < 1e-13);
    let layers = vec![normal(3, 6, 6), normal(2, 3, 7)];
    let rows = (&layers[1] * &layers[0]).transpose().qr().q();
    let head = LinearHead::new(layers, None).unwrap();
    assert!((nrc2(&columns(&features), &head).unwrap() - outside(&rows)).abs() < 1e-13);
    // Rows of layers of any size count if they are above 10⁻⁶ of the largest.
    for (small, counted) in [(1.1e-6, 2), (0.9e-6, 1)] {
        for size in [1e-9, 1.0, 1e9] {
            let mut weights = DMatrix::zeros(2, 6);
            (weights[(0, 4)], weights[(1, 2)]) = (size, -size * small);
            let head = LinearHead::new(vec![weights], None).unwrap();
            let mut basis = DMatrix::zeros(6, counted);
            [4, 2].iter().zip(0..counted).for_each(|(&row, column)| basis[(row, column)] = 1.0);
            assert!((nrc2(&columns(&features), &head).unwrap() - outside(&basis)).abs() < 1e-13);
        }
    }
    // Neither a shift nor a scale nor a rotation changes NRC1.
    let turned = normal(6, 6, 8).qr().q() * &features * 1e130;
    assert!((nrc1(&columns(&turned), 2).unwrap() - outside(&principal)).abs() < 1e-12);
    assert!((nrc1(&columns(&features), 6).unwrap()).abs() < 1e-14);
}

/// Fewer samples than features, whose variances go over many powers of ten: the first directions by the decomposition of
/// the deviations themselves, not of their products.
#[test]
fn few_samples_have_all_their_directions() {
    let (dimension, samples) = (40, 12);
    let sizes = DVector::from_fn(samples, |index, _| 10.0_f64.powi(-(index as i32)));
    let axes = normal(dimension, samples, 3).qr().q();
    let features = axes * DMatrix::from_diagonal(&sizes) * normal(samples, samples, 4);
    let mean = features.column_mean();
    let mut deviations = features.clone();
    deviations.column_iter_mut().for_each(|mut column| column -= &mean);
    let svd = deviations.clone().svd(true, false);
    let basis = svd.u.unwrap();
    deviations.column_iter_mut().for_each(|mut column| column.unscale_mut(column.norm()));
    for outputs in [1, 2, 5, 8] {
        let kept = basis.columns(0, outputs);
        let rest = &deviations - kept * (kept.transpose() * &deviations);
        let expected = rest.norm_squared() / samples as f64;
        let found = nrc1(&columns(&features), outputs).unwrap();
        assert!(
            (found - expected).abs() < 1e-13 + 1e-6 * expected,
            "{outputs}: {found} {expected}"
        );
    }
    // All of them: nothing is outside.
    assert!(nrc1(&columns(&features), samples).unwrap() < 1e-20);
}

/// The numbers do not depend on how the features lie in memory, nor on the cuts between chunks.
#[test]
fn every_layout_gives_the_same_numbers() {
    let features = normal(40, 60_000, 9);
    let targets = normal(3, 60_000, 10);
    let head = LinearHead::new(vec![normal(3, 40, 1)], None).unwrap();
    let regularization = Regularization::new(&[1e-2], 1e-2).unwrap();
    let whole = audit_regression(&columns(&features), &targets, &head, &regularization).unwrap();
    let rows = Features::from_row_major(features.as_slice(), 60_000, 40).unwrap();
    assert_eq!(audit_regression(&rows, &targets, &head, &regularization).unwrap(), whole);
    let mut dense = DMatrix::zeros(60_000, 40);
    features.transpose_to(&mut dense);
    let dense = Features::from_sample_rows(&dense).unwrap();
    assert_eq!(audit_regression(&dense, &targets, &head, &regularization).unwrap(), whole);
    // By the formulas.
    let outputs = &head.weights()[0] * &features;
    let loss = ((&outputs - &targets).norm_squared() / 60_000.0
        + 1e-2 * head.weights()[0].norm_squared()
        + 1e-2 * features.norm_squared())
        / 2.0;
    assert!((whole.loss / loss - 1.0).abs() < 1e-12);
    // Single precision is not rounded once more.
    let single = features.map(|number| number as f32);
    let exact = single.map(f64::from);
    let single = Features::from_sample_columns(&single).unwrap();
    let found = audit_regression(&single, &targets, &head, &regularization).unwrap();
    assert_eq!(
        found,
        audit_regression(&columns(&exact), &targets, &head, &regularization).unwrap()
    );
}

/// Both passes in pieces, merged in another order, end in the numbers of one call.
#[test]
fn pieces_add_up() {
    let features = normal(5, 14, 2);
    for (decays, bias, layers) in [
        (&[0.3][..], Bias::Unregularized, vec![normal(3, 5, 1)]),
        (&[4e-3], Bias::None, vec![normal(3, 5, 3)]),
        (&[3e-3, 6e-3], Bias::Unregularized, vec![normal(4, 5, 4), normal(3, 4, 5)]),
        // A closed form is not known, and nothing is predicted.
        (&[3e-3], Bias::Regularized(0.1), vec![normal(3, 5, 6)]),
        // Everything that is predicted is zero.
        (&[1e6], Bias::None, vec![normal(3, 5, 7)]),
        (&[1e-2], Bias::None, vec![DMatrix::zeros(3, 5)]),
    ] {
        let regularization = Regularization::new(decays, 2e-3).unwrap().with_bias(bias).unwrap();
        let bias = (bias != Bias::None).then(|| DVector::from_vec(vec![0.3, -0.2, 0.5]));
        let head = LinearHead::new(layers, bias).unwrap();
        let whole =
            audit_regression(&columns(&features), &targets(), &head, &regularization).unwrap();
        let piece = |range: &std::ops::Range<usize>| {
            [&features, &targets()].map(|all| all.columns_range(range.clone()).into_owned())
        };
        let ranges = [0..4, 4..5, 5..11, 11..14];
        let statistics = |order: [usize; 4]| {
            let mut all = RegressionStatistics::empty(5, 3).unwrap();
            for index in order {
                let [features, targets] = piece(&ranges[index]);
                let mut own = RegressionStatistics::empty(5, 3).unwrap();
                own.accumulate(&columns(&features), &targets).unwrap();
                all.merge(&sent(own)).unwrap();
            }
            assert_eq!(all.samples(), 14);
            all
        };
        let audit = |first: [usize; 4], second: [usize; 4]| {
            let empty =
                RegressionSums::new(&statistics(first), head.clone(), &regularization).unwrap();
            let mut sums = empty.clone();
            for index in second {
                let error = sums.audit().unwrap_err().to_string();
                assert!(error.starts_with("`samples` has shape"), "{error}");
                let [features, targets] = piece(&ranges[index]);
                let mut own = empty.clone();
                own.accumulate(&columns(&features), &targets).unwrap();
                sums.merge_part(&sent(own.part())).unwrap();
            }
            sums.audit().unwrap()
        };
        for (first, second) in [([0, 1, 2, 3], [0, 1, 2, 3]), ([3, 1, 2, 0], [2, 0, 3, 1])] {
            same(&audit(first, second), &whole);
        }
        // Another first pass, head or decays.
        let sums = |statistics: &RegressionStatistics, head: &LinearHead, decays| {
            RegressionSums::new(statistics, head.clone(), decays).unwrap()
        };
        let own = sums(&statistics([0, 1, 2, 3]), &head, &regularization);
        let other = LinearHead::new(vec![normal(3, 5, 9); 1], head.bias().cloned()).unwrap();
        let other = if head.depth() == 1 { other } else { head.clone() };
        let decays: Vec<f64> = decays.iter().map(|decay| 2.0 * decay).collect();
        let changed = Regularization::new(&decays, 2e-3).unwrap();
        let changed = changed.with_bias(regularization.bias()).unwrap();
        let mut strangers = vec![
            sums(&statistics([3, 1, 2, 0]), &head, &regularization),
            sums(&statistics([0, 1, 2, 3]), &head, &changed),
        ];
        if other != head {
            strangers.push(sums(&statistics([0, 1, 2, 3]), &other, &regularization));
        }
        for stranger in strangers {
            assert_eq!(own.clone().merge(&stranger), Err(Error::DifferentFirstPass));
        }
    }
}

/// The same numbers and reasons to rounding, but for the standard errors that take a third pass.
#[track_caller]
fn same(found: &RegressionAudit, whole: &RegressionAudit) {
    let numbers = |audit: &RegressionAudit| {
        let mut numbers = vec![
            audit.nrc1,
            audit.nrc2,
            audit.nrc3,
            audit.gamma,
            audit.output_distance,
            audit.fit,
            audit.fit_predicted,
            Some(audit.loss),
            audit.loss_optimum,
            audit.loss_gap(),
            audit.loss_gap_relative(),
        ];
        numbers.extend(&audit.gram_distances);
        for name in ["nrc3", "fit", "loss", "loss_gap"] {
            let error = audit.standard_errors[name].as_ref();
            numbers.push(error.map(|error| error.standard_error));
        }
        numbers
    };
    for (index, (one, other)) in numbers(found).into_iter().zip(numbers(whole)).enumerate() {
        assert_eq!(one.is_some(), other.is_some(), "{index}: {one:?} {other:?}");
        let (one, other) = (one.unwrap_or(0.0), other.unwrap_or(0.0));
        assert!((one - other).abs() < 1e-12 * other.abs().max(1.0), "{index}: {one} {other}");
    }
    let reasons = |audit: &RegressionAudit| {
        let mut reasons = audit.reasons.clone();
        reasons.retain(|key, _| !["standard_errors.nrc1", "standard_errors.nrc2"].contains(key));
        reasons
    };
    assert_eq!(reasons(found), reasons(whole));
    for key in ["nrc1", "nrc2"] {
        assert_eq!(found.standard_errors[key], None);
        assert!(found.reasons[&*format!("standard_errors.{key}")].contains("third pass"));
    }
}

#[test]
fn batches_that_do_not_fit_are_refused() {
    let mut statistics = RegressionStatistics::empty(4, 3).unwrap();
    let (features, targets) = (normal(4, 14, 2), targets());
    assert!(RegressionStatistics::empty(4, 0).is_err());
    let mut bad = targets.clone();
    bad[(1, 3)] = f64::INFINITY;
    for (features, targets) in [
        (&normal(5, 14, 2), &targets),
        (&normal(4, 13, 2), &targets),
        (&features, &normal(2, 14, 2)),
        (&features, &bad),
    ] {
        assert!(statistics.accumulate(&columns(features), targets).is_err());
    }
    assert_eq!(statistics, RegressionStatistics::empty(4, 3).unwrap());
    let regularization = Regularization::new(&[1e-2], 1e-2).unwrap();
    let head = LinearHead::new(vec![normal(3, 4, 1)], None).unwrap();
    let empty = RegressionSums::new(&statistics, head.clone(), &regularization);
    assert!(matches!(empty, Err(Error::Empty { .. })), "{empty:?}");
    statistics.accumulate(&columns(&features), &targets).unwrap();
    assert!(statistics.merge(&RegressionStatistics::empty(4, 2).unwrap()).is_err());
    assert!(statistics.merge(&RegressionStatistics::empty(5, 3).unwrap()).is_err());
    let wide = LinearHead::new(vec![normal(3, 5, 1)], None).unwrap();
    assert!(RegressionSums::new(&statistics, wide, &regularization).is_err());
    let mut sums = RegressionSums::new(&statistics, head, &regularization).unwrap();
    let before = sums.part();
    assert!(sums.accumulate(&columns(&features), &bad).is_err());
    assert!(sums.accumulate(&columns(&normal(4, 13, 2)), &targets).is_err());
    let mut wrong = features.clone();
    wrong[(2, 9)] = f64::NAN;
    assert!(sums.accumulate(&columns(&wrong), &targets).is_err());
    assert_eq!(sums.part(), before);
}

#[test]
fn a_monitor_ends_the_work() {
    let features = normal(40, 60_000, 9);
    let head = LinearHead::new(vec![normal(3, 40, 1)], None).unwrap();
    let regularization = Regularization::new(&[1e-2], 1e-2).unwrap();
    let ends = |progress: Progress| {
        assert!(progress.done < 60_000 && progress.total == Some(60_000));
        ControlFlow::Break(())
    };
    let features = columns(&features);
    let targets = normal(3, 60_000, 10);
    let cancelled = [
        audit_regression_with(&features, &targets, &head, &regularization, &ends).unwrap_err(),
        nrc1_with(&features, 3, &ends).unwrap_err(),
        nrc2_with(&features, &head, &ends).unwrap_err(),
    ];
    assert_eq!(cancelled, [Error::Cancelled, Error::Cancelled, Error::Cancelled]);
}

#[test]
fn what_is_not_defined_is_refused() {
    let flat = DMatrix::from_element(4, 5, 0.3);
    assert!(matches!(nrc1(&columns(&flat), 2), Err(Error::ZeroNorm { .. })));
    assert!(nrc1(&columns(&flat), 0).is_err() && nrc1(&columns(&flat), 5).is_err());
    assert!(matches!(nrc1(&columns(&DMatrix::zeros(3, 0)), 2), Err(Error::Empty { .. })));
    let mut bad = normal(4, 5, 1);
    bad[(1, 2)] = f64::NAN;
    assert!(nrc1(&columns(&bad), 2).is_err());
    let zero = LinearHead::new(vec![DMatrix::zeros(2, 4)], None).unwrap();
    assert!(matches!(nrc2(&columns(&normal(4, 5, 1)), &zero), Err(Error::ZeroNorm { .. })));
    assert!(nrc2(&columns(&normal(3, 5, 1)), &zero).is_err());
    let two = LinearHead::new(vec![normal(3, 4, 1), normal(2, 3, 1)], None).unwrap();
    assert!(nrc3(&two, &DMatrix::identity(2, 2), 0.1).is_err());
    let one = LinearHead::new(vec![normal(2, 4, 1)], None).unwrap();
    assert!(nrc3(&one, &DMatrix::identity(3, 3), 0.1).is_err());
    assert!(nrc3(&one, &DMatrix::identity(2, 2), -0.1).is_err());
    // γ above the largest variance: the layer must be zero.
    assert!(matches!(nrc3(&one, &DMatrix::identity(2, 2), 1.5), Err(Error::ZeroNorm { .. })));
    let regularization = Regularization::new(&[1e-2], 1e-2).unwrap();
    let with_bias = LinearHead::new(vec![normal(3, 4, 1)], Some(DVector::zeros(3))).unwrap();
    assert!(
        audit_regression(&columns(&normal(4, 14, 2)), &targets(), &with_bias, &regularization)
            .is_err()
    );
    assert!(
        audit_regression(&columns(&normal(4, 13, 2)), &targets(), &with_bias, &regularization)
            .is_err()
    );
}

/// More features than samples, several chunks of them, at any magnitude: what is left of unit samples.
#[test]
fn few_samples_of_many_features() {
    let (dimension, samples) = (420, 400);
    let low = normal(dimension, 5, 20) * normal(5, samples, 21);
    let whole = &low + normal(dimension, samples, 22) * 0.1;
    let mut centered = whole.clone();
    let mean = whole.column_mean();
    centered.column_iter_mut().for_each(|mut column| column -= &mean);
    let axes = centered.clone().svd(true, false).u.unwrap();
    for outputs in [1, 3, 5] {
        let axes = axes.columns(0, outputs);
        let rest = &centered - axes * (axes.transpose() * &centered);
        let outside = rest.column_iter().zip(centered.column_iter());
        let outside = outside.map(|(rest, whole)| rest.norm_squared() / whole.norm_squared());
        let expected = outside.sum::<f64>() / samples as f64;
        for magnitude in [1.0, 1e-130, 1e130] {
            let found = nrc1(&columns(&(&whole * magnitude)), outputs).unwrap();
            assert!((found / expected - 1.0).abs() < 1e-9, "{outputs}: {found} {expected}");
        }
    }
}
