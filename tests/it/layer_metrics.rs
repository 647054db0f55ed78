//! Metrics of the features after several layers: against plain formulas, in batches and pieces.

use nalgebra::{DMatrix, DVector};
use neural_collapse::audit::predicted_layer_ratios;
use neural_collapse::measure::Center;
use neural_collapse::metrics::layers::{LayerSums, Layers, SeparationLaw};
use neural_collapse::metrics::{Nc1Options, Nc1Sums, cdnv, nc1, nc1_trace_quotient, nc4};
use neural_collapse::{
    Bias, ClassCounts, ClassMatrix, ClassStatistics, Error, Features, LabeledFeatures, LinearHead,
    Prediction, Regularization, Ufm,
};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::{Distribution, StandardNormal};

use crate::support::bases::random_basis;
use crate::support::sent::sent;

const COUNTS: [usize; 3] = [30, 20, 25];

fn normal(rows: usize, columns: usize, rng: &mut SmallRng) -> DMatrix<f64> {
    DMatrix::from_fn(rows, columns, |_, _| StandardNormal.sample(rng))
}

fn labels() -> Vec<usize> {
    (0..3).flat_map(|class| vec![class; COUNTS[class]]).collect()
}

/// Features (samples in rows) of layers of different widths, each nearer to collapse.
fn layers(rng: &mut SmallRng) -> Vec<DMatrix<f64>> {
    let labels = labels();
    let layer = |(index, width): (usize, usize)| {
        let means = normal(3, width, rng).add_scalar(2.0);
        let noise = normal(labels.len(), width, rng) * 0.5_f64.powi(index as i32);
        DMatrix::from_fn(labels.len(), width, |sample, feature| {
            means[(labels[sample], feature)] + noise[(sample, feature)]
        })
    };
    [9, 6, 4, 7].into_iter().enumerate().map(layer).collect()
}

fn labeled<'a>(rows: &'a DMatrix<f64>, labels: &'a [usize]) -> LabeledFeatures<'a, f64> {
    Features::from_sample_rows(rows).unwrap().with_labels(labels, 3).unwrap()
}

fn measure(layers: &[DMatrix<f64>]) -> Layers {
    let labels = labels();
    let data: Vec<_> = layers.iter().map(|rows| labeled(rows, &labels)).collect();
    let statistics: Vec<_> = data.iter().map(|data| ClassStatistics::new(data).unwrap()).collect();
    let mut sums = LayerSums::new(&statistics).unwrap();
    sums.accumulate(&data).unwrap();
    sums.layers().unwrap()
}

/// Rows less their mean.
fn centered(rows: &DMatrix<f64>) -> DMatrix<f64> {
    let mean = rows.row_mean();
    let mut rows = rows.clone();
    rows.row_iter_mut().for_each(|mut row| row -= &mean);
    rows
}

#[test]
fn every_layer_has_the_metrics_that_it_has_alone() {
    let layers = layers(&mut SmallRng::seed_from_u64(1));
    let (found, labels) = (measure(&layers), labels());
    for (rows, layer) in layers.iter().zip(&found.layers) {
        let data = labeled(rows, &labels);
        let statistics = ClassStatistics::new(&data).unwrap();
        assert_eq!(layer.dimension, rows.ncols());
        assert_eq!(
            layer.nc1.center_samples,
            Some(nc1(&data, &statistics, &Nc1Options::default()).unwrap())
        );
        let quotient = nc1_trace_quotient(&data, &statistics, Center::Classes).unwrap();
        assert_eq!(layer.nc1_trace_quotient.center_classes, Some(quotient));
        assert_eq!(layer.cdnv, Some(cdnv(&data, &statistics).unwrap()));
        let head = LinearHead::new(vec![DMatrix::zeros(3, rows.ncols())], None).unwrap();
        let decisions = nc4(&data, &statistics, &head).unwrap().overall;
        assert_eq!(layer.nearest_mean_accuracy, decisions.nearest_mean_accuracy);
        let means = statistics.centered_means(Center::Samples).unwrap();
        let gram = means.transpose() * &means;
        let nc2 = ClassMatrix::simplex_etf(3).unwrap().distance(&gram).unwrap();
        assert!((layer.nc2_class_means.unwrap() - nc2).abs() < 1e-13);
        let singular = centered(rows).singular_values();
        let shares = &singular / singular.sum();
        let entropy: f64 = shares.iter().map(|share| -share * share.ln()).sum();
        assert!((layer.effective_rank.unwrap() / entropy.exp() - 1.0).abs() < 1e-10);
        let stable = singular.norm_squared() / singular.max().powi(2);
        assert!((layer.stable_rank.unwrap() / stable - 1.0).abs() < 1e-10);
    }
    // From the Gram matrices of the samples, as the source defines it.
    for (l, left) in layers.iter().enumerate() {
        for (m, right) in layers.iter().enumerate() {
            let [left, right] = [left, right].map(|rows| {
                let rows = centered(rows);
                &rows * rows.transpose()
            });
            let expected = left.dot(&right) / (left.norm() * right.norm());
            assert!((found.cka[l][m].unwrap() - expected).abs() < 1e-12, "{l} {m}");
        }
    }
    let law = found.separation.unwrap();
    // Halved noise: a quarter of NC1.
    assert!(law.layers == 4 && (-2.2..-0.6).contains(&law.slope) && law.r_squared > 0.7, "{law:?}");
}

