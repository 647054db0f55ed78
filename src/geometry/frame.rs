//! The frames themselves: matrices whose columns are the vectors of OF, simplex ETF and GOF.

use nalgebra::{DMatrix, DVector};

use crate::error::{Argument, Error, Place, Result, Size, check_positive};
use crate::geometry::class_matrix::ClassMatrix;
use crate::geometry::structure::Grouped;
use crate::numerics::linalg::{check_finite_at, check_memory};

/// How far PᵀP may be from the identity, in every entry.
const ORTHONORMALITY: f64 = 1e-10;

/// One vector for each of K classes: the frames that neural collapse leads to, as the papers define them.
///
/// A `Frame` is the vectors, the columns of [`vectors`](Self::vectors); a [`ClassMatrix`] is a matrix of inner
/// products or outputs, such as the frame's [`gram`](Self::gram).
///
/// ```
/// use neural_collapse::geometry::Frame;
///
/// let etf = Frame::simplex(4)?;
/// let gram = etf.vectors().transpose() * etf.vectors();
/// assert!((gram[(0, 0)] - 1.0).abs() < 1e-15 && (gram[(0, 1)] + 1.0 / 3.0).abs() < 1e-15);
/// assert!((etf.gram().get(0, 1).unwrap() + 1.0 / 3.0).abs() < 1e-15);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "stored::Stored"))]
pub struct Frame {
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::numerics::stored::write"))]
    vectors: DMatrix<f64>,
    gram: ClassMatrix,
}

impl Frame {
    /// The standard orthogonal frame I/√K: K orthogonal vectors of equal length, of Frobenius norm 1.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if there is no class, or so many that the matrix does not fit into memory.
    ///
    /// ```
    /// use neural_collapse::geometry::Frame;
    ///
    /// let frame = Frame::orthogonal(4)?;
    /// assert_eq!(*frame.vectors(), nalgebra::DMatrix::identity(4, 4) * 0.5);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// Source: Tirer & Bruna (ICML 2022); Definition 2.1 of Dang et al. (ICML 2023) with equal lengths.
    #[doc(alias = "OF")]
    pub fn orthogonal(classes: usize) -> Result<Self> {
        if classes == 0 {
            return Err(Error::out_of_range("classes", 0.0, "at least 1"));
        }
        check_memory("classes", classes as f64, classes.checked_mul(classes))?;
        let k = classes as f64;
        let vectors = DMatrix::from_diagonal_element(classes, classes, k.sqrt().recip());
        let gram = ClassMatrix::unique(Grouped::single(classes, k.recip(), 0.0));
        Ok(Self { vectors, gram })
    }

    /// The standard simplex equiangular tight frame √(K/(K−1))·(I − 11ᵀ/K): K unit vectors with the
    /// pairwise cosine −1/(K−1), the smallest that K vectors can all have. Its Gram matrix is K/(K−1) times
    /// [`ClassMatrix::simplex_etf`], which has the scale of the projection I − 11ᵀ/K.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if there are less than two classes, or so many that the matrix does not fit
    /// into memory.
    ///
    /// Source: Papyan, Han & Donoho (PNAS 2020).
    #[doc(alias = "ETF")]
    #[doc(alias = "simplex equiangular tight frame")]
    pub fn simplex(classes: usize) -> Result<Self> {
        if classes < 2 {
            return Err(Error::out_of_range("classes", classes as f64, "at least 2"));
        }
        check_memory("classes", classes as f64, classes.checked_mul(classes))?;
        let k = classes as f64;
        let factor = (k / (k - 1.0)).sqrt();
        let entry = |i, j| factor * (f64::from(u8::from(i == j)) - 1.0 / k);
        let vectors = DMatrix::from_fn(classes, classes, entry);
        let between = (k - 1.0).recip();
        let gram = ClassMatrix::unique(Grouped::single(classes, 1.0 + between, -between));
        Ok(Self { vectors, gram })
    }

