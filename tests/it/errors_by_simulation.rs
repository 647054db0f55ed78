//! Standard errors of losses, layers, scores and regression, and of differences of audits: their coverage in simulations.

use nalgebra::{DMatrix, DVector, dmatrix};
use neural_collapse::audit::{AuditOptions, Samples, audit_regression};
use neural_collapse::measure::ClassVectors;
use neural_collapse::metrics::errors::{Metric, SampleParts, nc5_estimate, nrc1_estimate};
use neural_collapse::metrics::layers::LayerSums;
use neural_collapse::metrics::{Detection, Nc1Options, nc5};
use neural_collapse::models::AnyModel;
use neural_collapse::problem::{LossFunction, TrainingObjective};
use neural_collapse::{
    Audit, AuditSums, Bias, ClassCounts, ClassStatistics, Error, Features, LinearHead, Prediction,
    Regularization, Ufm,
};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::{Distribution, StandardNormal};

const DRAWS: usize = 2500;

fn normal(rows: usize, columns: usize, rng: &mut SmallRng) -> DMatrix<f64> {
    DMatrix::from_fn(rows, columns, |_, _| StandardNormal.sample(rng))
}

/// Values with their standard errors, by name.
#[derive(Default)]
struct Draws(std::collections::BTreeMap<String, Vec<(f64, f64)>>);

impl Draws {
    fn add(&mut self, name: &str, value: f64, error: Option<f64>) {
        let error = error.unwrap_or_else(|| panic!("{name} has no error"));
        self.0.entry(name.into()).or_default().push((value, error));
    }

    /// 68 ± 3 % of the values are within one standard error of their mean.
    fn check(&self) {
        let mut misses = Vec::new();
        for (name, found) in &self.0 {
            let number = found.len() as f64;
            let mean = found.iter().map(|draw| draw.0).sum::<f64>() / number;
            let within = found.iter().filter(|(value, error)| (value - mean).abs() < *error);
            let coverage = within.count() as f64 / number;
            if !(0.65..0.715).contains(&coverage) {
                misses.push(format!("{name}: {coverage}, mean {mean}"));
            }
        }
        assert!(!self.0.is_empty() && misses.is_empty(), "{misses:#?}");
    }
}

/// Class means, and samples around them.
struct Classes {
    means: DMatrix<f64>,
    mixing: DMatrix<f64>,
    labels: Vec<usize>,
}

impl Classes {
    fn new(dimension: usize, counts: &[usize], rng: &mut SmallRng) -> Self {
        Self {
            means: normal(dimension, counts.len(), rng),
            mixing: normal(dimension, dimension, rng) * 0.25,
            labels: (0..counts.len()).flat_map(|k| vec![k; counts[k]]).collect(),
        }
    }

    fn samples(&self, rng: &mut SmallRng) -> DMatrix<f64> {
        let noise = &self.mixing * normal(self.means.nrows(), self.labels.len(), rng);
        let means = self.means.select_columns(&self.labels);
        means + noise
    }

    fn parts(&self, samples: &DMatrix<f64>) -> SampleParts {
        let features = Features::from_sample_columns(samples).unwrap();
        let data = features.with_labels(&self.labels, self.means.ncols()).unwrap();
        let statistics = ClassStatistics::new(&data).unwrap();
        let mut parts = SampleParts::new(&statistics, &Nc1Options::default()).unwrap();
        parts.accumulate(&data).unwrap();
        parts
    }

    fn audit(
        &self,
        samples: &DMatrix<f64>,
        head: &LinearHead,
        prediction: &dyn Prediction,
    ) -> Audit {
        let features = Features::from_sample_columns(samples).unwrap();
        let data = features.with_labels(&self.labels, self.means.ncols()).unwrap();
        let options = AuditOptions::for_prediction(prediction).unwrap().with_standard_errors(true);
        let statistics = ClassStatistics::new(&data).unwrap();
        let mut sums = AuditSums::new(statistics, head.clone(), &options).unwrap();
        sums.accumulate(&data).unwrap();
        sums.measurement().unwrap().compare(prediction).unwrap()
    }
}

