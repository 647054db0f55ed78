//! The frames themselves: matrices whose columns are the vectors of OF, simplex ETF and GOF.

use nalgebra::DMatrix;

use crate::error::{Argument, Error, Place, Result, Size, check_positive};
use crate::numerics::linalg::{check_finite, check_finite_at, check_memory};

/// How far PᵀP may be from the identity, in every entry.
const ORTHONORMALITY: f64 = 1e-10;

/// The standard orthogonal frame I/√K: K orthogonal vectors of equal length, of Frobenius norm 1.
///
/// # Errors
/// [`Error::OutOfRange`] if there is no class, or so many that the matrix does not fit into memory.
///
/// ```
/// let frame = neural_collapse::geometry::orthogonal_frame(4)?;
/// assert_eq!(frame, nalgebra::DMatrix::identity(4, 4) * 0.5);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Tirer & Bruna (ICML 2022); Definition 2.1 of Dang et al. (ICML 2023) with equal lengths.
pub fn orthogonal_frame(classes: usize) -> Result<DMatrix<f64>> {
    if classes == 0 {
        return Err(Error::out_of_range("classes", 0.0, "at least 1"));
    }
    check_memory("classes", classes as f64, classes.checked_mul(classes))?;
    Ok(DMatrix::from_diagonal_element(classes, classes, (classes as f64).sqrt().recip()))
}

/// The standard simplex equiangular tight frame √(K/(K−1))·(I − 11ᵀ/K): K unit vectors with the
/// pairwise cosine −1/(K−1), the smallest that K vectors can all have.
///
/// # Errors
/// [`Error::OutOfRange`] if there are less than two classes, or so many that the matrix does not fit
/// into memory.
///
/// ```
/// let frame = neural_collapse::geometry::simplex_etf(4)?;
/// let gram = frame.transpose() * &frame;
/// assert!((gram[(0, 0)] - 1.0).abs() < 1e-15 && (gram[(0, 1)] + 1.0 / 3.0).abs() < 1e-15);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Papyan, Han & Donoho (PNAS 2020).
pub fn simplex_etf(classes: usize) -> Result<DMatrix<f64>> {
    if classes < 2 {
        return Err(Error::out_of_range("classes", classes as f64, "at least 2"));
    }
    check_memory("classes", classes as f64, classes.checked_mul(classes))?;
    let k = classes as f64;
    let factor = (k / (k - 1.0)).sqrt();
    Ok(DMatrix::from_fn(classes, classes, |i, j| factor * (f64::from(u8::from(i == j)) - 1.0 / k)))
}

/// The standard general orthogonal frame diag(a_1, …, a_K)/√(Σ a_k²): orthogonal vectors whose lengths
/// are proportional to `lengths`.
///
/// # Errors
/// [`Error::Empty`] without a length, [`Error::OutOfRange`] if one is not positive and finite or if
/// there are so many that the matrix does not fit into memory.
///
/// ```
/// let frame = neural_collapse::geometry::general_orthogonal_frame(&[3.0, 4.0])?;
/// assert_eq!(frame, nalgebra::dmatrix![0.6, 0.0; 0.0, 0.8]);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Definition 2.1 of Dang et al. (ICML 2023).
pub fn general_orthogonal_frame(lengths: &[f64]) -> Result<DMatrix<f64>> {
    if lengths.is_empty() {
        return Err(Error::Empty { argument: "lengths" });
    }
    for (index, &length) in lengths.iter().enumerate() {
        check_positive(Argument::at("lengths", index), length)?;
    }
    let classes = lengths.len();
    check_memory("lengths.len()", classes as f64, classes.checked_mul(classes))?;
    // Dividing by the largest length first keeps the squares in range.
    let largest = lengths.iter().copied().fold(0.0, f64::max);
    let norm = lengths.iter().map(|a| (a / largest).powi(2)).sum::<f64>().sqrt();
    let diagonal = lengths.iter().map(|a| a / largest / norm);
    Ok(DMatrix::from_diagonal(&nalgebra::DVector::from_iterator(classes, diagonal)))
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
///
/// let frame = neural_collapse::geometry::general_orthogonal_frame(&[3.0, 4.0])?;
/// let embedded = neural_collapse::geometry::embed_frame(&dmatrix![0.0, 1.0; 0.0, 0.0; 1.0, 0.0], &frame)?;
/// assert_eq!(embedded, dmatrix![0.0, 0.8; 0.0, 0.0; 0.6, 0.0]);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Definition 2.1 of Dang et al. (ICML 2023).
pub fn embed_frame(basis: &DMatrix<f64>, frame: &DMatrix<f64>) -> Result<DMatrix<f64>> {
    if basis.ncols() != frame.nrows() {
        let (expected, reason) = ((Size::Any, frame.nrows()), "for the dimensions of the frame");
        return Err(Error::shape("basis", basis.shape(), expected, reason));
    }
    check_orthonormal("basis", None, basis)?;
    check_finite("frame", frame)?;
    Ok(basis * frame)
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