    /// The standard general orthogonal frame diag(a_1, …, a_K)/√(Σ a_k²): orthogonal vectors whose lengths
    /// are proportional to `lengths`.
    ///
    /// # Errors
    /// [`Error::Empty`] without a length, [`Error::OutOfRange`] if one is not positive and finite or if
    /// there are so many that the matrix does not fit into memory.
    ///
    /// ```
    /// use neural_collapse::geometry::Frame;
    ///
    /// let frame = Frame::general_orthogonal(&[3.0, 4.0])?;
    /// assert_eq!(*frame.vectors(), nalgebra::dmatrix![0.6, 0.0; 0.0, 0.8]);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// Source: Definition 2.1 of Dang et al. (ICML 2023).
    #[doc(alias = "GOF")]
    pub fn general_orthogonal(lengths: &[f64]) -> Result<Self> {
        if lengths.is_empty() {
            return Err(Error::Empty { argument: "lengths" });
        }
        for (index, &length) in lengths.iter().enumerate() {
            check_positive(Argument::at("lengths", index), length)?;
        }
        let classes = lengths.len();
        check_memory("lengths", classes as f64, classes.checked_mul(classes))?;
        // Dividing by the largest length first keeps the squares in range.
        let largest = lengths.iter().copied().fold(0.0, f64::max);
        let square = |length: &f64| (length / largest).powi(2);
        let total = lengths.iter().map(square).sum::<f64>();
        let norm = total.sqrt();
        // As the orthogonal frame has it where all are equal: 1/√K and 1/K.
        let diagonal: Vec<f64> = lengths.iter().map(|a| a / largest / norm).collect();
        let squares: Vec<f64> = lengths.iter().map(|a| square(a) / total).collect();
        let gram = ClassMatrix::unique(Grouped::diagonal_matrix(&squares));
        Ok(Self { vectors: DMatrix::from_diagonal(&DVector::from_vec(diagonal)), gram })
    }

    /// The general version P N of a standard frame N: the same vectors in ℝᵈ, d ≥ K, through a d × K
    /// matrix P with orthonormal columns. Lengths and angles stay as they are.
    ///
    /// # Errors
    /// [`Error::Shape`] if P does not have as many columns as N has rows, [`Error::OutOfRange`] if its
    /// entries are not finite or its columns not orthonormal to 10⁻¹⁰.
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::geometry::Frame;
    ///
    /// let basis = dmatrix![0.0, 1.0; 0.0, 0.0; 1.0, 0.0];
    /// let embedded = Frame::general_orthogonal(&[3.0, 4.0])?.embedded(&basis)?;
    /// assert_eq!(*embedded.vectors(), dmatrix![0.0, 0.8; 0.0, 0.0; 0.6, 0.0]);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// Source: Definition 2.1 of Dang et al. (ICML 2023).
    pub fn embedded(&self, basis: &DMatrix<f64>) -> Result<Self> {
        let dimensions = self.vectors.nrows();
        if basis.ncols() != dimensions {
            let (expected, reason) = ((Size::Any, dimensions), "for the dimensions of the frame");
            return Err(Error::shape("basis", basis.shape(), expected, reason));
        }
        check_orthonormal("basis", None, basis)?;
        Ok(Self { vectors: basis * &self.vectors, gram: self.gram.clone() })
    }

    /// The vectors, one column for each class.
    #[must_use]
    pub fn vectors(&self) -> &DMatrix<f64> {
        &self.vectors
    }

    /// The matrix whose columns are the vectors.
    #[must_use]
    pub fn into_vectors(self) -> DMatrix<f64> {
        self.vectors
    }

    /// The inner products of the vectors, with their lengths: of the simplex ETF K/(K−1)·(I − 11ᵀ/K).
    #[must_use]
    pub fn gram(&self) -> &ClassMatrix {
        &self.gram
    }
}

/// Checks that PᵀP = I to [`ORTHONORMALITY`].
pub(crate) fn check_orthonormal(
    name: &'static str,
    layer: Option<usize>,
    basis: &DMatrix<f64>,
) -> Result<()> {
    check_finite_at(basis, |row, column| match layer {
        Some(layer) => Argument { name, place: Place::LayerEntry { layer, row, column } },
        None => Argument::entry(name, row, column),
    })?;
    let place = layer.map_or(Place::Whole, Place::Index);
    if basis.ncols() > basis.nrows() {
        let (expected, reason) = ((Size::AtLeast(basis.ncols()), basis.ncols()), ORTHONORMAL);
        return Err(Error::shape(Argument { name, place }, basis.shape(), expected, reason));
    }
    let defect = basis.transpose() * basis - DMatrix::identity(basis.ncols(), basis.ncols());
    if defect.iter().any(|entry| entry.abs() > ORTHONORMALITY) {
        let expected = "at most 1e-10 (largest entry): its columns must be orthonormal";
        let argument = Argument { name: "(basisᵀbasis − I)", place };
        return Err(Error::out_of_range(argument, defect.amax(), expected));
    }
    Ok(())
}

