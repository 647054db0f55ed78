//! Exact laws of training, against training.

use nalgebra::DMatrix;
use neural_collapse::metrics::{nc0, nc0_factor};
use neural_collapse::models::squared::LogisticLaw;
use neural_collapse::{Bias, ClassCounts, Error, LinearHead, Prediction, Regularization, Ufm};

use crate::support::scrambled::scrambled;

/// softmax(Z) − Y for targets smoothed by δ.
fn residual(outputs: &DMatrix<f64>, labels: &[usize], smoothing: f64) -> DMatrix<f64> {
    let classes = outputs.nrows();
    let mut residual = outputs.map(f64::exp);
    for (mut column, &label) in residual.column_iter_mut().zip(labels) {
        column /= column.sum();
        column.add_scalar_mut(-smoothing / classes as f64);
        column[label] -= 1.0 - smoothing;
    }
    residual
}

#[test]
fn nc0_falls_by_its_factor_in_every_step_on_the_cross_entropy() {
    let labels = [0, 0, 0, 1, 1, 2, 3];
    let (samples, step) = (labels.len() as f64, 0.3);
    for (smoothing, decay) in [(0.0, 0.02), (0.1, 0.4)] {
        let mut hidden = scrambled(5, labels.len(), 0.1);
        let (mut first, mut last) = (scrambled(6, 5, 0.2), scrambled(4, 6, 0.3));
        let mut before = nc0(&LinearHead::new(vec![first.clone(), last.clone()], None).unwrap());
        for _ in 0..60 {
            let inner = &first * &hidden;
            let gradient = residual(&(&last * &inner), &labels, smoothing) / samples;
            let to_last = &gradient * inner.transpose() + &last * decay;
            let to_first = last.transpose() * &gradient * hidden.transpose() + &first * 0.1;
            let to_hidden = (&last * &first).transpose() * &gradient + &hidden * 0.05;
            last -= to_last * step;
            first -= to_first * step;
            hidden -= to_hidden * step;
            let after = nc0(&LinearHead::new(vec![first.clone(), last.clone()], None).unwrap());
            let factor = after.clone().unwrap() / before.unwrap();
            let expected = nc0_factor(step, decay).unwrap();
            assert!((factor / expected - 1.0).abs() < 1e-9, "{factor} for {expected}");
            before = after;
        }
    }
    assert!(nc0_factor(0.0, 0.1).is_err() && nc0_factor(0.1, f64::NAN).is_err());
}

/// The squared singular values of W after gradient flow on the full objective, by Runge–Kutta steps.
fn flow(counts: &[u64], decay: f64, start: f64, time: f64) -> Vec<f64> {
    let classes = counts.len();
    let sizes = counts.iter().enumerate();
    let labels: Vec<usize> = sizes.flat_map(|(class, &n)| vec![class; n as usize]).collect();
    let (dimension, samples) = (classes + 1, labels.len());
    let target =
        DMatrix::from_fn(classes, samples, |class, i| f64::from(u8::from(labels[i] == class)));
    // The singular vectors of the target, with any orthonormal vectors between W and H.
    let turned = scrambled(dimension, dimension, 0.7).qr().q();
    let inner = turned.columns(0, classes).into_owned();
    let right = DMatrix::from_fn(classes, samples, |class, i| {
        target[(class, i)] / (counts[class] as f64).sqrt()
    });
    let mut weights = inner.transpose() * start.sqrt();
    let mut features = &inner * right * start.sqrt();
    let slope = |weights: &DMatrix<f64>, features: &DMatrix<f64>| {
        let residual = (weights * features - &target) / samples as f64;
        let to_weights = -(&residual * features.transpose()) - weights * decay;
        (to_weights, -(weights.transpose() * residual) - features * decay)
    };
    let steps = 2000;
    let step = time / f64::from(steps);
    for _ in 0..steps {
        let first = slope(&weights, &features);
        let at = |(w, h): &(DMatrix<f64>, DMatrix<f64>), t: f64| {
            slope(&(&weights + w * t), &(&features + h * t))
        };
        let second = at(&first, step / 2.0);
        let third = at(&second, step / 2.0);
        let fourth = at(&third, step);
        weights += (first.0 + (second.0 + third.0) * 2.0 + fourth.0) * (step / 6.0);
        features += (first.1 + (second.1 + third.1) * 2.0 + fourth.1) * (step / 6.0);
    }
    let rows = weights.row_iter().map(|row| row.norm_squared());
    rows.collect()
}

fn law(counts: &[u64], decay: f64, direction: usize, start: f64) -> LogisticLaw {
    let regularization = Regularization::new(&[decay], decay).unwrap();
    let ufm = Ufm::new(ClassCounts::new(counts).unwrap(), regularization).unwrap();
    ufm.global_minimum().unwrap().logistic_law(direction, start).unwrap()
}

#[test]
fn singular_values_grow_by_the_logistic_law() {
    // Of the last class σ = 1 < Nλ = 1.3: it collapses.
    let (counts, decay, start) = ([7, 4, 1], 1.3 / 12.0, 0.05);
    for time in [3.0, 15.0, 60.0] {
        let found = flow(&counts, decay, start, time);
        for (direction, found) in found.iter().enumerate() {
            let expected = law(&counts, decay, direction, start);
            let expected = expected.squared_singular_value(time).unwrap();
            assert!((found - expected).abs() < 1e-9 * expected, "{found} for {expected} at {time}");
        }
    }
}

#[test]
fn the_logistic_law_has_its_limits() {
    let grows = law(&[9, 4], 0.1, 0, 1e-6);
    assert!((grows.limit() - 1.7).abs() < 1e-14);
    assert_eq!(grows.squared_singular_value(0.0).unwrap(), 1e-6);
    assert!((grows.squared_singular_value(1e6).unwrap() - 1.7).abs() < 1e-14);
    let falls = law(&[9, 4], 0.2, 1, 0.5);
    assert!(falls.limit() < 0.0 && falls.squared_singular_value(1e6).unwrap() == 0.0);
    let critical = law(&[1, 1], 0.5, 0, 0.5);
    assert_eq!(critical.squared_singular_value(6.0).unwrap(), 0.5 / 4.0);
    assert!(critical.squared_singular_value(-1.0).is_err());
}

#[test]
fn the_law_is_for_one_layer_with_equal_decays() {
    let counts = || ClassCounts::new(&[5, 3]).unwrap();
    let free = Regularization::new(&[1e-3], 1e-3).unwrap().with_bias(Bias::Unregularized).unwrap();
    for regularization in [
        Regularization::new(&[1e-3, 1e-3], 1e-3).unwrap(),
        Regularization::new(&[1e-3], 2e-3).unwrap(),
        free,
    ] {
        let minimum = Ufm::new(counts(), regularization).unwrap().global_minimum().unwrap();
        assert!(matches!(minimum.logistic_law(0, 0.1), Err(Error::NotAnswered { .. })));
    }
    let regularization = Regularization::new(&[1e-3], 1e-3).unwrap();
    let minimum = Ufm::new(counts(), regularization).unwrap().global_minimum().unwrap();
    assert!(minimum.logistic_law(2, 0.1).is_err() && minimum.logistic_law(0, 0.0).is_err());
    assert_eq!(minimum.depth(), 1);
}
