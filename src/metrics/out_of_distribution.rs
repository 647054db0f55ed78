//! Neural collapse and samples of no class: NC5, and scores that tell such samples.

use nalgebra::{DMatrix, DVector};

use crate::error::{Error, Result, check_not_negative, check_shape};
use crate::measure::center::Center;
use crate::measure::class_vectors::ClassVectors;
use crate::measure::features::Features;
use crate::measure::pooled::PooledScatter;
use crate::measure::statistics::ClassStatistics;
use crate::numerics::linalg::{
    Block, check_finite, left_svd, product, symmetric_eigen, transposed,
};
use crate::numerics::scalar::{Scalar, to_f64};
use crate::numerics::squares::norm;
use crate::problem::head::LinearHead;

/// NC5: the class means are at right angles to the mean of samples out of distribution,
///
/// ```math
/// NC5 = Avgₖ |⟨h_k, h_out⟩| / (‖h_k‖ ‖h_out‖),
/// ```
///
/// between 0 and 1. The source does not center: `class_means` are
/// [`ClassStatistics::class_means`](crate::ClassStatistics::class_means) and `outside_mean` h_out is the mean of the features of
/// the other samples. If both are centered at one mean, the number is another one. Independent random directions in d
/// dimensions give √(2/(πd)).
///
/// # Errors
/// [`Error::Shape`] if the mean has another dimension, [`Error::OutOfRange`] if an entry is not finite,
/// [`Error::ZeroVector`] for a class mean of zero, [`Error::ZeroNorm`] if `outside_mean` is zero.
///
/// ```
/// use nalgebra::{dmatrix, dvector};
/// use neural_collapse::measure::ClassVectors;
/// use neural_collapse::metrics::nc5;
///
/// let means = dmatrix![2.0, 0.0; 0.0, 1.0; 0.0, 0.0];
/// let means = ClassVectors::columns(&means)?;
/// assert_eq!(nc5(&means, &dvector![0.0, 0.0, -3.0])?, 0.0);
/// assert!((nc5(&means, &dvector![0.0, -4.0, 3.0])? - 0.4).abs() < 1e-15);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Ammar et al., *NECO: NEural Collapse Based Out-of-distribution detection* (ICLR 2024).
pub fn nc5(class_means: &ClassVectors<'_>, outside_mean: &DVector<f64>) -> Result<f64> {
    let expected = (class_means.dimension(), 1);
    check_shape("outside_mean", outside_mean.shape(), expected, "one number for each feature")?;
    check_finite("outside_mean", outside_mean)?;
    let largest = outside_mean.amax();
    if largest == 0.0 {
        return Err(Error::ZeroNorm { argument: "outside_mean" });
    }
    let outside = (outside_mean / largest).normalize();
    let norms = class_means.positive_norms()?;
    let cosines = class_means.blocks().map(|range| {
        let directions = class_means.directions(range, &norms);
        directions.column_iter().map(|u| u.dot(&outside).abs()).sum::<f64>()
    });
    Ok((cosines.sum::<f64>() / class_means.classes() as f64).min(1.0))
}

/// The NECO score of a sample: how much of its feature lies in the directions in which the features of known classes
/// vary,
///
/// ```math
/// ‖P(h − h_G)‖ / ‖h − h_G‖,
/// ```
///
/// between 0 and 1, with P the orthogonal projection onto the first r principal directions of the features of known
/// classes and h_G their mean. In a collapsed network known samples have a score near 1 for r = K − 1. Samples out of
/// distribution have a lower one, √(r/d) if they have any direction.
///
/// The released code divides each feature by its standard deviation first: scale the features to get the same.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::metrics::Neco;
/// use neural_collapse::{ClassStatistics, Features};
///
/// let rows = dmatrix![1.0, 0.1; 1.0, -0.1; -1.0, 0.1; -1.0, -0.1];
/// let known = Features::from_sample_rows(&rows)?.with_labels(&[0, 0, 1, 1], 2)?;
/// let neco = Neco::of_class_means(&ClassStatistics::new(&known)?)?;
/// let samples = dmatrix![2.0, 0.0; 0.0, 3.0; 3.0, 4.0];
/// let scores = neco.scores(&Features::from_sample_rows(&samples)?)?;
/// assert!((scores[0].unwrap() - 1.0).abs() < 1e-15 && scores[1].unwrap() < 1e-15);
/// assert!((scores[2].unwrap() - 0.6).abs() < 1e-15);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Ammar et al., *NECO* (ICLR 2024), (6).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "stored::Stored", into = "stored::Stored"))]
pub struct Neco {
    mean: DVector<f64>,
    /// Orthonormal columns.
    directions: DMatrix<f64>,
}

