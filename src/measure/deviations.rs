//! The deviations of samples from the means of their classes.

use std::ops::Range;

use nalgebra::DMatrix;

use crate::error::{Error, Result, check_shape};
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::statistics::ClassStatistics;
use crate::numerics::linalg::{add_gram, zeros};
use crate::numerics::scalar::Scalar;
use crate::numerics::simd::vectorised;

/// Σ_W = 1/N ΣₖΣᵢ (h_ki − h_k)(h_ki − h_k)ᵀ, d×d: the covariance of the samples around the means of
/// their classes, which are taken from `statistics`.
///
/// The metrics do not need this matrix; it takes d² numbers and N·d² multiplications.
///
/// # Errors
/// [`Error::Shape`] if `statistics` are of another shape, [`Error::EmptyClass`] if a class has no
/// mean, [`Error::Empty`] without samples, [`Error::OutOfRange`] if d² numbers do not fit in memory.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::{ClassStatistics, Features};
/// use neural_collapse::measure::within_class_covariance;
///
/// let rows = dmatrix![1.0, 0.0; 3.0, 0.0; 0.0, 5.0; 0.0, 5.0];
/// let data = Features::from_sample_rows(&rows)?.with_labels(&[0, 0, 1, 1], 2)?;
/// let statistics = ClassStatistics::new(&data)?;
/// assert_eq!(within_class_covariance(&data, &statistics)?, dmatrix![0.5, 0.0; 0.0, 0.0]);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
pub fn within_class_covariance<T: Scalar>(
    data: &LabeledFeatures<'_, T>,
    statistics: &ClassStatistics,
) -> Result<DMatrix<f64>> {
    let mut scatter = WithinScatter::new(statistics.class_means()?)?;
    scatter.accumulate(data)?;
    match data.features().samples() {
        0 => Err(Error::Empty { argument: "features" }),
        samples => Ok(scatter.matrix() / samples as f64),
    }
}

/// ΣₖΣᵢ (h_ki − h_k)(h_ki − h_k)ᵀ, d×d, for class means that are known.
#[derive(Debug, Clone)]
pub(crate) struct WithinScatter {
    deviations: Deviations,
    /// Only the lower triangle.
    sum: DMatrix<f64>,
}

impl WithinScatter {
    pub(crate) fn new(class_means: DMatrix<f64>) -> Result<Self> {
        let dimension = class_means.nrows();
        let sum = zeros("dimension²", dimension, dimension)?;
        Ok(Self { deviations: Deviations { class_means, scale: 1.0 }, sum })
    }

    /// Adds the samples of a batch; those before one that is refused have been added.
    pub(crate) fn accumulate<T: Scalar>(&mut self, batch: &LabeledFeatures<'_, T>) -> Result<()> {
        self.deviations.check_shape(batch)?;
        for chunk in batch.chunks() {
            add_gram(&mut self.sum, &self.deviations.of(&chunk)?);
        }
        Ok(())
    }

    pub(crate) fn class_means(&self) -> &DMatrix<f64> {
        self.deviations.class_means()
    }

    pub(crate) fn matrix(&self) -> DMatrix<f64> {
        let mut matrix = self.sum.clone();
        matrix.fill_upper_triangle_with_lower_triangle();
        matrix
    }
}

/// The deviations h_ki − h_k of samples from the means of their classes, divided by a scale.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Deviations {
    class_means: DMatrix<f64>,
    scale: f64,
}

impl Deviations {
    pub(crate) fn new(statistics: &ClassStatistics, scale: f64) -> Result<Self> {
        Ok(Self { class_means: statistics.class_means()?, scale })
    }

    /// Numbers of features and classes.
    pub(crate) fn shape(&self) -> (usize, usize) {
        self.class_means.shape()
    }

    pub(crate) fn class_means(&self) -> &DMatrix<f64> {
        &self.class_means
    }

    pub(crate) fn scale(&self) -> f64 {
        self.scale
    }

    /// Refuses features of another shape.
    pub(crate) fn check_shape<T: Scalar>(&self, data: &LabeledFeatures<'_, T>) -> Result<()> {
        let found = (data.features().dimension(), data.classes());
        check_shape(
            "features",
            found,
            self.class_means.shape(),
            "features × classes of the statistics",
        )
    }

    /// The deviations of the samples of a chunk, d×B.
    pub(crate) fn of<T: Scalar>(&self, chunk: &LabeledFeatures<'_, T>) -> Result<DMatrix<f64>> {
        chunk.columns(|index, sample, out| self.write(out, sample, chunk.labels()[index]))
    }

    /// Fills the columns of a d×B block with the deviations of a range of samples, subtracted in `f64`
    /// and then rounded, so that small deviations keep all their digits.
    pub(crate) fn fill_block<T: Scalar, U: Scalar>(
        &self,
        data: &LabeledFeatures<'_, T>,
        range: Range<usize>,
        block: &mut DMatrix<U>,
    ) -> Result<()> {
        let (first, dimension) = (range.start, self.class_means.nrows());
        if block.shape() != (dimension, range.len()) {
            *block = DMatrix::zeros(dimension, range.len());
        }
        let out = block.as_mut_slice();
        data.for_each_sample_by_class(range, |index, sample| {
            let out = &mut out[(index - first) * dimension..][..dimension];
            self.write(out, sample, data.labels()[index]);
        })
    }

    /// Writes the deviation of a sample of a class.
    fn write<T: Scalar, U: Scalar>(&self, out: &mut [U], sample: &[T], class: usize) {
        let (dimension, factor) = (self.class_means.nrows(), self.scale.recip());
        let mean = &self.class_means.as_slice()[class * dimension..][..dimension];
        vectorised(
            #[inline(always)]
            || subtract(out, sample, mean, factor),
        );
    }
}

/// (sample − mean) · factor.
#[inline(always)]
fn subtract<T: Scalar, U: Scalar>(out: &mut [U], sample: &[T], mean: &[f64], factor: f64) {
    for ((out, &feature), mean) in out.iter_mut().zip(sample).zip(mean) {
        *out = U::rounded((feature.into() - mean) * factor);
    }
}
