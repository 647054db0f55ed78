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
        return Err(Error::out_of_range("an eigenvalue", negative, "not negative"));
    }
    let rank = values.iter().take_while(|&&value| value > NEGLIGIBLE * largest).count();
    let mut vectors = eigen.vectors.columns(0, rank).transpose();
    for (mut row, value) in vectors.row_iter_mut().zip(values) {
        row *= value.sqrt();
    }
    Ok(vectors)
}
