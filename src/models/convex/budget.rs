//! The same program with a budget of the norm instead of a price.

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::models::convex::certificate::Restraint;
use crate::models::convex::column::Contrasts;
use crate::models::convex::data::Data;
use crate::models::convex::solver::{Solution, solve};
use crate::models::convex::state::State;
use crate::models::convex::tangent::Frame;
use crate::monitor::Monitor;
use crate::numerics::bracketed_root::sign_change;
use crate::numerics::linalg::svd_thin;

/// Budgets up to this are first taken as perturbations of zero: there the price of the norm says next to nothing
/// about the logits, which are what they are in the limit, times the budget.
pub(crate) const SMALL_BUDGET: f64 = 1e-3;

/// Cap on the iterations for a small budget; they converge as powers of the budget.
const MAX_ITERATIONS: usize = 200;

/// The minimum at a budget T.
#[derive(Debug, Clone)]
pub(crate) struct BudgetSolution {
    pub(crate) frame: Frame,
    /// q of each column.
    pub(crate) contrasts: Vec<f64>,
    pub(crate) loss: f64,
    pub(crate) lower_bound: f64,
    /// ν, by how much the loss falls for each unit of the budget.
    pub(crate) multiplier: f64,
}

impl Data {
    /// The minimum of the data term where the nuclear norm is at most `budget`.
    pub(crate) fn within_budget(
        &self,
        budget: f64,
        monitor: &dyn Monitor,
    ) -> Result<BudgetSolution> {
        if budget <= SMALL_BUDGET
            && let Some(solution) = self.within_small_budget(budget)?
        {
            return Ok(solution);
        }
        let zeros = vec![0.0; self.columns.len()];
        let zero = DMatrix::zeros(self.rows.len(), self.columns.len());
        let start = self.state(&zero, Contrasts::Fixed(&zeros), &vec![0.0; self.rows.len()]);
        let highest = self.steepness(&start.ok_or(FAILED)?)?;
        let mut path = Path { data: self, highest, budget, last: None, failure: None, monitor };
        let mut high = (budget / (self.classes() - 1.0)).min(1.0);
        while path.excess(high) < 0.0 {
            high *= 2.0;
        }
        let fall = sign_change(0.0, high, |fall| path.excess(fall));
        let price = highest * (-fall).exp();
        path.excess(fall);
        match (path.failure, path.last) {
            (Some(error), _) => Err(error),
            (None, Some(solution)) => {
                self.spending_all(solution.frame.clone(), &solution.contrasts(), budget, price)
            }
            (None, None) => Err(FAILED),
        }
    }

    /// The point stretched so that it uses up the budget.
    fn spending_all(
        &self,
        mut frame: Frame,
        contrasts: &[f64],
        budget: f64,
        multiplier: f64,
    ) -> Result<BudgetSolution> {
        let within = self.columns.iter().zip(contrasts);
        let within = within.map(|(column, q)| self.siblings(column) * column.scale * q);
        let stretch = budget / (frame.values.iter().sum::<f64>() + within.sum::<f64>());
        let contrasts: Vec<f64> = contrasts.iter().map(|q| q * stretch).collect();
        frame.values.iter_mut().for_each(|value| *value *= stretch);
        let state = self.at(&frame, &contrasts)?;
        let steepness = self.steepness(&state)?;
        let lower_bound = self.lower_bound(&state, steepness, Restraint::Budget(budget));
        let (loss, lower_bound) = (state.value, lower_bound.min(state.value));
        Ok(BudgetSolution { frame, contrasts, loss, lower_bound, multiplier })
    }

    fn at(&self, frame: &Frame, contrasts: &[f64]) -> Result<State> {
        let bias = vec![0.0; self.rows.len()];
        self.state(&frame.matrix(), Contrasts::Fixed(contrasts), &bias).ok_or(FAILED)
    }

