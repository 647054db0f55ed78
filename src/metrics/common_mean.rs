//! Samples around the mean of all of them: the directions in which they differ, chunk by chunk and without a copy.

use std::sync::Arc;

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::measure::class_means::ClassMeans;
use crate::measure::deviations::Deviations;
use crate::measure::features::{Features, ranges};
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::pooled::PooledScatter;
use crate::measure::statistics::ClassStatistics;
use crate::monitor::Monitor;
use crate::numerics::linalg::{
    Operand, add_product, left_svd, orthonormal_columns, power_of_two, product, symmetric_eigen,
    transposed, zeros,
};
use crate::numerics::scalar::Scalar;

/// Eigenvalues below this share of the largest one are looked for again in what the others leave: they are squares, so that
/// of singular values this is a share of 10⁻⁴, with twelve digits.
const RESOLVED: f64 = 1e-8;

/// What is left of the samples below this share of their size is rounding.
const ROUNDING: f64 = 1e-15;

/// Samples whose deviations, and products of them of the same size, are in memory at a time.
const SAMPLES: usize = 256;

/// Samples as one class, with its mean.
pub(super) struct CommonMean<'a, T: Scalar> {
    data: LabeledFeatures<'a, T>,
    means: Arc<ClassMeans>,
}

impl<'a, T: Scalar> CommonMean<'a, T> {
    /// All samples, with as many zeros for labels.
    pub(super) fn new(
        features: &Features<'a, T>,
        labels: &'a [usize],
        monitor: &dyn Monitor,
    ) -> Result<Self> {
        if features.samples() == 0 {
            return Err(Error::Empty { argument: "features" });
        }
        let data = features.with_labels(labels, 1)?;
        let mut statistics = ClassStatistics::empty(features.dimension(), 1)?;
        data.watched_chunks("mean of the features", monitor, |chunk| statistics.accumulate(chunk))?;
        Ok(Self { means: statistics.shared_means()?, data })
    }

    /// The samples less their mean.
    fn deviations(&self) -> Deviations {
        Deviations::new(Arc::clone(&self.means), 1.0)
    }

    /// An orthonormal basis of the directions in which the samples vary most, by falling variance: as many as asked for,
    /// or all if there are less.
    pub(super) fn principal_directions(
        &self,
        number: usize,
        monitor: &dyn Monitor,
    ) -> Result<DMatrix<f64>> {
        match self.data.features().dimension() <= self.data.labels().len() {
            true => self.of_covariance(number, monitor),
            false => self.of_few_samples(number, monitor),
        }
    }

    /// The eigenvectors of the covariance, d×d.
    fn of_covariance(&self, number: usize, monitor: &dyn Monitor) -> Result<DMatrix<f64>> {
        let mut sums = PooledScatter::empty(self.data.features().dimension(), 1)?;
        self.data.watched_chunks("covariance", monitor, |chunk| sums.accumulate(chunk))?;
        Ok(symmetric_eigen(&sums.scatter)?.vectors.columns_range(..number).into_owned())
    }

    /// The same by the Gram matrix of fewer samples than features, N×N. Its eigenvalues are squares of singular values, so
    /// that small ones are lost in rounding: these are found in what the directions of the large ones leave.
    fn of_few_samples(&self, number: usize, monitor: &dyn Monitor) -> Result<DMatrix<f64>> {
        let dimension = self.data.features().dimension();
        let mut basis = zeros("dimension", dimension, 0)?;
        let mut all = None;
        while basis.ncols() < number {
            let (gram, unit) = self.gram(&basis, monitor)?;
            let eigen = symmetric_eigen(&gram)?;
            let largest = eigen.values.max();
            let size = unit * largest.max(0.0).sqrt();
            if size <= ROUNDING * *all.get_or_insert(size) {
                break;
            }
            let resolved = eigen.values.iter().filter(|&&value| value > RESOLVED * largest).count();
            let found = resolved.min(number - basis.ncols());
            let vectors = eigen.vectors.columns_range(..found).into_owned();
            let mut directions = left_svd(&self.combined(&basis, &vectors, unit)?)?.u;
            // Next to large directions that were taken away, what is left of small ones is not quite orthogonal to them. A
            // QR decomposition keeps the order.
            subtract_inside(&mut directions, &basis);
            basis = appended(&basis, &orthonormal_columns(directions));
        }
        Ok(basis)
    }

    /// The deviations of a chunk, in a unit, less their part in the span of a basis.
    fn remainder(
        &self,
        chunk: &LabeledFeatures<'_, T>,
        basis: &DMatrix<f64>,
        unit: f64,
    ) -> Result<DMatrix<f64>> {
        let mut rest = self.deviations().of(chunk)? / unit;
        subtract_inside(&mut rest, basis);
        Ok(rest)
    }