#[test]
fn losses() {
    let mut rng = SmallRng::seed_from_u64(23);
    let counts = [50, 40, 30];
    let classes = Classes::new(5, &counts, &mut rng);
    let head = LinearHead::new(vec![normal(3, 5, &mut rng) * 0.5], None).unwrap();
    let sizes = ClassCounts::new(&counts.map(|count| count as u64)).unwrap();
    let regularization = Regularization::new(&[2e-3], 2e-3).unwrap();
    let squared = Ufm::new(sizes, regularization.clone()).unwrap().global_minimum().unwrap();
    let balanced = Classes::new(5, &[40; 3], &mut rng);
    let objective = TrainingObjective::penalized(LossFunction::CrossEntropy, regularization);
    let entropy = AnyModel::new(&objective, ClassCounts::balanced(3, 40).unwrap(), None).unwrap();
    let mut draws = Draws::default();
    let cases: [(&str, &Classes, &dyn Prediction); 2] =
        [("squared", &classes, &squared), ("entropy", &balanced, entropy.prediction())];
    for (name, classes, prediction) in cases {
        for _ in 0..DRAWS {
            let audit = classes.audit(&classes.samples(&mut rng), &head, prediction);
            let errors = audit.standard_errors.as_ref().unwrap();
            let error = |metric| Some(errors.get(metric).unwrap().standard_error);
            draws.add(name, audit.loss.unwrap(), error(Metric::Loss));
            let relative = audit.loss_gap_relative().unwrap();
            draws.add(&format!("{name}, gap"), relative, error(Metric::LossGapRelative));
            assert_eq!(errors.get(Metric::LossGap).unwrap().value, audit.loss_gap().unwrap());
            assert_eq!(error(Metric::LossGap), error(Metric::Loss));
        }
    }
    draws.check();
}

/// NC1 on all of the predicted rank is NC1, and its parts have a name each.
#[test]
fn what_has_no_error_has_a_reason() {
    let mut rng = SmallRng::seed_from_u64(3);
    let classes = Classes::new(5, &[30; 3], &mut rng);
    let head = LinearHead::new(vec![normal(3, 5, &mut rng)], None).unwrap();
    let ufm = Ufm::new(
        ClassCounts::balanced(3, 30).unwrap(),
        Regularization::new(&[1e-3], 1e-3).unwrap(),
    );
    let audit =
        classes.audit(&classes.samples(&mut rng), &head, &ufm.unwrap().global_minimum().unwrap());
    let errors = audit.standard_errors.as_ref().unwrap();
    assert_eq!(audit.measurement.nc1(), audit.measurement.nc1_predicted_rank());
    assert_eq!(errors.get(Metric::Nc1PredictedRank), errors.get(Metric::Nc1));
    for key in ["nc2", "gradient_norm", "balancedness", "least_squares_split"] {
        assert!(audit.reasons.contains_key(format!("standard_errors.{key}").as_str()), "{key}");
    }
    let split = audit.measurement.least_squares_split().unwrap();
    let objective = audit.measurement.objective().unwrap();
    let expected = objective.data_term + objective.weight_penalty;
    assert!((split.loss() / expected - 1.0).abs() < 1e-12);
}

#[test]
fn similarities_and_laws_of_layers() {
    let mut rng = SmallRng::seed_from_u64(13);
    let classes = Classes::new(6, &[60, 40, 50, 40], &mut rng);
    let layers = [normal(5, 6, &mut rng) * 0.6, normal(7, 5, &mut rng) * 0.6];
    let mut draws = Draws::default();
    for _ in 0..DRAWS {
        let first = classes.samples(&mut rng);
        let second = (&layers[0] * &first).map(f64::tanh);
        let third = (&layers[1] * &second).map(f64::tanh);
        let features = [&first, &second, &third].map(|columns| {
            let features = Features::from_sample_columns(columns).unwrap();
            features.with_labels(&classes.labels, 4).unwrap()
        });
        let statistics: Vec<_> =
            features.iter().map(|data| ClassStatistics::new(data).unwrap()).collect();
        let mut sums = LayerSums::new(&statistics).unwrap();
        sums.accumulate(&features).unwrap();
        let found = sums.layers().unwrap();
        draws.add("cka", found.cka[0][1].unwrap(), found.cka_standard_errors[0][1]);
        draws.add(
            "cka of distant layers",
            found.cka[2][0].unwrap(),
            found.cka_standard_errors[2][0],
        );
        let (law, errors) = (found.separation.unwrap(), found.separation_standard_errors.unwrap());
        draws.add("slope", law.slope, errors.slope);
        draws.add("intercept", law.intercept, errors.intercept);
        for (index, layer) in found.layers.iter().enumerate() {
            let errors = layer.standard_errors.as_ref().unwrap();
            let error = |metric| errors.get(metric).map(|found| found.standard_error);
            let name = |name: &str| format!("{name} {index}");
            draws.add(
                &name("effective rank"),
                layer.effective_rank.unwrap(),
                error(Metric::EffectiveRank),
            );
            let nc2 = layer.nc2_class_means.unwrap();
            draws.add(&name("NC2"), nc2, error(Metric::Nc2ClassMeans));
            draws.add(&name("stable rank"), layer.stable_rank.unwrap(), error(Metric::StableRank));
        }
        assert_eq!(found.cka_standard_errors[1][1], Some(0.0));
        assert!(!found.reasons.contains_key("cka_standard_errors"));
    }
    draws.check();
}

