//! The directions in which class means differ, onto which NC1 projects deviations.

use nalgebra::{DMatrix, DVector};

use crate::error::{Error, Result};
use crate::measure::center::Center;
use crate::measure::class_means::ClassMeans;
use crate::numerics::linalg::{
    LARGEST_CONDITION, Operand, Svd, SymmetricEigen, gram, gram_of_upper, inverse_cholesky,
    left_svd, power_of_two, power_of_two_below, product, symmetric_eigen, times_in_place,
    transposed, zeroed,
};
use crate::numerics::magnitude::largest;
use crate::numerics::parallel::{self, NEW_NUMBER};
use crate::numerics::simd::vectorized;
use crate::numerics::squares::Squares;
pub(crate) use order::Order;
use order::rank;

mod order;

/// Rounding errors of class means, in units of ε times their root mean square norm.
const ROUNDING: f64 = 8.0 * f64::EPSILON;

/// Below this, singular values cannot be divided by.
const SMALLEST: f64 = 1e-290;

/// A Gram matrix squares the condition number. Up to this one, factorizing it once is accurate: to 1e4·ε.
const GOOD_CONDITION: f64 = 100.0;

/// Up to so many directions, singular values cost little.
const FEW_DIRECTIONS: usize = 32;

/// Singular values from a Gram matrix have an error of ε relative to the square of the largest one: of those that are
/// smaller by this, nine digits are left.
const SMALLEST_SHARE: f64 = 1e-3;

/// Steps of the power iteration that estimates the condition number.
const POWER_STEPS: usize = 5;

/// What class means are centered at, and which of the directions in which they differ count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Directions {
    /// What the class means are centered at.
    pub(crate) center: Center,
    /// Directions in which the class means differ by less than this share of what they differ by in the first one
    /// do not count.
    pub(crate) rank_cutoff: f64,
    /// No more than so many directions count.
    pub(crate) largest_rank: Option<usize>,
}

impl Directions {
    /// The same for classes of these sizes, with one name for both centers where these are the same to the last bit.
    pub(crate) fn for_counts(self, counts: &[u64]) -> Self {
        let balanced = counts.iter().all(|count| *count == counts[0]);
        let center = if balanced { Center::Samples } else { self.center };
        Self { center, ..self }
    }

    fn check(self) -> Result<()> {
        match (0.0..1.0).contains(&self.rank_cutoff) {
            true => Ok(()),
            false => {
                let expected = "at least 0 and less than 1";
                Err(Error::out_of_range("rank_cutoff", self.rank_cutoff, expected))
            }
        }
    }

    /// What tells these from others.
    pub(crate) fn words(self) -> [u64; 3] {
        let most = self.largest_rank.map_or(u64::MAX, |rank| rank as u64);
        [self.center as u64, self.rank_cutoff.to_bits(), most]
    }
}

/// A matrix D with ‖B†x‖ = ‖Dᵀx‖/`scale` for every x, where B = \[h_k − h_G\]/√K: B†ᵀ up to an
/// orthogonal matrix from the right.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Projector {
    /// A column for each of the directions in which the class means differ.
    pub(crate) directions: DMatrix<f64>,
    /// The same in the space behind the layers, if there are some: what `directions` are before the layers turn them back.
    pub(crate) behind_layers: Option<DMatrix<f64>>,
    /// A power of two at the size of B.
    pub(crate) scale: f64,
}

impl Projector {
    /// The projector for `layers` times the features, or for the features as they are; it is applied
    /// to the features as they are in both cases. `None` if class means do not differ.
    pub(crate) fn new(
        means: &ClassMeans,
        directions: Directions,
        layers: Option<&DMatrix<f64>>,
    ) -> Result<Option<Self>> {
        directions.check()?;
        let Directions { center, rank_cutoff, largest_rank } = directions;
        let differences = match layers {
            None => Differences::new(means, center),
            Some(layers) => Differences::after_layers(means, center, layers),
        };
        let Some(differences) = differences else { return Ok(None) };
        let scale = differences.scale;
        let all = differences.matrix.nrows().min(differences.matrix.ncols());
        let directions = match largest_rank.filter(|&rank| rank < all) {
            None => differences.directions(rank_cutoff)?,
            Some(rank) => differences.leading_directions(rank_cutoff, rank)?,
        };
        let Some(directions) = directions else { return Ok(None) };
        Ok(Some(match layers {
            Some(layers) => Self {
                directions: product(&transposed(layers), &directions),
                behind_layers: Some(directions),
                scale,
            },
            None => Self { directions, behind_layers: None, scale },
        }))
    }

