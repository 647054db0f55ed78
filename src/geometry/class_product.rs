//! K×K matrices that are measured as products, and their normalized distances to class matrices, without K×K matrices where K
//! is large.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;

use nalgebra::DMatrix;

use crate::error::{Error, Result, Size};
use crate::geometry::class_matrix::{ClassMatrix, FOR_EACH_CLASS};
use crate::geometry::structure::Grouped;
use crate::numerics::linalg::{
    Block, Operand, Strided, check_finite, gram, multiply, product, transposed,
};
use crate::numerics::magnitude::{is_comfortable, largest};
use crate::numerics::parallel;
use crate::numerics::simd::vectorized;
use crate::numerics::squares::{dot, sum_of_squares};

/// Up to this many classes, K×K matrices are small and the direct way is the accurate one.
const FEW_CLASSES: usize = 1024;

/// 2 − 2cos has an absolute error of some 1e-15, so that below this distance it has less than five
/// digits and the residual is computed directly.
const SMALL_DISTANCE: f64 = 1e-5;

/// Rows and columns of a tile of the residual.
const TILE: usize = 512;

/// Coordinates of which inner products are added up at a time, for so many classes.
const COORDINATES: usize = 64;
const CLASSES: usize = 256;

impl ClassMatrix {
    /// The normalized [`distance`](Self::distance) between the Gram matrix V Vᵀ of the rows of V (K×d)
    /// and this matrix: NC2 for V = W_M⋯W_(M−m+1).
    ///
    /// For many classes this takes O(K d²) operations and O(d²) memory where the distance is above
    /// 10⁻⁵, and O(K² d) operations in blocks of rows where it is below.
    ///
    /// # Errors
    /// As [`distance`](Self::distance).
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::ClassMatrix;
    ///
    /// let rows = dmatrix![1.0, 0.0, 0.0; 0.0, 0.0, -1.0];
    /// assert!(ClassMatrix::orthogonal_frame(2)?.distance_to_gram(&rows)? < 1e-15);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn distance_to_gram(&self, rows: &DMatrix<f64>) -> Result<f64> {
        // A target for other classes is found out before rows without numbers.
        check_rows(rows, self.classes())?;
        ClassProduct::gram(rows)?.distance(self)
    }

    /// The normalized [`distance`](Self::distance) between the product A B of a K×d and a d×K matrix
    /// and this matrix: NC3 for A = W_M⋯W₁ and B = H̄.
    ///
    /// The cost is that of [`distance_to_gram`](Self::distance_to_gram).
    ///
    /// # Errors
    /// As [`distance`](Self::distance), and [`Error::Shape`] if the shapes do not agree.
    pub fn distance_to_product(&self, left: &DMatrix<f64>, right: &DMatrix<f64>) -> Result<f64> {
        check_rows(left, self.classes())?;
        ClassProduct::new(left, right)?.distance(self)
    }
}

fn check_rows(left: &DMatrix<f64>, classes: usize) -> Result<()> {
    if left.nrows() != classes {
        let expected = (classes, Size::Any);
        return Err(Error::shape("left", left.shape(), expected, FOR_EACH_CLASS));
    }
    Ok(())
}

/// The matrix itself, or divided by its largest entry if products could overflow or vanish: the distance
/// does not depend on the scale.
fn unit_scale<'a>(
    name: &'static str,
    matrix: Cow<'a, DMatrix<f64>>,
) -> Result<Cow<'a, DMatrix<f64>>> {
    let largest = largest(matrix.as_slice());
    if largest == 0.0 {
        return Err(Error::ZeroNorm { argument: "measured" });
    }
    if !largest.is_finite() {
        check_finite(name, &matrix)?;
    }
    Ok(if is_comfortable(largest) { matrix } else { Cow::Owned(matrix.into_owned() / largest) })
}

/// A K×K matrix that was measured as a product: the Gram matrix V Vᵀ of the vectors of K classes, or A B for a K×d and a d×K
/// matrix, such as the outputs of a head for the class means.
///
/// It may be held against any number of targets: what does not depend on the target is computed with the first one.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::ClassMatrix;
/// use neural_collapse::geometry::ClassProduct;
///
/// let weights = dmatrix![1.0, 0.0, 0.0; 0.0, 0.0, -1.0];
/// let gram = ClassProduct::gram(&weights)?;
/// assert!(gram.distance(&ClassMatrix::orthogonal_frame(2)?)? < 1e-15);
/// assert!(gram.distance(&ClassMatrix::simplex_etf(2)?)? > 0.5);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ClassProduct<'a> {
    left: Cow<'a, DMatrix<f64>>,
    /// `None` for the transpose of the left one.
    right: Option<Cow<'a, DMatrix<f64>>>,
    /// ‖A B‖.
    norm: OnceLock<f64>,
    /// A B itself, for few classes or a target without structure.
    dense: OnceLock<DMatrix<f64>>,
}

