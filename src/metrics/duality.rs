//! Self-duality: classifier and class means point the same way.

use crate::error::{Error, Result};
use crate::measure::class_vectors::ClassVectors;
use crate::numerics::simd::vectorized;
use crate::numerics::squares::sum_of_pairs;

/// NC3 as self-duality: the distance between classifier and class means, each divided by its norm.
///
/// ```math
/// ‖ Wᵀ/‖W‖ − A/‖A‖ ‖    (Frobenius norms)
/// ```
///
/// W (K×d) is the classifier, for a deep head the product of the layers after the features in question, and A (d×K)
/// has the class means as columns, centered in the source
/// ([`ClassStatistics::centered_means`](crate::ClassStatistics::centered_means)). It is a distance, between 0
/// and 2; the source's figure 5 shows its square. Unlike [`nc3`](crate::metrics::nc3) it needs no target, but both
/// have to be in the space of the features.
///
/// # Errors
/// [`Error::Shape`] if the two have different numbers of classes or dimensions, [`Error::ZeroNorm`] if one
/// is zero.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::measure::ClassVectors;
/// use neural_collapse::metrics::self_duality;
///
/// let (classifier, means) = (dmatrix![3.0, 0.0; 0.0, 3.0], dmatrix![0.1, 0.0; 0.0, 0.1]);
/// let means = ClassVectors::columns(&means)?;
/// assert!(self_duality(&means, &ClassVectors::rows(&classifier)?)? < 1e-15);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Papyan, Han & Donoho, *Prevalence of neural collapse* (PNAS 2020), (NC3) and figure 5.
pub fn self_duality(means: &ClassVectors<'_>, classifier: &ClassVectors<'_>) -> Result<f64> {
    check(classifier, means)?;
    let norm = |vectors: &ClassVectors<'_>, argument| {
        let norm = vectors.squared_norms().iter().sum::<f64>().sqrt();
        if norm > 0.0 { Ok(norm) } else { Err(Error::ZeroNorm { argument }) }
    };
    let norms = (norm(classifier, "classifier")?, norm(means, "means")?);
    let squares = classifier.map_beside(means, |_, weights, mean| {
        vectorized(
            #[inline(always)]
            || sum_of_pairs(weights, mean, |w, m| (w / norms.0 - m / norms.1).powi(2)),
        )
    });
    Ok(squares.into_iter().sum::<f64>().sqrt())
}

/// NC3 class by class: the cosine between the classifier and the mean of each class.
///
/// ```math
/// ⟨w_k, a_k⟩ / (‖w_k‖ ‖a_k‖)
/// ```
///
/// All are 1 if the network is self-dual; a [`Spread::of`](crate::metrics::Spread::of) them with a small
/// deviation but a mean below 1 is *uniform* duality. w_k is the k-th row of W and a_k the k-th column of A, both as in
/// [`self_duality`].
///
/// # Errors
/// [`Error::Shape`] if the two have different numbers of classes or dimensions, [`Error::ZeroVector`] if
/// a vector is zero, as it has no direction.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::measure::ClassVectors;
/// use neural_collapse::metrics::{Spread, duality_cosines};
///
/// let (classifier, means) = (dmatrix![3.0, 0.0; 0.0, 3.0], dmatrix![0.1, 0.1; 0.0, 0.1]);
/// let means = ClassVectors::columns(&means)?;
/// let cosines = duality_cosines(&means, &ClassVectors::rows(&classifier)?)?;
/// assert!((cosines[1] - 0.5_f64.sqrt()).abs() < 1e-15);
/// assert!(Spread::of(&cosines).unwrap().deviation > 0.1); // not uniform
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Sources: Zhu et al., *A geometric analysis of neural collapse* (NeurIPS 2021) for the cosines; Wu &
/// Papyan, *Linguistic collapse* (NeurIPS 2024) for their spread, UNC3.
pub fn duality_cosines(
    means: &ClassVectors<'_>,
    classifier: &ClassVectors<'_>,
) -> Result<Vec<f64>> {
    check(classifier, means)?;
    let norms = (classifier.positive_norms()?, means.positive_norms()?);
    Ok(classifier.map_beside(means, |class, weights, mean| {
        let norms = (norms.0[class], norms.1[class]);
        vectorized(
            #[inline(always)]
            || sum_of_pairs(weights, mean, |w, m| (w / norms.0) * (m / norms.1)),
        )
    }))
}

fn check(classifier: &ClassVectors<'_>, means: &ClassVectors<'_>) -> Result<()> {
    let shape = |vectors: &ClassVectors<'_>| (vectors.classes(), vectors.dimension());
    let (found, expected) = (shape(means), shape(classifier));
    if found == expected {
        return Ok(());
    }
    Err(Error::shape("means", found, expected, "classes × features of the classifier"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::{DMatrix, dmatrix};

    #[test]
    fn zeros_are_dual_to_nothing() {
        let (zeros, ones) = (DMatrix::zeros(2, 3), dmatrix![1.0, 0.0, 2.0; 0.0, 1.0, 0.0]);
        let [zeros, ones] = [&zeros, &ones].map(|rows| ClassVectors::rows(rows).unwrap());
        let duality = |means, classifier| self_duality(means, classifier).unwrap_err();
        assert_eq!(duality(&zeros, &ones), Error::ZeroNorm { argument: "means" });
        assert_eq!(duality(&ones, &zeros), Error::ZeroNorm { argument: "classifier" });
    }
}