    /// The projector with its directions in the order of how much the class means differ in them, so that those of each of
    /// `others`, which are around the same center, are the first ones. `None` where that is cheaper or more accurate to find
    /// for each alone.
    pub(crate) fn in_order(
        means: &ClassMeans,
        directions: Directions,
        others: &[Directions],
    ) -> Result<Option<(Self, Order)>> {
        directions.check()?;
        if others.is_empty() || directions.largest_rank.is_some() {
            return Ok(None);
        }
        let Some(differences) = Differences::new(means, directions.center) else { return Ok(None) };
        let all = differences.matrix.nrows().min(differences.matrix.ncols());
        if all <= FEW_DIRECTIONS {
            return Ok(None);
        }
        let (gram, many_classes) = differences.smaller_gram();
        let rank_cutoff = directions.rank_cutoff;
        let Some(inverse) = differences.inverse_factor(gram.clone(), rank_cutoff) else {
            return Ok(None);
        };
        // Up to this the first directions are as accurate as alone, which the last ones disturb by ε times its square.
        let largest = if many_classes { GOOD_CONDITION } else { SMALLEST_SHARE.recip() };
        let keeps_all = |other: &Directions| {
            other.largest_rank.is_none_or(|rank| rank >= all)
                && differences.keeps_all(&inverse, other.rank_cutoff)
        };
        if inverse.condition > largest || others.iter().all(keeps_all) {
            return Ok(None);
        }
        drop(inverse);
        let (scale, absolute_cutoff) = (differences.scale, differences.absolute_cutoff);
        let found = differences.ordered_directions(&gram, many_classes)?;
        let found = found.filter(|(values, _)| {
            differences.rank(values, rank_cutoff) == all && values[0] <= largest * values[all - 1]
        });
        Ok(found.map(|(values, directions)| {
            let projector = Self { directions, behind_layers: None, scale };
            (projector, Order::new(values, absolute_cutoff))
        }))
    }
}

/// What the class means differ by.
struct Differences {
    /// A power of two at the size of B.
    scale: f64,
    /// B/`scale` times an orthogonal matrix that leaves out its null vector: d×(K−1).
    matrix: DMatrix<f64>,
    /// Singular values up to this count as zero: it is what rounding errors of the means amount to.
    absolute_cutoff: f64,
}

/// L⁻¹ for a Gram matrix LLᵀ.
struct InverseFactor {
    matrix: DMatrix<f64>,
    /// At least the largest singular value.
    largest: f64,
    /// At most the smallest one.
    smallest: f64,
    /// About the one divided by the other.
    condition: f64,
}

impl InverseFactor {
    /// Of a Gram matrix, if it has one. ‖L⁻¹‖ (Frobenius norm) bounds 1/σ for the smallest singular value.
    fn new(gram: DMatrix<f64>) -> Option<Self> {
        let (largest, size) = (gram.trace().sqrt(), gram.nrows());
        let largest_square = power_iteration(|vector| &gram * vector, size);
        let matrix = inverse_cholesky(gram)?;
        let smallest = matrix.norm().recip();
        let square =
            largest_square * power_iteration(|vector| matrix.tr_mul(&(&matrix * vector)), size);
        Some(Self { matrix, largest, smallest, condition: square.sqrt() })
    }

    /// Whether one factorization is enough.
    fn is_accurate(&self) -> bool {
        self.condition <= GOOD_CONDITION
    }
}

impl Differences {
    /// Those of the features; `None` if there are none.
    fn new(means: &ClassMeans, center: Center) -> Option<Self> {
        let mut squares = Squares::default();
        let pieces = parallel::map_slice(means.matrix().as_slice(), Squares::of_numbers);
        pieces.iter().for_each(|piece| squares.merge(piece));
        let size = squares.root();
        Self::of(means, center, (means.matrix(), &means.center(center)), size)
    }