impl Neco {
    /// With the first r = `rank` principal directions of all samples of known classes, as in the source.
    ///
    /// # Errors
    /// [`Error::EmptyClass`] for a class without samples, [`Error::OutOfRange`] unless 1 ≤ r ≤ d.
    pub fn new(known: &PooledScatter, rank: usize) -> Result<Self> {
        let statistics = known.statistics();
        let dimension = statistics.dimension();
        if rank == 0 || rank > dimension {
            let expected = "between 1 and the number of features";
            return Err(Error::out_of_range("rank", rank as f64, expected));
        }
        let samples = statistics.samples() as f64;
        let mut between = statistics.centered_means(Center::Samples)?;
        for (mut column, &count) in between.column_iter_mut().zip(statistics.counts()) {
            column *= (count as f64 / samples).sqrt();
        }
        let covariance =
            known.within_class_covariance()? + product(&between, &transposed(&between));
        let vectors = symmetric_eigen(&covariance)?.vectors;
        Ok(Self {
            mean: statistics.center(Center::Samples)?,
            directions: vectors.columns_range(..rank).into_owned(),
        })
    }

    /// With the directions in which class means differ, which are the principal ones once the network has collapsed.
    ///
    /// # Errors
    /// [`Error::EmptyClass`] for a class without samples, [`Error::ZeroNorm`] if all class means are equal.
    pub fn of_class_means(statistics: &ClassStatistics) -> Result<Self> {
        let means = statistics.centered_means(Center::Samples)?;
        let svd = left_svd(&means)?;
        let cutoff = svd.singular_values.max() * 1e-6;
        let rank = svd.singular_values.iter().filter(|&&value| value > cutoff).count();
        if rank == 0 {
            return Err(Error::ZeroNorm { argument: "differences between the class means" });
        }
        Ok(Self {
            mean: statistics.center(Center::Samples)?,
            directions: svd.u.columns_range(..rank).into_owned(),
        })
    }

    /// The number of directions r.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.directions.ncols()
    }

    /// The score of every sample; `None` for one that is the mean of the known ones.
    ///
    /// # Errors
    /// [`Error::Shape`] if the samples have another dimension, [`Error::OutOfRange`] naming a number that is not finite or
    /// too large.
    pub fn scores<T: Scalar>(&self, samples: &Features<'_, T>) -> Result<Vec<Option<f64>>> {
        let deviations = Deviations { mean: &self.mean, samples };
        let mut scores = Vec::with_capacity(samples.samples());
        deviations.for_each_block(|block, norms| {
            let inside = product(&transposed(&self.directions), block);
            let shares = inside.column_iter().zip(norms);
            scores.extend(
                shares.map(|(inside, &norm)| (norm > 0.0).then(|| (inside.norm() / norm).min(1.0))),
            );
        })?;
        Ok(scores)
    }
}

/// The NCI score of a sample: how well its feature is aligned with the classifier's row of the class that it is decided
/// for, and how large it is,
///
/// ```math
/// ⟨w_c, h − h_G⟩/‖h − h_G‖ + α ‖h‖₁,    c = argmaxₖ (W h + b)ₖ,
/// ```
///
/// with W = W_M⋯W₁ and h_G the mean of the features of known classes. In a collapsed network known samples are aligned;
/// samples out of distribution have lower scores. `None` for a sample at h_G.
///
/// # Errors
/// [`Error::Shape`] if head, statistics and samples do not fit together, [`Error::EmptyClass`] for a class without
/// samples, [`Error::OutOfRange`] if `alpha` is negative or not finite, or naming a number that is not finite or too large.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::metrics::nci_scores;
/// use neural_collapse::{ClassStatistics, Features, LinearHead};
///
/// let rows = dmatrix![1.0, 0.1; 1.0, -0.1; -1.0, 0.1; -1.0, -0.1];
/// let known = Features::from_sample_rows(&rows)?.with_labels(&[0, 0, 1, 1], 2)?;
/// let head = LinearHead::new(vec![dmatrix![2.0, 0.0; -2.0, 0.0]], None)?;
/// let samples = dmatrix![2.0, 0.0; 3.0, 4.0];
/// let samples = Features::from_sample_rows(&samples)?;
/// let scores = nci_scores(&samples, &ClassStatistics::new(&known)?, &head, 0.1)?;
/// assert!((scores[0].unwrap() - 2.2).abs() < 1e-15);
/// assert!((scores[1].unwrap() - (2.0 * 0.6 + 0.7)).abs() < 1e-15);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Liu & Qin, *Detecting Out-of-Distribution through the Lens of Neural Collapse* (CVPR 2025).
pub fn nci_scores<T: Scalar>(
    samples: &Features<'_, T>,
    known: &ClassStatistics,
    head: &LinearHead,
    alpha: f64,
) -> Result<Vec<Option<f64>>> {
    check_not_negative("alpha", alpha)?;
    head.check_shape("known", known.dimension(), known.classes())?;
    let (weights, mean) = (head.product()?, known.center(Center::Samples)?);
    let mut outputs_of_mean = &weights * &mean;
    outputs_of_mean += head.bias().cloned().unwrap_or_else(|| DVector::zeros(head.classes()));
    let mut scores = Vec::with_capacity(samples.samples());
    let deviations = Deviations { mean: &mean, samples };
    deviations.for_each_block(|block, norms| {
        let products = product(&weights, block);
        for ((product, deviation), &norm) in products.column_iter().zip(block.columns()).zip(norms)
        {
            let decided = (product + &outputs_of_mean).argmax().0;
            let size: f64 = deviation.iter().zip(&mean).map(|(x, mean)| (x + mean).abs()).sum();
            scores.push((norm > 0.0).then(|| product[decided] / norm + alpha * size));
        }
    })?;
    match scores.iter().flatten().all(|score| score.is_finite()) {
        true => Ok(scores),
        false => Err(Error::Unrepresentable { quantity: "a score", log10: f64::INFINITY }),
    }
}

