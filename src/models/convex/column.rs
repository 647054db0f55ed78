//! One column: the loss of a sample's logits, its gradient, and the best contrast with the siblings.

use crate::models::convex::data::{Column, Data, Fidelity};

/// Which contrasts q the columns have.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Contrasts<'a> {
    /// The best ones at this price of the norm.
    Best(f64),
    /// These.
    Fixed(&'a [f64]),
}

/// What is known of a column beside its rows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fit {
    /// The loss of one sample.
    pub(super) loss: f64,
    /// q.
    pub(super) contrast: f64,
    /// Gradient in the logit of the own class, and in that of a sibling.
    pub(super) own: f64,
    pub(super) sibling: f64,
    /// Probability of all rows but the own one.
    pub(super) rest: f64,
    /// θ: by how much the curvature falls because q follows the logits, times (e_a − π)(e_a − π)ᵀ.
    pub(super) bend: f64,
}

/// The rows of a column: what is read and what is written.
pub(super) struct Rows<'a> {
    /// The logits v of a class of each row, with the bias, without the contrast.
    pub(super) logits: &'a [f64],
    /// π, the probability of each row (with the squared loss not used; for margins see there).
    pub(super) shares: &'a mut [f64],
    /// The gradient in v.
    pub(super) residuals: &'a mut [f64],
}

impl Data {
    /// Evaluates column `index`.
    pub(super) fn fit(&self, index: usize, contrasts: Contrasts<'_>, rows: Rows<'_>) -> Fit {
        match self.fidelity {
            Fidelity::CrossEntropy => self.fit_cross_entropy(index, contrasts, rows),
            Fidelity::SquaredError => self.fit_squared(index, contrasts, rows),
            Fidelity::Margins => self.fit_margins(index, rows),
        }
    }

    fn fit_squared(&self, index: usize, contrasts: Contrasts<'_>, rows: Rows<'_>) -> Fit {
        let column = &self.columns[index];
        let members = self.rows[column.anchor];
        let siblings = members - 1.0;
        let contrast = match contrasts {
            Contrasts::Fixed(contrasts) => contrasts[index],
            Contrasts::Best(price) => strength(column, siblings, price).max(0.0),
        };
        let mut squares = 0.0;
        let labels = self.labels.column(index);
        for (row, residual) in rows.residuals.iter_mut().enumerate() {
            let mut difference = rows.logits[row] - labels[row];
            if row == column.anchor {
                difference -= column.own / members;
            }
            squares += self.rows[row] * difference * difference;
            *residual = self.rows[row] * difference;
        }
        let within = contrast - column.own;
        let mean = rows.residuals[column.anchor] / members;
        Fit {
            loss: 0.5 * (squares + within * within * (siblings / members)),
            contrast,
            own: mean + within * (siblings / members),
            sibling: mean - within / members,
            ..Fit::default()
        }
    }

    fn fit_cross_entropy(&self, index: usize, contrasts: Contrasts<'_>, rows: Rows<'_>) -> Fit {
        let column = &self.columns[index];
        let Rows { logits, shares, residuals } = rows;
        let contrast = match contrasts {
            Contrasts::Fixed(contrasts) => contrasts[index],
            Contrasts::Best(price) => self.best_contrast(column, price, logits),
        };
        let members = self.rows[column.anchor];
        let siblings = members - 1.0;
        let own_logit = logits[column.anchor] + contrast * (siblings / members);
        let highest = self.others(column, logits).map(|(logit, _)| logit - own_logit);
        let shift = highest.fold(0.0, f64::max);
        let own = (-shift).exp();
        let sibling = (-contrast - shift).exp();
        let mut rest = 0.0;
        for (row, share) in shares.iter_mut().enumerate() {
            *share = self.rows[row] * (logits[row] - own_logit - shift).exp();
            if row != column.anchor {
                rest += *share;
            }
        }
        let others = siblings * sibling + rest;
        let total = own + others;
        let logarithm = if shift == 0.0 { others.ln_1p() } else { shift + total.ln() };
        shares[column.anchor] = own + siblings * sibling;
        let (mut linear, mut excess) = (0.0, 0.0);
        let labels = self.labels.column(index);
        for (row, share) in shares.iter_mut().enumerate() {
            *share /= total;
            if row != column.anchor {
                let label = self.rows[row] * labels[row];
                if label != 0.0 {
                    linear += label * (own_logit - logits[row]);
                }
                residuals[row] = *share - label;
                excess += residuals[row];
            }
        }
        residuals[column.anchor] = -excess;
        let sibling_label = labels[column.anchor];
        let sibling = sibling / total;
        let rest = rest / total;
        Fit {
            loss: logarithm + linear + siblings * sibling_label * contrast,
            contrast,
            own: -(excess + siblings * (sibling - sibling_label)),
            sibling: sibling - sibling_label,
            rest,
            bend: bend(contrast, members, shares[column.anchor], rest),
        }
    }

