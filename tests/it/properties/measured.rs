//! The metrics and the audit of measured networks.

use nalgebra::DMatrix;
use neural_collapse::audit::measure;
use neural_collapse::measure::{Center, Scalar};
use neural_collapse::metrics::{Nc1Options, nc1, nc4};
use neural_collapse::{
    ClassCounts, ClassStatistics, Features, LabeledFeatures, LinearHead, Regularization, Ufm, audit,
};

use super::problem::check_message;

/// Any numbers that a file could hold: features row by row, and the entries of the layers.
#[derive(Debug, Clone)]
pub struct Input {
    pub features: Vec<f64>,
    pub dimension: usize,
    pub labels: Vec<usize>,
    pub classes: usize,
    /// The widths of hidden layers.
    pub hidden: Vec<usize>,
    pub weights: Vec<f64>,
    pub regularization: Option<Regularization>,
}

impl Input {
    /// W₁, …, W_M with the given entries, repeated as often as needed.
    fn head(&self) -> neural_collapse::Result<LinearHead> {
        let mut entries = self.weights.iter().copied().cycle();
        let mut inputs = self.dimension;
        let mut weights = Vec::new();
        for &outputs in self.hidden.iter().chain([&self.classes]) {
            weights.push(DMatrix::from_fn(outputs, inputs, |_, _| entries.next().unwrap_or(0.0)));
            inputs = outputs;
        }
        LinearHead::new(weights, None)
    }
}

/// Every metric is an error or a sound number, in both precisions.
pub fn check(input: &Input) {
    let single: Vec<f32> = input.features.iter().map(|&value| value as f32).collect();
    for result in [check_type(&input.features, input), check_type(&single, input)] {
        if let Err(error) = result {
            check_message(&error);
        }
    }
}

fn check_type<T: Scalar>(features: &[T], input: &Input) -> neural_collapse::Result<()> {
    let features = Features::from_row_major(features, input.labels.len(), input.dimension)?;
    let data = features.with_labels(&input.labels, input.classes)?;
    let statistics = ClassStatistics::new(&data)?;
    check_statistics(&data, &statistics, input);
    let head = input.head()?;
    let nc4 = nc4(&data, &statistics, &head)?;
    assert!((0.0..=1.0).contains(&nc4.overall.agreement), "{input:?}: {nc4:?}");
    let audit = match &input.regularization {
        None => measure(&data, &head)?.without_prediction("no decays")?,
        Some(regularization) => {
            let ufm = Ufm::new(ClassCounts::new(statistics.counts())?, regularization.clone())?;
            audit(&data, &head, &ufm.with_widths(&head.widths())?.global_minimum()?)?
        }
    };
    if let Some(objective) = audit.measurement.objective() {
        let numbers = [objective.loss(), objective.gradient_norm];
        assert!(numbers.iter().all(|&number| number >= 0.0), "{input:?}: {objective:?}");
        // No network is better than the global minimum.
        let least = audit.loss_optimum().unwrap_or(0.0);
        assert!(objective.loss() >= least * (1.0 - 1e-9), "{input:?}: {audit:?}");
    }
    assert!(audit.nc3.is_none_or(|nc3| (0.0..=2.1).contains(&nc3)), "{input:?}: {audit:?}");
    assert!(audit.nc2.iter().flatten().all(|&value| (0.0..=2.1).contains(&value)), "{audit:?}");
    Ok(())
}

fn check_statistics<T: Scalar>(
    data: &LabeledFeatures<'_, T>,
    statistics: &ClassStatistics,
    input: &Input,
) {
    let samples = statistics.counts().iter().sum::<u64>();
    assert_eq!(samples, input.labels.len() as u64, "{input:?}");
    for center in [Center::Samples, Center::Classes] {
        let means = statistics.centered_means(center);
        let finite = means.map(|means| means.iter().all(|entry| entry.is_finite()));
        assert!(finite.unwrap_or(true), "{input:?}");
    }
    if let Ok(found) = nc1(data, statistics, &Nc1Options::default()) {
        assert!(!found.value.is_nan() && found.value >= 0.0, "{input:?}: {found:?}");
    }
}
