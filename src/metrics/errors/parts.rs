//! Deviations summed over parts of the samples, from which the sampling noise of anything follows.

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::measure::center::{Center, subtract_center};
use crate::measure::class_means::{ClassMeans, check_second_pass};
use crate::measure::deviations::Deviations;
use crate::measure::fingerprint::Fingerprint;
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::statistics::ClassStatistics;
use crate::measure::version::Version;
use crate::metrics::all::defined;
use crate::metrics::errors::directions::Nc1Directions;
use crate::metrics::errors::metric::Metric;
use crate::metrics::nc1::Nc1Options;
use crate::numerics::linalg::{power_of_two, zeros};
use crate::numerics::scalar::Scalar;
use crate::numerics::simd::vectorized;
use crate::numerics::squares::sum_of_squares;
use crate::problem::head::LinearHead;

/// Numbers that the sums of the parts may take, as long as there are enough parts.
const NUMBERS: usize = 1 << 24;

/// With P parts a standard error has a relative error of 1/√(2P).
const FEWEST_PARTS: usize = 16;
const MOST_PARTS: usize = 64;

/// The deviations of the samples from their class means, summed over some dozen parts of every class: the second pass,
/// after that of [`ClassStatistics`].
///
/// The samples of a class are dealt out to the parts in turn. What the sums of the parts differ by tells how far class
/// means of other samples would be: see [`StandardErrors`](crate::metrics::errors::StandardErrors) and
/// [`Collapsed`](crate::metrics::levels::Collapsed). Batches can be fed one by one and pieces
/// [merged](Self::merge); pieces of neighboring samples that are merged in their order have the parts of the whole.
/// Another order of the samples deals them out to other parts, so that what follows from the parts differs by its own error:
/// 1/√(2P) of a standard error for P parts.
/// There are between 16 and 64 parts, as many as 2²⁴ numbers leave room for, each of dK numbers.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::metrics::Nc1Options;
/// use neural_collapse::metrics::errors::SampleParts;
/// use neural_collapse::{ClassStatistics, Features};
///
/// let rows = dmatrix![1.1, 0.0; 0.9, 0.0; -1.0, 0.3; -1.0, -0.3];
/// let data = Features::from_sample_rows(&rows)?.with_labels(&[0, 0, 1, 1], 2)?;
/// let mut parts = SampleParts::new(&ClassStatistics::new(&data)?, &Nc1Options::default())?;
/// parts.accumulate(&data)?;
/// assert_eq!(parts.parts(), 64);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SampleParts {
    deviations: Deviations,
    /// For NC1 first, then for others.
    directions: Vec<Nc1Directions>,
    counts: Vec<u64>,
    parts: Vec<Part>,
}

/// What [`SampleParts`] have added up: dK numbers for each part, and as many for each NC1. With the feature `serde` it can be
/// serialized.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct SamplePart {
    version: Version<1>,
    /// Of the class means and options that these sums are for.
    fingerprint: u64,
    counts: Vec<u64>,
    parts: Vec<Part>,
    /// For each NC1, column by column.
    #[cfg_attr(feature = "serde", serde(with = "crate::measure::written::finite"))]
    images: Vec<f64>,
}

/// The sums over one part of the samples.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub(crate) struct Part {
    /// Samples of each class.
    pub(crate) counts: Vec<u64>,
    /// Σ x for each class, in the scale: d numbers for each.
    #[cfg_attr(feature = "serde", serde(with = "crate::measure::written::finite"))]
    pub(crate) sums: Vec<f64>,
    /// Σ ‖x‖² for each class, in squares of the scale.
    #[cfg_attr(feature = "serde", serde(with = "crate::measure::written::finite"))]
    pub(crate) squares: Vec<f64>,
    /// For each NC1, Σ ‖B†x‖² for each class.
    #[cfg_attr(feature = "serde", serde(with = "crate::measure::written::finite"))]
    pub(crate) projected: Vec<f64>,
    /// What the samples of each class contribute to the data term of the loss; zeros if that was not measured.
    #[cfg_attr(feature = "serde", serde(with = "crate::measure::written::finite"))]
    pub(crate) losses: Vec<f64>,
}

