//! NC1 on some of the directions in which class means differ: those that stand out of the noise of the class means, or
//! as many as a prediction has.

use crate::error::Result;
use crate::measure::directions::largest_difference;
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::projected::{Found, Nc1Part};
use crate::measure::statistics::ClassStatistics;
use crate::metrics::errors::{Metric, SampleParts};
use crate::metrics::{Nc1, Nc1Options, Nc1Sums};
use crate::numerics::scalar::Scalar;

/// On which directions NC1 is measured beside that on all.
///
/// Which stand out: a class mean of n samples is off by a variance of tr Σ_W/n, so that errors alone give tr Σ_B the size
/// tr Σ_W · 1/K Σ 1/n_k. A direction counts as resolved if its eigenvalue of Σ_B is above that, which errors cannot
/// reach on average even if all of them lie in one direction.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub(super) enum Resolution<S> {
    /// What tells the directions is not known before the second pass.
    Unknown,
    /// All that NC1 counts.
    All,
    /// None.
    Nothing,
    /// Some, and what is to be found of them.
    Some(S),
}

/// NC1 on these directions.
pub(super) type ResolvedSums<T> = Resolution<Box<Nc1Sums<T>>>;

/// What [`ResolvedSums`] have added up.
pub(super) type ResolutionPart = Resolution<Nc1Part>;

impl Resolution<Nc1Options> {
    /// The `rank` directions in which class means differ most, if that is known, for NC1 with these options.
    pub(super) fn of_rank(
        statistics: &ClassStatistics,
        options: &Nc1Options,
        rank: Option<usize>,
    ) -> Self {
        let all = statistics.dimension().min(statistics.classes().saturating_sub(1));
        match rank {
            None => Self::Unknown,
            Some(0) => Self::Nothing,
            Some(rank) if rank >= all => Self::All,
            Some(rank) => Self::Some(options.with_largest_rank(rank)),
        }
    }

    /// Those that stand out, with ‖H‖², if it is known.
    pub(super) fn of_noise(
        statistics: &ClassStatistics,
        options: &Nc1Options,
        features_squared: Option<f64>,
    ) -> Result<Self> {
        let Some(features_squared) = features_squared else { return Ok(Self::Unknown) };
        let means = statistics.shared_means()?;
        let counts = statistics.counts().iter().map(|&count| count as f64);
        let squares = means.matrix().column_iter().map(|mean| mean.norm_squared());
        let between: f64 = counts.clone().zip(squares).map(|(count, square)| count * square).sum();
        let samples: f64 = counts.clone().sum();
        let within = (features_squared - between).max(0.0) / samples;
        let inverse = counts.map(f64::recip).sum::<f64>() / means.classes() as f64;
        let noise = (within * inverse).sqrt() / largest_difference(&means, options.center);
        Ok(if noise <= options.rank_cutoff {
            Self::All
        } else if noise < 1.0 {
            Self::Some(options.with_rank_cutoff(noise))
        } else {
            Self::Nothing
        })
    }
}

impl<S> Resolution<S> {
    /// With what is made of that which is to be found.
    pub(super) fn try_map<R>(self, make: impl FnOnce(S) -> Result<R>) -> Result<Resolution<R>> {
        Ok(match self {
            Self::Unknown => Resolution::Unknown,
            Self::All => Resolution::All,
            Self::Nothing => Resolution::Nothing,
            Self::Some(own) => Resolution::Some(make(own)?),
        })
    }

    /// The same for what cannot fail.
    fn map<R>(self, make: impl FnOnce(S) -> R) -> Resolution<R> {
        match self {
            Self::Unknown => Resolution::Unknown,
            Self::All => Resolution::All,
            Self::Nothing => Resolution::Nothing,
            Self::Some(own) => Resolution::Some(make(own)),
        }
    }

    /// What is to be found.
    pub(super) fn some(&self) -> Option<&S> {
        match self {
            Self::Some(own) => Some(own),
            Self::Unknown | Self::All | Self::Nothing => None,
        }
    }
}

impl<T: Scalar> ResolvedSums<T> {
    pub(super) fn of_other_samples(self) -> Self {
        self.map(|sums| Box::new(sums.of_other_samples()))
    }

    /// Adds the samples of a batch, in which that much was found for all directions.
    pub(super) fn add(&mut self, batch: &LabeledFeatures<'_, T>, found: &Found<T>) -> Result<()> {
        match self {
            Self::Some(sums) => sums.add(batch, found),
            Self::Unknown | Self::All | Self::Nothing => Ok(()),
        }
    }

    /// With what the error of NC1 on these directions needs, unless they are all.
    pub(super) fn with_parts(&self, parts: SampleParts, metric: Metric) -> Result<SampleParts> {
        match self.some() {
            Some(sums) => parts.with_nc1(metric, sums.options()),
            None => Ok(parts),
        }
    }

    /// What has been added up so far.
    pub(super) fn part(&self) -> ResolutionPart {
        self.clone().map(|sums| sums.part())
    }

    /// Adds a part that [fits](Self::fits).
    pub(super) fn merge_part(&mut self, other: &ResolutionPart) -> Result<()> {
        match (self, other) {
            (Self::Some(own), Resolution::Some(other)) => own.merge_part(other),
            _ => Ok(()),
        }
    }

    /// Whether a part is of the same directions.
    pub(super) fn fits(&self, other: &ResolutionPart) -> bool {
        match (self, other) {
            (Self::Some(own), Resolution::Some(other)) => own.fits(other),
            (own, other) => own.part() == *other,
        }
    }