    /// Logits and numbers of classes of the rows but that of the own class.
    fn others<'a>(
        &'a self,
        column: &'a Column,
        logits: &'a [f64],
    ) -> impl Iterator<Item = (f64, f64)> + 'a {
        let all = logits.iter().copied().zip(self.rows.iter().copied()).enumerate();
        all.filter(|&(row, _)| row != column.anchor).map(|(_, pair)| pair)
    }

    /// The q ≥ 0 at which the siblings' price is paid: p_own − p_sibling = c.
    ///
    /// With e^q = a eᵈ/(1 − c), a = 1 + c(m − 1), and x = ln(eᵈ − 1) this is x − ln(1 + eˣ)/m = k, whose
    /// left side is concave and has a slope between 1 − 1/m and 1, so that Newton's steps from below stay
    /// below and need no safeguard.
    fn best_contrast(&self, column: &Column, price: f64, logits: &[f64]) -> f64 {
        let members = self.rows[column.anchor];
        let strength = strength(column, members - 1.0, price);
        if strength <= 0.0 {
            return 0.0;
        }
        let missing = price / column.slope() + column.deficit;
        let alone = (strength * members / missing).ln_1p();
        let highest = self.others(column, logits).map(|(logit, _)| logit);
        let highest = highest.fold(f64::NEG_INFINITY, f64::max);
        if highest == f64::NEG_INFINITY {
            return alone;
        }
        let sum: f64 =
            self.others(column, logits).map(|(logit, m)| m * (logit - highest).exp()).sum();
        let log_rest = highest - logits[column.anchor] + sum.ln();
        let own = 1.0 + strength * (members - 1.0);
        let target = log_rest + (strength / own).ln() + alone / members;
        alone + softplus(shifted_softplus_root(target, members))
    }
}

/// c, the difference between the probabilities of the own class and a sibling at which q is at rest; not
/// positive if q is zero.
fn strength(column: &Column, siblings: f64, price: f64) -> f64 {
    if siblings > 0.0 && column.weight > 0.0 { column.own - price / column.slope() } else { 0.0 }
}

/// The root of x − ln(1 + eˣ)/m = k.
fn shifted_softplus_root(k: f64, members: f64) -> f64 {
    let mut x = k;
    // Six are the most that were ever seen.
    for _ in 0..10 {
        let value = x - softplus(x) / members - k;
        let slope = 1.0 - 1.0 / (members * (1.0 + (-x).exp()));
        let step = value / slope;
        x -= step;
        if is_rounding(step, x) {
            break;
        }
    }
    x
}

/// Whether a step is within two units in the last place of where it leads.
fn is_rounding(step: f64, x: f64) -> bool {
    step.abs() <= 2.0 * f64::EPSILON * x.abs()
}

