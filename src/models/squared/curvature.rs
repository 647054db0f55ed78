//! The Hessian of the objective at its global minimum, and the rates that follow from it.

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::models::squared::direction::Direction;
use crate::models::squared::minimum::GlobalMinimum;
use crate::numerics::linalg::symmetric_eigen;
use crate::problem::regularization::Bias;

/// An eigenvalue of the Hessian with the number of its eigenvectors.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Eigenvalue {
    /// The eigenvalue.
    pub value: f64,
    /// Number of its eigenvectors.
    pub multiplicity: u128,
}

/// The curvature of the objective at a global minimum: all eigenvalues of its Hessian with respect to
/// W₁, …, W_M, H and b.
///
/// In the basis of the singular vectors the Hessian falls into blocks for pairs (i, j) of directions, with the entries
/// (i, j) and (j, i) of every layer as variables, so that no matrix is larger than 2(M+1) rows. With layer 0 for H,
/// s_m = √(t/λ_m) and the residual r = (z − σ)/N of a direction:
///
/// ```text
/// λ_m on the diagonal,
/// v_l v_m/N between two layers of one entry (i, j),   v_m = Π_(l>m) s_l(i) · Π_(l<m) s_l(j),
/// r_i Π_(q>l) s_q(i) Π_(m<q<l) s_q(j) Π_(q<m) s_q(i) between (i, j) of layer l and (j, i) of layer m < l.
/// ```
///
/// Rotations of the hidden spaces change nothing: theirs and those within a family are the
/// [`zero_modes`](Self::zero_modes). Gradient descent with a fixed step converges near the minimum iff the step is below
/// [`largest_step`](Self::largest_step).
///
/// ```
/// use neural_collapse::{ClassCounts, Regularization, Ufm};
///
/// let ufm = Ufm::new(ClassCounts::balanced(2, 5)?, Regularization::new(&[0.01], 0.01)?)?;
/// let curvature = ufm.with_widths(&[3])?.global_minimum()?.curvature()?;
/// let parameters: u128 = curvature.eigenvalues().iter().map(|eigenvalue| eigenvalue.multiplicity).sum();
/// assert_eq!(parameters, 2 * 3 + 3 * 10);
/// assert_eq!(curvature.zero_modes(), 3); // of two vectors in three dimensions
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: derived in the project's `docs/theory.md`, section "The Hessian at the minimum".
#[doc(alias = "Hessian")]
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Curvature {
    eigenvalues: Vec<Eigenvalue>,
    nc1_rate: Option<f64>,
}

impl Curvature {
    /// All eigenvalues, by falling value; the multiplicities add up to the number of parameters. Their error is a few
    /// ulp of the largest eigenvalue of the same block. Zero modes are exactly 0.
    #[must_use]
    pub fn eigenvalues(&self) -> &[Eigenvalue] {
        &self.eigenvalues
    }

    /// The number of directions in the space of parameters along which the objective stays the same: rotations of the
    /// hidden spaces, and the moves between members of a family at low rank.
    #[must_use]
    pub fn zero_modes(&self) -> u128 {
        let zeros = self.eigenvalues.iter().filter(|eigenvalue| eigenvalue.value == 0.0);
        zeros.map(|eigenvalue| eigenvalue.multiplicity).sum()
    }

    /// The largest eigenvalue, λ_max.
    #[must_use]
    pub fn largest(&self) -> f64 {
        self.eigenvalues.iter().fold(0.0, |largest, eigenvalue| largest.max(eigenvalue.value))
    }

    /// The smallest positive eigenvalue: what is not a zero mode converges at least at this rate under gradient flow.
    #[must_use]
    pub fn smallest_positive(&self) -> f64 {
        let values = self.eigenvalues.iter().map(|eigenvalue| eigenvalue.value);
        values.filter(|&value| value > 0.0).fold(f64::INFINITY, f64::min)
    }

    /// 2/λ_max: gradient descent is stable near the minimum with any smaller step (learning rate).
    #[doc(alias = "learning rate")]
    #[must_use]
    pub fn largest_step(&self) -> f64 {
        2.0 / self.largest()
    }

    /// The ratio of the largest to the smallest positive eigenvalue.
    #[must_use]
    pub fn condition_number(&self) -> f64 {
        self.largest() / self.smallest_positive()
    }