#[test]
fn batches_and_pieces_add_up() {
    let layers = layers(&mut SmallRng::seed_from_u64(2));
    let (whole, labels) = (measure(&layers), labels());
    let statistics: Vec<_> =
        layers.iter().map(|rows| ClassStatistics::new(&labeled(rows, &labels)).unwrap()).collect();
    let empty = LayerSums::<f64>::new(&statistics).unwrap();
    let mut merged = empty.clone();
    for range in [0..10, 10..11, 11..60, 60..75] {
        let rows: Vec<_> =
            layers.iter().map(|rows| rows.rows_range(range.clone()).into_owned()).collect();
        let batch: Vec<_> = rows.iter().map(|rows| labeled(rows, &labels[range.clone()])).collect();
        let mut piece = empty.clone();
        piece.accumulate(&batch).unwrap();
        merged.merge_part(&sent(piece.part())).unwrap();
    }
    // Fewer layers, or other class means, change nothing.
    let before = merged.part();
    let moved = ClassStatistics::new(&labeled(&layers[0].map(|x| x + 1.0), &labels)).unwrap();
    let others = [
        &statistics[..3],
        &[moved, statistics[1].clone(), statistics[2].clone(), statistics[3].clone()],
    ];
    for other in others {
        let other = LayerSums::<f64>::new(other).unwrap();
        assert_eq!(merged.merge(&other), Err(Error::DifferentFirstPass));
        assert_eq!(merged.part(), before);
    }
    let merged = merged.layers().unwrap();
    for (one, other) in whole.layers.iter().zip(&merged.layers) {
        let nc1 = |layer: &neural_collapse::metrics::layers::LayerMetrics| {
            layer.nc1.center_samples.unwrap().value
        };
        assert!((nc1(one) / nc1(other) - 1.0).abs() < 1e-12);
        let ratio = one.effective_rank.unwrap() / other.effective_rank.unwrap();
        assert!((ratio - 1.0).abs() < 1e-12);
    }
    assert!((whole.cka[0][3].unwrap() - merged.cka[0][3].unwrap()).abs() < 1e-13);
    assert!(matches!(empty.layers(), Err(Error::Empty { .. } | Error::SecondPass { .. })));
}

#[test]
fn similarity_does_not_see_rotations_scales_and_shifts() {
    let mut rng = SmallRng::seed_from_u64(3);
    let first = layers(&mut rng).swap_remove(0);
    let rotation = normal(9, 9, &mut rng).qr().q();
    let shift = DVector::from_element(9, 7.0).transpose();
    let mut second = &first * rotation * 1e-3;
    second.row_iter_mut().for_each(|mut row| row += &shift);
    let found = measure(&[first, second]);
    assert!((found.cka[0][1].unwrap() - 1.0).abs() < 1e-12);
    assert_eq!(found.separation, None);
    let [first, second] = &found.layers[..] else { panic!("two layers") };
    let ratio = first.stable_rank.unwrap() / second.stable_rank.unwrap();
    assert!((ratio - 1.0).abs() < 1e-11);
}

#[test]
fn layers_that_do_not_belong_together_are_refused() {
    let layers = layers(&mut SmallRng::seed_from_u64(4));
    let labels = labels();
    let statistics: Vec<_> =
        layers.iter().map(|rows| ClassStatistics::new(&labeled(rows, &labels)).unwrap()).collect();
    assert!(matches!(LayerSums::<f64>::new(&[]), Err(Error::Empty { .. })));
    let mut other_labels = labels.clone();
    other_labels.swap(0, 74);
    let mut sums = LayerSums::new(&statistics[..2]).unwrap();
    let [first, second] = [labeled(&layers[0], &labels), labeled(&layers[1], &other_labels)];
    assert!(matches!(sums.accumulate(std::slice::from_ref(&first)), Err(Error::Shape { .. })));
    let error = sums.accumulate(&[first, second]).unwrap_err().to_string();
    assert!(error.starts_with("`labels[0]` is 2"), "{error}");
    other_labels[0] = 0;
    let fewer = ClassStatistics::new(&labeled(&layers[1], &other_labels)).unwrap();
    let unequal = LayerSums::<f64>::new(&[statistics[0].clone(), fewer]);
    assert!(unequal.unwrap_err().to_string().starts_with("`statistics[1]` is 75"));
}