    /// NC1 on these directions, where `all` is that on all.
    pub(super) fn nc1(&self, all: Option<Nc1>) -> Result<Option<Nc1>> {
        match self {
            Self::Unknown | Self::Nothing => Ok(None),
            Self::All => Ok(all),
            Self::Some(sums) => sums.nc1().map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::measure;
    use crate::measure::features::Features;
    use crate::problem::head::LinearHead;
    use nalgebra::DMatrix;
    use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

    const CLASSES: usize = 10;
    const SAMPLES: usize = 100;
    const DIMENSION: usize = 64;

    /// Ten classes in five antipodal pairs of unit vectors, with independent noise of standard deviation `noise`.
    fn pairs(noise: f64) -> (DMatrix<f64>, Vec<usize>) {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        let labels: Vec<usize> = (0..CLASSES * SAMPLES).map(|sample| sample / SAMPLES).collect();
        // A sum of twelve uniform numbers less its mean has the variance 1.
        let mut normal = || (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
        let mut entry = |sample: usize, row: usize| {
            let (pair, sign) = (labels[sample] / 2, 1.0 - 2.0 * (labels[sample] % 2) as f64);
            noise * normal() + if row == pair { sign } else { 0.0 }
        };
        let matrix =
            DMatrix::from_fn(DIMENSION, CLASSES * SAMPLES, |row, sample| entry(sample, row));
        (matrix, labels)
    }

    /// Σ_B has the eigenvalue 1/5 five times, so that NC1 is 5 noise²/(1/5)/10; the four other directions are noise
    /// beside noise, whatever its size.
    #[test]
    fn directions_of_noise_are_told_apart() {
        let head = LinearHead::new(vec![DMatrix::zeros(CLASSES, DIMENSION)], None).unwrap();
        for noise in [1e-1, 1e-3, 1e-5] {
            let (features, labels) = pairs(noise);
            let data = Features::from_sample_columns(&features).unwrap();
            let measured = measure(&data.with_labels(&labels, CLASSES).unwrap(), &head).unwrap();
            let (all, resolved) = (measured.nc1().unwrap(), measured.nc1_resolved().unwrap());
            assert_eq!((all.rank, resolved.rank), (9, 5), "{noise}");
            assert!((3.0..15.0).contains(&all.value), "{noise}: {all:?}");
            let expected = 2.5 * noise * noise;
            assert!((resolved.value / expected - 1.0).abs() < 0.1, "{noise}: {resolved:?}");
        }
        // Nothing but noise, and no noise at all.
        let (mut features, labels) = pairs(1.0);
        features.rows_mut(0, 5).fill(0.0);
        let data = Features::from_sample_columns(&features).unwrap();
        let measured = measure(&data.with_labels(&labels, CLASSES).unwrap(), &head).unwrap();
        assert!(measured.nc1().is_some() && measured.nc1_resolved().is_none());
        let (features, labels) = pairs(0.0);
        let data = Features::from_sample_columns(&features).unwrap();
        let measured = measure(&data.with_labels(&labels, CLASSES).unwrap(), &head).unwrap();
        assert_eq!(measured.nc1(), measured.nc1_resolved());
    }

    /// √(tr Σ_W · 1/K Σ 1/n_k) beside the largest eigenvalue ½ Σ ‖h_k − h_G‖² of Σ_B for two classes.
    #[test]
    fn the_cutoff_is_the_noise_of_class_means() {
        let labels = [0, 1, 1, 0, 1, 1, 1, 0];
        let rows = DMatrix::from_fn(8, 3, |i, j| {
            ((i * i + 5 * j) as f64).sin() + 4.0 * (labels[i] * (j + 1)) as f64
        });
        let data = Features::from_sample_rows(&rows).unwrap().with_labels(&labels, 2).unwrap();
        let statistics = ClassStatistics::new(&data).unwrap();
        let means = statistics.class_means().unwrap();
        let deviation =
            |i: usize| (rows.row(i).transpose() - means.column(labels[i])).norm_squared();
        let within = (0..8).map(deviation).sum::<f64>() / 8.0;
        let center = rows.row_mean().transpose();
        let between = [0, 1].map(|class| (means.column(class) - &center).norm_squared() / 2.0);
        let expected = within * (1.0 / 3.0 + 1.0 / 5.0) / 2.0 / (between[0] + between[1]);
        let squares = Some(rows.norm_squared());
        let found = Resolution::of_noise(&statistics, &Nc1Options::default(), squares).unwrap();
        assert!((found.some().unwrap().rank_cutoff / expected.sqrt() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn ranks_are_those_of_some_directions_or_all() {
        let labels = [0, 1, 2, 3];
        let rows = DMatrix::from_fn(4, 2, |i, j| ((i * i + 5 * j) as f64).sin());
        let data = Features::from_sample_rows(&rows).unwrap().with_labels(&labels, 4).unwrap();
        let statistics = ClassStatistics::new(&data).unwrap();
        let found =
            [None, Some(0), Some(1), Some(2), Some(3)].map(|rank| {
                match Resolution::of_rank(&statistics, &Nc1Options::default(), rank) {
                    Resolution::Unknown => "unknown",
                    Resolution::Nothing => "nothing",
                    Resolution::Some(_) => "some",
                    Resolution::All => "all",
                }
            });
        assert_eq!(found, ["unknown", "nothing", "some", "all", "all"]);
    }
}
