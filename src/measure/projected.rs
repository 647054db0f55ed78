//! Deviations projected onto the directions in which the class means differ.

use std::ops::Add;
use std::sync::Arc;

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::measure::class_means::{ClassMeans, Visited};
use crate::measure::deviations::Deviations;
use crate::measure::directions::{Directions, Order, Projector};
use crate::measure::fingerprint::Fingerprint;
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::layers::FirstLayers;
use crate::measure::seen::{Nobody, Observer};
use crate::measure::statistics::ClassStatistics;
use crate::measure::version::Version;
use crate::numerics::double_double::DoubleDouble;
use crate::numerics::linalg::{Factor, transposed};
use crate::numerics::scalar::Scalar;
use crate::problem::head::LinearHead;

/// Directions that are kept at most.
const MOST_KEPT: usize = 128;

/// Σ ‖B†(h_ki − h_k)‖² = N tr(Σ_W Σ_B†) for B = \[h_k − h_G\]/√K, summed in a second pass over samples once the
/// class means h_k are known.
///
/// With these the K−1 directions in which they differ are known, and of each sample only its component in these
/// matters: no d×d matrix is formed, and deviations of 10⁻¹² of the means are measured as accurately as large ones.
#[derive(Debug, Clone)]
pub(crate) struct ProjectedScatter<T: Scalar> {
    deviations: Deviations,
    /// `None` if the class means do not differ.
    projection: Option<Arc<Projection<T>>>,
    /// How many of its rows count, from the first one.
    rank: usize,
    /// Of the layers before which the features are, if there are some.
    layers: Option<Fingerprint>,
    directions: Directions,
    visited: Visited,
    sums: Sums,
}

/// What deviations are projected by.
#[derive(Debug)]
struct Projection<T> {
    /// Dᵀ of the [`Projector`].
    factor: Factor<T>,
    /// D, if it is kept.
    few_directions: Option<DMatrix<f64>>,
    /// If the rows have one.
    order: Option<Order>,
}

/// Whether the directions are kept for those who ask for them.
#[derive(Debug, Clone, Copy)]
enum Keep {
    Nothing,
    /// If there are few, so that they do not take much memory.
    Few,
}

/// What has been added up.
#[derive(Debug, Clone, PartialEq)]
struct Sums {
    counts: Vec<u64>,
    projected: DoubleDouble<f64>,
}

/// What was found in a batch, for some whose samples are projected by the same.
#[derive(Debug)]
pub(crate) struct Found<T> {
    projection: Option<Arc<Projection<T>>>,
    counts: Vec<u64>,
    /// Σ ‖B†(h − h_k)‖² on so many of the first directions.
    projected: Vec<(usize, DoubleDouble<f64>)>,
}