impl<'a> ClassProduct<'a> {
    /// The Gram matrix V Vᵀ of the rows of V, K×d.
    ///
    /// # Errors
    /// [`Error::ZeroNorm`] if all numbers are zero or there are none, [`Error::OutOfRange`] if one is not finite.
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::geometry::ClassProduct;
    ///
    /// assert_eq!(ClassProduct::gram(&dmatrix![1.0, 0.0; 0.0, 2.0; 0.0, 0.0])?.classes(), 3);
    /// assert!(ClassProduct::gram(&dmatrix![0.0, 0.0; 0.0, 0.0]).is_err());
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn gram(rows: &'a DMatrix<f64>) -> Result<Self> {
        Self::of(Cow::Borrowed(rows), None)
    }

    /// A B for A, K×d, and B, d×K.
    ///
    /// # Errors
    /// As [`gram`](Self::gram), and [`Error::Shape`] if the shapes do not agree.
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::ClassMatrix;
    /// use neural_collapse::geometry::ClassProduct;
    ///
    /// let (classifier, means) = (dmatrix![2.0, 0.0; 0.0, 1.0], dmatrix![1.0, 0.0; 0.0, 2.0]);
    /// let outputs = ClassProduct::new(&classifier, &means)?;
    /// assert!(outputs.distance(&ClassMatrix::orthogonal_frame(2)?)? < 1e-15);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn new(left: &'a DMatrix<f64>, right: &'a DMatrix<f64>) -> Result<Self> {
        Self::of(Cow::Borrowed(left), Some(Cow::Borrowed(right)))
    }

    /// A B, or A Aᵀ without a B.
    pub(crate) fn of(
        left: Cow<'a, DMatrix<f64>>,
        right: Option<Cow<'a, DMatrix<f64>>>,
    ) -> Result<Self> {
        let expected = (left.ncols(), left.nrows());
        if let Some(right) = right.as_ref().filter(|right| right.shape() != expected) {
            return Err(Error::shape("right", right.shape(), expected, "to follow `left`"));
        }
        let left = unit_scale("left", left)?;
        let right = right.map(|right| unit_scale("right", right)).transpose()?;
        Ok(Self { left, right, norm: OnceLock::new(), dense: OnceLock::new() })
    }

    /// Number of classes K.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.left.nrows()
    }

    /// The normalized distance ‖ P/‖P‖ − Θ/‖Θ‖ ‖ (Frobenius norms) of this product P to a target Θ: see
    /// [`ClassMatrix::distance`], and [`ClassMatrix::distance_to_gram`] for the cost.
    ///
    /// # Errors
    /// [`Error::Shape`] if the target is for another number of classes, [`Error::ZeroNorm`] if it or this product is zero.
    pub fn distance(&self, target: &ClassMatrix) -> Result<f64> {
        check_rows(&self.left, target.classes())?;
        let Some(grouped) = target.as_grouped() else {
            return target.distance(self.dense());
        };
        let grouped = &grouped.unit_scale().ok_or(Error::ZeroNorm { argument: "target" })?;
        if self.classes() > FEW_CLASSES.max(self.left.ncols()) {
            self.structured_distance(grouped)
        } else {
            self.direct_distance(grouped)
        }
    }

    /// Aᵀ.
    fn left_columns(&self) -> Strided<'_, f64> {
        transposed(&*self.left)
    }

    /// B.
    fn right_columns(&self) -> Strided<'_, f64> {
        self.right.as_ref().map_or_else(|| self.left_columns(), |right| right.strided())
    }

    fn dense(&self) -> &DMatrix<f64> {
        self.dense.get_or_init(|| match &self.right {
            Some(right) => product(&*self.left, &**right),
            None => gram(&*self.left),
        })
    }

    /// The distance by its definition, entry by entry.
    fn direct_distance(&self, target: &Grouped) -> Result<f64> {
        let dense = self.dense();
        let norm = positive(*self.norm.get_or_init(|| {
            let squares = parallel::map_slice(dense.as_slice(), sum_of_squares);
            squares.into_iter().sum::<f64>().sqrt()
        }))?;
        let target_norm = target_norm(target)?;
        let columns = DenseColumns { target, groups: &target.class_groups(), norm, target_norm };
        let squares =
            parallel::map(dense.ncols(), dense.len(), Residual::default, |residual, j| {
                columns.squared_distance(residual, j, dense.column(j).as_slice())
            });
        Ok(squares.into_iter().sum::<f64>().sqrt())
    }

    /// √(2 − 2cos) from inner products, or entry by entry in tiles where that has lost its digits.
    fn structured_distance(&self, target: &Grouped) -> Result<f64> {
        let (norm, target_norm) = (positive(self.norm())?, target_norm(target)?);
        let cosine = self.inner_product(target) / norm / target_norm;
        let distance = (2.0 - 2.0 * cosine).max(0.0).sqrt();
        if distance > SMALL_DISTANCE {
            return Ok(distance);
        }
        Ok(self.residual(target, norm, target_norm))
    }

    /// ‖A B‖² = ⟨AᵀA, B Bᵀ⟩.
    fn norm(&self) -> f64 {
        *self.norm.get_or_init(|| {
            let left = gram(&self.left_columns());
            let right = self.right.as_ref().map(|right| gram(&**right));
            left.dot(right.as_ref().unwrap_or(&left)).sqrt()
        })
    }

    /// ⟨A B, diag(q) + block constants⟩, some coordinates of the vectors after the other.
    fn inner_product(&self, target: &Grouped) -> f64 {
        let dimension = self.left.ncols();
        let ranges = dimension.div_ceil(COORDINATES);
        let operations = self.classes().saturating_mul(dimension);
        let parts = parallel::map(ranges, operations, Blocks::new, |blocks, index| {
            let coordinates = index * COORDINATES..dimension.min((index + 1) * COORDINATES);
            self.inner_product_of(coordinates, target, blocks)
        });
        parts.into_iter().sum()
    }

    /// Σ q_k a_k·b_k + Σ c_gh (Σ_{i∈g} a_i)·(Σ_{j∈h} b_j), of some coordinates.
    fn inner_product_of(
        &self,
        coordinates: Range<usize>,
        target: &Grouped,
        Blocks { left, right }: &mut Blocks,
    ) -> f64 {
        let (groups, diagonal) = (target.class_groups(), target.diagonal());
        let size = target.coupling().map_or(0, DMatrix::ncols);
        let mut sums = [(); 2].map(|()| DMatrix::zeros(coordinates.len(), size));
        let mut on_diagonal = 0.0;
        for first in (0..groups.len()).step_by(CLASSES) {
            let classes = first..groups.len().min(first + CLASSES);
            left.copy(&self.left_columns().part(coordinates.clone(), classes.clone()));
            right.copy(&self.right_columns().part(coordinates.clone(), classes.clone()));
            for ((class, a), b) in classes.zip(left.columns()).zip(right.columns()) {
                on_diagonal += vectorized(
                    #[inline(always)]
                    || dot(a, b),
                ) * diagonal[groups[class]];
                if size > 0 {
                    for (sums, entries) in sums.iter_mut().zip([a, b]) {
                        let mut sum = sums.column_mut(groups[class]);
                        sum.iter_mut().zip(entries).for_each(|(sum, entry)| *sum += entry);
                    }
                }
            }
        }
        let Some(coupling) = target.coupling() else { return on_diagonal };
        let mut coupled = DMatrix::zeros(coordinates.len(), size);
        multiply(&mut coupled, &sums[0], coupling);
        on_diagonal + coupled.dot(&sums[1])
    }

    /// ‖A B/‖A B‖ − T/‖T‖‖ in tiles.
    fn residual(&self, target: &Grouped, norm: f64, target_norm: f64) -> f64 {
        let groups = target.class_groups();
        let classes = groups.len();
        let blocks = classes.div_ceil(TILE);
        let block = |index: usize| index * TILE..classes.min((index + 1) * TILE);
        let operations = classes.saturating_mul(classes).saturating_mul(self.left.ncols());
        let (left, right) = (self.left.strided(), self.right_columns());
        let empty = || DMatrix::zeros(0, 0);
        let squares = parallel::map(blocks * blocks, operations, empty, |tile, index| {
            let (rows, columns) = (block(index % blocks), block(index / blocks));
            if tile.shape() != (rows.len(), columns.len()) {
                *tile = DMatrix::zeros(rows.len(), columns.len());
            }
            multiply(tile, &left.rows(rows.clone()), &right.columns(columns.clone()));
            let mut sum = 0.0;
            for (j, column) in columns.zip(tile.column_iter()) {
                for (i, entry) in rows.clone().zip(column.iter()) {
                    let target = target.entry(i == j, groups[i], groups[j]);
                    sum += (entry / norm - target / target_norm).powi(2);
                }
            }
            sum
        });
        squares.into_iter().sum::<f64>().sqrt()
    }
}

