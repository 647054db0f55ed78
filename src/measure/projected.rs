//! Deviations projected onto the directions in which the class means differ.

use std::ops::Add;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::measure::class_means::Visited;
use crate::measure::deviations::Deviations;
use crate::measure::directions::{Directions, Projector};
use crate::measure::fingerprint::Fingerprint;
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::layers::FirstLayers;
use crate::measure::statistics::ClassStatistics;
use crate::measure::version::Version;
use crate::numerics::double_double::DoubleDouble;
use crate::numerics::linalg::{Factor, transposed};
use crate::numerics::scalar::Scalar;
use crate::problem::head::LinearHead;

/// Σ ‖B†(h_ki − h_k)‖² = N tr(Σ_W Σ_B†) for B = \[h_k − h_G\]/√K, summed in a second pass over samples once the
/// class means h_k are known.
///
/// With these the K−1 directions in which they differ are known, and of each sample only its component in these
/// matters: no d×d matrix is formed, and deviations of 10⁻¹² of the means are measured as accurately as large ones.
#[derive(Debug, Clone)]
pub(crate) struct ProjectedScatter<T: Scalar> {
    deviations: Deviations,
    /// Dᵀ of the [`Projector`]; `None` if the class means do not differ.
    projector: Option<Arc<Factor<T>>>,
    /// Of the layers before which the features are, if there are some.
    layers: Option<Fingerprint>,
    directions: Directions,
    visited: Visited,
    sums: Sums,
}

/// What has been added up.
#[derive(Debug, Clone, PartialEq)]
struct Sums {
    counts: Vec<u64>,
    projected: DoubleDouble<f64>,
}

/// What was found in a batch, for all whose samples are projected by the same.
#[derive(Debug)]
pub(crate) struct Found<T> {
    projector: Option<Arc<Factor<T>>>,
    sums: Sums,
}

/// What a [`Nc1Sums`](crate::metrics::Nc1Sums) has added up.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Nc1Part {
    version: Version<1>,
    /// Of the class means, options and layers that these sums are for.
    fingerprint: u64,
    /// Samples of each class.
    counts: Vec<u64>,
    /// Σ ‖B†(h − h_k)‖² of all classes.
    #[cfg_attr(feature = "serde", serde(with = "crate::measure::written::twofold"))]
    projected: DoubleDouble<f64>,
}

impl<T: Scalar> ProjectedScatter<T> {
    /// No samples yet; their class means are those of `statistics`.
    pub(crate) fn new(statistics: &ClassStatistics, directions: Directions) -> Result<Self> {
        Self::build(statistics, directions, None)
    }

    /// For the features W_m⋯W₁h after the first m = `layers` layers of a head.
    pub(crate) fn after_layers(
        statistics: &ClassStatistics,
        head: &LinearHead,
        layers: usize,
        directions: Directions,
    ) -> Result<Self> {
        head.check_shape("statistics", statistics.dimension(), statistics.classes())?;
        Self::build(statistics, directions, Some(FirstLayers::new(head, layers)?))
    }

    fn build(
        statistics: &ClassStatistics,
        directions: Directions,
        layers: Option<FirstLayers>,
    ) -> Result<Self> {
        let means = statistics.shared_means()?;
        let projector = Projector::new(&means, directions, layers.as_ref().map(|l| &l.matrix))?;
        let (projector, scale) = match projector {
            Some(Projector { directions, scale, .. }) => {
                (Some(Arc::new(Factor::new(&transposed(&directions), T::rounded))), scale)
            }
            None => (None, 1.0),
        };
        Ok(Self {
            deviations: Deviations::new(means, scale),
            projector,
            layers: layers.map(|layers| layers.fingerprint),
            directions,
            visited: Visited::default(),
            sums: Sums::new(statistics.classes()),
        })
    }

    /// No samples yet, for these directions of the features as they are. What samples are projected by is shared where it is
    /// the same: as many directions around the same center are the same ones.
    pub(crate) fn beside(
        &self,
        statistics: &ClassStatistics,
        directions: Directions,
    ) -> Result<Self> {
        let counts = self.deviations.means().counts();
        let (own, other) = (self.directions.for_counts(counts), directions.for_counts(counts));
        if self.layers.is_some() || own.center != other.center {
            return Self::new(statistics, directions);
        }
        if own != other {
            let found = Self::new(statistics, directions)?;
            if found.rank() != self.rank() {
                return Ok(found);
            }
        }
        Ok(Self {
            directions,
            visited: Visited::default(),
            sums: Sums::new(counts.len()),
            ..self.clone()
        })
    }

    /// How many directions count.
    fn rank(&self) -> usize {
        self.projector.as_ref().map_or(0, |projector| projector.rows())
    }