    /// The lower triangle of the Gram matrix of what a basis leaves of the deviations, N×N, in squares of a unit.
    fn gram(&self, basis: &DMatrix<f64>, monitor: &dyn Monitor) -> Result<(DMatrix<f64>, f64)> {
        let samples = self.data.labels().len();
        let chunks: Vec<_> = self.data.chunks().collect();
        let mut unit = f64::MIN_POSITIVE;
        for chunk in &chunks {
            let rest = self.remainder(chunk, basis, 1.0)?;
            if rest.amax() > 0.0 {
                unit = unit.max(power_of_two(&rest));
            }
        }
        let mut gram = zeros("samples", samples, samples)?;
        let mut row = 0;
        for (index, chunk) in chunks.iter().enumerate() {
            let rows = self.remainder(chunk, basis, unit)?;
            let mut column = 0;
            for other in &chunks[..=index] {
                let columns = self.remainder(other, basis, unit)?;
                let products = product(&transposed(&rows), &columns);
                gram.view_mut((row, column), products.shape()).copy_from(&products);
                column += columns.ncols();
            }
            row += rows.ncols();
            monitor.report("products of samples", row as u64, Some(samples as u64))?;
        }
        Ok((gram, unit))
    }

    /// The sums of what a basis leaves of the deviations with the coefficients of the columns of an N×n matrix: d×n.
    fn combined(
        &self,
        basis: &DMatrix<f64>,
        coefficients: &DMatrix<f64>,
        unit: f64,
    ) -> Result<DMatrix<f64>> {
        let mut sums = DMatrix::zeros(basis.nrows(), coefficients.ncols());
        let mut first = 0;
        for chunk in self.data.chunks() {
            let rest = self.remainder(&chunk, basis, unit)?;
            add_product(
                &mut sums,
                1.0,
                &rest,
                &coefficients.strided().rows(first..first + rest.ncols()),
            );
            first += rest.ncols();
        }
        Ok(sums)
    }

    /// A power of two at the size of the deviations.
    pub(super) fn unit(&self, monitor: &dyn Monitor) -> Result<f64> {
        let mut largest: f64 = 0.0;
        self.for_each_chunk(1.0, monitor, |deviations| largest = largest.max(deviations.amax()))?;
        match largest > 0.0 {
            true => Ok(power_of_two(&DMatrix::from_element(1, 1, largest))),
            false => Err(Error::ZeroNorm { argument: "differences between the samples" }),
        }
    }

    /// Calls `visit` with the deviations of the samples in a unit, d×B for some [`SAMPLES`] at a time, in their order.
    pub(super) fn for_each_chunk(
        &self,
        unit: f64,
        monitor: &dyn Monitor,
        mut visit: impl FnMut(DMatrix<f64>),
    ) -> Result<()> {
        let deviations = Deviations::new(Arc::clone(&self.means), unit);
        self.data.watched_chunks("directions of the samples", monitor, |chunk| {
            for range in ranges(chunk.labels().len(), SAMPLES) {
                visit(deviations.of(&chunk.part(range))?);
            }
            Ok(())
        })
    }

    /// The mean share of the squared length of a deviation that is outside of the span of orthonormal columns.
    pub(super) fn share_outside(&self, basis: &DMatrix<f64>, monitor: &dyn Monitor) -> Result<f64> {
        let mut outside = Outside::default();
        self.for_each_chunk(1.0, monitor, |deviations| outside.add(deviations, basis))?;
        outside.mean().ok_or(Error::ZeroNorm { argument: "differences between the samples" })
    }
}

/// The share of the squared lengths of deviations that is outside of some directions, summed over those that are not zero.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub(crate) struct Outside {
    #[cfg_attr(feature = "serde", serde(with = "crate::measure::written::finite"))]
    shares: f64,
    samples: u64,
}

impl Outside {
    /// Adds deviations, as columns, beside orthonormal columns.
    pub(crate) fn add(&mut self, mut deviations: DMatrix<f64>, basis: &DMatrix<f64>) {
        for mut column in deviations.column_iter_mut() {
            let largest = column.amax();
            if largest > 0.0 {
                column /= largest;
                column.normalize_mut();
                self.samples += 1;
            }
        }
        subtract_inside(&mut deviations, basis);
        self.shares += deviations.norm_squared();
    }