#[test]
fn scores_out_of_distribution() {
    let mut rng = SmallRng::seed_from_u64(13);
    let (classes, others) =
        (Classes::new(6, &[60, 40, 50], &mut rng), Classes::new(6, &[80], &mut rng));
    let trained = classes.samples(&mut rng);
    let mut draws = Draws::default();
    for _ in 0..DRAWS {
        let (known, outside) = (classes.samples(&mut rng), others.samples(&mut rng));
        let found = nc5_estimate(&classes.parts(&known), &others.parts(&outside)).unwrap().unwrap();
        draws.add("NC5", found.value, Some(found.standard_error));
        // Scores that overlap.
        let mut scores = |number: usize, mean: f64| -> Vec<Option<f64>> {
            (0..number)
                .map(|_| Some(mean + Distribution::<f64>::sample(&StandardNormal, &mut rng)))
                .collect()
        };
        let found = Detection::of_scores(&scores(90, 1.0), &scores(80, 0.0)).unwrap();
        let errors = found.standard_errors;
        draws.add("known", found.known_mean.unwrap(), errors.known_mean);
        draws.add("outside", found.outside_mean.unwrap(), errors.outside_mean);
        draws.add("AUROC", found.auroc.unwrap(), errors.auroc);
    }
    draws.check();
    let parts = classes.parts(&trained);
    assert!(matches!(nc5_estimate(&parts, &parts), Err(Error::Shape { .. })));
    // The value is that of the metric.
    let outside = others.samples(&mut rng);
    let (means, mean): (DMatrix<f64>, DVector<f64>) = {
        let data = Features::from_sample_columns(&trained).unwrap();
        let means = ClassStatistics::new(&data.with_labels(&classes.labels, 3).unwrap());
        (means.unwrap().class_means().unwrap(), outside.column_mean())
    };
    let expected = nc5(&ClassVectors::columns(&means).unwrap(), &mean).unwrap();
    let found = nc5_estimate(&parts, &others.parts(&outside)).unwrap().unwrap();
    assert!((found.value / expected - 1.0).abs() < 1e-13);
}