    /// The same for samples that are not those of the class means.
    pub(crate) fn of_other_samples(mut self) -> Self {
        self.visited = Visited::OtherSamples;
        self
    }

    /// Adds the samples of a batch; on an error all is as it was.
    pub(crate) fn accumulate(&mut self, batch: &LabeledFeatures<'_, T>) -> Result<()> {
        let found = self.find(batch)?;
        self.add(&found);
        Ok(())
    }

    /// What the samples of a batch add.
    pub(crate) fn find(&self, batch: &LabeledFeatures<'_, T>) -> Result<Found<T>> {
        let mut found = Sums::new(self.sums.counts.len());
        match self.projector.as_deref() {
            Some(projector) => {
                // Several sums in turn: one would have to wait for itself.
                let (mut sums, mut turn) = ([DoubleDouble::from(0.0); 4], 0);
                let add = |label: usize, square: f64| {
                    found.counts[label] = found.counts[label].saturating_add(1);
                    sums[turn] = sums[turn].plus(square);
                    turn = (turn + 1) % sums.len();
                };
                self.deviations.for_each_square(batch, Some(projector), add)?;
                found.projected = sums.into_iter().fold(found.projected, DoubleDouble::add);
            }
            // There is nothing to project on, but who asks shall learn that, and not of a missing pass.
            None => {
                self.deviations.means().check_shape(batch)?;
                batch.features().check()?;
                batch.labels().iter().for_each(|&label| found.counts[label] += 1);
            }
        }
        Ok(Found { projector: self.projector.clone(), sums: found })
    }

    /// Whether this is what it would find itself.
    pub(crate) fn would_find(&self, found: &Found<T>) -> bool {
        let projectors = self.projector.as_ref().zip(found.projector.as_ref());
        projectors.is_some_and(|(own, other)| Arc::ptr_eq(own, other))
    }

    /// Adds what was found in a batch.
    pub(crate) fn add(&mut self, found: &Found<T>) {
        self.sums.merge(&found.sums.counts, found.sums.projected);
    }

    /// What has been added up so far.
    pub(crate) fn part(&self) -> Nc1Part {
        let Sums { counts, projected } = self.sums.clone();
        Nc1Part { version: Version, fingerprint: self.fingerprint(), counts, projected }
    }

    /// Adds what another scatter has added up; [`Error::DifferentFirstPass`] if that is for other class means,
    /// options or layers.
    pub(crate) fn merge_part(&mut self, other: &Nc1Part) -> Result<()> {
        if !self.fits(other) {
            return Err(Error::DifferentFirstPass);
        }
        self.sums.merge(&other.counts, other.projected);
        Ok(())
    }

    /// Whether a part is of the same first pass, layers and options.
    pub(crate) fn fits(&self, other: &Nc1Part) -> bool {
        let same_length = other.counts.len() == self.sums.counts.len();
        same_length && other.fingerprint == self.fingerprint()
    }

    fn fingerprint(&self) -> u64 {
        let options = self.layers.unwrap_or(Fingerprint::new()).words(self.directions.words());
        options.words([self.deviations.means().fingerprint()]).value()
    }

    /// Number of samples of each class in the second pass.
    pub(crate) fn counts(&self) -> &[u64] {
        &self.sums.counts
    }

    /// tr(Σ_W Σ_B†) and the rank of Σ_B.
    pub(crate) fn trace(&self) -> Result<(f64, usize)> {
        let counts = &self.sums.counts;
        self.visited.check(self.deviations.means().counts(), counts)?;
        let Some(projector) = &self.projector else {
            return Err(Error::ZeroNorm { argument: "differences between the class means" });
        };
        let samples = counts.iter().fold(0, |total: u64, &count| total.saturating_add(count));
        let trace = self.sums.projected.value() / samples as f64;
        match trace.is_finite() {
            true => Ok((trace, projector.rows())),
            // The deviations are too large beside what the class means differ by.
            false => Err(Error::Unrepresentable { quantity: "NC1", log10: f64::INFINITY }),
        }
    }
}

impl Sums {
    fn new(classes: usize) -> Self {
        Self { counts: vec![0; classes], projected: DoubleDouble::from(0.0) }
    }

    fn merge(&mut self, counts: &[u64], projected: DoubleDouble<f64>) {
        add_counts(&mut self.counts, counts);
        self.projected = self.projected + projected;
    }
}