    /// Those of `layers` times the features.
    fn after_layers(means: &ClassMeans, center: Center, layers: &DMatrix<f64>) -> Option<Self> {
        let root = (means.classes() as f64).sqrt();
        let differences = product(layers, &means.centered(center));
        let [around, of_center] =
            [Squares::of(&differences), Squares::of(&(layers * means.center(center)))];
        let size = around.root().hypot(of_center.root() * root);
        let origin = DVector::zeros(differences.nrows());
        Self::of(means, center, (&differences, &origin), size)
    }

    /// From a matrix of columns that differ from the means by `origin` and what follows from means of the norm `size`.
    fn of(
        means: &ClassMeans,
        center: Center,
        (columns, origin): (&DMatrix<f64>, &DVector<f64>),
        size: f64,
    ) -> Option<Self> {
        let root = (means.classes() as f64).sqrt();
        let largest = largest_difference_from(columns, origin);
        if largest / root < SMALLEST {
            return None;
        }
        let scale = power_of_two_below(largest) / root.log2().round().exp2();
        let null = null_vector(means.counts(), center);
        let matrix = without_null_vector((columns, origin), root * scale, &null);
        let absolute_cutoff = (ROUNDING * size / root).max(SMALLEST) / scale;
        Some(Self { scale, matrix, absolute_cutoff })
    }

    /// D; `None` if no singular value counts.
    fn directions(self, rank_cutoff: f64) -> Result<Option<DMatrix<f64>>> {
        let (gram, many_classes) = self.smaller_gram();
        match self.inverse_factor(gram, rank_cutoff) {
            None => self.leading_directions(rank_cutoff, usize::MAX),
            Some(inverse) if many_classes => self.directions_of_many_classes(inverse).map(Some),
            Some(inverse) => self.directions_of_few_classes(inverse).map(Some),
        }
    }

    /// The smaller Gram matrix of the rows or columns, and whether it is that of the rows: there are more classes.
    fn smaller_gram(&self) -> (DMatrix<f64>, bool) {
        let many_classes = self.matrix.nrows() < self.matrix.ncols();
        let gram = match many_classes {
            true => gram(&self.matrix),
            false => gram(&transposed(&self.matrix)),
        };
        (gram, many_classes)
    }

    /// L⁻¹ for the Gram matrix LLᵀ of the differences if it is certain that they have full rank.
    fn inverse_factor(&self, gram: DMatrix<f64>, rank_cutoff: f64) -> Option<InverseFactor> {
        InverseFactor::new(gram).filter(|inverse| self.keeps_all(inverse, rank_cutoff))
    }

    /// Whether all directions are kept for certain.
    fn keeps_all(&self, inverse: &InverseFactor, rank_cutoff: f64) -> bool {
        let share = rank_cutoff.max(LARGEST_CONDITION.recip());
        inverse.smallest > (share * inverse.largest).max(self.absolute_cutoff)
    }

    /// B = QR with R = Lᵀ from BᵀB = LLᵀ, and D = QR⁻ᵀ. If one factorization leaves Q short of
    /// orthonormal, a second one repairs it (Yamamoto et al., *Roundoff error analysis of the
    /// CholeskyQR2 algorithm*, ETNA 44, 2015). All in the memory of B.
    fn directions_of_few_classes(self, inverse: InverseFactor) -> Result<DMatrix<f64>> {
        let (accurate, inverse) = (inverse.is_accurate(), inverse.matrix);
        let mut q = self.matrix;
        if accurate {
            times_inverse_gram(&mut q, inverse);
            return Ok(q);
        }
        times_in_place(&mut q, &inverse.transpose());
        let second = second_factor(&q)?;
        times_in_place(&mut q, &second.transpose());
        times_in_place(&mut q, &product(&second, &inverse));
        Ok(q)
    }

    /// D = L⁻ᵀ for BBᵀ = LLᵀ, again with a second factorization where one is not accurate.
    fn directions_of_many_classes(&self, inverse: InverseFactor) -> Result<DMatrix<f64>> {
        let (accurate, inverse) = (inverse.is_accurate(), inverse.matrix);
        if accurate {
            return Ok(inverse.transpose());
        }
        let mut orthonormal = self.matrix.transpose();
        times_in_place(&mut orthonormal, &inverse.transpose());
        Ok(product(&second_factor(&orthonormal)?, &inverse).transpose())
    }

