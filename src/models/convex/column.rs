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
    let mut x = if k > 0.0 { k * (members / (members - 1.0)) } else { k };
    for _ in 0..60 {
        let value = x - softplus(x) / members - k;
        let slope = 1.0 - 1.0 / (members * (1.0 + (-x).exp()));
        let step = value / slope;
        x -= step;
        if step.abs() <= 2.0 * f64::EPSILON * x.abs() || !x.is_finite() {
            break;
        }
    }
    x
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