impl SampleParts {
    /// No samples yet; the class means are those of `statistics`, which has to be complete, and the directions of NC1
    /// those of `options`.
    ///
    /// # Errors
    /// [`Error::EmptyClass`] if a class has no mean, [`Error::OutOfRange`] if the sums do not fit in memory.
    pub fn new(statistics: &ClassStatistics, options: &Nc1Options) -> Result<Self> {
        let means = statistics.shared_means()?;
        let (dimension, classes) = means.shape();
        let (directions, scale) = Nc1Directions::new(Metric::Nc1, &means, options, None)?;
        let scale = scale.unwrap_or_else(|| power_of_two(&means.centered(Center::Samples)));
        let number = NUMBERS / dimension.saturating_mul(classes).max(1);
        let part = Part {
            counts: vec![0; classes],
            sums: zeros("dimension", dimension, classes)?.data.into(),
            squares: vec![0.0; classes],
            projected: vec![0.0; classes],
            losses: vec![0.0; classes],
        };
        Ok(Self {
            deviations: Deviations::new(means, scale),
            directions: vec![directions],
            counts: vec![0; classes],
            parts: vec![part; number.clamp(FEWEST_PARTS, MOST_PARTS)],
        })
    }

    /// With no more than so many parts, as layers of one network have parts of the same samples.
    pub(crate) fn with_most_parts(mut self, most: usize) -> Self {
        self.parts.truncate(most);
        self
    }

    /// The same with what the error of another NC1 needs, such as that of fewer directions or around another center, which
    /// gets the name `metric`. Before samples are added.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a bad rank cut-off, or if the sums do not fit in memory; [`Error::SecondPass`] if there are
    /// samples already.
    pub fn with_nc1(self, metric: Metric, options: &Nc1Options) -> Result<Self> {
        let scale = Some(self.scale());
        let (directions, _) = Nc1Directions::new(metric, self.means(), options, scale)?;
        self.with_directions(directions)
    }

    /// The same with what the errors of NC1 around the mean of the class means and after every layer of a head need, with the
    /// other conventions of [`Nc1Options::default`]. Before samples are added.
    ///
    /// # Errors
    /// As [`with_nc1`](Self::with_nc1); [`Error::Shape`] if the head is for another dimension or number of classes.
    pub fn with_all_nc1(mut self, head: &LinearHead) -> Result<Self> {
        head.check_shape("statistics", self.means().shape().0, self.counts.len())?;
        self = self.with_other_center()?;
        let options = Nc1Options::default();
        for layers in 1..=head.depth() {
            let scale = self.scale();
            let found = Nc1Directions::after_layers((head, layers), self.means(), &options, scale);
            if let Some(directions) = defined(found)? {
                self = self.with_directions(directions)?;
            }
        }
        Ok(self)
    }

    /// With NC1 around the mean of the class means.
    pub(crate) fn with_other_center(self) -> Result<Self> {
        let options = Nc1Options::default().with_center(Center::Classes);
        self.with_nc1(Metric::Nc1CenterClasses, &options)
    }

    fn with_directions(mut self, directions: Nc1Directions) -> Result<Self> {
        if let Some(class) = self.counts.iter().position(|&count| count > 0) {
            let found = self.counts[class];
            return Err(Error::SecondPass { class, found, expected: 0 });
        }
        self.directions.push(directions);
        for part in &mut self.parts {
            part.projected.resize(self.directions.len() * self.counts.len(), 0.0);
        }
        Ok(self)
    }

    /// Adds the samples of a batch; one without samples changes nothing.
    ///
    /// # Errors
    /// [`Error::Shape`] if the batch has another dimension or number of classes,
    /// [`Error::OutOfRange`] naming a number that is not finite or too large; the sums are then as
    /// they were.
    pub fn accumulate<T: Scalar>(&mut self, batch: &LabeledFeatures<'_, T>) -> Result<()> {
        self.accumulate_with_losses(batch, None)
    }

    /// The same with what each sample contributes to the data term of the loss, where there is one.
    pub(crate) fn accumulate_with_losses<T: Scalar>(
        &mut self,
        batch: &LabeledFeatures<'_, T>,
        losses: Option<&[f64]>,
    ) -> Result<()> {
        self.deviations.means().check_shape(batch)?;
        batch.features().check()?;
        let samples = batch.labels().len();
        if let Some(losses) = losses.filter(|losses| losses.len() != samples) {
            return Err(Error::length("losses", losses.len(), samples, "one for each sample"));
        }
        let mut losses = losses.map(|losses| losses.iter());
        for chunk in batch.chunks() {
            let columns = self.deviations.of(&chunk)?;
            let projected: Vec<_> =
                self.directions.iter_mut().map(|directions| directions.add(&columns)).collect();
            for (index, (&class, column)) in
                chunk.labels().iter().zip(columns.column_iter()).enumerate()
            {
                let next = self.counts[class] % self.parts.len() as u64;
                let part = &mut self.parts[next as usize];
                let classes = self.counts.len();
                self.counts[class] += 1;
                part.counts[class] += 1;
                let dimension = column.len();
                let sums = &mut part.sums[class * dimension..][..dimension];
                vectorized(
                    #[inline(always)]
                    || sums.iter_mut().zip(&column).for_each(|(sum, entry)| *sum += entry),
                );
                part.squares[class] += sum_of_squares(column.as_slice());
                let places = part.projected.iter_mut().skip(class).step_by(classes);
                places.zip(&projected).for_each(|(sum, squares)| *sum += squares[index]);
                if let Some(loss) = losses.as_mut().and_then(Iterator::next) {
                    part.losses[class] += loss;
                }
            }
        }
        Ok(())
    }

