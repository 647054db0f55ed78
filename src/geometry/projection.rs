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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "stored::Stored"))]
pub struct Projection {
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::numerics::stored::write"))]
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

#[cfg(feature = "serde")]
mod stored {
    use nalgebra::DMatrix;

    use super::Projection;
    use crate::error::{Error, Result};
    use crate::geometry::frame::check_orthonormal;

    #[derive(serde::Deserialize)]
    #[serde(rename = "Projection", deny_unknown_fields)]
    pub(super) struct Stored {
        #[serde(deserialize_with = "crate::numerics::stored::read")]
        axes: DMatrix<f64>,
        share: f64,
    }

    impl TryFrom<Stored> for Projection {
        type Error = Error;

        fn try_from(stored: Stored) -> Result<Self> {
            let Stored { axes, share } = stored;
            check_orthonormal("axes", None, &axes)?;
            if !(0.0..=1.0).contains(&share) {
                return Err(Error::out_of_range("share", share, "between 0 and 1"));
            }
            Ok(Self { axes, share })
        }
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::dmatrix;

    use super::*;

    /// Three orthogonal vectors of lengths 1, 2 and 3, and one without a length.
    #[test]
    fn stars_have_equal_angles_and_keep_proportions() {
        let vectors = dmatrix![1., 0., 0., 0.; 0., 2., 0., 0.; 0., 0., 0., 3.];
        let three = vectors.clone().remove_column(2);
        let plane = Projection::star(&three).unwrap();
        let seen = plane.coordinates(&three).unwrap();
        assert_eq!((plane.dimensions(), seen.shape()), (2, (2, 3)));
        for (k, column) in seen.column_iter().enumerate() {
            let angle = 2.0 * std::f64::consts::PI * k as f64 / 3.0;
            let length = (2.0_f64 / 3.0).sqrt() * (k + 1) as f64;
            let expected = nalgebra::dvector![length * angle.cos(), length * angle.sin()];
            assert!((column - expected).amax() < 1e-14, "{seen}");
        }
        assert!((plane.share() - 2.0 / 3.0).abs() < 1e-15);
        let coordinates = plane.coordinates_of(&[0., 0., 2.]).unwrap();
        assert!((DVector::from_vec(coordinates) - seen.column(2) * (2.0 / 3.0)).amax() < 1e-15);
        // At angles of 90 degrees: the first two are the axes, as nothing is opposite to them but zero.
        let plane = Projection::star(&vectors).unwrap();
        let seen = plane.coordinates(&vectors).unwrap();
        assert!(seen.iter().all(|number| number.is_finite()) && seen.column(2).amax() == 0.0);
        assert!(plane.coordinates(&dmatrix![1.0; 0.0]).is_err());
        // In the plane, vectors at such angles are turned as a whole.
        let turned = DMatrix::from_fn(2, 3, |axis, k| {
            let angle = 0.4 + 2.0 * std::f64::consts::PI * k as f64 / 3.0;
            (k + 1) as f64 * if axis == 0 { angle.cos() } else { angle.sin() }
        });
        let seen = Projection::star(&turned).unwrap().coordinates(&turned).unwrap();
        assert!((seen.column(0) - nalgebra::dvector![1.0, 0.0]).amax() < 1e-15, "{seen}");
    }

    #[test]
    fn few_vectors_are_seen_in_their_leading_directions() {
        for (vectors, axes) in [
            (dmatrix![3., 0.; 0., 1.; 0., 0.], 2),
            (dmatrix![1., -2., 5.], 1),
            (dmatrix![1.; 2.; 3.], 1),
        ] {
            let star = Projection::star(&vectors).unwrap();
            assert_eq!(star, Projection::leading(&vectors, 2).unwrap());
            assert_eq!(star.dimensions(), axes);
            assert!((star.share() - 1.0).abs() < 1e-15);
        }
        let vectors = dmatrix![3., 0., 0.; 0., 4., 0.];
        assert!((Projection::leading(&vectors, 1).unwrap().share() - 0.64).abs() < 1e-15);
        assert_eq!(Projection::leading(&(vectors * 0.0), 1).unwrap().share(), 0.0);
    }
}