/// Adds the numbers of samples of each class.
pub(crate) fn add_counts(counts: &mut [u64], others: &[u64]) {
    for (count, &other) in counts.iter_mut().zip(others) {
        *count = count.saturating_add(other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::center::Center;
    use crate::measure::features::Features;
    use nalgebra::DMatrix;

    fn scatter(numbers: &[f64], directions: Directions) -> ProjectedScatter<f64> {
        let rows = DMatrix::from_column_slice(numbers.len(), 1, numbers);
        let labels: Vec<usize> = (0..numbers.len()).map(|sample| sample / 2).collect();
        let features = Features::from_sample_rows(&rows).unwrap();
        let data = features.with_labels(&labels, 2).unwrap();
        let statistics = ClassStatistics::new(&data).unwrap();
        let mut scatter = ProjectedScatter::new(&statistics, directions).unwrap();
        for sample in [0..1, 1..2, 2..4] {
            scatter.accumulate(&data.part(sample)).unwrap();
        }
        scatter
    }

    fn all() -> Directions {
        Directions { center: Center::Samples, rank_cutoff: 0.0, largest_rank: None }
    }

    #[test]
    fn deviations_are_squared_beside_what_means_differ_by() {
        // Means 2 and 6, so that B = [−2, 2]/√2 has σ = 2, and deviations ±1 and ±2: (1 + 1 + 4 + 4)/4/σ².
        let found = scatter(&[1.0, 3.0, 4.0, 8.0], all());
        assert_eq!(found.counts(), [2, 2]);
        let (trace, rank) = found.trace().unwrap();
        assert!((trace - 0.625).abs() < 1e-15 && rank == 1, "{trace}");
        let equal = scatter(&[1.0, 3.0, 0.0, 4.0], all());
        assert_eq!(equal.counts(), [2, 2]);
        assert!(matches!(equal.trace(), Err(Error::ZeroNorm { .. })));
    }

    /// Three classes of which the means differ in one direction much, in another by a hundredth: what they find in a batch is
    /// shared where the directions are the same, and what each of them has in the end is what it would have found alone.
    #[test]
    fn sums_beside_others_are_those_alone() {
        for (labels, is_balanced) in [([0, 1, 2, 0, 1, 2], true), ([0, 1, 2, 0, 1, 1], false)] {
            let rows = DMatrix::from_fn(6, 3, |i, j| {
                let means = [[4.0, 0.01, 0.0], [-4.0, 0.01, 0.0], [0.0, -0.02, 0.0]];
                means[labels[i]][j] + ((i * 5 + j * j) as f64).sin() * 1e-3
            });
            let features = Features::from_sample_rows(&rows).unwrap();
            let data = features.with_labels(&labels, 3).unwrap();
            let statistics = ClassStatistics::new(&data).unwrap();
            let own = ProjectedScatter::<f64>::new(&statistics, all()).unwrap();
            let found = own.find(&data).unwrap();
            for (directions, is_same) in [
                (all(), true),
                (Directions { center: Center::Classes, ..all() }, is_balanced),
                (Directions { rank_cutoff: 1e-4, ..all() }, true),
                (Directions { rank_cutoff: 0.1, ..all() }, false),
                (Directions { largest_rank: Some(1), ..all() }, false),
                (Directions { largest_rank: Some(2), ..all() }, true),
            ] {
                let mut beside = own.beside(&statistics, directions).unwrap();
                assert_eq!(beside.would_find(&found), is_same, "{directions:?}");
                let mut alone = ProjectedScatter::new(&statistics, directions).unwrap();
                alone.accumulate(&data).unwrap();
                match is_same {
                    true => beside.add(&found),
                    false => beside.accumulate(&data).unwrap(),
                }
                assert_eq!(alone.fingerprint(), beside.fingerprint());
                let ((found, rank), (expected, other)) =
                    (beside.trace().unwrap(), alone.trace().unwrap());
                assert!((found / expected - 1.0).abs() < 1e-12, "{directions:?} {found}");
                assert_eq!((rank, beside.counts()), (other, alone.counts()));
            }
        }
    }

    /// Parts with other options, of another first pass or of another length.
    #[test]
    fn other_parts_are_refused() {
        let numbers = [1.0, 3.0, 4.0, 8.0];
        let mut own = scatter(&numbers, all());
        for other in [
            scatter(&numbers, Directions { center: Center::Classes, ..all() }),
            scatter(&numbers, Directions { rank_cutoff: 0.1, ..all() }),
            scatter(&numbers, Directions { largest_rank: Some(1), ..all() }),
            scatter(&[1.0, 3.0, 4.0, 9.0], all()),
        ] {
            assert_eq!(own.merge_part(&other.part()), Err(Error::DifferentFirstPass));
        }
        let mut long = own.part();
        long.counts.push(0);
        assert_eq!(own.merge_part(&long), Err(Error::DifferentFirstPass));
        own.merge_part(&own.part()).unwrap();
        assert_eq!(own.counts(), [4, 4]);
        assert_eq!(
            own.sums.projected.value(),
            2.0 * scatter(&numbers, all()).sums.projected.value()
        );
    }
}