/// Some coordinates of the vectors of some classes.
struct Blocks {
    left: Block<f64>,
    right: Block<f64>,
}

impl Blocks {
    fn new() -> Self {
        Self { left: Block::new(), right: Block::new() }
    }
}

/// A target divided by its norm beside a matrix divided by its own.
struct DenseColumns<'a> {
    target: &'a Grouped,
    groups: &'a [usize],
    norm: f64,
    target_norm: f64,
}

/// The column of the target for a group, as it is off the diagonal, and what is left of it.
#[derive(Default)]
struct Residual {
    group: Option<usize>,
    column: Vec<f64>,
    rest: Vec<f64>,
}

impl DenseColumns<'_> {
    /// ‖a/‖A‖ − t/‖T‖‖² for the columns a and t of class `j`.
    fn squared_distance(&self, residual: &mut Residual, j: usize, column: &[f64]) -> f64 {
        let groups = self.groups;
        let entry = |diagonal, group| self.target.entry(diagonal, group, groups[j]);
        if residual.group != Some(groups[j]) {
            residual.group = Some(groups[j]);
            residual.column.clear();
            let scaled = groups.iter().map(|&group| entry(false, group) / self.target_norm);
            residual.column.extend(scaled);
            residual.rest.resize(groups.len(), 0.0);
        }
        vectorized(
            #[inline(always)]
            || {
                let entries = residual.column.iter().zip(column);
                for (rest, (target, entry)) in residual.rest.iter_mut().zip(entries) {
                    *rest = entry / self.norm - target;
                }
            },
        );
        residual.rest[j] = column[j] / self.norm - entry(true, groups[j]) / self.target_norm;
        sum_of_squares(&residual.rest)
    }
}

