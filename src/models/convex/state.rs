//! The data term at a point: value and gradient, with the best contrasts and the best bias.

use nalgebra::{DMatrix, DVector};

use crate::models::convex::column::{Contrasts, Fit, Rows};
use crate::models::convex::data::{Data, Fidelity};
use crate::numerics::linalg::{inverse_cholesky, product, transposed};
use crate::problem::regularization::Bias;

/// Newton steps for the bias. Ten are many: the bias of the last point is where they begin.
const BIAS_STEPS: usize = 60;

/// Relative size of the bias's gradient at which it is solved: some roundings of its terms.
const BIAS_TOLERANCE: f64 = 16.0 * f64::EPSILON;

/// Everything that depends on the point X.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// Σ w_j loss_j + λ_b/2 ‖b‖².
    pub(super) value: f64,
    /// Σ (m_j − 1) s_j q_j, the contrasts' part of the nuclear norm.
    pub(super) contrast_norm: f64,
    /// The gradient in X.
    pub(super) gradient: DMatrix<f64>,
    /// π of each column.
    pub(super) shares: DMatrix<f64>,
    /// The gradient of each column's loss in the logits of its rows.
    pub(super) residuals: DMatrix<f64>,
    pub(super) fits: Vec<Fit>,
    /// b of one class of each row; zero where there is none.
    pub(super) bias: Vec<f64>,
}

impl Contrasts<'_> {
    /// What the contrasts, and with them the bias, minimize.
    pub(super) fn merit(self, state: &State) -> f64 {
        match self {
            Self::Best(price) => state.value + price * state.contrast_norm,
            Self::Fixed(_) => state.value,
        }
    }
}

impl Data {
    /// The data term at X, with a bias sought from `bias` on; `None` if it is not a finite number.
    pub(crate) fn state(
        &self,
        point: &DMatrix<f64>,
        contrasts: Contrasts<'_>,
        bias: &[f64],
    ) -> Option<State> {
        let logits = self.logits(point);
        let state = match self.bias {
            Bias::None => self.evaluate(&logits, contrasts, vec![0.0; self.rows.len()])?,
            _ => self.with_best_bias(&logits, contrasts, bias)?,
        };
        Some(self.with_gradient(state))
    }

    /// X_ij/(√m_i √m_j s_j).
    fn logits(&self, point: &DMatrix<f64>) -> DMatrix<f64> {
        let mut logits = point.clone();
        self.scale_as_logits(&mut logits);
        logits
    }

    /// Divides the entry of row i and column j by √m_i √m_j s_j.
    pub(super) fn scale_as_logits(&self, matrix: &mut DMatrix<f64>) {
        for (column, mut entries) in self.columns.iter().zip(matrix.column_iter_mut()) {
            let divisor = column.divisor();
            for (entry, members) in entries.iter_mut().zip(&self.rows) {
                *entry /= members.sqrt() * divisor;
            }
        }
    }

    /// Everything but the gradient in X.
    fn evaluate(
        &self,
        logits: &DMatrix<f64>,
        contrasts: Contrasts<'_>,
        bias: Vec<f64>,
    ) -> Option<State> {
        let (rows, columns) = logits.shape();
        let mut shares = DMatrix::zeros(rows, columns);
        let mut residuals = DMatrix::zeros(rows, columns);
        let mut fits = Vec::with_capacity(columns);
        let mut shifted = vec![0.0; rows];
        let outputs = shares.as_mut_slice().chunks_mut(rows);
        let outputs = outputs.zip(residuals.as_mut_slice().chunks_mut(rows));
        for (index, (shares, residuals)) in outputs.enumerate() {
            let constants = bias.iter().zip(&self.offsets);
            let logits = logits.column(index);
            for ((shifted, logit), (bias, offset)) in shifted.iter_mut().zip(&logits).zip(constants)
            {
                *shifted = logit + (bias + offset);
            }
            fits.push(self.fit(index, contrasts, Rows { logits: &shifted, shares, residuals }));
        }
        let losses =
            self.columns.iter().zip(&fits).map(|(column, fit)| column.total_weight() * fit.loss);
        let squares: f64 = bias.iter().zip(&self.rows).map(|(b, members)| members * b * b).sum();
        let value = losses.sum::<f64>() + 0.5 * self.bias_decay() * squares;
        let norms = self.columns.iter().zip(&fits);
        let contrast_norm =
            norms.map(|(column, fit)| self.siblings(column) * column.scale * fit.contrast).sum();
        let gradient = DMatrix::zeros(0, 0);
        let state = State { value, contrast_norm, gradient, shares, residuals, fits, bias };
        value.is_finite().then_some(state)
    }

