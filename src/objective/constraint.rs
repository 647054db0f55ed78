//! What holds features and layers in place beside the loss, and what it leaves of a gradient.

use std::borrow::Cow;

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::numerics::squares::{Squares, norm};
use crate::numerics::unit_length::divide_by_norm;
use crate::problem::head::LinearHead;
use crate::problem::training_objective::TrainingObjective;

/// In which directions features and layers can move.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Constraint {
    /// In all.
    Free,
    /// The head is not trained.
    FixedHead,
    /// Features and the rows of the head have the length 1, and outputs are divided by the temperature τ: vectors
    /// move across themselves.
    UnitVectors { temperature: f64 },
    /// ‖W‖² and Σ_k (1/n_k) Σ_i ‖h_ki‖² are used up: features and the product W of the layers, each taken as one long
    /// vector, move along the surfaces where these stay as they are.
    Budgets { counts: Vec<u64> },
}

impl Constraint {
    /// That of an objective, for so many samples of each class.
    pub(super) fn new(objective: &TrainingObjective, counts: &[u64]) -> Self {
        match objective {
            TrainingObjective::FixedSimplexHead { .. } => Self::FixedHead,
            TrainingObjective::UnitVectors { temperature, .. } => {
                Self::UnitVectors { temperature: *temperature }
            }
            TrainingObjective::Budgeted { .. } => Self::Budgets { counts: counts.to_vec() },
            _ => Self::Free,
        }
    }

    /// The product W_M⋯W₁ that outputs are computed with.
    pub(super) fn product<'a>(&self, head: &'a LinearHead) -> Result<Cow<'a, DMatrix<f64>>> {
        let product = head.borrowed_product(head.depth())?;
        let Self::UnitVectors { temperature } = self else { return Ok(product) };
        // A number below the least normal one has no reciprocal.
        if !temperature.is_normal() {
            let log10 = -temperature.log10();
            return Err(Error::Unrepresentable {
                quantity: "cosines divided by the temperature",
                log10,
            });
        }
        let mut rows = product.transpose();
        divide_by_norms(&mut rows, *temperature);
        Ok(Cow::Owned(rows.transpose()))
    }

    /// Numbers that tell it from others.
    pub(super) fn words(&self) -> Vec<u64> {
        match self {
            Self::Free => Vec::new(),
            Self::FixedHead => vec![1],
            Self::UnitVectors { temperature } => vec![2, temperature.to_bits()],
            Self::Budgets { .. } => vec![3],
        }
    }

    /// The features, a column for each sample, that outputs are computed of.
    pub(super) fn adjust_features(&self, features: &mut DMatrix<f64>) {
        if matches!(self, Self::UnitVectors { .. }) {
            divide_by_norms(features, 1.0);
        }
    }

    /// Whether the largest output is that of the head as it is.
    pub(super) fn leaves_outputs(&self) -> bool {
        !matches!(self, Self::UnitVectors { .. })
    }

    /// Leaves out of the gradient in the features of some samples what these cannot follow, as far as these samples tell:
    /// the rest depends on the multiple that is left out of others.
    pub(super) fn restrict_features(
        &self,
        gradient: &mut [f64],
        features: &[f64],
        labels: &[usize],
    ) -> Multiple {
        let dimension = features.len() / labels.len().max(1);
        match self {
            Self::Free | Self::FixedHead => Multiple::default(),
            Self::UnitVectors { .. } => {
                let samples = gradient.chunks_mut(dimension.max(1));
                for (gradient, sample) in samples.zip(features.chunks(dimension.max(1))) {
                    Multiple::remove(gradient, sample);
                }
                Multiple::default()
            }
            Self::Budgets { counts } => {
                let samples = features.chunks(dimension.max(1)).zip(labels);
                let normal: Vec<f64> = samples
                    .flat_map(|(sample, &label)| {
                        sample.iter().map(move |entry| entry / counts[label] as f64)
                    })
                    .collect();
                Multiple::remove(gradient, &normal)
            }
        }
    }

    /// ‖∇f‖² in the layers, as far as they can follow it, from the gradient 1/N RHᵀ in their product; `None` where each layer
    /// counts as it is.
    pub(super) fn restricted_weights(
        &self,
        head: &LinearHead,
        gradient: &DMatrix<f64>,
    ) -> Result<Option<Squares>> {
        let product = || head.borrowed_product(head.depth());
        Ok(match self {
            Self::Free => None,
            Self::FixedHead => Some(Squares::default()),
            Self::UnitVectors { temperature } => {
                let (mut rows, of_head) =
                    (gradient.transpose() / *temperature, product()?.transpose());
                for (mut row, direction) in rows.column_iter_mut().zip(of_head.column_iter()) {
                    Multiple::remove(row.as_mut_slice(), direction.as_slice());
                }
                Some(Squares::of(&rows))
            }
            Self::Budgets { .. } => {
                let mut rest = gradient.clone();
                Multiple::remove(rest.as_mut_slice(), product()?.as_slice());
                Some(Squares::of(&rest))
            }
        })
    }
}

