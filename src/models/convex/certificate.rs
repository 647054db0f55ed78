//! A rigorous lower bound of the minimum, from any point.
//!
//! Cross-entropy is a maximum over probability vectors, lse(z) − yᵀz = max_p Entropy(p) + (p − y)ᵀz, and the
//! norm one over matrices of spectral norm κ at most. Any choice y′_j with ‖(w_j/s_j (y′_j − y_j))_j‖ ≤ κ
//! therefore proves that no point is below Σ w_j Entropy(y′_j) (docs/convex.md has the argument for every
//! bias, for budgets and for the squared loss).

use crate::error::Result;
use crate::models::convex::data::{Column, Data, Fidelity};
use crate::models::convex::state::State;
use crate::numerics::linalg::singular_values;
use crate::problem::regularization::Bias;

/// What holds the norm of the logits back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Restraint {
    /// A price κ for each unit of the norm.
    Price(f64),
    /// A budget T that it must not exceed.
    Budget(f64),
}

/// The dual point: y + s (p − y) − ρ.
struct DualPoint {
    /// s.
    share: f64,
    /// ρ, for one class of each row.
    shift: Vec<f64>,
}

impl Data {
    /// A number that the objective is not below, anywhere; negative infinity if this point, with the spectral norm
    /// `steepness` of its gradient, proves none.
    pub(super) fn lower_bound(&self, state: &State, steepness: f64, restraint: Restraint) -> f64 {
        let total = self.total_weight();
        let pull = self.bias_pull(state);
        let shift: Vec<f64> = match self.bias {
            Bias::Unregularized => pull.iter().map(|pull| pull / total).collect(),
            Bias::None | Bias::Regularized(_) => vec![0.0; self.rows.len()],
        };
        let slack = self.weighted_norm(&shift)
            * self
                .columns
                .iter()
                .map(|column| column.members * column.slope().powi(2))
                .sum::<f64>()
                .sqrt();
        let (share, paid) = match restraint {
            Restraint::Budget(budget) => (1.0, budget * (steepness + slack)),
            Restraint::Price(price) => {
                let share = (price / steepness).min(1.0);
                (share * (price / (share * (steepness + slack))).min(1.0), 0.0)
            }
        };
        let shift = shift.iter().map(|shift| share * shift).collect();
        let dual = DualPoint { share, shift };
        let Some((value, magnitude)) = self.dual_value(state, &dual) else {
            return f64::NEG_INFINITY;
        };
        let penalty = match self.bias {
            Bias::Regularized(decay) => (share * self.weighted_norm(&pull)).powi(2) / (2.0 * decay),
            Bias::None | Bias::Unregularized => 0.0,
        };
        // Σ w_j (y′_j − y_j)ᵀι, which is zero where a free bias makes Σ w_j (y′_j − y_j) zero.
        let (constant, size) = match self.bias {
            Bias::Unregularized => (0.0, 0.0),
            Bias::None | Bias::Regularized(_) => self.offset_value(&pull, share),
        };
        let bound = value + constant - penalty - paid;
        bound - self.rounding() * (magnitude + size + penalty + paid)
    }

    /// A relative bound of the rounding errors of sums over rows and columns.
    pub(super) fn rounding(&self) -> f64 {
        f64::EPSILON * (self.rows.len() + self.columns.len() + 32) as f64
    }

    /// ‖∇‖, rounded up: the gradient's spectral norm over all classes.
    pub(super) fn steepness(&self, state: &State) -> Result<f64> {
        let between = singular_values(&state.gradient)?.iter().copied().fold(0.0, f64::max);
        let with_siblings = self.columns.iter().enumerate();
        let with_siblings = with_siblings.filter(|(_, column)| self.siblings(column) > 0.0);
        let within = with_siblings.map(|(index, _)| self.steepness_within(state, index));
        Ok(within.fold(between, f64::max) * (1.0 + self.rounding()))
    }

    /// The singular value of the gradient on the contrasts of one column's kind.
    pub(super) fn steepness_within(&self, state: &State, index: usize) -> f64 {
        let fit = &state.fits[index];
        self.columns[index].slope() * (fit.own - fit.sibling).abs()
    }

    /// Σ_j w_j (p_j − y_j) for one class of each row.
    fn bias_pull(&self, state: &State) -> Vec<f64> {
        let mut pull = vec![0.0; self.rows.len()];
        for (column, residuals) in self.columns.iter().zip(state.residuals.column_iter()) {
            for ((pull, residual), members) in pull.iter_mut().zip(&residuals).zip(&self.rows) {
                *pull += column.total_weight() * residual / members;
            }
        }
        pull
    }

