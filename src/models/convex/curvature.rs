//! The curvature of the data term at a point, with contrasts and bias eliminated.

use nalgebra::{DMatrix, DVector, DVectorViewMut};

use crate::models::convex::data::{Data, Fidelity};
use crate::models::convex::margins::bend_to_margins;
use crate::models::convex::state::{State, solve};
use crate::problem::regularization::Bias;

/// The second derivative of the data term in X.
pub(super) struct Curvature<'a> {
    data: &'a Data,
    state: &'a State,
    /// L⁻¹ of the bias's own curvature LLᵀ, if there is a bias.
    bias: Option<DMatrix<f64>>,
}

impl<'a> Curvature<'a> {
    /// `None` if the bias's curvature is not positive definite, numerically.
    pub(super) fn new(data: &'a Data, state: &'a State) -> Option<Self> {
        let bias = match data.bias {
            Bias::None => None,
            _ => Some(data.bias_curvature(state)?),
        };
        Some(Self { data, state, bias })
    }

    /// Replaces a step in X by the change of the gradient that it makes.
    pub(super) fn apply(&self, step: &mut DMatrix<f64>) {
        self.data.scale_as_logits(step);
        if let Some(bias) = &self.bias {
            // The bias follows the step.
            let mut change = step.clone();
            self.apply_to_logits(&mut change);
            let roots = DVector::from_iterator(
                self.data.rows.len(),
                self.data.rows.iter().map(|members| members.sqrt()),
            );
            let answer = solve(bias, &change.column_sum().component_div(&roots));
            let answer = answer.component_div(&roots);
            for mut column in step.column_iter_mut() {
                column -= &answer;
            }
        }
        self.apply_to_logits(step);
        self.data.scale_as_logits(step);
    }

    /// The change of the weighted gradient in the logits.
    fn apply_to_logits(&self, steps: &mut DMatrix<f64>) {
        for (index, mut step) in steps.column_iter_mut().enumerate() {
            match self.data.fidelity {
                Fidelity::SquaredError => step.component_mul_assign(&self.members()),
                Fidelity::CrossEntropy => self.apply_to_column(index, &mut step),
                Fidelity::Margins => bend_to_margins(self.state.shares.column(index), &mut step),
            }
            step *= self.data.columns[index].total_weight();
        }
    }

    fn members(&self) -> DVector<f64> {
        DVector::from_column_slice(&self.data.rows)
    }

    /// (diag(π) − ππᵀ − θ(e_a − π)(e_a − π)ᵀ) x, with x relative to the own class's, so that nothing
    /// cancels where π_a is nearly 1.
    fn apply_to_column(&self, index: usize, step: &mut DVectorViewMut<'_, f64>) {
        let (fit, anchor) = (&self.state.fits[index], self.data.columns[index].anchor);
        let shares = self.state.shares.column(index);
        let own = step[anchor];
        step.add_scalar_mut(-own);
        let mean = step.dot(&shares);
        let lifted = mean * (1.0 + fit.bend);
        for (entry, share) in step.iter_mut().zip(&shares) {
            *entry = share * (*entry - lifted);
        }
        step[anchor] = mean * (fit.bend * fit.rest - shares[anchor]);
    }

    /// The diagonal, without what the bias takes off.
    pub(super) fn diagonal(&self) -> DMatrix<f64> {
        let mut diagonal = self.state.shares.clone();
        for (index, mut entries) in diagonal.column_iter_mut().enumerate() {
            let (column, fit) = (&self.data.columns[index], &self.state.fits[index]);
            match self.data.fidelity {
                Fidelity::SquaredError => entries.copy_from(&self.members()),
                Fidelity::CrossEntropy => {
                    let own = fit.rest * (entries[column.anchor] - fit.bend * fit.rest);
                    for entry in &mut entries {
                        *entry *= (1.0 - *entry * (1.0 + fit.bend)).max(0.0);
                    }
                    entries[column.anchor] = own.max(0.0);
                }
                Fidelity::Margins => entries.apply(|share| {
                    *share = if *share > 0.0 { 1.0 - *share } else { 0.0 };
                }),
            }
            entries *= column.total_weight();
        }
        self.data.scale_as_logits(&mut diagonal);
        self.data.scale_as_logits(&mut diagonal);
        diagonal
    }

    pub(super) fn largest_here(&self) -> f64 {
        Self::largest(self.data, self.state)
    }

    /// A bound of the largest curvature here: that of the covariance of one sample's label.
    pub(super) fn largest(data: &Data, state: &State) -> f64 {
        let mut largest: f64 = 0.0;
        for (index, column) in data.columns.iter().enumerate() {
            let of_labels = match data.fidelity {
                Fidelity::SquaredError | Fidelity::Margins => 1.0,
                Fidelity::CrossEntropy => {
                    let rest = state.fits[index].rest;
                    let shares = state.shares.column(index);
                    let single = shares.iter().zip(&data.rows).map(|(share, m)| share / m);
                    single.fold(0.0, f64::max).min(2.0 * rest).min(0.5)
                }
            };
            largest = largest.max(column.slope() / column.scale * of_labels);
        }
        largest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::convex::column::Contrasts;
    use crate::models::convex::data::Column;
    use crate::models::convex::tests::programs;

    /// The bound of one sample's curvature is the probability of each of nine equal classes, and twice that of all
    /// others where one class has nearly all of it; the steepest column counts.
    #[test]
    fn bounds_of_the_curvature_are_worked_out() {
        let data = &programs()[0];
        let steepest = data.columns.iter().map(|column| column.weight / column.scale.powi(2));
        let steepest = steepest.fold(0.0, f64::max);
        let contrasts = Contrasts::Fixed(&[0.0; 4]);
        let zero = data.state(&DMatrix::zeros(4, 4), contrasts, &[0.0; 4]).unwrap();
        let found = Curvature::new(data, &zero).unwrap().largest_here();
        assert!((found / (steepest / 9.0) - 1.0).abs() < 1e-15, "{found}");

        // Logits of 20 for the one class of the first row, at all samples.
        let ahead = DMatrix::from_fn(4, 4, |i, j| {
            let Column { members, scale, .. } = data.columns[j];
            if i == 0 { 20.0 * members.sqrt() * scale } else { 0.0 }
        });
        let mut alone = data.clone();
        alone.columns.iter_mut().skip(1).for_each(|column| column.weight = 0.0);
        let state = alone.state(&ahead, contrasts, &[0.0; 4]).unwrap();
        let rest = 8.0 / (20.0_f64.exp() + 8.0);
        let expected = alone.columns[0].weight / alone.columns[0].scale.powi(2) * 2.0 * rest;
        let found = Curvature::new(&alone, &state).unwrap().largest_here();
        assert!((found / expected - 1.0).abs() < 1e-13, "{found:e}, {expected:e}");
    }
}