    /// The minimum if all of the budget goes to the steepest directions: the contrasts of one kind, or one
    /// singular direction between kinds. `None` if it does not.
    fn within_small_budget(&self, budget: f64) -> Result<Option<BudgetSolution>> {
        let no_contrasts = vec![0.0; self.columns.len()];
        let mut frame = self.empty_frame();
        let steepest = self.columns.iter().enumerate().filter(|(_, c)| self.siblings(c) > 0.0);
        let steepest = steepest.max_by(|a, b| a.1.slope().total_cmp(&b.1.slope()));
        if let Some((index, column)) = steepest {
            let mut contrasts = no_contrasts.clone();
            contrasts[index] = budget / (self.siblings(column) * column.scale);
            let state = self.at(&frame, &contrasts)?;
            let multiplier = self.steepness_within(&state, index);
            if self.steepness(&state)? <= multiplier * (1.0 + 2.0 * self.rounding()) {
                return self.spending_all(frame, &contrasts, budget, multiplier).map(Some);
            }
        }
        for _ in 0..MAX_ITERATIONS {
            let state = self.at(&frame, &no_contrasts)?;
            let svd = svd_thin(&-&state.gradient)?;
            let (next, multiplier) = (Frame::rank_one(svd, budget), self.steepness(&state)?);
            let Some((next, steepest)) = next else { return Ok(None) };
            let distance = (next.matrix() - frame.matrix()).norm();
            frame = next;
            if distance <= 8.0 * f64::EPSILON * budget {
                let is_steepest = multiplier <= steepest * (1.0 + 2.0 * self.rounding());
                let found =
                    is_steepest.then(|| self.spending_all(frame, &no_contrasts, budget, steepest));
                return found.transpose();
            }
        }
        Ok(None)
    }

    fn empty_frame(&self) -> Frame {
        let (rows, columns) = (self.rows.len(), self.columns.len());
        Frame {
            left: DMatrix::identity(rows, rows),
            right: DMatrix::identity(columns, rows),
            values: Vec::new(),
            duals: vec![0.0; rows],
        }
    }
}

const FAILED: Error = Error::NoConvergence { algorithm: "convex program", iterations: 0 };

/// The minima at falling prices, each sought from the last one on.
struct Path<'a> {
    data: &'a Data,
    /// The price from which on all logits are zero.
    highest: f64,
    budget: f64,
    last: Option<Solution>,
    failure: Option<Error>,
    monitor: &'a dyn Monitor,
}