    fn with_gradient(&self, mut state: State) -> State {
        state.gradient = state.residuals.clone();
        for (column, mut entries) in self.columns.iter().zip(state.gradient.column_iter_mut()) {
            entries *= column.total_weight();
        }
        self.scale_as_logits(&mut state.gradient);
        state
    }

    /// Newton's method for the bias, which is a convex problem of few variables.
    fn with_best_bias(
        &self,
        logits: &DMatrix<f64>,
        contrasts: Contrasts<'_>,
        start: &[f64],
    ) -> Option<State> {
        let mut state = self.evaluate(logits, contrasts, start.to_vec());
        if state.is_none() {
            state = self.evaluate(logits, contrasts, vec![0.0; self.rows.len()]);
        }
        let mut state = state?;
        let mut error = self.bias_error(&state);
        for _ in 0..BIAS_STEPS {
            if error <= BIAS_TOLERANCE {
                break;
            }
            let Some(next) = self.better_bias(logits, contrasts, &state, error) else { break };
            (state, error) = next;
        }
        Some(state)
    }

    /// One Newton step, shortened until it lowers the value or, where rounding hides that, the gradient.
    fn better_bias(
        &self,
        logits: &DMatrix<f64>,
        contrasts: Contrasts<'_>,
        state: &State,
        error: f64,
    ) -> Option<(State, f64)> {
        let gradient = self.bias_gradient(state);
        let inverse_root = self.bias_curvature(state)?;
        let step = solve(&inverse_root, &gradient);
        let expected = step.dot(&gradient);
        let value = contrasts.merit(state);
        let noise = 64.0 * f64::EPSILON * value;
        if !(expected > 0.0 && expected.is_finite()) {
            return None;
        }
        let mut length = 1.0;
        loop {
            let entries = state.bias.iter().zip(step.iter().zip(&self.rows));
            let bias = entries.map(|(b, (step, members))| b - length * step / members.sqrt());
            if let Some(next) = self.evaluate(logits, contrasts, bias.collect()) {
                let next_error = self.bias_error(&next);
                let fall = value - contrasts.merit(&next);
                let nearer = fall >= -noise && next_error < 0.5 * error;
                if nearer || length * expected > noise && fall >= 0.1 * length * expected {
                    return Some((next, next_error));
                }
            }
            // Rounding hides the gain, or no step is small enough.
            if length * expected <= noise.max(f64::EPSILON * f64::EPSILON * expected) {
                return None;
            }
            length *= 0.5;
        }
    }

    /// The gradient in √m_i b_i.
    fn bias_gradient(&self, state: &State) -> DVector<f64> {
        let weights = DVector::from_iterator(
            self.columns.len(),
            self.columns.iter().map(super::data::Column::total_weight),
        );
        let mut gradient = &state.residuals * weights;
        for ((entry, b), members) in gradient.iter_mut().zip(&state.bias).zip(&self.rows) {
            *entry = *entry / members.sqrt() + self.bias_decay() * members.sqrt() * b;
        }
        gradient
    }