    /// The rate ρ at which NC1 falls at last, as e^(−ρ t), under gradient flow: ρ = 2(λ_H + ω²/N) for the smallest
    /// singular value ω > 0 of W_M⋯W₁. `None` if everything collapsed to zero or no class has two samples.
    ///
    /// It is the rate to the second order in the distance from the minimum. Where features have more dimensions than the rank,
    /// what they have outside of the span of the class means falls more slowly; it enters in higher orders, and is seen once
    /// NC1 has fallen below it.
    ///
    /// With steps of size η the factor per step is (1 − ηρ/2)².
    #[doc(alias = "NC1")]
    #[must_use]
    pub fn nc1_rate(&self) -> Option<f64> {
        self.nc1_rate
    }
}

impl GlobalMinimum {
    /// The curvature of the objective at the global minimum, at the member of the largest rank if there is a family.
    /// Widths that are not limited count as K.
    ///
    /// The cost grows with the square of the number of [`directions`](Self::directions).
    ///
    /// # Errors
    /// [`Error::NotAnswered`] with a regularized bias, [`Error::NoConvergence`] if the eigenvalues of a block could not
    /// be found.
    pub fn curvature(&self) -> Result<Curvature> {
        if matches!(self.problem().regularization().bias(), Bias::Regularized(_)) {
            let reason = "with a regularized bias it is not derived";
            return Err(Error::NotAnswered { question: "the curvature", reason });
        }
        let hessian = Hessian::new(self);
        let mut blocks = Blocks::default();
        hessian.add_kept(&mut blocks)?;
        hessian.add_left_out(&mut blocks);
        hessian.add_hidden(&mut blocks);
        hessian.add_samples(&mut blocks);
        Ok(Curvature { eigenvalues: blocks.falling(), nc1_rate: hessian.nc1_rate() })
    }
}

/// Vectors of a direction that are fitted.
struct Kept {
    direction: usize,
    number: u128,
    /// s₀ = √(t/λ_H), s₁, …, s_M.
    sizes: Vec<f64>,
    /// r = (z − σ)/N.
    residual: f64,
}

impl Kept {
    /// The product of the sizes of the layers in a range.
    fn product(&self, layers: core::ops::Range<usize>) -> f64 {
        self.sizes[layers].iter().product()
    }
}

/// Left singular vectors that are not fitted.
struct LeftOut {
    /// `None` for those of the singular value 0.
    direction: Option<usize>,
    number: u128,
    /// r = −σ/N.
    residual: f64,
}

struct Hessian {
    /// λ_H, λ₁, …, λ_M.
    decays: Vec<f64>,
    /// d₁, …, d_M.
    widths: Vec<u128>,
    samples: f64,
    kept: Vec<Kept>,
    left_out: Vec<LeftOut>,
    /// The dimensions of ℝᴺ that are orthogonal to the right singular vectors, and to 1 with a bias.
    idle_samples: u128,
    outputs: u128,
    has_bias: bool,
}

impl Hessian {
    fn new(minimum: &GlobalMinimum) -> Self {
        let problem = minimum.problem();
        let regularization = problem.regularization();
        let samples = problem.samples() as f64;
        let decays: Vec<f64> = core::iter::once(regularization.feature_decay())
            .chain(regularization.weight_decays().iter().copied())
            .collect();
        let widths = match problem.widths() {
            Some(widths) => widths.iter().map(|&width| width as u128).collect(),
            None => vec![problem.classes() as u128; problem.depth()],
        };
        let (mut kept, mut left_out) = (Vec::new(), Vec::new());
        for (index, direction) in minimum.directions().enumerate() {
            let rank = *direction.rank().end();
            if rank > 0 {
                kept.push(kept_vectors(index, &direction, rank, &decays, samples));
            }
            if rank < direction.multiplicity() {
                left_out.push(LeftOut {
                    direction: Some(index),
                    number: (direction.multiplicity() - rank) as u128,
                    residual: -direction.target_squared().sqrt() / samples,
                });
            }
        }
        let rank = minimum.directions().map(|direction| direction.multiplicity() as u128);
        let rank: u128 = rank.sum();
        let outputs = problem.classes() as u128;
        left_out.push(LeftOut { direction: None, number: outputs - rank, residual: 0.0 });
        let has_bias = regularization.bias() != Bias::None;
        let idle_samples = u128::from(problem.samples()) - rank - u128::from(has_bias);
        Self { decays, widths, samples, kept, left_out, idle_samples, outputs, has_bias }
    }

    /// M.
    fn depth(&self) -> usize {
        self.widths.len()
    }

    /// The number of fitted vectors.
    fn rank(&self) -> u128 {
        self.kept.iter().map(|kept| kept.number).sum()
    }

    /// The free dimensions of the space before layer m ≥ 1.
    fn free(&self, layer: usize) -> u128 {
        self.widths[layer - 1] - self.rank()
    }