    /// s Σ_k pull_k ι_k over all classes, and the size of the terms.
    fn offset_value(&self, pull: &[f64], share: f64) -> (f64, f64) {
        let terms = pull.iter().zip(&self.offsets).zip(&self.rows);
        let terms = terms.map(|((pull, offset), members)| share * members * pull * offset);
        (terms.clone().sum(), terms.map(f64::abs).sum())
    }

    /// The norm of a vector over classes that is constant on each row.
    fn weighted_norm(&self, vector: &[f64]) -> f64 {
        vector
            .iter()
            .zip(&self.rows)
            .map(|(entry, members)| members * entry * entry)
            .sum::<f64>()
            .sqrt()
    }

    /// The dual objective without what bias and norm cost, and the size of the terms that it is the sum of.
    fn dual_value(&self, state: &State, dual: &DualPoint) -> Option<(f64, f64)> {
        let (mut sum, mut magnitude) = (0.0, 0.0);
        for (index, column) in self.columns.iter().enumerate() {
            if column.weight > 0.0 {
                let (value, size) = match self.fidelity {
                    Fidelity::CrossEntropy => self.entropy(state, index, dual)?,
                    Fidelity::SquaredError => self.conjugate_square(state, index, dual),
                    Fidelity::Margins => self.conjugate_distance(state, index, dual.share),
                };
                sum += column.total_weight() * value;
                magnitude += column.total_weight() * size;
            }
        }
        Some((sum, magnitude))
    }

    /// Entropy(y′) of a column; `None` if y′ has a negative entry.
    fn entropy(&self, state: &State, index: usize, dual: &DualPoint) -> Option<(f64, f64)> {
        let (column, fit) = (&self.columns[index], &state.fits[index]);
        let DualPoint { share, shift } = dual;
        let residuals = state.residuals.column(index);
        let (mut entropy, mut rest) = (0.0, 0.0);
        let mut add = |probability: f64, members: f64| {
            if probability > 0.0 {
                entropy -= members * probability * probability.ln();
                rest += members * probability;
            }
            (probability >= 0.0).then_some(())
        };
        for (row, &members) in self.rows.iter().enumerate().filter(|&(row, _)| row != column.anchor)
        {
            let label = self.labels[(row, index)];
            add(label + share * residuals[row] / members - shift[row], members)?;
        }
        let sibling =
            self.labels[(column.anchor, index)] + share * fit.sibling - shift[column.anchor];
        if self.siblings(column) > 0.0 {
            add(sibling, self.siblings(column))?;
        }
        entropy -= x_ln_x_of_rest(rest)?;
        Some((entropy, entropy))
    }

    /// −½‖θ‖² − yᵀθ of a column.
    fn conjugate_square(&self, state: &State, index: usize, dual: &DualPoint) -> (f64, f64) {
        let (column, fit) = (&self.columns[index], &state.fits[index]);
        let Column { anchor, own, .. } = *column;
        let residuals = state.residuals.column(index);
        let (mut value, mut size) = (0.0, 0.0);
        let mut add = |residual: f64, label: f64, row: usize, members: f64| {
            let theta = dual.share * residual - dual.shift[row];
            value -= members * (0.5 * theta * theta + label * theta);
            size += members * (0.5 * theta * theta + (label * theta).abs());
        };
        for (row, &members) in self.rows.iter().enumerate() {
            let label = self.labels[(row, index)];
            if row == anchor {
                add(fit.own, label + own, row, 1.0);
                add(fit.sibling, label, row, members - 1.0);
            } else {
                add(residuals[row] / members, label, row, members);
            }
        }
        (value, size)
    }
}

/// p ln p for the probability p that all others leave; `None` if they leave none.
fn x_ln_x_of_rest(others: f64) -> Option<f64> {
    // Labels add up to one only up to rounding.
    let probability = 1.0 - others;
    if probability < -1e-12 {
        return None;
    }
    if probability <= 0.0 {
        return Some(0.0);
    }
    Some(probability * if others < 0.5 { (-others).ln_1p() } else { probability.ln() })
}

#[cfg(test)]
mod tests {
    use nalgebra::{DMatrix, DVector};
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;
    use crate::models::convex::column::Contrasts;
    use crate::models::convex::tests::{PRICE, programs, random};