/// That, and what an observer has found of each sample, if there was one.
pub(crate) type Observed<T, F> = (Found<T>, Option<Vec<F>>);

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
        Self::build(statistics, directions, None, Keep::Nothing)
    }

    /// For the features W_m⋯W₁h after the first m = `layers` layers of a head.
    pub(crate) fn after_layers(
        statistics: &ClassStatistics,
        head: &LinearHead,
        layers: usize,
        directions: Directions,
    ) -> Result<Self> {
        head.check_shape("statistics", statistics.dimension(), statistics.classes())?;
        let layers = Some(FirstLayers::new(head, layers)?);
        Self::build(statistics, directions, layers, Keep::Nothing)
    }

    fn build(
        statistics: &ClassStatistics,
        directions: Directions,
        layers: Option<FirstLayers>,
        keep: Keep,
    ) -> Result<Self> {
        let means = statistics.shared_means()?;
        let projector = Projector::new(&means, directions, layers.as_ref().map(|l| &l.matrix))?;
        let found = projector.map(|projector| (projector, None));
        let own = Self::of(means, directions, found, keep);
        Ok(Self { layers: layers.map(|layers| layers.fingerprint), ..own })
    }

    fn of(
        means: Arc<ClassMeans>,
        directions: Directions,
        found: Option<(Projector, Option<Order>)>,
        keep: Keep,
    ) -> Self {
        let (scale, rank) = found
            .as_ref()
            .map_or((1.0, 0), |(projector, _)| (projector.scale, projector.directions.ncols()));
        let projection = found.map(|(projector, order)| {
            let factor = Factor::new(&transposed(&projector.directions), T::rounded);
            let keeps = matches!(keep, Keep::Few) && is_few(&projector.directions);
            let few_directions = keeps.then_some(projector.directions);
            Arc::new(Projection { factor, few_directions, order })
        });
        let sums = Sums::new(means.classes());
        let deviations = Deviations::new(means, scale);
        let visited = Visited::default();
        Self { deviations, projection, rank, layers: None, directions, visited, sums }
    }

    /// No samples yet, for sums [`beside`](Self::beside) which there will be those for each of `others`, which are some of
    /// the directions: where there are many, samples are projected by the same for all of them. It keeps [few
    /// directions](Self::few_directions).
    pub(crate) fn for_others(
        statistics: &ClassStatistics,
        directions: Directions,
        others: &[Directions],
    ) -> Result<Self> {
        let means = statistics.shared_means()?;
        match Projector::in_order(&means, directions, others)? {
            Some((projector, order)) => {
                Ok(Self::of(means, directions, Some((projector, Some(order))), Keep::Few))
            }
            None => Self::build(statistics, directions, None, Keep::Few),
        }
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
        let order = self.projection.as_ref().and_then(|projection| projection.order.as_ref());
        let rank = match order {
            _ if own == other => self.rank,
            Some(order) if let Some(rank) = order.rank(other.rank_cutoff, other.largest_rank) => {
                rank
            }
            _ => {
                let found = Self::new(statistics, directions)?;
                if found.rank != self.rank {
                    return Ok(found);
                }
                self.rank
            }
        };
        let (visited, sums) = (Visited::default(), Sums::new(counts.len()));
        Ok(Self { directions, rank, visited, sums, ..self.clone() })
    }

    /// The same for samples that are not those of the class means.
    pub(crate) fn of_other_samples(mut self) -> Self {
        self.visited = Visited::OtherSamples;
        self
    }

    /// Adds the samples of a batch; on an error all is as it was.
    pub(crate) fn accumulate(&mut self, batch: &LabeledFeatures<'_, T>) -> Result<()> {
        let (found, _) = self.find(batch, &[], None::<&Nobody>)?;
        self.add(&found);
        Ok(())
    }

    /// What the samples of a batch add, here and to others that are projected by the same. Also what an observer finds of
    /// them.
    pub(crate) fn find<O: Observer<T>>(
        &self,
        batch: &LabeledFeatures<'_, T>,
        others: &[&Self],
        observer: Option<&O>,
    ) -> Result<Observed<T, O::Found>> {
        let mut counts = vec![0; self.sums.counts.len()];
        let Some(projection) = self.projection.clone() else {
            // There is nothing to project on, but who asks shall learn that, and not of a missing pass.
            self.deviations.means().check_shape(batch)?;
            batch.features().check()?;
            batch.labels().iter().for_each(|&label| counts[label] += 1);
            return Ok((Found { projection: None, counts, projected: Vec::new() }, None));
        };
        let others = others.iter().filter(|other| other.is_projected_by(&projection));
        let mut ranks: Vec<usize> = others.map(|other| other.rank).chain([self.rank]).collect();
        ranks.sort_unstable();
        ranks.dedup();
        // Several sums in turn: one would have to wait for itself.
        let (mut sums, mut turn) = (vec![[DoubleDouble::from(0.0); 4]; ranks.len()], 0);
        let add = |label: usize, squares: &[f64]| {
            counts[label] += 1;
            for (of_rank, &square) in sums.iter_mut().zip(squares) {
                of_rank[turn] = of_rank[turn].plus(square);
            }
            turn = (turn + 1) % 4;
        };
        let seen = self.deviations.for_each_square_of_first_rows(
            batch,
            Some(&projection.factor),
            &ranks,
            observer,
            add,
        )?;
        let total = |of_rank: [DoubleDouble<f64>; 4]| {
            of_rank.into_iter().fold(DoubleDouble::from(0.0), DoubleDouble::add)
        };
        let sums = sums.into_iter().map(total);
        let projected = ranks.into_iter().zip(sums).collect();
        Ok((Found { projection: Some(projection), counts, projected }, seen))
    }

    /// The directions D that deviations are projected onto, as columns, and the unit of these, if they are few and
    /// [kept](Self::for_others).
    pub(crate) fn few_directions(&self) -> Option<(&DMatrix<f64>, f64)> {
        let directions = self.projection.as_deref()?.few_directions.as_ref()?;
        Some((directions, self.deviations.scale()))
    }

    fn is_projected_by(&self, projection: &Arc<Projection<T>>) -> bool {
        self.projection.as_ref().is_some_and(|own| Arc::ptr_eq(own, projection))
    }

    /// Adds what was found in a batch, if it is what this would find itself; whether it is.
    pub(crate) fn add(&mut self, found: &Found<T>) -> bool {
        let projected = match &found.projection {
            None => self.projection.is_none().then(|| DoubleDouble::from(0.0)),
            Some(projection) => {
                let mut ranks = found.projected.iter().filter(|_| self.is_projected_by(projection));
                ranks.find(|of_rank| of_rank.0 == self.rank).map(|of_rank| of_rank.1)
            }
        };
        if let Some(projected) = projected {
            self.sums.merge(&found.counts, projected);
        }
        projected.is_some()
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
        if self.projection.is_none() {
            return Err(Error::ZeroNorm { argument: "differences between the class means" });
        }
        let samples = counts.iter().fold(0, |total: u64, &count| total.saturating_add(count));
        let trace = self.sums.projected.value() / samples as f64;
        match trace.is_finite() {
            true => Ok((trace, self.rank)),
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

/// Whether there are few directions, also beside the features.
fn is_few(directions: &DMatrix<f64>) -> bool {
    let (dimension, count) = directions.shape();
    count <= MOST_KEPT && 4 * count <= dimension
}

/// Adds the numbers of samples of each class.
pub(crate) fn add_counts(counts: &mut [u64], others: &[u64]) {
    for (count, &other) in counts.iter_mut().zip(others) {
        *count = count.saturating_add(other);
    }
}

#[cfg(test)]
mod tests;