/// The multiple μ = ⟨g, ν⟩/‖ν‖² of a vector ν that comes nearest to a vector g; ‖g − μν‖² is kept beside it, and is summed
/// without cancellation where g and ν come in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub(super) struct Multiple {
    /// μ.
    #[cfg_attr(feature = "serde", serde(with = "crate::measure::written::finite"))]
    factor: f64,
    /// ‖ν‖.
    #[cfg_attr(feature = "serde", serde(with = "crate::measure::written::finite"))]
    length: f64,
}

impl Multiple {
    /// Turns g into g − μν.
    fn remove(gradient: &mut [f64], normal: &[f64]) -> Self {
        let length = norm(normal);
        if length == 0.0 {
            return Self::default();
        }
        let products = gradient.iter().zip(normal).map(|(slope, entry)| slope * (entry / length));
        let component: f64 = products.sum();
        for (slope, entry) in gradient.iter_mut().zip(normal) {
            *slope -= component * (entry / length);
        }
        Self { factor: component / length, length }
    }

    /// The multiple of both pieces together, as Chan, Golub & LeVeque (1983) merge means; `rest` is the sum of what both
    /// have left, and becomes what is left of both together.
    pub(super) fn merge(&mut self, other: &Self, rest: &mut Squares) {
        let length = self.length.hypot(other.length);
        if length == 0.0 {
            return;
        }
        let (own, others) = (self.length / length, other.length / length);
        let difference = (self.factor - other.factor) * own * other.length;
        rest.merge(&Squares::of_numbers(&[difference]));
        self.factor = self.factor * own * own + other.factor * others * others;
        self.length = length;
    }
}

/// Divides the columns by their norms times a factor.
fn divide_by_norms(matrix: &mut DMatrix<f64>, factor: f64) {
    for mut column in matrix.column_iter_mut() {
        divide_by_norm(column.as_mut_slice(), factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::dmatrix;

    /// In pieces as at once, also where next to nothing is left.
    #[test]
    fn multiples_are_merged() {
        let normal: Vec<f64> = (0..40).map(|i| f64::from(i * i % 17) - 5.0).collect();
        for (noise, scale) in [(1.0, 1.0), (1e-9, 1.0), (1e-9, 1e-180), (1e-9, 1e150)] {
            let noise = |i: usize| noise * ((i * i) as f64).sin();
            let normal: Vec<f64> = normal.iter().map(|entry| entry * scale).collect();
            let gradient: Vec<f64> = normal
                .iter()
                .enumerate()
                .map(|(i, entry)| 3.0 * entry / scale + noise(i))
                .collect();
            let mut whole = gradient.clone();
            let expected = Multiple::remove(&mut whole, &normal);
            assert!((expected.factor * scale - 3.0).abs() < noise(1).abs().max(1e-14));
            let mut rest = gradient;
            let (mut found, mut squares) = (Multiple::default(), Squares::default());
            for (gradient, normal) in rest.chunks_mut(7).zip(normal.chunks(7)) {
                let piece = Multiple::remove(gradient, normal);
                squares.merge(&Squares::of_numbers(gradient));
                found.merge(&piece, &mut squares);
            }
            assert!((found.factor / expected.factor - 1.0).abs() < 1e-14);
            assert!((found.length / expected.length - 1.0).abs() < 1e-14);
            let left = Squares::of_numbers(&whole).root();
            assert!((squares.root() - left).abs() < 1e-13 + 1e-12 * left, "{squares:?} {left}");
        }
    }

    /// A vector without direction takes nothing away, and has no length to be given.
    #[test]
    fn zeros_have_no_direction() {
        let mut gradient = [1.0, 2.0];
        assert_eq!(Multiple::remove(&mut gradient, &[0.0, 0.0]), Multiple::default());
        assert_eq!(gradient, [1.0, 2.0]);
        let mut columns = dmatrix![0.0, 3e-200; 0.0, 4e-200];
        divide_by_norms(&mut columns, 0.5);
        assert!((columns - dmatrix![0.0, 1.2; 0.0, 1.6]).amax() < 1e-15);
    }
}
