//! An explicit global minimizer: the matrices themselves.

use nalgebra::{DMatrix, DVector};

use crate::error::{Argument, Error, Result, Size};
use crate::geometry::frame::check_orthonormal;
use crate::numerics::linalg::check_memory;
use crate::problem::counts::ClassCounts;
use crate::problem::head::LinearHead;
use crate::problem::regularization::Regularization;

/// The orthonormal vectors of the hidden spaces that the singular directions are laid along. The
/// global minimizers differ by this choice only.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Basis {
    /// The first unit vectors of each space.
    Standard,
    /// Random orthonormal vectors, drawn uniformly. The same seed draws the same random numbers on every machine;
    /// the matrices made of them agree to rounding errors, as the last bits of a product depend on the vector
    /// units of the processor.
    #[cfg(feature = "random")]
    Random(u64),
    /// A matrix with orthonormal columns for the input space of each layer, d₁ × r₁, …, d_M × r_M.
    /// Each must have as many columns as the minimum has rank; further ones are not used.
    Given(
        #[cfg_attr(feature = "serde", serde(with = "crate::numerics::stored::matrices"))]
        Vec<DMatrix<f64>>,
    ),
}

/// One global minimizer, or another critical point of known structure: W₁, …, W_M, b and H.
///
/// ```
/// use neural_collapse::{Basis, ClassCounts, Prediction, Regularization, Ufm};
///
/// let regularization = Regularization::new(&[5e-4; 3], 5e-4)?;
/// let ufm = Ufm::new(ClassCounts::new(&[200, 100, 50, 50])?, regularization)?.with_widths(&[64; 3])?;
/// let minimum = ufm.global_minimum()?;
/// let explicit = minimum.explicit(&Basis::Random(7))?;
/// let product = explicit.head().product()?;
/// assert_eq!(product.shape(), (4, 64));
/// // Its Gram matrix is the predicted general orthogonal frame.
/// assert!(minimum.trailing_gram(3)?.distance(&(&product * product.transpose()))? < 1e-14);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "crate::prediction::stored::StoredPoint"))]
pub struct ExplicitPoint {
    head: LinearHead,
    #[cfg_attr(
        feature = "serde",
        serde(rename = "distinct_features", serialize_with = "crate::numerics::stored::write")
    )]
    columns: DMatrix<f64>,
    copies: Copies,
}

/// How many samples have the features of each column.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub(crate) enum Copies {
    /// Those of the classes, whose means the columns are.
    Classes(ClassCounts),
    /// So many, which are no classes: contexts or sets of tags.
    Kinds(ClassCounts),
    /// One each.
    Samples,
}

impl ExplicitPoint {
    /// A point with these layers and features.
    pub(crate) fn new(head: LinearHead, columns: DMatrix<f64>, copies: Copies) -> Self {
        Self { head, columns, copies }
    }

    /// The layers W₁, …, W_M and the bias b.
    #[must_use]
    pub fn head(&self) -> &LinearHead {
        &self.head
    }

    /// The class means H̄, d₁ × K; `None` for an arbitrary target, which has no classes.
    #[must_use]
    pub fn class_means(&self) -> Option<&DMatrix<f64>> {
        matches!(self.copies, Copies::Classes(_)).then_some(&self.columns)
    }

    /// The distinct features, a column each: the class means, or the features of each context, set of tags or
    /// sample.
    #[must_use]
    pub fn distinct_features(&self) -> &DMatrix<f64> {
        &self.columns
    }

    /// The features H, d₁ × N, one sample per column: for classes, n_0 times the mean of class 0, then n_1
    /// times that of class 1, and so on.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if the matrix does not fit into memory.
    pub fn features(&self) -> Result<DMatrix<f64>> {
        let (Copies::Classes(counts) | Copies::Kinds(counts)) = &self.copies else {
            return Ok(self.columns.clone());
        };
        let dimension = self.columns.nrows();
        let too_large =
            || Error::out_of_range("samples", counts.samples() as f64, "few enough for memory");
        let samples = usize::try_from(counts.samples()).map_err(|_| too_large())?;
        let entries = samples.checked_mul(dimension).ok_or_else(too_large)?;
        let mut features = Vec::new();
        features.try_reserve_exact(entries).map_err(|_| too_large())?;
        for run in counts.runs() {
            for class in run.classes() {
                for _ in 0..run.size {
                    features.extend_from_slice(self.columns.column(class).as_slice());
                }
            }
        }
        Ok(DMatrix::from_vec(dimension, samples, features))
    }
}

/// The widths d₁, …, d_M, K where they are not limited.
fn widths_or_classes(
    regularization: &Regularization,
    widths: Option<&[usize]>,
    classes: usize,
) -> Vec<usize> {
    widths.map_or_else(|| vec![classes; regularization.depth()], <[usize]>::to_vec)
}

/// Checks that the layers, H̄ and the orthonormal vectors that they are made of can be allocated, for K
/// classes, the number of columns of H̄ and the rank.
pub(crate) fn check_matrices(
    regularization: &Regularization,
    widths: Option<&[usize]>,
    (classes, columns, rank): (usize, usize, usize),
) -> Result<()> {
    let widths = widths_or_classes(regularization, widths, classes);
    let outputs = widths.iter().skip(1).copied().chain([classes]);
    let layers = widths.iter().copied().zip(outputs);
    let means = widths.first().map(|&dimension| (dimension, columns));
    let vectors = [(classes, rank), (columns, rank)];
    let bases = widths.iter().map(|&width| (width, rank));
    let shapes = layers.chain(means).chain(vectors).chain(bases);
    let entries = shapes.map(|(rows, columns)| rows.checked_mul(columns));
    let entries = entries.reduce(|sum, new| sum?.checked_add(new?)).flatten();
    let largest = widths.iter().copied().fold(classes, usize::max);
    let argument = if largest == classes { "classes" } else { "widths" };
    check_memory(argument, largest as f64, entries)
}

