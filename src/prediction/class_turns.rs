//! The turns of the classes that lead from one member of a family of minimizers to the others.

use nalgebra::DMatrix;

use crate::error::Result;
use crate::numerics::linalg::{product, symmetric_eigen, transposed};
use crate::prediction::hidden_spaces::{Cores, Network, polar};
use crate::prediction::{Prediction, answered};
use crate::problem::head::LinearHead;
use crate::problem::training_objective::LossFunction;

/// Rounds of turning classes and hidden spaces; each brings the member nearer.
const MOST_ROUNDS: usize = 200;

/// A turn that differs from none by less is the last one.
const CONVERGED: f64 = 1e-13;

/// Orthogonal maps T = 1 + B(Q − 1)Bᵀ of ℝᴷ, for any orthogonal Q.
///
/// Where singular values of the target are equal and not all of them survive, it is open on which directions of their
/// subspace, with the orthonormal basis B, the survivors lie. Its classes have equally many samples, so that the
/// minimizers are turned into each other by W_M → T W_M and H̄ → H̄ Tᵀ.
pub(super) struct ClassTurns {
    /// B, K×s.
    basis: DMatrix<f64>,
}

impl ClassTurns {
    /// The turns of a prediction; `None` where there is one minimizer only, or its others are not turns.
    pub(super) fn of(prediction: &dyn Prediction) -> Result<Option<Self>> {
        let is_squared =
            prediction.training_objective().loss_function() == LossFunction::SquaredError;
        let is_family = !prediction.is_unique() && prediction.counts().is_some();
        let gram = match is_family && is_squared {
            true => answered(prediction.trailing_gram(1))?,
            false => None,
        };
        Ok(gram.and_then(|gram| gram.open_subspace()).map(|basis| Self { basis }))
    }

    /// Turns the cores to the nearest member, and returns its hidden spaces in the coordinates of the network.
    ///
    /// The first turn lays the survivors on the directions in which the measured outputs are largest; then the best turn
    /// of the classes for the hidden spaces and the best hidden spaces for the turn follow each other.
    pub(super) fn nearest_member(
        &self,
        cores: &mut Cores,
        network: &Network,
        (head, class_means): (&LinearHead, &DMatrix<f64>),
    ) -> Result<Vec<DMatrix<f64>>> {
        if self.basis.is_empty() {
            return network.bases(cores);
        }
        let outputs = product(&head.product()?, class_means);
        let measured = self.inside(&(&outputs + outputs.transpose()));
        let own = cores.layers.last().map_or_else(
            || measured.clone(),
            |last| self.inside(&product(last, &transposed(last))),
        );
        let (measured, own) = (symmetric_eigen(&measured)?, symmetric_eigen(&own)?);
        self.turn(cores, &product(&measured.vectors, &transposed(&own.vectors)));
        let mut bases = network.bases(cores)?;
        for _ in 0..MOST_ROUNDS {
            let (turn, _) = polar(&self.inside(&network.asked_of_classes(&bases, cores)))?;
            self.turn(cores, &turn);
            bases = network.bases(cores)?;
            let change = turn - DMatrix::identity(self.basis.ncols(), self.basis.ncols());
            if change.amax() < CONVERGED {
                break;
            }
        }
        Ok(bases)
    }

    /// BᵀAB.
    fn inside(&self, matrix: &DMatrix<f64>) -> DMatrix<f64> {
        product(&transposed(&self.basis), &product(matrix, &self.basis))
    }

    fn turn(&self, cores: &mut Cores, turn: &DMatrix<f64>) {
        let change = turn - DMatrix::identity(turn.nrows(), turn.ncols());
        if let Some(last) = cores.layers.last_mut() {
            let inside = product(&transposed(&self.basis), last);
            *last += product(&self.basis, &product(&change, &inside));
        }
        let inside = product(&cores.means, &self.basis);
        let turned = product(&product(&inside, &transposed(&change)), &transposed(&self.basis));
        cores.means += turned;
    }
}