#[test]
fn layers_without_variation_have_no_ranks() {
    let labels = labels();
    let flat = DMatrix::from_element(labels.len(), 4, 0.1);
    let found = measure(&[flat, layers(&mut SmallRng::seed_from_u64(5)).swap_remove(0)]);
    assert_eq!(found.layers[0].effective_rank, None);
    assert_eq!((found.layers[0].nc1.center_samples, found.layers[0].nc2_class_means), (None, None));
    assert_eq!((found.cka[0][0], found.cka[0][1]), (None, None));
    assert_eq!(found.cka[1][1], Some(1.0));
}

#[test]
fn the_law_is_a_line_of_least_squares() {
    let law = SeparationLaw::fit(&[Some(1.0_f64.exp()), Some(3.0_f64.exp()), Some(2.0_f64.exp())]);
    let law = law.unwrap().unwrap();
    assert!((law.slope - 0.5).abs() < 1e-15 && (law.intercept - 1.0).abs() < 1e-15);
    assert!((law.r_squared - 0.25).abs() < 1e-15);
    let constant = SeparationLaw::fit(&[Some(2.0); 4]).unwrap().unwrap();
    assert_eq!((constant.slope, constant.r_squared), (0.0, 1.0));
    assert_eq!(SeparationLaw::fit(&[Some(1.0), Some(0.0), Some(2.0), None]), Ok(None));
    assert!(
        SeparationLaw::fit(&[Some(-1.0)]).is_err()
            && SeparationLaw::fit(&[Some(f64::NAN)]).is_err()
    );
}

/// At the minimum for classes of one size the layers of the head rotate and scale the span of the class means and map
/// everything else to zero, so that linear layers leave NC1 as it is: the law's factor there is 1.
#[test]
fn linear_layers_at_the_minimum_leave_nc1_as_it_is() {
    let mut rng = SmallRng::seed_from_u64(6);
    let counts = ClassCounts::balanced(3, 20).unwrap();
    for free_bias in [false, true] {
        let mut regularization = Regularization::uniform(3, 1e-3, 1e-3).unwrap();
        if free_bias {
            regularization =
                regularization.with_bias(neural_collapse::Bias::Unregularized).unwrap();
        }
        let ufm =
            Ufm::new(counts.clone(), regularization).unwrap().with_widths(&[8, 7, 6]).unwrap();
        let minimum = ufm.global_minimum().unwrap();
        let point = minimum.explicit(&random_basis(&minimum, 4)).unwrap();
        let labels: Vec<usize> = (0..60).map(|sample| sample / 20).collect();
        let noise = normal(8, 60, &mut rng) * 0.1;
        let mut samples = point.features().unwrap() + noise;
        // Class means as they are at the minimum.
        let data =
            Features::from_sample_columns(&samples).unwrap().with_labels(&labels, 3).unwrap();
        let errors = ClassStatistics::new(&data).unwrap().class_means().unwrap()
            - point.class_means().unwrap();
        for (mut column, &label) in samples.column_iter_mut().zip(&labels) {
            column -= errors.column(label);
        }
        let mut features = samples;
        let mut values = Vec::new();
        for weight in point.head().weights().iter().map(Some).chain([None]) {
            let data =
                Features::from_sample_columns(&features).unwrap().with_labels(&labels, 3).unwrap();
            let statistics = ClassStatistics::new(&data).unwrap();
            values.push(Some(nc1(&data, &statistics, &Nc1Options::default()).unwrap().value));
            if let Some(weight) = weight {
                features = weight * &features;
            }
        }
        let law = SeparationLaw::fit(&values).unwrap().unwrap();
        assert!(law.slope.abs() < 1e-12, "{values:?}");
    }
}