    /// Adds the samples of others, as if they came after these.
    ///
    /// # Errors
    /// [`Error::DifferentFirstPass`] if they are for other class means or other directions.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.merge_part(&other.part())
    }

    /// What has been added up so far: what the workers of a cluster send back.
    #[must_use]
    pub fn part(&self) -> SamplePart {
        SamplePart {
            version: Version,
            fingerprint: self.fingerprint(),
            counts: self.counts.clone(),
            parts: self.parts.clone(),
            images: self.images().copied().collect(),
        }
    }

    /// Adds what others have added up, as if it came after these.
    ///
    /// # Errors
    /// As [`merge`](Self::merge).
    pub fn merge_part(&mut self, other: &SamplePart) -> Result<()> {
        if !self.fits(other) {
            return Err(Error::DifferentFirstPass);
        }
        let number = self.parts.len();
        for class in 0..self.counts.len() {
            let shift = (self.counts[class] % number as u64) as usize;
            for (index, theirs) in other.parts.iter().enumerate() {
                self.parts[(index + shift) % number].add(theirs, class);
            }
            self.counts[class] = self.counts[class].saturating_add(other.counts[class]);
        }
        let images = self.directions.iter_mut().flat_map(|directions| directions.image.iter_mut());
        images.zip(&other.images).for_each(|(own, other)| *own += other);
        Ok(())
    }

    /// Whether a part is of the same first pass and options.
    pub(crate) fn fits(&self, other: &SamplePart) -> bool {
        let classes = self.counts.len();
        let is_whole = |(own, part): (&Part, &Part)| {
            part.sums.len() == own.sums.len()
                && part.projected.len() == own.projected.len()
                && [part.counts.len(), part.squares.len(), part.losses.len()] == [classes; 3]
        };
        other.fingerprint == self.fingerprint()
            && other.counts.len() == classes
            && other.parts.len() == self.parts.len()
            && other.images.len() == self.images().count()
            && self.parts.iter().zip(&other.parts).all(is_whole)
    }

    fn fingerprint(&self) -> u64 {
        let start = Fingerprint::new().words([self.means().fingerprint()]);
        self.directions.iter().fold(start, |all, one| one.fingerprint(all)).value()
    }

    fn images(&self) -> impl Iterator<Item = &f64> {
        self.directions.iter().flat_map(|directions| directions.image.iter())
    }

    /// Number of parts.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    pub(crate) fn means(&self) -> &ClassMeans {
        self.deviations.means()
    }

    /// What deviations are divided by.
    pub(crate) fn scale(&self) -> f64 {
        self.deviations.scale()
    }

    pub(super) fn directions(&self) -> &[Nc1Directions] {
        &self.directions
    }

    pub(crate) fn sums(&self) -> &[Part] {
        &self.parts
    }

    /// By what the deviations of the sums are to be multiplied: √c_k with c_k = 1/(1 − Σ_p n_kp²/n_k²), as the sums
    /// over all parts are zero and not independent. `None` if all samples of a class are in one part.
    ///
    /// # Errors
    /// [`Error::SecondPass`] if a class has not had as many samples as in the statistics.
    pub(crate) fn corrections(&self) -> Result<Option<Vec<f64>>> {
        check_second_pass(self.means().counts(), &self.counts)?;
        let correction = |class: usize| {
            let share = |part: &Part| part.counts[class] as f64 / self.counts[class] as f64;
            let rest = 1.0 - self.parts.iter().map(|part| share(part).powi(2)).sum::<f64>();
            (rest > 1e-9).then(|| rest.recip().sqrt())
        };
        Ok((0..self.counts.len()).map(correction).collect())
    }

    /// For each part a matrix E_p (d×K), by which the class means are moved: with ε the errors of the class means,
    /// Σ_p vec E_p vec E_pᵀ is an unbiased estimate of the covariance of vec ε, so that Σ_p Q(E_p) is one of the mean
    /// of Q(ε) for every quadratic form Q. In units of the scale.
    pub(crate) fn moves(&self) -> Result<Option<Vec<DMatrix<f64>>>> {
        let Some(corrections) = self.corrections()? else { return Ok(None) };
        let moved = |part: &Part| {
            let (dimension, classes) = self.means().shape();
            let mut sums = DMatrix::from_column_slice(dimension, classes, &part.sums);
            for (class, mut column) in sums.column_iter_mut().enumerate() {
                column *= corrections[class] / self.counts[class] as f64;
            }
            sums
        };
        Ok(Some(self.parts.iter().map(moved).collect()))
    }

    /// Subtracts the weighted mean of the columns of such a matrix, as class means are centered.
    pub(crate) fn center(&self, moves: &mut DMatrix<f64>) {
        subtract_center(moves, self.means().counts(), Center::Samples);
    }
}

