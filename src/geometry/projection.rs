//! Planes and spaces to look at vectors in.

use nalgebra::{DMatrix, DVector};

use crate::error::{Error, Result, Size};
use crate::numerics::linalg::{check_finite, left_svd, svd_thin};

/// A projection onto a few orthonormal axes, for pictures of vectors in many dimensions.
///
/// ```
/// use neural_collapse::geometry::{Frame, Projection};
///
/// // Five orthogonal vectors, seen along the axis that they are arranged about: a regular pentagon.
/// let frame = Frame::orthogonal(5)?;
/// let plane = Projection::star(frame.vectors())?;
/// let seen = plane.coordinates(frame.vectors())?;
/// let length = (2.0_f64 / 5.0).sqrt() / 5.0_f64.sqrt();
/// assert!(seen.column_iter().all(|vector| (vector.norm() - length).abs() < 1e-14));
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    axes: DMatrix<f64>,
    share: f64,
}

impl Projection {
    /// Onto the `dimensions` leading directions of vectors (columns, d×K): the left singular vectors of the largest
    /// singular values, in which the squared lengths of the projections sum to the most. There are as many axes as
    /// there are directions, if these are fewer.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if a number is not finite, [`Error::NoConvergence`] if the decomposition did not converge.
    #[doc(alias = "PCA")]
    pub fn leading(vectors: &DMatrix<f64>, dimensions: usize) -> Result<Self> {
        check_finite("vectors", vectors)?;
        let svd = left_svd(vectors)?;
        let dimensions = dimensions.min(svd.u.ncols());
        let axes = svd.u.columns(0, dimensions).into_owned();
        Ok(Self::new(axes, vectors))
    }

    /// Onto the plane in which orthogonal vectors of K classes (columns, d×K), and those of a simplex, point into K
    /// directions at equal angles, in their order: it is spanned by Σ_k cos(2πk/K) u_k and Σ_k sin(2πk/K) u_k for the
    /// directions u_k of the vectors. Vectors of zero length have none.
    ///
    /// Unlike the [leading](Self::leading) directions, the axes of a general orthogonal frame among them, it shows all
    /// classes at once; lengths of orthogonal vectors are in proportion.
    ///
    /// Up to two vectors are seen in their leading directions.
    ///
    /// # Errors
    /// As [`leading`](Self::leading).
    pub fn star(vectors: &DMatrix<f64>) -> Result<Self> {
        check_finite("vectors", vectors)?;
        let classes = vectors.ncols();
        if classes < 3 || vectors.nrows() < 2 {
            return Self::leading(vectors, 2);
        }
        let weights = DMatrix::from_fn(classes, 2, |class, axis| {
            let angle = core::f64::consts::TAU * class as f64 / classes as f64;
            if axis == 0 { angle.cos() } else { angle.sin() }
        });
        let mut directions = vectors.clone();
        for mut direction in directions.column_iter_mut() {
            let length = direction.norm();
            if length > 0.0 {
                direction /= length;
            }
        }
        // The orthonormal columns that are nearest to these: neither axis comes before the other.
        let svd = svd_thin(&(directions * weights))?;
        Ok(Self::new(svd.u * svd.v.transpose(), vectors))
    }

    fn new(axes: DMatrix<f64>, vectors: &DMatrix<f64>) -> Self {
        let (inside, all) = ((axes.transpose() * vectors).norm(), vectors.norm());
        let share = if all > 0.0 { (inside / all).powi(2).min(1.0) } else { 0.0 };
        Self { axes, share }
    }

    /// The number of axes.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.axes.ncols()
    }

    /// The share of the sum of squared lengths that the projection keeps, of the vectors that it was made for; 0 if all
    /// of them are zero.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.share
    }

    /// The coordinates (axes × columns) of vectors (d rows).
    ///
    /// # Errors
    /// [`Error::Shape`] if the vectors are of another dimension.
    pub fn coordinates(&self, vectors: &DMatrix<f64>) -> Result<DMatrix<f64>> {
        if vectors.nrows() != self.axes.nrows() {
            let expected = (Size::Exactly(self.axes.nrows()), Size::Any);
            let reason = "for the dimensions of the projection";
            return Err(Error::shape("vectors", vectors.shape(), expected, reason));
        }
        Ok(self.axes.transpose() * vectors)
    }

    /// The coordinates of one vector.
    ///
    /// # Errors
    /// As [`coordinates`](Self::coordinates).
    pub fn coordinates_of(&self, vector: &[f64]) -> Result<Vec<f64>> {
        let vector = DVector::from_column_slice(vector);
        let column = DMatrix::from_column_slice(vector.nrows(), 1, vector.as_slice());
        Ok(self.coordinates(&column)?.as_slice().to_vec())
    }
}
