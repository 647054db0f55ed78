//! The smallest logits with margins, min ‖Z diag(√n)‖_* with one number on each column's support and less by 1 at
//! least elsewhere, by the method of multipliers.
//!
//! A hard constraint has no slope to follow, but the squared distance to it has one, and is a data term as the others are:
//! its curvature is constant where the entries that the projection ties together stay the same. Each round
//! solves the convex program with that distance, from where the last one pulled to,
//!
//! ```text
//! min over X:   ‖X‖_* + ρ/2 Σ_j n_j dist²(z_j − y_j, margins of j),     y_j ← −(residual of j),
//! ```
//!
//! so that ρ n_j times the residuals become the multipliers of the constraints, and the distance itself vanishes.

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::models::convex::data::{Column, Data, Fidelity};
use crate::models::convex::solver::solve;
use crate::monitor::Monitor;
use crate::problem::regularization::Bias;

/// By how much ρ grows each round, and the range that it may grow over: a stiff distance is met in few rounds, but each
/// is harder to solve.
const GROWTH: f64 = 4.0;
const RANGE: f64 = 1e4;

/// The program between two rounds.
pub(crate) struct MarginProgram {
    data: Data,
    /// √n_j.
    roots: Vec<f64>,
    point: DMatrix<f64>,
    /// ρ.
    stiffness: f64,
    stiffest: f64,
}

impl MarginProgram {
    /// Begins at X (K×J), for the supports of its columns and their numbers of samples; ρ has the size of
    /// 1/`unit`.
    ///
    /// # Errors
    /// [`Error::Empty`] if a support is empty: no logits have margins to nothing.
    pub(crate) fn new(
        point: DMatrix<f64>,
        supports: Vec<Vec<usize>>,
        samples: &[f64],
        unit: f64,
    ) -> Result<Self> {
        let stiffness = unit.recip();
        let column = |(support, samples): (&Vec<usize>, &f64)| {
            let anchor = *support.first().ok_or(Error::Empty { argument: "supports" })?;
            let (weight, scale) = (stiffness * samples, samples.sqrt());
            Ok(Column { weight, members: 1.0, scale, anchor, own: 1.0, deficit: 0.0 })
        };
        let columns = supports.iter().zip(samples).map(column).collect::<Result<_>>()?;
        let labels = DMatrix::zeros(point.nrows(), point.ncols());
        let rows = vec![1.0; point.nrows()];
        let plain = Data::new(Fidelity::Margins, rows, columns, labels, Bias::None);
        let point = point.resize_horizontally(plain.columns.len(), 0.0);
        Ok(Self {
            data: Data { supports, ..plain },
            roots: samples.iter().map(|samples| samples.sqrt()).collect(),
            point,
            stiffness,
            stiffest: RANGE * stiffness,
        })
    }

    /// Makes one round: X (K×J), and a matrix near the subdifferential of the norm there that is a multiplier of the
    /// constraints, up to sign.
    pub(crate) fn round(&mut self, monitor: &dyn Monitor) -> Result<(DMatrix<f64>, DMatrix<f64>)> {
        let start = (self.point.clone(), vec![0.0; self.data.rows.len()]);
        let Some(solution) = solve(&self.data, 1.0, Some(start), monitor)? else {
            return Err(Error::NoConvergence { algorithm: "smallest logits", iterations: 0 });
        };
        self.point = solution.frame.matrix();
        let next = (self.stiffness * GROWTH).min(self.stiffest);
        self.data.labels = solution.state.residuals * (-self.stiffness / next);
        for (column, root) in self.data.columns.iter_mut().zip(&self.roots) {
            column.weight = next * root * root;
        }
        self.stiffness = next;
        let columns = self.roots.len();
        let subgradient = -solution.state.gradient.columns(0, columns).into_owned();
        Ok((self.point.columns(0, columns).into_owned(), subgradient))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::convex::column::Contrasts;

    /// A round ends where the program's gradient is one of the norm, stiffens the distance up to a limit, and keeps the
    /// multipliers, ρ times the residuals, as they are.
    #[test]
    fn rounds_keep_the_multipliers() {
        let supports = vec![vec![0], vec![1, 2]];
        let begin = |supports| MarginProgram::new(DMatrix::zeros(3, 2), supports, &[4.0, 9.0], 0.5);
        let nothing = begin(vec![vec![0], vec![]]).err();
        assert_eq!(nothing, Some(Error::Empty { argument: "supports" }));
        let mut program = begin(supports).unwrap();
        assert_eq!((program.stiffness, program.stiffest), (2.0, 2e4));
        for stiffness in [2.0, 8.0, 32.0, 128.0, 512.0, 2048.0, 8192.0, 2e4, 2e4_f64] {
            let weights = [0, 1].map(|index| program.data.columns[index].weight);
            assert_eq!(weights, [4.0 * stiffness, 9.0 * stiffness]);
            let before = program.data.clone();
            let (_, subgradient) = program.round(&()).unwrap();
            let here = before.state(&program.point, Contrasts::Best(1.0), &[0.0; 3]).unwrap();
            let multipliers = &program.data.labels * program.stiffness;
            let error = (multipliers + &here.residuals * stiffness).amax();
            assert!(error <= 1e-12 * stiffness * here.residuals.amax(), "{error:e}");
            assert!((&subgradient + here.gradient.columns(0, 2)).amax() < 1e-10);
            assert!((subgradient.singular_values().max() - 1.0).abs() < 1e-9);
        }
        // The margins are met.
        let point = &program.point;
        let logits = DMatrix::from_fn(3, 2, |i, j| point[(i, j)] / program.roots[j]);
        let margins = [(0, 1, 0), (0, 2, 0), (1, 0, 1), (2, 0, 1)];
        for (own, other, column) in margins {
            let margin: f64 = logits[(own, column)] - logits[(other, column)];
            assert!(margin > 1.0 - 1e-6, "{margin}: {logits}");
        }
    }
}