impl PartialEq for SampleParts {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint() == other.fingerprint()
            && self.parts == other.parts
            && self.images().eq(other.images())
    }
}

impl Part {
    /// Adds the sums of a class.
    fn add(&mut self, other: &Self, class: usize) {
        self.counts[class] = self.counts[class].saturating_add(other.counts[class]);
        let dimension = self.sums.len() / self.counts.len();
        let own = self.sums.iter_mut().zip(&other.sums).skip(class * dimension).take(dimension);
        own.for_each(|(own, other)| *own += other);
        self.squares[class] += other.squares[class];
        self.losses[class] += other.losses[class];
        let classes = self.counts.len();
        let projected = self.projected.iter_mut().zip(&other.projected);
        projected.skip(class).step_by(classes).for_each(|(own, other)| *own += other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::features::Features;
    use nalgebra::dmatrix;

    fn whole(losses: Option<&[f64]>) -> SampleParts {
        let rows = dmatrix![1.1, 0.0; 0.9, 0.1; -1.0, 0.3; -1.0, -0.3; 0.0, 2.0; 0.0, 2.2];
        let data = Features::from_sample_rows(&rows).unwrap();
        let data = data.with_labels(&[0, 0, 1, 1, 2, 2], 3).unwrap();
        let statistics = ClassStatistics::new(&data).unwrap();
        let mut parts = SampleParts::new(&statistics, &Nc1Options::default()).unwrap();
        parts.accumulate_with_losses(&data, losses).unwrap();
        parts
    }

    /// Every list of a part has the length of one's own.
    #[test]
    fn a_part_of_other_lengths_is_refused() {
        let own = whole(None);
        assert!(own.fits(&own.part()));
        let changes: [fn(&mut SamplePart); 9] = [
            |part| part.fingerprint += 1,
            |part| part.counts.push(0),
            |part| part.images.push(0.0),
            |part| part.parts.truncate(63),
            |part| part.parts[63].sums.push(0.0),
            |part| part.parts[63].projected.push(0.0),
            |part| part.parts[63].counts.push(0),
            |part| part.parts[63].squares.push(0.0),
            |part| part.parts[63].losses.push(0.0),
        ];
        for (index, change) in changes.iter().enumerate() {
            let (mut merged, mut part) = (own.clone(), own.part());
            change(&mut part);
            assert_eq!(merged.merge_part(&part), Err(Error::DifferentFirstPass), "{index}");
            assert_eq!(merged, own);
        }
    }

    #[test]
    fn equal_are_those_of_equal_sums() {
        let own = whole(None);
        assert_eq!(own, whole(Some(&[0.0; 6])));
        assert_ne!(own, whole(Some(&[1.0; 6])));
        let mut other = own.clone();
        other.directions[0].image[(0, 0)] += 1.0;
        assert_ne!(own, other);
    }

    #[test]
    fn losses_are_of_all_samples() {
        let features = dmatrix![1.0, 0.0; 0.0, 1.0; 2.0, 0.0];
        let data = Features::from_sample_rows(&features).unwrap();
        let data = data.with_labels(&[0, 1, 2], 3).unwrap();
        let mut parts = whole(None);
        let before = parts.clone();
        for losses in [&[1.0; 2][..], &[1.0; 4]] {
            let error = parts.accumulate_with_losses(&data, Some(losses)).unwrap_err();
            assert!(error.to_string().starts_with("`losses` has shape"), "{error}");
            assert_eq!(parts, before);
        }
    }

    #[test]
    fn directions_come_before_samples() {
        let late = whole(None).with_nc1(Metric::Nc1Resolved, &Nc1Options::default());
        let expected = Error::SecondPass { class: 0, found: 2, expected: 0 };
        assert_eq!(late.map(|_| ()), Err(expected));
    }
}