impl Path<'_> {
    /// By how much the norm is above the budget at the price `highest`·e^(−`fall`), relative to the budget.
    fn excess(&mut self, fall: f64) -> f64 {
        if self.failure.is_some() {
            return 0.0;
        }
        let price = self.highest * (-fall).exp();
        if !price.is_normal() {
            let quantity = "the loss of the layer-peeled model";
            self.failure = Some(Error::Unrepresentable { quantity, log10: price.log10() });
            return 0.0;
        }
        let start = self.last.as_ref().filter(|last| last.frame.rank() > 0);
        let start = start.map(|last| (last.frame.matrix(), last.state.bias.clone()));
        match solve(self.data, price, start, self.monitor) {
            Ok(Some(solution)) => {
                let excess = (solution.norm() - self.budget) / self.budget;
                self.last = Some(solution);
                excess
            }
            Ok(None) => {
                self.failure = Some(FAILED);
                0.0
            }
            Err(error) => {
                self.failure = Some(error);
                0.0
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::convex::data::{Column, Fidelity};
    use crate::models::convex::tests::programs;
    use crate::problem::regularization::Bias;

    /// One-hot labels for kinds of `sizes`, with how many classes each has.
    fn peeled(sizes: &[(f64, f64)], scale: f64) -> Data {
        let samples: f64 = sizes.iter().map(|(size, members)| size * members).sum();
        let column = |(anchor, &(size, members)): (usize, &(f64, f64))| Column {
            weight: size / samples,
            members,
            scale,
            anchor,
            own: 1.0,
            deficit: 0.0,
        };
        let rows = sizes.iter().map(|(_, members)| *members).collect();
        let columns = sizes.iter().enumerate().map(column).collect();
        let labels = DMatrix::zeros(sizes.len(), sizes.len());
        Data::new(Fidelity::CrossEntropy, rows, columns, labels, Bias::None)
    }

    /// All of a small budget goes to the contrasts of the largest kind, or to one direction between kinds: proved
    /// minima, whose multiplier is the slope of the loss, and which the search by prices finds, too.
    #[test]
    fn small_budgets_go_to_the_steepest_direction() {
        // The contrasts of 40 samples are nearly as steep as the direction between kinds.
        for (sizes, scale, rank, large) in [
            ([(50.0, 4.0), (10.0, 2.0)], 2.0, 0, 40.0),
            ([(50.0, 1.0), (40.0, 2.0)], 1.0, 1, 0.7),
            ([(50.0, 1.0), (10.0, 3.0)], 2.0, 1, 40.0),
        ] {
            let data = peeled(&sizes, scale);
            let small = |budget: f64| data.within_small_budget(budget).unwrap().unwrap();
            for budget in [1e-12, 1e-6, 9e-4] {
                let found = small(budget);
                assert_eq!((found.frame.rank(), found.contrasts[0] > 0.0), (rank, rank == 0));
                let gap = found.loss - found.lower_bound;
                assert!((0.0..1e-13).contains(&gap), "{gap:e}");
                // The same again from where it leads.
                if rank == 1 {
                    let state = data.at(&found.frame, &found.contrasts).unwrap();
                    let again = Frame::rank_one(svd_thin(&-state.gradient).unwrap(), budget);
                    let error = (again.unwrap().0.matrix() - found.frame.matrix()).norm();
                    assert!(error <= 16.0 * f64::EPSILON * budget, "{error:e} of {budget:e}");
                }
            }
            let slope = (small(8e-4).loss - small(1e-3).loss) / 2e-4;
            assert!((slope / small(9e-4).multiplier - 1.0).abs() < 1e-8, "{slope}");
            // The search by prices begins here.
            let above = 1.0001 * SMALL_BUDGET;
            let (found, other) = (small(above), data.within_budget(above, &()).unwrap());
            assert!((found.loss / other.loss - 1.0).abs() < 1e-12);
            assert!((found.multiplier / other.multiplier - 1.0).abs() < 1e-6);
            // A large budget is for more than one direction.
            assert!(data.within_small_budget(large).unwrap().is_none());
        }
    }

    /// A budget of one for each dimension of the contrasts, and one at which the price is below all numbers.
    #[test]
    fn searches_for_prices_end() {
        let data = peeled(&[(50.0, 1.0), (10.0, 3.0)], 1.0);
        let found = data.within_budget(3.0, &()).unwrap();
        assert!((0.0..1e-12).contains(&(found.loss - found.lower_bound)), "{found:?}");
        let error = data.within_budget(1e5, &()).unwrap_err();
        assert!(matches!(error, Error::Unrepresentable { .. }), "{error}");
    }

    /// A point is stretched as a whole.
    #[test]
    fn points_are_stretched_to_their_budget() {
        let data = &programs()[0];
        let frame = Frame { values: vec![2.0, 1.0], duals: vec![0.0; 2], ..data.empty_frame() };
        let found = data.spending_all(frame, &[0.0, 0.5, 0.25, 0.0], 1.5, 0.1).unwrap();
        // Siblings times √n for the contrasts.
        let within = 2.0 * 15.0_f64.sqrt() * 0.5 + 3.0 * 6.0_f64.sqrt() * 0.25;
        let stretch = 1.5 / (3.0 + within);
        let expected = [[2.0, 1.0], [0.5, 0.25]].map(|pair| pair.map(|value| stretch * value));
        let values = found.frame.values.iter().chain(&found.contrasts[1..3]);
        let mut errors = values.zip(expected.as_flattened()).map(|(found, one)| found / one - 1.0);
        assert!(errors.all(|error: f64| error.abs() < 1e-15), "{found:?}");
        let state = data.at(&found.frame, &found.contrasts).unwrap();
        assert_eq!((found.loss, found.multiplier), (state.value, 0.1));
        assert!(Frame::rank_one(svd_thin(&DMatrix::zeros(2, 2)).unwrap(), 1.0).is_none());
    }
}