    /// D = UΣ⁻¹ for the singular values that are kept, no more than the `most` largest ones; `None` if there are none.
    fn leading_directions(&self, rank_cutoff: f64, most: usize) -> Result<Option<DMatrix<f64>>> {
        let all = self.matrix.nrows().min(self.matrix.ncols());
        let are_far_from_zero = rank_cutoff >= SMALLEST_SHARE || most < all;
        if all > FEW_DIRECTIONS
            && are_far_from_zero
            && let Some(found) = self.directions_by_gram(rank_cutoff, most)?
        {
            return Ok(Some(found));
        }
        self.directions_by_singular_values(rank_cutoff, most)
    }

    fn directions_by_singular_values(
        &self,
        rank_cutoff: f64,
        most: usize,
    ) -> Result<Option<DMatrix<f64>>> {
        let Svd { u, singular_values, .. } = left_svd(&self.matrix)?;
        let rank = self.rank(&singular_values, rank_cutoff).min(most);
        let directions = u.columns(0, rank).into_owned();
        Ok((rank > 0).then(|| divided(directions, &singular_values)))
    }

    /// The same from the eigenvalues of a Gram matrix, at half the cost; `None` if singular values are kept that it squares to
    /// too little.
    fn directions_by_gram(&self, rank_cutoff: f64, most: usize) -> Result<Option<DMatrix<f64>>> {
        let (gram, many_classes) = self.smaller_gram();
        let SymmetricEigen { values: squares, vectors } = symmetric_eigen(&gram)?;
        let values = squares.map(|square| square.max(0.0).sqrt());
        let rank = self.rank(&values, rank_cutoff).min(most);
        // A small singular value may have become zero, and is missed unless it does not count.
        let may_miss = rank < most.min(squares.len()) && rank_cutoff < SMALLEST_SHARE;
        if rank == 0 || may_miss || values[rank - 1] < SMALLEST_SHARE * values[0] {
            return Ok(None);
        }
        let vectors = vectors.strided().columns(0..rank);
        Ok(Some(match many_classes {
            true => divided(vectors.as_view().into_owned(), &values),
            false => divided(product(&self.matrix, &vectors), &squares),
        }))
    }

    /// All singular values and D = W(WᵀW)⁻¹ for W = BV, where BᵀB = VΣ²Vᵀ: UΣ⁻¹ without the loss of digits in small
    /// values, which in turn are not told from the others better than the smaller Gram matrix does.
    fn ordered_directions(
        &self,
        smaller_gram: &DMatrix<f64>,
        many_classes: bool,
    ) -> Result<Option<(DVector<f64>, DMatrix<f64>)>> {
        let SymmetricEigen { values: squares, vectors } = symmetric_eigen(smaller_gram)?;
        let values = squares.map(|square| square.max(0.0).sqrt());
        let directions = if many_classes {
            divided(vectors, &values)
        } else {
            let mut columns = divided(product(&self.matrix, &vectors), &values);
            let inverse = inverse_cholesky(gram(&transposed(&columns)));
            let Some(inverse) = inverse else { return Ok(None) };
            times_inverse_gram(&mut columns, inverse);
            divided(columns, &values)
        };
        Ok(Some((values, directions)))
    }

    /// How many singular values, by falling size, are kept.
    fn rank(&self, values: &DVector<f64>, rank_cutoff: f64) -> usize {
        rank(values, rank_cutoff, self.absolute_cutoff)
    }
}

/// Q(QᵀQ)⁻¹ in place of Q, with L⁻¹ for QᵀQ = LLᵀ.
fn times_inverse_gram(columns: &mut DMatrix<f64>, inverse: DMatrix<f64>) {
    let inverse_gram = gram_of_upper(&transposed(&inverse));
    drop(inverse);
    times_in_place(columns, &inverse_gram);
}

/// The columns, each divided by a number.
fn divided(mut columns: DMatrix<f64>, divisors: &DVector<f64>) -> DMatrix<f64> {
    for (mut column, divisor) in columns.column_iter_mut().zip(divisors) {
        column /= *divisor;
    }
    columns
}