/// ln(1 + eˣ).
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// θ = λ′²π/(λ′²(1 − π) + λ″) for the own row's logit λ(q) = ln(e^q + m − 1) − q/m and its probability π.
fn bend(contrast: f64, members: f64, share: f64, rest: f64) -> f64 {
    if contrast <= 0.0 {
        return 0.0;
    }
    let fraction = (-contrast).exp();
    let siblings = members - 1.0;
    let whole = 1.0 + siblings * fraction;
    // −λ′, of which the square counts.
    let first = siblings / members * (-contrast).exp_m1() / whole;
    let second = siblings * fraction / (whole * whole);
    let denominator = first * first * rest + second;
    if denominator > 0.0 { first * first * share / denominator } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use nalgebra::DMatrix;

    use super::*;
    use crate::problem::regularization::Bias;

    /// Kinds of 3, 1, 2 and 5 classes, samples of three of them, and a column that fills up the square.
    fn program(fidelity: Fidelity, smoothing: f64) -> Data {
        let rows = vec![3.0, 1.0, 2.0, 5.0];
        let labels = DMatrix::from_fn(4, 3, |i, j| smoothing * (1.0 + (i + 2 * j) as f64));
        let column = |(index, anchor): (usize, usize)| {
            let deficit = rows.iter().zip(&labels.column(index)).map(|(m, y)| m * y).sum::<f64>();
            let (weight, scale) = (0.3 + 0.1 * index as f64, 2.0 + index as f64);
            Column { weight, members: 2.0, scale, anchor, own: 1.0 - deficit, deficit }
        };
        let columns = [0, 1, 3].into_iter().enumerate().map(column).collect();
        Data::new(fidelity, rows.clone(), columns, labels, Bias::None)
    }

    /// The fit, with what it writes into the rows.
    fn fitted(
        data: &Data,
        index: usize,
        contrasts: Contrasts<'_>,
        logits: &[f64],
    ) -> (Fit, Vec<f64>, Vec<f64>) {
        let (mut shares, mut residuals) = (vec![0.0; logits.len()], vec![0.0; logits.len()]);
        let rows = Rows { logits, shares: &mut shares, residuals: &mut residuals };
        (data.fit(index, contrasts, rows), shares, residuals)
    }

    /// Row, logit and label of each class: the own one, its siblings, the others.
    fn classes(data: &Data, index: usize, contrast: f64, logits: &[f64]) -> Vec<(usize, f64, f64)> {
        let Column { anchor, own, .. } = data.columns[index];
        let at = |row: usize| (row, logits[row], data.labels[(row, index)]);
        let ((_, logit, label), members) = (at(anchor), data.rows[anchor]);
        let mut classes = vec![(anchor, logit + contrast * (1.0 - 1.0 / members), label + own)];
        classes.resize(members as usize, (anchor, logit - contrast / members, label));
        for row in (0..4).filter(|&row| row != anchor) {
            classes.resize(classes.len() + data.rows[row] as usize, at(row));
        }
        classes
    }

    /// Loss and gradients are those of all classes, written out.
    #[test]
    fn columns_stand_for_all_classes() {
        let (logits, contrasts) = ([0.4, -1.2, 2.1, 0.9], [0.7, 0.0, 1.6]);
        let close = |found: f64, expected: f64| (found - expected).abs() < 1e-14;
        for fidelity in [Fidelity::CrossEntropy, Fidelity::SquaredError] {
            let programs = [0.0, 0.01].map(|smoothing| program(fidelity, smoothing));
            for (data, index) in programs.iter().flat_map(|data| (0..3).map(move |j| (data, j))) {
                let (fit, shares, residuals) =
                    fitted(data, index, Contrasts::Fixed(&contrasts), &logits);
                let classes = classes(data, index, contrasts[index], &logits);
                let total: f64 = classes.iter().map(|(_, z, _)| z.exp()).sum();
                // Row, loss, gradient and probability of each class.
                let term = |&(row, z, y): &(usize, f64, f64)| match fidelity {
                    Fidelity::SquaredError => (row, 0.5 * (z - y).powi(2), z - y, 0.0),
                    _ => (row, y * (total.ln() - z), z.exp() / total - y, z.exp() / total),
                };
                let terms: Vec<_> = classes.iter().map(term).collect();
                assert!(close(fit.loss, terms.iter().map(|term| term.1).sum()), "{fit:?}");
                assert_eq!(fit.contrast, contrasts[index]);
                let anchor = data.columns[index].anchor;
                assert!(close(fit.own, terms[0].2), "{fit:?}");
                assert!(data.rows[anchor] == 1.0 || close(fit.sibling, terms[1].2), "{fit:?}");
                for row in 0..4 {
                    let of_row = terms.iter().filter(|term| term.0 == row);
                    assert!(close(residuals[row], of_row.clone().map(|term| term.2).sum()));
                    assert!(close(shares[row], of_row.map(|term| term.3).sum()));
                }
                let rest = terms.iter().filter(|term| term.0 != anchor).map(|term| term.3);
                assert!(close(fit.rest, rest.sum()), "{fit:?}");
            }
        }
    }

    /// Logits of any size neither overflow nor lose the digits of a small loss.
    #[test]
    fn far_logits_keep_their_digits() {
        let data = program(Fidelity::CrossEntropy, 0.0);
        let at = |index, contrast, logits: &[f64]| {
            fitted(&data, index, Contrasts::Fixed(&[contrast; 4]), logits).0
        };
        // Ten other classes, and the own one far ahead of them.
        let ahead = at(1, 0.0, &[0.0, 700.0, 0.0, 0.0]);
        let tiny = 10.0 * (-700.0_f64).exp();
        for found in [ahead.loss, -ahead.own, ahead.rest] {
            assert!((found / tiny - 1.0).abs() < 1e-15, "{ahead:?}");
        }
        // Five of them far ahead of it.
        let behind = at(1, 0.0, &[0.0, -800.0, 0.0, 800.0]);
        assert_eq!((behind.loss, behind.own, behind.rest), (1600.0 + 5.0_f64.ln(), -1.0, 1.0));
        // A contrast with two siblings takes part of it back.
        let siblings = at(0, 3.0, &[-801.0, 0.0, 0.0, 800.0]);
        assert_eq!((siblings.loss, siblings.own), (1599.0 + 5.0_f64.ln(), -1.0));
    }

    /// The best contrasts have the slope that their price allows, or are zero.
    #[test]
    fn contrasts_are_worth_their_price() {
        let kinds = program(Fidelity::CrossEntropy, 0.0);
        let alone = Data { rows: vec![4.0], columns: vec![kinds.columns[0]], ..kinds.clone() };
        let smooth = program(Fidelity::CrossEntropy, 0.01);
        let squared = program(Fidelity::SquaredError, 0.01);
        let points: [[f64; 4]; 5] = [
            [0.0; 4],
            [50.0, 0.0, 1.0, -2.0],
            [-30.0, 1.0, 0.0, 2.0],
            [0.0, 600.0, -1.0, 0.5],
            [800.0, 0.0, 3.0, 1.0],
        ];
        for data in [kinds, alone, smooth, squared] {
            let column = data.columns[0];
            // What is one less a share has the digits of one.
            let is_sharp = column.deficit == 0.0;
            let (smallest, rounding) = if is_sharp { (1e-200, 0.0) } else { (1e-3, 1e-15) };
            for logits in points {
                let logits = &logits[..data.rows.len()];
                for price in [smallest, 1e-3, 0.05, 0.1] {
                    let (fit, ..) = fitted(&data, 0, Contrasts::Best(price), logits);
                    let (slope, expected) = (fit.sibling - fit.own, price / column.slope());
                    let error = (slope - expected).abs();
                    assert!(fit.contrast > 0.0 && error <= 1e-12 * expected + rounding, "{fit:?}");
                }
                for price in [0.15, 0.2] {
                    let (fit, ..) = fitted(&data, 0, Contrasts::Best(price), logits);
                    assert_eq!((fit.contrast, fit.bend), (0.0, 0.0));
                }
            }
            // A class without siblings, and a column without weight, have no contrasts.
            let empty = Column { weight: 0.0, ..column };
            assert_eq!((strength(&column, 0.0, 0.01), strength(&empty, 2.0, 0.01)), (0.0, 0.0));
        }
        // λ(q) = ln(e^q + m − 1) − q/m.
        for (q, m) in [(0.3_f64, 2.0), (1.5, 5.0), (4.0, 3.0)] {
            let (power, share) = (q.exp(), 0.6);
            let (first, second) = (
                power / (power + m - 1.0) - 1.0 / m,
                power * (m - 1.0) / (power + m - 1.0).powi(2),
            );
            let expected = first * first * share / (first * first * (1.0 - share) + second);
            assert!((bend(q, m, share, 1.0 - share) / expected - 1.0).abs() < 1e-14);
        }
        // A column that is as sure as can be does not bend.
        assert_eq!(bend(800.0, 3.0, 1.0, 0.0), 0.0);
    }

    #[test]
    fn roots_solve_their_equation() {
        for k in [-800.0, -40.0, -1.0, 0.0, 1e-9, 0.3, 5.0, 40.0, 800.0_f64] {
            for members in [2.0, 3.0, 1e6] {
                let x = shifted_softplus_root(k, members);
                let error = x - softplus(x) / members - k;
                assert!(error.abs() <= 2.0 * f64::EPSILON * x.abs().max(k.abs()), "{k}, {members}");
            }
        }
        // 2⁻⁵¹ of it.
        assert!(is_rounding(-1.77e-15, 4.0) && is_rounding(1.77e-15, -4.0));
        assert!(!is_rounding(1.78e-15, 4.0) && !is_rounding(-1.78e-15, 4.0));
        assert_eq!((softplus(-800.0), softplus(800.0)), (0.0, 800.0));
        assert_eq!((softplus(0.0), softplus(-50.0)), (2.0_f64.ln(), (-50.0_f64).exp()));
    }
}