    /// The largest entry of the gradient relative to the terms that it is the sum of.
    fn bias_error(&self, state: &State) -> f64 {
        let mut sums = vec![(0.0, 0.0); self.rows.len()];
        for (column, residuals) in self.columns.iter().zip(state.residuals.column_iter()) {
            let weight = column.total_weight();
            for ((sum, magnitude), residual) in sums.iter_mut().zip(residuals) {
                *sum += weight * residual;
                *magnitude += weight * residual.abs();
            }
        }
        let regularization =
            state.bias.iter().zip(&self.rows).map(|(b, m)| self.bias_decay() * m * b);
        let errors = sums.iter().zip(regularization).map(|(&(sum, magnitude), penalty)| {
            let magnitude = magnitude + penalty.abs();
            if magnitude > 0.0 { (sum + penalty).abs() / magnitude } else { 0.0 }
        });
        errors.fold(0.0, f64::max)
    }

    /// L⁻¹ for the curvature LLᵀ in √m_i b_i. An unregularized bias leaves shifts of all logits
    /// without curvature; they get some, as nothing pulls along them.
    pub(super) fn bias_curvature(&self, state: &State) -> Option<DMatrix<f64>> {
        let mut curvature = match self.fidelity {
            Fidelity::SquaredError | Fidelity::Margins => {
                DMatrix::identity(self.rows.len(), self.rows.len()) * self.total_weight()
            }
            Fidelity::CrossEntropy => self.cross_entropy_curvature(state),
        };
        for row in 0..self.rows.len() {
            curvature[(row, row)] += self.bias_decay();
        }
        if self.bias == Bias::Unregularized && self.fidelity == Fidelity::CrossEntropy {
            let root = DVector::from_iterator(self.rows.len(), self.rows.iter().map(|m| m.sqrt()));
            let (shift, strength) = (root.normalize(), curvature.diagonal().mean());
            curvature.ger(strength, &shift, &shift, 1.0);
        }
        inverse_cholesky(curvature)
    }

    /// Σ_j w_j (diag(π) − ππᵀ − θ(e_a − π)(e_a − π)ᵀ), each entry divided by √m_i √m_h.
    fn cross_entropy_curvature(&self, state: &State) -> DMatrix<f64> {
        let size = self.rows.len();
        let mut left = DMatrix::zeros(size, 2 * self.columns.len());
        let mut diagonal = DVector::zeros(size);
        for (index, (column, fit)) in self.columns.iter().zip(&state.fits).enumerate() {
            let weight = column.total_weight();
            let shares = state.shares.column(index);
            diagonal.axpy(weight, &shares, 1.0);
            left.column_mut(2 * index).axpy(weight.sqrt(), &shares, 0.0);
            let mut bent = left.column_mut(2 * index + 1);
            let factor = (weight * fit.bend).sqrt();
            bent.axpy(-factor, &shares, 0.0);
            bent[column.anchor] = factor * fit.rest;
        }
        let mut curvature = -product(&left, &transposed(&left));
        // The diagonal as minus the sum of the rest of its row: π_a − π_a² loses its digits as π_a → 1.
        for row in 0..size {
            curvature[(row, row)] = 0.0;
            let rest: f64 = curvature.column(row).sum();
            curvature[(row, row)] = -rest;
        }
        for (column, divisor) in self.rows.iter().enumerate() {
            for (row, members) in self.rows.iter().enumerate() {
                curvature[(row, column)] /= (divisor * members).sqrt();
            }
        }
        curvature
    }
}