/// Samples less a mean.
struct Deviations<'a, 'b, T: Scalar> {
    mean: &'a DVector<f64>,
    samples: &'a Features<'b, T>,
}

impl<T: Scalar> Deviations<'_, '_, T> {
    /// Calls `visit` with blocks of them as columns, and their lengths.
    fn for_each_block(&self, mut visit: impl FnMut(&Block<f64>, &[f64])) -> Result<()> {
        let found = (self.samples.dimension(), self.samples.samples());
        let expected = (self.mean.len(), self.samples.samples());
        check_shape("samples", found, expected, "features × samples")?;
        self.samples.check()?;
        let mut block = Block::new();
        for range in self.samples.blocks() {
            let write = |_: usize, sample: &[T], out: &mut [f64]| {
                to_f64(sample, out);
                out.iter_mut().zip(self.mean).for_each(|(out, mean)| *out -= mean);
            };
            self.samples.fill_block(range, &mut block, write)?;
            let norms: Vec<f64> = block.columns().map(norm).collect();
            visit(&block, &norms);
        }
        Ok(())
    }
}

#[cfg(feature = "serde")]
mod stored {
    use nalgebra::{DMatrix, DVector};

    use super::Neco;
    use crate::error::{Error, Result, check_shape};
    use crate::geometry::frame::check_orthonormal;
    use crate::numerics::linalg::check_finite;

    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(rename = "Neco", deny_unknown_fields)]
    pub(super) struct Stored {
        mean: Vec<f64>,
        #[serde(
            serialize_with = "crate::numerics::stored::write",
            deserialize_with = "crate::numerics::stored::read"
        )]
        directions: DMatrix<f64>,
    }

    impl From<Neco> for Stored {
        fn from(neco: Neco) -> Self {
            Self { mean: neco.mean.as_slice().to_vec(), directions: neco.directions }
        }
    }

    impl TryFrom<Stored> for Neco {
        type Error = Error;

        fn try_from(stored: Stored) -> Result<Self> {
            let (mean, directions) = (DVector::from_vec(stored.mean), stored.directions);
            let (dimension, rank) = (mean.len(), directions.ncols());
            check_finite("mean", &mean)?;
            check_shape("directions", directions.shape(), (dimension, rank.max(1)), "d × rank")?;
            check_orthonormal("directions", None, &directions)?;
            Ok(Self { mean, directions })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::{dmatrix, dvector};

    /// Cosines of 0 and −4/5 at every magnitude.
    #[test]
    fn nc5_knows_no_scale() {
        let means = dmatrix![2.0, 0.0; 0.0, 1.0; 0.0, 0.0];
        let means = ClassVectors::columns(&means).unwrap();
        for scale in [1e-300, 1e-160, 1.0, 1e160, 1e300] {
            let found = nc5(&means, &(dvector![0.0, -4.0, 3.0] * scale)).unwrap();
            assert!((found - 0.4).abs() < 1e-15, "{scale}: {found}");
        }
    }
}