#[test]
fn regression() {
    const SAMPLES: usize = 200;
    let mut rng = SmallRng::seed_from_u64(29);
    let head = LinearHead::new(
        vec![dmatrix![1.0, 0.1, 0.0, 0.2, -0.1; 0.8, 1.4, 0.1, 0.0, 0.1]],
        Some(nalgebra::dvector![0.1, -0.2]),
    )
    .unwrap();
    let decays =
        Regularization::new(&[5e-3], 1e-3).unwrap().with_bias(Bias::Unregularized).unwrap();
    let sizes = DMatrix::from_diagonal(&DVector::from_vec(vec![1.5, 1.0, 0.4, 0.3, 0.3]));
    let mixing = DMatrix::identity(5, 5) + normal(5, 5, &mut rng) * 0.2;
    let mut draws = Draws::default();
    for _ in 0..DRAWS {
        let mut features = &mixing * &sizes * normal(5, SAMPLES, &mut rng);
        features.column_iter_mut().for_each(|mut column| column[0] += 0.7);
        let noise = normal(2, SAMPLES, &mut rng) * 0.3;
        let targets =
            dmatrix![0.9, 0.0, 0.1, 0.0, 0.0; 0.1, 0.9, 0.0, 0.2, 0.0] * &features + noise;
        let samples = Features::from_sample_columns(&features).unwrap();
        let audit = audit_regression(&samples, &targets, &head, &decays).unwrap();
        let numbers = [
            ("nrc1", audit.nrc1),
            ("nrc2", audit.nrc2),
            ("nrc3", audit.nrc3),
            ("fit", audit.fit),
            ("loss", Some(audit.loss)),
            ("loss_gap", audit.loss_gap()),
        ];
        for (name, value) in numbers {
            let error = audit.standard_errors[name].as_ref();
            assert!((error.unwrap().value / value.unwrap() - 1.0).abs() < 1e-9, "{name}");
            draws.add(name, value.unwrap(), error.map(|found| found.standard_error));
        }
        assert!(audit.reasons.contains_key("standard_errors.gram_distances"));
    }
    draws.check();
    // More dimensions than samples, where principal directions are those of the samples.
    let wide = normal(9, 6, &mut rng);
    let wide = Features::from_sample_columns(&wide).unwrap();
    let found = nrc1_estimate(&wide, 2, &()).unwrap().unwrap();
    assert!(found.standard_error > 0.0);
}

/// Two epochs on the same samples, and two seeds: of either the difference has the error that simulations have.
#[test]
fn differences_of_audits() {
    let mut rng = SmallRng::seed_from_u64(31);
    let classes = Classes::new(5, &[40; 3], &mut rng);
    let head = LinearHead::new(vec![normal(3, 5, &mut rng)], None).unwrap();
    let ufm = Ufm::new(
        ClassCounts::balanced(3, 40).unwrap(),
        Regularization::new(&[1e-3], 1e-3).unwrap(),
    );
    let minimum = ufm.unwrap().global_minimum().unwrap();
    let turn = DMatrix::identity(5, 5) + normal(5, 5, &mut rng) * 0.03;
    let mut draws = Draws::default();
    for _ in 0..DRAWS {
        let samples = classes.samples(&mut rng);
        let early = classes.audit(&samples, &head, &minimum);
        let late = classes.audit(&(&turn * &samples), &head, &minimum);
        let other = classes.audit(&(&turn * classes.samples(&mut rng)), &head, &minimum);
        let paired = late.minus(&early, Samples::Same).unwrap();
        let independent = other.minus(&early, Samples::Independent).unwrap();
        for metric in [Metric::Nc1, Metric::Nc2ClassMeans, Metric::Loss] {
            for (kind, found) in [("same", &paired), ("independent", &independent)] {
                let found = found.metrics[&metric];
                assert_eq!(found.paired, kind == "same");
                assert_eq!(found.difference, found.value - found.other);
                draws.add(
                    &format!("{metric}, {kind}"),
                    found.difference,
                    Some(found.standard_error),
                );
            }
            let ratio = paired.metrics[&metric].standard_error
                / independent.metrics[&metric].standard_error;
            assert!(ratio < 0.7, "{metric}: {ratio}");
        }
        assert!(!paired.metrics[&Metric::Accuracy].paired && paired.remarks.len() == 1);
    }
    draws.check();
    let fewer = Classes {
        labels: classes.labels[1..].to_vec(),
        means: classes.means.clone(),
        mixing: classes.mixing.clone(),
    };
    let sizes = ClassCounts::new(&[39, 40, 40]).unwrap();
    let ufm = Ufm::new(sizes, Regularization::new(&[1e-3], 1e-3).unwrap()).unwrap();
    let fewer = fewer.audit(&fewer.samples(&mut rng), &head, &ufm.global_minimum().unwrap());
    let whole = classes.audit(&classes.samples(&mut rng), &head, &minimum);
    assert!(matches!(whole.minus(&fewer, Samples::Same), Err(Error::NotAnswered { .. })));
    assert_eq!(whole.minus(&fewer, Samples::Independent).unwrap().remarks.len(), 1);
    assert!(matches!(minimum.training_objective(), TrainingObjective::Penalized { .. }));
}