/// The norm of what was measured, which must not be zero.
fn positive(norm: f64) -> Result<f64> {
    if norm > 0.0 { Ok(norm) } else { Err(Error::ZeroNorm { argument: "measured" }) }
}

fn target_norm(target: &Grouped) -> Result<f64> {
    let norm = target.norm();
    if norm > 0.0 { Ok(norm) } else { Err(Error::ZeroNorm { argument: "target" }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pseudo_random(rows: usize, columns: usize, seed: f64) -> DMatrix<f64> {
        DMatrix::from_fn(rows, columns, |i, j| ((i * columns + j) as f64 * seed).sin())
    }

    fn structured(target: &ClassMatrix, left: &DMatrix<f64>, right: &DMatrix<f64>) -> f64 {
        let target = target.as_grouped().unwrap().unit_scale().unwrap();
        ClassProduct::new(left, right).unwrap().structured_distance(&target).unwrap()
    }

    #[test]
    fn the_structured_way_agrees_with_the_direct_one() {
        let (left, right) = (pseudo_random(40, 6, 1.3), pseudo_random(6, 40, 0.7));
        let lengths: Vec<f64> = (0..40).map(|k| f64::from(k % 7)).collect();
        let longer: Vec<f64> = lengths.iter().map(|length| length + 0.5).collect();
        for target in [
            ClassMatrix::diagonal(&longer).unwrap(),
            ClassMatrix::orthogonal_frame(40).unwrap(),
            ClassMatrix::simplex_etf(40).unwrap(),
            ClassMatrix::diagonal(&lengths).unwrap(),
        ] {
            let direct = target.distance(&(&left * &right)).unwrap();
            assert!((structured(&target, &left, &right) - direct).abs() < 1e-13 * direct);
            let gram = target.distance(&(&left * left.transpose())).unwrap();
            assert!((structured(&target, &left, &left.transpose()) - gram).abs() < 1e-13 * gram);
        }
    }

    #[test]
    fn both_ways_agree_where_they_meet() {
        let target = ClassMatrix::simplex_etf(30).unwrap();
        let exact = target.to_dense().unwrap();
        for size in [1e-3, 1e-4, 2e-5, 1e-5, 5e-6, 1e-7, 1e-12] {
            let left = &exact + pseudo_random(30, 30, 1.1) * size;
            let direct = target.distance(&(&left * &exact)).unwrap();
            let got = structured(&target, &left, &exact);
            assert!((got - direct).abs() < 1e-5 * direct + 1e-15, "{size}: {got:e}, {direct:e}");
        }
    }

    /// A matrix of rank two in tiles, in a form that a product of two columns comes close to.
    #[test]
    fn a_small_distance_is_summed_over_tiles() {
        let (classes, second) = (700, 250);
        let coupling = DMatrix::from_row_slice(2, 2, &[1.0, 0.5, 0.25, 2.0]);
        let group = |class: usize| usize::from(class >= second);
        let runs = vec![(0, 0), (second, 1)];
        let target = Grouped::of_runs(runs, classes, vec![0.0; 2], Some(coupling.clone()));
        let left = DMatrix::from_fn(classes, 2, |i, g| coupling[(group(i), g)])
            + pseudo_random(classes, 2, 1.1) * 1e-6;
        let right = DMatrix::from_fn(2, classes, |g, j| if g == group(j) { 1.0 } else { 0.0 });
        let direct = ClassProduct::new(&left, &right).unwrap().direct_distance(&target).unwrap();
        let target = ClassMatrix::unique(target);
        let expected = target.distance(&(&left * &right)).unwrap();
        let got = structured(&target, &left, &right);
        assert!(got < SMALL_DISTANCE && (got / expected - 1.0).abs() < 1e-8, "{got} {expected}");
        assert!((direct / expected - 1.0).abs() < 1e-8, "{direct} {expected}");
        // And where the distance is large, from the sums of both groups over more than one tile.
        let left = left + pseudo_random(classes, 2, 0.3);
        let expected = target.distance(&(&left * &right)).unwrap();
        assert!((structured(&target, &left, &right) / expected - 1.0).abs() < 1e-13);
    }

    #[test]
    fn distances_have_no_scale() {
        let (left, right) = (pseudo_random(5, 3, 1.3), pseudo_random(3, 5, 0.7));
        let target = ClassMatrix::simplex_etf(5).unwrap();
        let [product, gram] = [&left * &right, &left * left.transpose()];
        let [product, gram] = [product, gram].map(|matrix| target.distance(&matrix).unwrap());
        for scale in [1e-300, 1e-160, 1.0, 1e160, 1e300] {
            let (left, right) = (&left * scale, &right * scale.sqrt());
            let got = target.distance_to_product(&left, &right).unwrap();
            assert!((got - product).abs() < 1e-14, "{scale:e}");
            let got = target.distance_to_gram(&left).unwrap();
            assert!((got - gram).abs() < 1e-14, "{scale:e}");
        }
    }

    #[test]
    fn what_has_no_direction_is_named() {
        let target = ClassMatrix::simplex_etf(2).unwrap();
        let (zero, across) =
            (DMatrix::zeros(2, 1), DMatrix::from_row_slice(2, 2, &[1., 0., 1., 0.]));
        let named = |result: Result<f64>, name| match result.unwrap_err() {
            Error::ZeroNorm { argument } => assert_eq!(argument, name),
            error => panic!("{error}"),
        };
        named(target.distance_to_gram(&zero), "measured");
        named(target.distance_to_product(&across, &DMatrix::zeros(2, 2)), "measured");
        // The rows of one factor are orthogonal to the columns of the other.
        let right = DMatrix::from_row_slice(2, 2, &[0., 0., 1., 1.]);
        named(target.distance_to_product(&across, &right), "measured");
        let grouped = target.as_grouped().unwrap();
        named(ClassProduct::new(&across, &right).unwrap().structured_distance(grouped), "measured");
        // I − 11ᵀ/K is zero for one class.
        let nothing = ClassMatrix::simplex_etf(1).unwrap();
        let one = DMatrix::identity(1, 1);
        named(nothing.distance_to_gram(&one), "target");
        named(nothing.distance_to_product(&one, &one), "target");
        named(nothing.distance(&one), "target");
        let shape = |result: Result<f64>| assert!(matches!(result, Err(Error::Shape { .. })));
        shape(target.distance_to_gram(&one));
        shape(target.distance_to_product(&across, &DMatrix::zeros(2, 3)));
        shape(target.distance_to_product(&across, &DMatrix::zeros(1, 2)));
    }
}
