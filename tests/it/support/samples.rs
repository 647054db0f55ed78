//! Samples that are split into batches, and what is summed of them.

use neural_collapse::measure::{Center, ClassVariances, PooledScatter};
use neural_collapse::metrics::{Nc1Options, Nc1Sums};
use neural_collapse::{ClassStatistics, Error, Features, LabeledFeatures};

pub const DIMENSION: usize = 5;
pub const CLASSES: usize = 4;

/// Samples one after the other and their labels.
#[derive(Debug, Clone, Default)]
pub struct Samples {
    pub numbers: Vec<f64>,
    pub labels: Vec<usize>,
}

impl Samples {
    /// Every class has samples, around means far from each other and from 0.
    pub fn new(seed: u64, count: usize, deviation: f64, offset: f64) -> Self {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 32) as f64 / f64::from(1_u32 << 31) - 1.0
        };
        let means: Vec<f64> = (0..DIMENSION * CLASSES).map(|_| next() + offset).collect();
        let labels: Vec<usize> =
            (0..count).map(|i| if i < CLASSES { i } else { i * i % CLASSES }).collect();
        let numbers = labels
            .iter()
            .flat_map(|&label| means[label * DIMENSION..][..DIMENSION].to_vec())
            .map(|mean| mean + deviation * next())
            .collect();
        Self { numbers, labels }
    }

    /// The samples for which `piece` gives each number below `pieces`.
    pub fn split(&self, pieces: usize, piece: impl Fn(usize) -> usize) -> Vec<Self> {
        let mut parts = vec![Self::default(); pieces];
        for (i, sample) in self.numbers.chunks(DIMENSION).enumerate() {
            let part = &mut parts[piece(i)];
            part.numbers.extend_from_slice(sample);
            part.labels.push(self.labels[i]);
        }
        parts
    }

    pub fn data(&self) -> LabeledFeatures<'_, f64> {
        let features = Features::from_row_major(&self.numbers, self.labels.len(), DIMENSION);
        features.unwrap().with_labels(&self.labels, CLASSES).unwrap()
    }

    pub fn pooled(&self) -> PooledScatter {
        let mut pooled = PooledScatter::empty(DIMENSION, CLASSES).unwrap();
        pooled.accumulate(&self.data()).unwrap();
        pooled
    }

    pub fn projected(&self, statistics: &ClassStatistics) -> Projected {
        let mut projected = Projected::new(statistics).unwrap();
        projected.accumulate(&self.data()).unwrap();
        projected
    }
}

/// All that is summed in a second pass for the variants of NC1.
#[derive(Debug, Clone, PartialEq)]
pub struct Projected {
    pub nc1: Nc1Sums<f64>,
    pub variances: ClassVariances<f64>,
}

impl Projected {
    pub fn new(statistics: &ClassStatistics) -> Result<Self, Error> {
        let nc1 = Nc1Sums::new(statistics, &Nc1Options::default())?;
        Ok(Self { nc1, variances: ClassVariances::new(statistics)? })
    }

    pub fn accumulate(&mut self, batch: &LabeledFeatures<'_, f64>) -> Result<(), Error> {
        self.nc1.accumulate(batch)?;
        self.variances.accumulate(batch)
    }

    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        self.nc1.merge(&other.nc1)?;
        self.variances.merge(&other.variances)
    }
}

/// Zero where both are zero, as they are with a single sample in each class.
pub fn relative_error(found: f64, expected: f64) -> f64 {
    if found == expected { 0.0 } else { (found - expected).abs() / expected.abs() }
}

/// NC1, quotient of traces, mean CDNV.
pub fn pooled_metrics(scatter: &PooledScatter) -> [f64; 3] {
    let options = Nc1Options::default();
    let quotient = scatter.trace_quotient(Center::Samples).unwrap();
    [scatter.nc1(&options).unwrap().value, quotient, scatter.cdnv().unwrap().mean.unwrap()]
}

pub fn projected_metrics(Projected { nc1, variances }: &Projected) -> [f64; 3] {
    let quotient = variances.trace_quotient(Center::Samples).unwrap();
    [nc1.nc1().unwrap().value, quotient, variances.cdnv().unwrap().mean.unwrap()]
}