/// The singular vectors of the outputs without the bias, and their energies.
pub(crate) struct FittedVectors {
    /// U, K × r.
    pub(crate) left: DMatrix<f64>,
    /// V_T, N × r. Its rows for the samples of a class are equal, so for classes only one of each is
    /// kept, K × r.
    pub(crate) right: DMatrix<f64>,
    /// t, one for each column.
    pub(crate) energies: Vec<f64>,
}

impl FittedVectors {
    /// The matrices of a point with balanced layers, with K for widths that are not limited.
    pub(crate) fn assemble(
        &self,
        regularization: &Regularization,
        widths: Option<&[usize]>,
        basis: &Basis,
        bias: Option<DVector<f64>>,
        counts: Option<ClassCounts>,
    ) -> Result<ExplicitPoint> {
        let copies = counts.map_or(Copies::Samples, Copies::Classes);
        self.assemble_with(regularization, widths, basis, bias, copies)
    }

    /// [`assemble`](Self::assemble) for columns that stand for any number of samples.
    pub(crate) fn assemble_with(
        &self,
        regularization: &Regularization,
        widths: Option<&[usize]>,
        basis: &Basis,
        bias: Option<DVector<f64>>,
        copies: Copies,
    ) -> Result<ExplicitPoint> {
        let widths = widths_or_classes(regularization, widths, self.left.nrows());
        let hidden = hidden_bases(basis, &widths, self.energies.len())?;
        let above = hidden.iter().skip(1).chain([&self.left]);
        let layers = regularization.weight_decays().iter().zip(hidden.iter().zip(above));
        let weights = layers
            .map(|(&decay, (below, above))| self.scaled(above, decay) * below.transpose())
            .collect();
        let columns =
            self.scaled(&hidden[0], regularization.feature_decay()) * self.right.transpose();
        Ok(ExplicitPoint::new(LinearHead::new(weights, bias)?, columns, copies))
    }

    /// `vectors`·diag(√(t/decay)).
    fn scaled(&self, vectors: &DMatrix<f64>, decay: f64) -> DMatrix<f64> {
        let mut scaled = vectors.clone();
        for (mut column, energy) in scaled.column_iter_mut().zip(&self.energies) {
            column *= (energy / decay).sqrt();
        }
        scaled
    }
}

/// V₁, …, V_M, each with `rank` orthonormal columns.
fn hidden_bases(basis: &Basis, widths: &[usize], rank: usize) -> Result<Vec<DMatrix<f64>>> {
    match basis {
        Basis::Standard => Ok(widths.iter().map(|&width| DMatrix::identity(width, rank)).collect()),
        #[cfg(feature = "random")]
        Basis::Random(seed) => Ok(random_bases(*seed, widths, rank)),
        Basis::Given(matrices) => given_bases(matrices, widths, rank),
    }
}

/// Orthonormal columns, uniformly distributed.
#[cfg(feature = "random")]
fn random_bases(seed: u64, widths: &[usize], rank: usize) -> Vec<DMatrix<f64>> {
    use rand_chacha::rand_core::SeedableRng;
    use rand_distr::{Distribution, StandardNormal};

    let mut generator = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut normal = |_, _| StandardNormal.sample(&mut generator);
    let gaussian = widths.iter().map(|&width| DMatrix::from_fn(width, rank, &mut normal));
    gaussian.map(crate::numerics::linalg::orthonormal_columns).collect()
}

fn given_bases(
    matrices: &[DMatrix<f64>],
    widths: &[usize],
    rank: usize,
) -> Result<Vec<DMatrix<f64>>> {
    if matrices.len() != widths.len() {
        let reason = "one matrix for the inputs of each layer";
        return Err(Error::length("basis", matrices.len(), widths.len(), reason));
    }
    for (layer, (matrix, &width)) in matrices.iter().zip(widths).enumerate() {
        if matrix.nrows() != width || matrix.ncols() < rank {
            let (expected, reason) = ((width, Size::AtLeast(rank)), "width × rank");
            let argument = Argument::at("basis", layer);
            return Err(Error::shape(argument, matrix.shape(), expected, reason));
        }
        check_orthonormal("basis", Some(layer), matrix)?;
    }
    Ok(matrices.iter().map(|matrix| matrix.columns(0, rank).into_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_into_memory_is_named() {
        let regularization = Regularization::new(&[1.0], 1.0).unwrap();
        let huge = 1 << 40;
        let error = |widths: Option<&[usize]>, classes: usize| {
            check_matrices(&regularization, widths, (classes, classes, 1)).unwrap_err().to_string()
        };
        assert!(error(None, huge).starts_with("`classes` is"));
        assert!(error(Some(&[huge]), 2).starts_with("`widths` is"));
    }

    /// Columns beyond the rank are left out.
    #[test]
    fn given_bases_have_a_column_for_each_direction() {
        let identity = |rows, columns| DMatrix::<f64>::identity(rows, columns);
        let given = |matrix| given_bases(&[matrix], &[4], 2);
        assert_eq!(given(identity(4, 3)), Ok(vec![identity(4, 2)]));
        assert_eq!(given(identity(4, 2)), Ok(vec![identity(4, 2)]));
        for shape in [(5, 2), (3, 2), (4, 1)] {
            let error = given(identity(shape.0, shape.1)).unwrap_err().to_string();
            assert!(error.starts_with("`basis[0]` has shape"), "{error}");
        }
    }
}