/// A⁻¹x from the inverse of the factor of A.
pub(super) fn solve(inverse_root: &DMatrix<f64>, right: &DVector<f64>) -> DVector<f64> {
    inverse_root.tr_mul(&(inverse_root * right))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;
    use crate::models::convex::tests::{PRICE, programs, random};

    /// Gradient and curvature in √m b are derivatives of what the bias minimizes, but for the curvature that shifts of
    /// all logits get; and few steps of Newton's method are needed, the last of which square the error.
    #[test]
    fn the_bias_is_found_by_newtons_method() {
        let mut rng = SmallRng::seed_from_u64(6);
        let with_bias = programs().into_iter().filter(|data| data.bias != Bias::None);
        for data in with_bias {
            let logits = data.logits(&random(&mut rng, 30.0));
            let contrasts = Contrasts::Best(PRICE);
            let at = |bias: &[f64]| data.evaluate(&logits, contrasts, bias.to_vec()).unwrap();
            let bias = [0.3, -0.4, 0.9, -0.1];
            let here = at(&bias);
            let gradient = data.bias_gradient(&here);
            let inverse_root = data.bias_curvature(&here).unwrap();
            let roots = DVector::from_iterator(4, data.rows.iter().map(|m| m.sqrt()));
            let is_free = data.bias == Bias::Unregularized;
            let shift = match is_free && data.fidelity == Fidelity::CrossEntropy {
                true => roots.normalize(),
                false => DVector::zeros(4),
            };
            let (mut numerators, h) = (Vec::new(), 1e-5);
            for row in 0..4 {
                let [ahead, behind] = [h, -h].map(|h| {
                    let mut moved = bias;
                    moved[row] += h / roots[row];
                    at(&moved)
                });
                let slope = (contrasts.merit(&ahead) - contrasts.merit(&behind)) / (2.0 * h);
                assert!((slope - gradient[row]).abs() < 1e-8, "{slope}, {gradient}: {data:?}");
                let bend = data.bias_gradient(&ahead) - data.bias_gradient(&behind);
                let unit = solve(&inverse_root, &(bend / (2.0 * h)));
                let mut expected = &shift * -shift[row];
                expected[row] += 1.0;
                assert!((&unit - &expected).amax() < 1e-6, "{unit}{expected}: {data:?}");
                numerators.push(slope * roots[row]);
            }
            let terms = |row: usize| {
                let residuals = here.residuals.row(row);
                let columns = data.columns.iter().zip(&residuals);
                let sum: f64 = columns.map(|(c, residual)| c.total_weight() * residual.abs()).sum();
                sum + data.bias_decay() * data.rows[row] * f64::abs(bias[row])
            };
            let error = (0..4).map(|row| f64::abs(numerators[row]) / terms(row));
            let error = error.fold(0.0, f64::max);
            assert!((data.bias_error(&here) / error - 1.0).abs() < 1e-6);

            let (mut state, mut errors) = (here, vec![error]);
            while errors[errors.len() - 1] > BIAS_TOLERANCE {
                let last = errors[errors.len() - 1];
                let next = data.better_bias(&logits, contrasts, &state, last).unwrap();
                assert!(contrasts.merit(&next.0) <= contrasts.merit(&state) * (1.0 + 1e-14));
                assert!(last > 0.01 || next.1 <= 10.0 * last * last + 1e-14, "{errors:?}");
                state = next.0;
                errors.push(next.1);
            }
            assert!(errors.len() <= 9, "{errors:?}");
            let found = data.with_best_bias(&logits, contrasts, &bias).unwrap();
            assert_eq!((found.bias, found.value), (state.bias.clone(), state.value));
            // From far away steps are shortened, each until it lowers the value.
            let mut far = at(&[4.0, -3.0, 5.0, -6.0]);
            let (mut error, mut steps) = (data.bias_error(&far), 0);
            while error > BIAS_TOLERANCE {
                let next = data.better_bias(&logits, contrasts, &far, error);
                let Some(next) = next else { break };
                let fall = contrasts.merit(&far) - contrasts.merit(&next.0);
                assert!(fall > 0.0 || next.1 < 0.5 * error, "{fall:e}: {data:?}");
                ((far, error), steps) = (next, steps + 1);
            }
            assert!(steps <= 9 && error < 1e-14, "{steps}, {error:e}: {data:?}");
            assert!((far.value / state.value - 1.0).abs() < 1e-14);
        }
    }
}
