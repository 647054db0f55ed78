//! Vectors with a predicted Gram matrix, turned to lie on measured ones.

use nalgebra::DMatrix;

use crate::error::{Error, Result, Size};
use crate::geometry::class_matrix::{ClassMatrix, FOR_EACH_CLASS};
use crate::numerics::linalg::{check_finite, svd_thin, symmetric_eigen};

/// Eigenvalues below this share of the largest are rounding errors of zeros.
const NEGLIGIBLE: f64 = 1e-12;

impl ClassMatrix {
    /// The vectors (columns, d×K) whose Gram matrix is this one and that are nearest to the `measured` (d×K): the
    /// matrix A with AᵀA = G and the smallest ‖A − measured‖ (Frobenius norm). Of a family, G is the member nearest
    /// to the measured Gram matrix.
    ///
    /// A prediction determines vectors up to a rotation; this is the rotation in which it can be laid over
    /// measured vectors in a picture, or compared with them number by number.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not a measured column for each class, or if the matrix has a larger rank than there
    /// are dimensions; [`Error::OutOfRange`] if a number is not finite or the matrix is no Gram matrix,
    /// [`Error::NoConvergence`] if a decomposition did not converge.
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::ClassMatrix;
    ///
    /// // Two orthogonal vectors of length 2, and measured ones that are nearly so.
    /// let measured = dmatrix![1.3, -1.5; 1.5, 1.3; 0.1, 0.0];
    /// let aligned = ClassMatrix::diagonal(&[4.0, 4.0])?.aligned_with(&measured)?;
    /// let gram = aligned.transpose() * &aligned;
    /// assert!((gram - dmatrix![4.0, 0.0; 0.0, 4.0]).norm() < 1e-14);
    /// assert!((aligned - measured).norm() < 0.2);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// Source: the orthogonal Procrustes problem; Schönemann (Psychometrika 1966).
    #[doc(alias = "Procrustes")]
    pub fn aligned_with(&self, measured: &DMatrix<f64>) -> Result<DMatrix<f64>> {
        let (dimensions, classes) = measured.shape();
        if classes != self.classes() {
            let expected = (Size::Any, self.classes());
            return Err(Error::shape("measured", measured.shape(), expected, FOR_EACH_CLASS));
        }
        check_finite("measured", measured)?;
        let gram = match self.to_dense() {
            Some(gram) => gram,
            None => self.nearest_member(&(measured.transpose() * measured))?,
        };
        let vectors = vectors_of(&gram)?;
        if vectors.nrows() > dimensions {
            let expected = (Size::AtLeast(vectors.nrows()), classes);
            let reason = "to have room for vectors of this rank";
            return Err(Error::shape("measured", measured.shape(), expected, reason));
        }
        let svd = svd_thin(&(measured * vectors.transpose()))?;
        Ok(svd.u * svd.v.transpose() * vectors)
    }
}

/// The vectors √μ_i q_iᵀ of a Gram matrix Q diag(μ) Qᵀ, with a row for each eigenvalue that is not zero.
fn vectors_of(gram: &DMatrix<f64>) -> Result<DMatrix<f64>> {
    let eigen = symmetric_eigen(gram)?;
    let values = eigen.values.as_slice();
    let largest = values.first().copied().unwrap_or(0.0).max(0.0);
    if let Some(&negative) = values.last().filter(|&&value| value < -1e-9 * largest) {
        return Err(Error::out_of_range("gram", negative, "without negative eigenvalues"));
    }
    let rank = values.iter().take_while(|&&value| value > NEGLIGIBLE * largest).count();
    let mut vectors = eigen.vectors.columns(0, rank).transpose();
    for (mut row, value) in vectors.row_iter_mut().zip(values) {
        row *= value.sqrt();
    }
    Ok(vectors)
}

#[cfg(test)]
mod tests {
    use nalgebra::dmatrix;

    use super::*;

    /// Vectors that have the predicted inner products are where they were; others are turned.
    #[test]
    fn vectors_keep_their_place() {
        let measured = dmatrix![3.0, 1.0, -2.0; 0.5, -1.0, 4.0; 0.0, 2.0, 1.0];
        let gram = ClassMatrix::dense(measured.transpose() * &measured);
        assert!((gram.aligned_with(&measured).unwrap() - &measured).amax() < 1e-13);
        assert!((gram.aligned_with(&-&measured).unwrap() + &measured).amax() < 1e-13);
        // Of lengths 1 and 3 in the plane, beside the closest of turns by whole degrees.
        let (lengths, measured) = ([1.0, 9.0], dmatrix![1.0, -2.0; 0.7, 0.4]);
        let aligned = ClassMatrix::diagonal(&lengths).unwrap().aligned_with(&measured).unwrap();
        let gram = aligned.transpose() * &aligned;
        assert!((gram - dmatrix![1.0, 0.0; 0.0, 9.0]).amax() < 1e-14);
        let found = (aligned - &measured).norm();
        for (degree, side) in (0..360).flat_map(|degree| [(degree, 1.0), (degree, -1.0)]) {
            let (sine, cosine) = f64::from(degree).to_radians().sin_cos();
            let turned = dmatrix![cosine, -3.0 * side * sine; sine, 3.0 * side * cosine];
            assert!((turned - &measured).norm() >= found - 1e-14, "{degree} {side}");
        }
    }

    /// Of a family, vectors of the nearest member: in the plane, those of a simplex that were measured.
    #[test]
    fn members_are_those_near_the_measured_vectors() {
        let root = 0.75_f64.sqrt();
        let measured = dmatrix![1.0, -0.5, -0.5; 0.0, root, -root] * (2.0_f64 / 3.0).sqrt();
        let simplex = measured.insert_column(3, 0.0);
        let family = ClassMatrix::low_rank_simplex_etf(4, 2).unwrap();
        let aligned = family.aligned_with(&simplex).unwrap();
        assert!((aligned - simplex).amax() < 1e-14);
    }

    /// Relative to the largest eigenvalue, 10⁻¹² is zero and −10⁻⁹ negative.
    #[test]
    fn eigenvalues_count_beside_the_largest() {
        let rank = |largest: f64, smallest: f64| {
            vectors_of(&dmatrix![largest, 0.0; 0.0, smallest]).map(|vectors| vectors.nrows())
        };
        for largest in [1e-6, 1.0, 1e6] {
            let rank = |share: f64| rank(largest, share * largest);
            assert_eq!((rank(1e-11).unwrap(), rank(1e-13).unwrap()), (2, 1));
            assert_eq!((rank(0.0).unwrap(), rank(-1e-10).unwrap()), (1, 1));
            let error = rank(-1e-8).unwrap_err();
            assert!(matches!(error, Error::OutOfRange { value, .. } if value == -1e-8 * largest));
        }
        assert_eq!(rank(0.0, 0.0).unwrap(), 0);
        // As many dimensions as the rank are enough.
        let line = dmatrix![2.0, -1.0];
        let flat = ClassMatrix::diagonal(&[4.0, 0.0]).unwrap();
        assert_eq!(flat.aligned_with(&line).unwrap(), dmatrix![2.0, 0.0]);
        let zero = ClassMatrix::diagonal(&[0.0, 0.0]).unwrap();
        assert_eq!(zero.aligned_with(&line).unwrap(), dmatrix![0.0, 0.0]);
        for (classes, measured) in [(2, line), (3, DMatrix::identity(3, 2))] {
            let frame = ClassMatrix::orthogonal_frame(classes).unwrap();
            assert!(matches!(frame.aligned_with(&measured), Err(Error::Shape { .. })));
        }
    }
}