    /// Row, gradient of the loss and label of each class at a sample of a column: the own one, its siblings, the others.
    fn classes(data: &Data, state: &State, index: usize) -> Vec<(usize, f64, f64)> {
        let (Column { anchor, own, .. }, fit) = (data.columns[index], &state.fits[index]);
        let label = |row: usize| data.labels[(row, index)];
        let first = match data.fidelity {
            Fidelity::Margins => state.residuals[(anchor, index)],
            _ => fit.own,
        };
        let mut classes = vec![(anchor, first, label(anchor) + own)];
        classes.resize(data.rows[anchor] as usize, (anchor, fit.sibling, label(anchor)));
        for (row, &members) in data.rows.iter().enumerate().filter(|(row, _)| *row != anchor) {
            let of_row = (row, state.residuals[(row, index)] / members, label(row));
            classes.resize(classes.len() + members as usize, of_row);
        }
        classes
    }

    /// Value and size of a column's term, class by class, for θ = y′ − y.
    fn term(data: &Data, state: &State, index: usize, dual: &DualPoint) -> (f64, f64) {
        let (mut value, mut size) = (0.0, 0.0);
        for (row, residual, label) in classes(data, state, index) {
            let theta = dual.share * residual - dual.shift[row];
            match data.fidelity {
                Fidelity::CrossEntropy => {
                    let probability = label + theta;
                    assert!(probability > 0.0, "{probability}");
                    value -= probability * probability.ln();
                    size -= probability * probability.ln();
                }
                Fidelity::SquaredError => {
                    value -= 0.5 * theta * theta + label * theta;
                    size += 0.5 * theta * theta + (label * theta).abs();
                }
                Fidelity::Margins => {
                    let margin = if data.supports[index].contains(&row) { 0.0 } else { 1.0 };
                    let target = data.labels[(row, index)];
                    value += theta * (margin - target) - 0.5 * theta * theta;
                    size += theta.abs() * (margin + target.abs()) + 0.5 * theta * theta;
                }
            }
        }
        (value, size)
    }

    fn close(found: f64, expected: f64, size: f64) -> bool {
        (found - expected).abs() <= 4.0 * f64::EPSILON * size
    }