    /// λ_M.
    fn last_decay(&self) -> f64 {
        self.decays[self.depth()]
    }

    /// Pairs of fitted vectors, and each with itself.
    fn add_kept(&self, blocks: &mut Blocks) -> Result<()> {
        for (index, kept) in self.kept.iter().enumerate() {
            blocks.add_block(&self.own_block(kept), 0, kept.number)?;
            let pairs = kept.number * (kept.number - 1) / 2;
            if pairs > 0 {
                blocks.add_block(&self.pair_block(kept, kept), self.depth(), pairs)?;
            }
            for other in &self.kept[index + 1..] {
                let pairs = kept.number * other.number;
                blocks.add_block(&self.pair_block(kept, other), self.depth(), pairs)?;
            }
        }
        Ok(())
    }

    /// The variables (i, i) of the layers 0, …, M.
    fn own_block(&self, kept: &Kept) -> DMatrix<f64> {
        let size = self.decays.len();
        let but = |l: usize, m: usize| {
            let others = kept.sizes.iter().enumerate().filter(|&(q, _)| q != l && q != m);
            others.map(|(_, size)| size).product::<f64>()
        };
        DMatrix::from_fn(size, size, |l, m| {
            let fit = but(l, l) * but(m, m) / self.samples;
            if l == m { self.decays[l] + fit } else { fit + kept.residual * but(l, m) }
        })
    }

    /// The variables (i, j) of the layers 0, …, M, then the variables (j, i).
    fn pair_block(&self, i: &Kept, j: &Kept) -> DMatrix<f64> {
        let size = self.decays.len();
        let mut block = DMatrix::zeros(2 * size, 2 * size);
        for (first, rows, columns) in [(0, i, j), (size, j, i)] {
            let fit = |m: usize| rows.product(m + 1..size) * columns.product(0..m);
            for l in 0..size {
                for m in 0..size {
                    block[(first + l, first + m)] = fit(l) * fit(m) / self.samples;
                }
                block[(first + l, first + l)] += self.decays[l];
                for m in 0..l {
                    let (row, column) = (first + l, size - first + m);
                    let bend = rows.residual
                        * rows.product(l + 1..size)
                        * columns.product(m + 1..l)
                        * rows.product(0..m);
                    block[(row, column)] += bend;
                    block[(column, row)] += bend;
                }
            }
        }
        block
    }

    /// Outputs that are not fitted: the rows k of W_M and the columns k of H.
    fn add_left_out(&self, blocks: &mut Blocks) {
        let depth = self.depth();
        for left_out in &self.left_out {
            for kept in &self.kept {
                let number = left_out.number * kept.number;
                let last = self.last_decay() + kept.product(0..depth).powi(2) / self.samples;
                if left_out.direction.is_none() {
                    // Its column of H is among the idle samples or belongs to the bias.
                    blocks.add(last, number);
                    continue;
                }
                let features = self.decays[0] + kept.product(1..depth + 1).powi(2) / self.samples;
                let bend = left_out.residual * kept.product(1..depth);
                if left_out.direction == Some(kept.direction) {
                    // The fitted subspace of this singular value can be turned.
                    blocks.add(last + features, number);
                    blocks.add(0.0, number);
                } else {
                    blocks.add_pair(last, features, bend, number);
                }
            }
            let (first_free, last_free) = (self.free(1), self.free(depth));
            if depth == 1 && left_out.direction.is_some() {
                let number = left_out.number * first_free;
                blocks.add_pair(self.decays[1], self.decays[0], left_out.residual, number);
            } else {
                blocks.add(self.last_decay(), left_out.number * last_free);
                if left_out.direction.is_some() {
                    blocks.add(self.decays[0], left_out.number * first_free);
                }
            }
        }
    }

    /// The free dimensions of the hidden spaces: turning a fitted vector into them changes nothing.
    fn add_hidden(&self, blocks: &mut Blocks) {
        for layer in 1..=self.depth() {
            let number = self.rank() * self.free(layer);
            blocks.add(self.decays[layer] + self.decays[layer - 1], number);
            blocks.add(0.0, number);
            if layer < self.depth() {
                blocks.add(self.decays[layer], self.free(layer) * self.free(layer + 1));
            }
        }
    }