    /// Adds those of others.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.shares += other.shares;
        self.samples = self.samples.saturating_add(other.samples);
    }

    /// The mean; `None` if all deviations are zero.
    pub(crate) fn mean(&self) -> Option<f64> {
        (self.samples > 0).then(|| f64::min(self.shares / self.samples as f64, 1.0))
    }
}

/// Takes the parts in the span of orthonormal columns away.
fn subtract_inside(vectors: &mut DMatrix<f64>, basis: &DMatrix<f64>) {
    let inside = product(&transposed(basis), vectors);
    add_product(vectors, -1.0, basis, &inside);
}

/// The columns of both.
fn appended(basis: &DMatrix<f64>, columns: &DMatrix<f64>) -> DMatrix<f64> {
    let mut both = basis.clone().resize_horizontally(basis.ncols() + columns.ncols(), 0.0);
    both.columns_range_mut(basis.ncols()..).copy_from(columns);
    both
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directions(columns: &DMatrix<f64>, number: usize) -> DMatrix<f64> {
        let features = Features::from_sample_columns(columns).unwrap();
        let labels = vec![0; columns.ncols()];
        let common = CommonMean::new(&features, &labels, &()).unwrap();
        common.principal_directions(number, &()).unwrap()
    }

    /// Pairs of samples along three axes, of very different lengths, at any magnitude: what projections leave is no fourth
    /// direction, and equal samples have none.
    #[test]
    fn there_are_no_directions_of_rounding_errors() {
        let mut columns = DMatrix::zeros(9, 6);
        for (pair, length) in [1.0, 1e-5, 1e-10].into_iter().enumerate() {
            (columns[(pair + 2, 2 * pair)], columns[(pair + 2, 2 * pair + 1)]) = (length, -length);
        }
        for magnitude in [2.0_f64.powi(-300), 1.0, 2.0_f64.powi(300)] {
            let basis = directions(&(&columns * magnitude), 6);
            let found = basis.rows(2, 3).map(f64::abs);
            assert!((found - DMatrix::identity(3, 3)).amax() < 1e-9, "{magnitude}: {basis}");
        }
        assert_eq!(directions(&DMatrix::from_element(9, 6, 0.5), 2).ncols(), 0);
    }

    /// Of fewer samples than features, each with another variance: the first directions are those of the largest.
    #[test]
    fn directions_have_falling_variances() {
        let columns = DMatrix::from_fn(20, 7, |i, j| ((i * i + 5 * j + i * j) as f64).sin());
        let mean = columns.column_mean();
        let mut deviations = columns.clone();
        deviations.column_iter_mut().for_each(|mut column| column -= &mean);
        let variances = directions(&columns, 6)
            .tr_mul(&deviations)
            .row_iter()
            .map(|row| row.norm_squared())
            .collect::<Vec<_>>();
        let expected = deviations.singular_values().map(|value| value * value);
        for (found, expected) in variances.iter().zip(&expected) {
            assert!((found / expected - 1.0).abs() < 1e-12, "{variances:?} {expected:?}");
        }
    }

    /// Two directions of 2·10⁻⁵ and 10⁻⁵ in pairs of samples of one sign, beside a common one of ±1 in all 128 features.
    #[test]
    fn small_directions_are_not_mixed_beside_a_large_one() {
        let mut columns = DMatrix::from_fn(128, 64, |_, j| if j % 2 == 0 { 1.0 } else { -1.0 });
        for (pair, length) in [2e-5, 1e-5].into_iter().enumerate() {
            for (sample, sign) in [(4 * pair, length), (4 * pair + 2, -length)] {
                columns[(2 * pair, sample)] += sign;
                columns[(2 * pair + 1, sample)] -= sign;
            }
        }
        let basis = directions(&columns, 3);
        let half = 0.5_f64.sqrt();
        for (pair, direction) in basis.columns_range(1..).column_iter().enumerate() {
            let along = (direction[2 * pair] - direction[2 * pair + 1]) * half;
            assert!((along.abs() - 1.0).abs() < 1e-15, "{along}");
            let across = direction.norm_squared() - along * along;
            assert!(across.abs() < 1e-14, "{across}");
        }
    }

    /// Chunks of one sample each, of which the second is at the mean; the squares of the others are zero.
    #[test]
    fn samples_at_the_mean_have_no_part_in_the_unit() {
        let mut columns = DMatrix::zeros((1 << 19) + 1, 3);
        (columns[(5, 0)], columns[(5, 2)]) = (3e-200, -3e-200);
        let basis = directions(&columns, 1);
        assert_eq!((basis.ncols(), basis[(5, 0)].abs()), (1, 1.0));
    }
}