    /// The lower bound and the steepness, written out for all classes, with the allowance for rounding that the bound
    /// makes; at biases that are not the best ones, which the dual point has to make up for.
    #[test]
    fn bounds_are_those_of_all_classes() {
        let mut rng = SmallRng::seed_from_u64(7);
        for data in programs() {
            let unbiased = Data { bias: Bias::None, ..data.clone() };
            let (point, contrasts) = (random(&mut rng, 0.03), [0.0, 0.04, 0.02, 0.0]);
            let state = unbiased.state(&point, Contrasts::Fixed(&contrasts), &[0.0; 4]).unwrap();
            let columns = || data.columns.iter().enumerate();
            // Over all classes of all columns, each column as often as its kind has classes.
            let row_of: Vec<usize> =
                (0..4).flat_map(|row| vec![row; data.rows[row] as usize]).collect();
            let mut gradient = DMatrix::zeros(row_of.len(), 0);
            let mut pull = DVector::zeros(row_of.len());
            let mut slopes = 0.0;
            for (index, column) in columns() {
                let first = row_of.iter().position(|&row| row == column.anchor).unwrap();
                for member in 0..column.members as usize {
                    let of_class = |class: usize, &row: &usize| {
                        let classes = classes(&data, &state, index);
                        let own = class == first + member;
                        let found = classes.iter().skip(usize::from(!own));
                        found.clone().find(|of_class| of_class.0 == row).unwrap().1
                    };
                    let entries =
                        row_of.iter().enumerate().map(|(class, row)| of_class(class, row));
                    let entries = DVector::from_iterator(row_of.len(), entries);
                    pull += &entries * column.weight;
                    slopes += column.slope().powi(2);
                    let size = gradient.ncols();
                    gradient = gradient.insert_column(size, 0.0);
                    gradient.set_column(size, &(entries * column.slope()));
                }
            }
            let steepness = data.steepness(&state).unwrap();
            let allowance = steepness / gradient.singular_values().max() - 1.0;
            assert_eq!(data.rounding(), (4.0 + 4.0 + 32.0) * f64::EPSILON);
            assert!((30.0..50.0).contains(&(allowance / f64::EPSILON)), "{allowance:e}");
            let mut heavy = unbiased.clone();
            heavy.columns[2].weight *= 10.0;
            let at = heavy.state(&point, Contrasts::Fixed(&contrasts), &[0.0; 4]).unwrap();
            if data.fidelity == Fidelity::CrossEntropy && data.offsets[0] == 0.0 {
                // The siblings of one kind are what matters.
                let within = heavy.columns[2].slope() * (at.fits[2].sibling - at.fits[2].own);
                let allowance = heavy.steepness(&at).unwrap() / within - 1.0;
                assert!((30.0..50.0).contains(&(allowance / f64::EPSILON)), "{allowance:e}");
            }

            let is_free = data.bias == Bias::Unregularized;
            let shift = &pull * (if is_free { 1.0 / data.total_weight() } else { 0.0 });
            let steepest = steepness + shift.norm() * slopes.sqrt();
            let scale = (PRICE / steepness).min(1.0);
            for (restraint, share, paid) in [
                (Restraint::Budget(30.0), 1.0, 30.0 * steepest),
                (Restraint::Price(PRICE), scale * (PRICE / (scale * steepest)).min(1.0), 0.0),
                (Restraint::Price(10.0), 1.0, 0.0),
            ] {
                let of_row = |row| row_of.iter().position(|&of_class| of_class == row).unwrap();
                let shift = (0..4).map(|row| share * shift[of_row(row)]).collect();
                let dual = DualPoint { share, shift };
                let (mut value, mut size) = (-paid, paid);
                for (index, column) in columns() {
                    let (term, of_term) = term(&data, &state, index, &dual);
                    value += column.weight * column.members * term;
                    size += column.weight * column.members * of_term;
                }
                if let Bias::Regularized(decay) = data.bias {
                    let penalty = share * share * pull.norm_squared() / (2.0 * decay);
                    (value, size) = (value - penalty, size + penalty);
                }
                for (class, &row) in row_of.iter().enumerate().filter(|_| !is_free) {
                    let constant = share * pull[class] * data.offsets[row];
                    (value, size) = (value + constant, size + constant.abs());
                }
                let found = data.lower_bound(&state, steepness, restraint);
                let expected = value - 40.0 * f64::EPSILON * size;
                assert!(close(found, expected, size), "{found:e}, {expected:e}, {size}: {data:?}");
            }
            // Value and size are sums over the columns with a weight; over all classes this shift sums to zero.
            let shift = match data.fidelity {
                Fidelity::Margins => vec![0.0; 4],
                _ => vec![1e-3, -2e-3, 1e-3, 1e-3],
            };
            let dual = DualPoint { share: 0.7, shift };
            let (mut sum, mut unused) = ((0.0, 0.0), data.clone());
            unused.columns[1].weight = 0.0;
            unused.labels.column_mut(1).fill(-1.0);
            for index in [0, 2, 3] {
                let (value, size) = term(&data, &state, index, &dual);
                let weight = data.columns[index].total_weight();
                sum = (sum.0 + weight * value, sum.1 + weight * size);
            }
            let found = unused.dual_value(&state, &dual).unwrap();
            assert!(close(found.0, sum.0, sum.1), "{found:?}, {sum:?}");
            assert!(close(found.1, sum.1, sum.1), "{found:?}, {sum:?}");
        }
    }

    /// A dual point with a negative entry proves nothing, one with zeros does. The own class has what the others leave.
    #[test]
    fn entropies_end_at_the_edge_of_the_simplex() {
        let data = &programs()[0];
        let far = DMatrix::from_diagonal_element(4, 4, 1e5);
        let state = data.state(&far, Contrasts::Fixed(&[1e3; 4]), &[0.0; 4]).unwrap();
        let entropy = |share: f64, shift: f64| {
            data.entropy(&state, 0, &DualPoint { share, shift: vec![2.0, shift, 0.0, 0.0] })
        };
        assert_eq!(entropy(1.0, 0.0), Some((0.0, 0.0)));
        assert_eq!((entropy(1.0, 1e-3), entropy(1.0, -0.5)), (None, None));
        // Three classes of a tenth each, and what they leave.
        let (found, size) = entropy(1.0, -0.1).unwrap();
        let expected = -0.3 * 0.1_f64.ln() - 0.7 * 0.7_f64.ln();
        assert!((found - expected).abs() < 1e-15 && found == size, "{found}, {expected}");

        assert_eq!([0.0, 1.0, 1.0 + 5e-13].map(x_ln_x_of_rest), [Some(0.0); 3]);
        assert_eq!((x_ln_x_of_rest(1.0 + 2e-12), x_ln_x_of_rest(1e-20)), (None, Some(-1e-20)));
        for others in [0.3, 0.75] {
            let left: f64 = 1.0 - others;
            assert!((x_ln_x_of_rest(others).unwrap() / (left * left.ln()) - 1.0).abs() < 1e-15);
        }
    }
}