    /// Deviations of samples that outputs need not follow, and the mean of all samples beside a bias.
    fn add_samples(&self, blocks: &mut Blocks) {
        let features = |kept: &Kept| kept.product(1..self.decays.len());
        for kept in &self.kept {
            let curvature = features(kept).powi(2) / self.samples;
            blocks.add(self.decays[0] + curvature, kept.number * self.idle_samples);
            if self.has_bias {
                let coupling = features(kept) / self.samples.sqrt();
                blocks.add_pair(self.decays[0] + curvature, 1.0, coupling, kept.number);
            }
        }
        blocks.add(self.decays[0], self.free(1) * self.idle_samples);
        if self.has_bias {
            blocks.add(self.decays[0], self.free(1));
            blocks.add(1.0, self.outputs - self.rank());
        }
    }

    fn nc1_rate(&self) -> Option<f64> {
        let products = self.kept.iter().map(|kept| kept.product(1..self.decays.len()));
        let smallest = products.reduce(f64::min)?;
        (self.idle_samples > 0).then(|| 2.0 * (self.decays[0] + smallest * smallest / self.samples))
    }
}

fn kept_vectors(
    index: usize,
    direction: &Direction,
    rank: usize,
    decays: &[f64],
    samples: f64,
) -> Kept {
    let energy = direction.energy();
    Kept {
        direction: index,
        number: rank as u128,
        sizes: decays.iter().map(|decay| (energy / decay).sqrt()).collect(),
        residual: -direction.target_squared().sqrt() * direction.unfitted_share() / samples,
    }
}

/// The eigenvalues found so far.
#[derive(Default)]
struct Blocks {
    found: Vec<Eigenvalue>,
}

impl Blocks {
    fn add(&mut self, value: f64, multiplicity: u128) {
        if multiplicity > 0 {
            self.found.push(Eigenvalue { value, multiplicity });
        }
    }

    /// The eigenvalues of [a, c; c, b], which is not negative.
    fn add_pair(&mut self, a: f64, b: f64, c: f64, multiplicity: u128) {
        let larger = (a + b + (a - b).hypot(2.0 * c)) / 2.0;
        self.add(larger, multiplicity);
        // Their product is the determinant; the difference would cancel.
        self.add((a * (b / larger) - c * (c / larger)).max(0.0), multiplicity);
    }

    /// The eigenvalues of a block of which the smallest `zeros` are known to be 0.
    fn add_block(&mut self, block: &DMatrix<f64>, zeros: usize, multiplicity: u128) -> Result<()> {
        let eigen = symmetric_eigen(block)?;
        let values = eigen.values.as_slice();
        let (positive, zero) = values.split_at(values.len().saturating_sub(zeros));
        positive.iter().for_each(|&value| self.add(value, multiplicity));
        zero.iter().for_each(|_| self.add(0.0, multiplicity));
        Ok(())
    }

    /// By falling value, equal ones together.
    fn falling(mut self) -> Vec<Eigenvalue> {
        self.found.sort_by(|a, b| b.value.total_cmp(&a.value));
        let mut merged: Vec<Eigenvalue> = Vec::with_capacity(self.found.len());
        for eigenvalue in self.found {
            match merged.last_mut() {
                Some(last) if last.value == eigenvalue.value => {
                    last.multiplicity += eigenvalue.multiplicity;
                }
                _ => merged.push(eigenvalue),
            }
        }
        merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_eigenvalues_are_one() {
        let mut blocks = Blocks::default();
        blocks.add(1.0, 3);
        blocks.add(9.0, 0);
        blocks.add(2.0, 1);
        blocks.add(1.0, 4);
        let diagonal = DMatrix::from_row_slice(2, 2, &[3.0, 0.0, 0.0, 0.1]);
        blocks.add_block(&diagonal, 1, 2).unwrap();
        let found = blocks.falling();
        let found: Vec<_> = found.iter().map(|found| (found.value, found.multiplicity)).collect();
        assert_eq!(found, [(3.0, 2), (2.0, 1), (1.0, 7), (0.0, 2)]);
    }

    /// [6, 2; 2, 3] has 7 and 2, [4, 2; 2, 1] 5 and 0, and [3, 4; 4, 3] 7 and −1, which can only be rounding.
    #[test]
    fn pairs_have_no_negative_eigenvalue() {
        for (a, b, c, expected) in
            [(6.0, 3.0, 2.0, [7.0, 2.0]), (4.0, 1.0, 2.0, [5.0, 0.0]), (3.0, 3.0, 4.0, [7.0, 0.0])]
        {
            let mut blocks = Blocks::default();
            blocks.add_pair(a, b, c, 1);
            let found: Vec<f64> = blocks.found.iter().map(|found| found.value).collect();
            let error = (found[0] - expected[0]).abs() + (found[1] - expected[1]).abs();
            assert!(error < 1e-15, "{found:?}");
        }
    }
}
