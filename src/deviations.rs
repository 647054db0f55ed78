//! The deviations of samples from the means of their classes.

use std::ops::Range;

use nalgebra::DMatrix;

use crate::error::{Error, Result, check_shape};
use crate::features::{LabeledFeatures, Scalar};
use crate::linalg::{gram, zeros};
use crate::simd::vectorised;
use crate::statistics::ClassStatistics;

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
/// use neural_collapse::{ClassStatistics, Features, within_class_covariance};
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
    let dimension = data.features().dimension();
    let mut scatter = zeros("dimension²", dimension, dimension)?;
    if data.features().samples() == 0 {
        return Err(Error::Empty { argument: "features" });
    }
    let deviations = Deviations::new(statistics, 1.0)?;
    deviations.check_shape(data)?;
    let mut block = DMatrix::<f64>::zeros(0, 0);
    for range in data.features().blocks() {
        deviations.fill_block(data, range, &mut block);
        scatter += gram(&block);
    }
    Ok(scatter / data.features().samples() as f64)
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
        check_shape("features", found, self.class_means.shape(), "statistics")
    }

    /// Fills the columns of a d×B block with the deviations of a range of samples, subtracted in `f64`
    /// and then rounded, so that small deviations keep all their digits.
    pub(crate) fn fill_block<T: Scalar, U: Scalar>(
        &self,
        data: &LabeledFeatures<'_, T>,
        range: Range<usize>,
        block: &mut DMatrix<U>,
    ) {
        let (dimension, factor) = (self.class_means.nrows(), self.scale.recip());
        data.features().fill_block(range, block, |index, sample, out| {
            let class = data.labels()[index];
            let mean = &self.class_means.as_slice()[class * dimension..][..dimension];
            vectorised(
                #[inline(always)]
                || subtract(out, sample, mean, factor),
            );
        });
    }
}

/// (sample − mean) · factor.
#[inline(always)]
fn subtract<T: Scalar, U: Scalar>(out: &mut [U], sample: &[T], mean: &[f64], factor: f64) {
    for ((out, &feature), mean) in out.iter_mut().zip(sample).zip(mean) {
        *out = U::rounded((feature.into() - mean) * factor);
    }
}