/// Deviations of ±ε along every axis of the features at a minimum: what the metric measures after each layer is what is
/// predicted, for frames and where singular values differ, with and without a bias.
#[test]
fn nc1_after_predicted_layers_is_that_of_isotropic_deviations() {
    for (counts, bias, widths) in [
        (&[6, 6, 6][..], Bias::None, vec![5, 4, 6]),
        (&[6, 6, 6], Bias::Unregularized, vec![5, 4]),
        (&[40, 12, 6, 6], Bias::None, vec![7, 5, 6]),
        (&[40, 12, 6, 6], Bias::Unregularized, vec![7, 5]),
    ] {
        let regularization = Regularization::uniform(widths.len(), 1e-3, 1e-3).unwrap();
        let regularization = regularization.with_bias(bias).unwrap();
        let ufm = Ufm::new(ClassCounts::new(counts).unwrap(), regularization).unwrap();
        let minimum = ufm.with_widths(&widths).unwrap().global_minimum().unwrap();
        let predicted = predicted_layer_ratios(&minimum).unwrap().unwrap();
        let point = minimum.explicit(&random_basis(&minimum, 5)).unwrap();
        // As many rounds of all 2d deviations in every class as make its share of the samples that of the prediction.
        let (means, dimension) = (point.class_means().unwrap(), widths[0]);
        let (mut columns, mut labels) = (Vec::new(), Vec::new());
        for (class, &count) in counts.iter().enumerate() {
            for _ in 0..count {
                for (axis, sign) in (0..dimension).flat_map(|axis| [(axis, 1.0), (axis, -1.0)]) {
                    let mut sample = means.column(class).into_owned();
                    sample[axis] += 1e-3 * sign;
                    columns.push(sample);
                    labels.push(class);
                }
            }
        }
        let columns = DMatrix::from_columns(&columns);
        let data = Features::from_sample_columns(&columns).unwrap();
        let data = data.with_labels(&labels, counts.len()).unwrap();
        let statistics = ClassStatistics::new(&data).unwrap();
        let options = Nc1Options::default();
        let features = nc1(&data, &statistics, &options).unwrap().value;
        for (layer, predicted) in predicted.iter().enumerate() {
            let mut sums =
                Nc1Sums::after_layers(&statistics, point.head(), layer + 1, &options).unwrap();
            sums.accumulate(&data).unwrap();
            let ratio = sums.nc1().unwrap().value / features;
            assert!((ratio / predicted - 1.0).abs() < 1e-8, "{counts:?}: {ratio} {predicted}");
        }
        if counts.iter().all(|&count| count == counts[0]) {
            assert!(predicted.iter().all(|ratio| (ratio - 1.0).abs() < 1e-12), "{predicted:?}");
        }
    }
}

/// Values of docs/metrics.md: of collapsed frames, and of independent layers without structure.
#[test]
fn perfect_and_random_layers_have_the_documented_values() {
    let mut rng = SmallRng::seed_from_u64(21);
    let labels: Vec<usize> = (0..200).map(|sample| sample % 5).collect();
    let measured = |layers: &[DMatrix<f64>]| {
        let data: Vec<_> = layers
            .iter()
            .map(|rows| Features::from_sample_rows(rows).unwrap().with_labels(&labels, 5).unwrap())
            .collect();
        let statistics: Vec<_> =
            data.iter().map(|data| ClassStatistics::new(data).unwrap()).collect();
        let mut sums = LayerSums::new(&statistics).unwrap();
        sums.accumulate(&data).unwrap();
        sums.layers().unwrap()
    };
    let frame = |shift: f64| {
        DMatrix::from_fn(200, 5, |sample, feature| f64::from(labels[sample] == feature) + shift)
    };
    let perfect = measured(&[frame(-0.2), frame(0.0) * normal(5, 5, &mut rng).qr().q()]);
    for layer in &perfect.layers {
        assert!((layer.effective_rank.unwrap() - 4.0).abs() < 1e-6);
        assert!((layer.stable_rank.unwrap() - 4.0).abs() < 1e-10);
    }
    assert!((perfect.cka[0][1].unwrap() - 1.0).abs() < 1e-12);
    let (n, widths) = (200.0_f64, [100.0_f64, 50.0]);
    let (mut ranks, mut effective, mut cka) = ([0.0; 2], [0.0; 2], 0.0);
    let draws = 20;
    for _ in 0..draws {
        let random = measured(&[normal(200, 100, &mut rng), normal(200, 50, &mut rng)]);
        for (sum, layer) in ranks.iter_mut().zip(&random.layers) {
            *sum += layer.stable_rank.unwrap() / f64::from(draws);
        }
        for (sum, layer) in effective.iter_mut().zip(&random.layers) {
            *sum += layer.effective_rank.unwrap() / f64::from(draws);
        }
        cka += random.cka[0][1].unwrap() / f64::from(draws);
    }
    for (found, d) in ranks.into_iter().zip(widths) {
        let expected = d / (1.0 + (d / n).sqrt()).powi(2);
        assert!((found / expected - 1.0).abs() < 0.06, "{found}, documented {expected}");
    }
    for (found, d) in effective.into_iter().zip(widths) {
        let expected = d * (-d / (8.0 * n)).exp();
        let allowed = 0.1 * (d / n).powi(2);
        assert!((found / expected - 1.0).abs() < allowed, "{found}, documented {expected}");
    }
    let [d, e] = widths;
    let expected = (d * e / ((n + d) * (n + e))).sqrt();
    assert!((cka / expected - 1.0).abs() < 0.02, "{cka}, documented {expected}");
}