/// The largest singular value of B = \[h_k − h_G\]/√K, estimated from below.
pub(crate) fn largest_difference(means: &ClassMeans, center: Center) -> f64 {
    let mut matrix = means.centered(center);
    let scale = power_of_two(&matrix);
    matrix /= scale;
    let square = power_iteration(|vector| matrix.tr_mul(&(&matrix * vector)), matrix.ncols());
    scale * (square / means.classes() as f64).sqrt()
}

/// L⁻¹ for the Gram matrix LLᵀ of columns that are close to orthonormal.
fn second_factor(columns: &DMatrix<f64>) -> Result<DMatrix<f64>> {
    let algorithm = "orthonormalization of what the class means differ by";
    inverse_cholesky(gram(&transposed(columns)))
        .ok_or(Error::NoConvergence { algorithm, iterations: 2 })
}

/// The unit vector that centered class means map to zero.
fn null_vector(counts: &[u64], center: Center) -> DVector<f64> {
    let weight = |count: u64| match center {
        Center::Samples => count as f64,
        Center::Classes => 1.0,
    };
    let weights = DVector::from_iterator(counts.len(), counts.iter().map(|&count| weight(count)));
    let largest = weights.amax();
    (weights / largest).normalize()
}

/// The largest entry of the columns less `origin`.
fn largest_difference_from(columns: &DMatrix<f64>, origin: &DVector<f64>) -> f64 {
    let of_column = |differences: &mut DVector<f64>, column: usize| {
        subtract(columns.column(column).as_slice(), origin, 1.0, differences.as_mut_slice());
        largest(differences.as_slice())
    };
    let largest = parallel::map(columns.ncols(), columns.len(), || origin.clone(), of_column);
    largest.into_iter().fold(0.0, f64::max)
}

/// The columns but the last of B H, where H = I − 2wwᵀ is the reflection that maps the null vector v to
/// the last axis: b_k − b_K v_k/(1 + v_K). B are the given columns less `origin`, divided by `divisor`.
fn without_null_vector(
    (columns, origin): (&DMatrix<f64>, &DVector<f64>),
    divisor: f64,
    null: &DVector<f64>,
) -> DMatrix<f64> {
    let (dimension, last) = (columns.nrows(), columns.ncols() - 1);
    let mut last_column = DVector::zeros(dimension);
    subtract(columns.column(last).as_slice(), origin, divisor, last_column.as_mut_slice());
    let mut matrix = zeroed(dimension, last);
    let outs = matrix.as_mut_slice().chunks_mut(dimension.max(1)).enumerate();
    parallel::for_each(
        outs,
        NEW_NUMBER.saturating_mul(columns.len()),
        || (),
        |(), (class, out)| {
            subtract(columns.column(class).as_slice(), origin, divisor, out);
            let factor = -null[class] / (1.0 + null[last]);
            add_multiple(out, factor, last_column.as_slice());
        },
    );
    matrix
}

/// (column − origin)/divisor.
fn subtract(column: &[f64], origin: &DVector<f64>, divisor: f64, out: &mut [f64]) {
    vectorized(
        #[inline(always)]
        || {
            for ((out, entry), origin) in out.iter_mut().zip(column).zip(origin.as_slice()) {
                *out = (entry - origin) / divisor;
            }
        },
    );
}

/// `out` += factor · column.
fn add_multiple(out: &mut [f64], factor: f64, column: &[f64]) {
    vectorized(
        #[inline(always)]
        || out.iter_mut().zip(column).for_each(|(out, entry)| *out += factor * entry),
    );
}

/// An estimate of the largest eigenvalue of a positive semidefinite matrix, from below.
fn power_iteration(multiply: impl Fn(&DVector<f64>) -> DVector<f64>, size: usize) -> f64 {
    // Weyl's sequence: no structured vector is orthogonal to it.
    let golden = 0.618_033_988_749_894_9;
    let mut vector = DVector::from_fn(size, |i, _| ((i as f64 + 1.0) * golden).fract() - 0.4);
    let mut norm = 0.0;
    for _ in 0..POWER_STEPS {
        vector.normalize_mut();
        vector = multiply(&vector);
        norm = vector.norm();
    }
    norm
}

#[cfg(test)]
mod tests;