const ORTHONORMAL: &str = "for orthonormal columns";

#[cfg(feature = "serde")]
mod stored {
    use nalgebra::DMatrix;

    use super::{Frame, ORTHONORMALITY};
    use crate::error::{Error, Result, Size, check_shape};
    use crate::geometry::class_matrix::{ClassMatrix, FOR_EACH_CLASS};
    use crate::numerics::linalg::check_finite;

    #[derive(serde::Deserialize)]
    #[serde(rename = "Frame", deny_unknown_fields)]
    pub(super) struct Stored {
        #[serde(deserialize_with = "crate::numerics::stored::read")]
        vectors: DMatrix<f64>,
        gram: ClassMatrix,
    }

    impl TryFrom<Stored> for Frame {
        type Error = Error;

        fn try_from(stored: Stored) -> Result<Self> {
            let Stored { vectors, gram } = stored;
            check_finite("vectors", &vectors)?;
            let (dimension, classes) = (vectors.nrows(), gram.classes());
            check_shape("vectors", vectors.shape(), (dimension, classes), FOR_EACH_CLASS)?;
            // A matrix without rows has any number of columns, whose products need not fit into memory.
            if dimension < classes {
                let expected = (Size::AtLeast(classes), classes);
                let reason = "as many dimensions as vectors";
                return Err(Error::shape("vectors", vectors.shape(), expected, reason));
            }
            let products = gram.to_dense().map(|gram| gram - vectors.transpose() * &vectors);
            // Frames have lengths of at most one.
            let difference = products.map_or(f64::INFINITY, |difference| difference.amax());
            if difference > ORTHONORMALITY {
                let expected = "at most 1e-10 (largest entry): the inner products of the vectors";
                return Err(Error::out_of_range("gram", difference, expected));
            }
            Ok(Self { vectors, gram })
        }
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::dmatrix;

    use super::*;

    #[test]
    fn inner_products_are_those_of_the_vectors() {
        let embedding = dmatrix![0., 1.; 1., 0.];
        for frame in [
            Frame::orthogonal(1).unwrap(),
            Frame::orthogonal(5).unwrap(),
            Frame::simplex(2).unwrap(),
            Frame::simplex(7).unwrap(),
            Frame::general_orthogonal(&[1.0, 2.0, 5.0]).unwrap(),
            Frame::general_orthogonal(&[3e200, 4e200]).unwrap().embedded(&embedding).unwrap(),
            Frame::general_orthogonal(&[3e-200, 4e-200]).unwrap(),
        ] {
            let gram = frame.vectors().transpose() * frame.vectors();
            assert!((frame.gram().to_dense().unwrap() - gram).amax() < 1e-15, "{frame:?}");
        }
        for none in [Frame::orthogonal(0), Frame::simplex(0), Frame::simplex(1)] {
            assert!(matches!(none, Err(Error::OutOfRange { .. })));
        }
    }

    #[test]
    fn equal_lengths_are_the_orthogonal_frame() {
        for (classes, length) in (1..=64).flat_map(|k| [(k, 1.0), (k, 0.1), (k, 3e200)]) {
            let general = Frame::general_orthogonal(&vec![length; classes]).unwrap();
            assert_eq!(general, Frame::orthogonal(classes).unwrap(), "{classes}");
        }
    }

    /// Inner products up to 10⁻¹⁰ between columns, and as many columns as rows at most.
    #[test]
    fn columns_are_orthonormal_within_a_tolerance() {
        let check = |basis: &DMatrix<f64>| check_orthonormal("basis", Some(3), basis);
        assert!(check(&dmatrix![1.0, 1e-10; 0.0, 1.0]).is_ok());
        for defect in [1.001e-10, -1.001e-10] {
            let error = check(&dmatrix![1.0, defect; 0.0, 1.0]).unwrap_err();
            assert!(matches!(error, Error::OutOfRange { value, .. } if value == defect.abs()));
        }
        assert!(check(&(DMatrix::identity(3, 3) * 2.0)).is_err());
        assert!(matches!(check(&DMatrix::identity(2, 3)), Err(Error::Shape { .. })));
        let frame = Frame::orthogonal(2).unwrap();
        assert!(matches!(frame.embedded(&DMatrix::identity(3, 3)), Err(Error::Shape { .. })));
    }
}
