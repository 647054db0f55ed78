//! The convex program by kinds: one row for every kind of class, one column for every kind of sample.
//!
//! Classes of one size, weight and label are of one kind: exchanging them changes nothing, so the minimum does
//! not either, and the logits of a sample are one number for each kind of class, plus a contrast q between the
//! sample's own class and its siblings (the other classes of its kind). A kind of m classes enters with unit
//! vectors 1/√m, so that the matrix X by kinds has the singular values of the large one:
//!
//! ```text
//! logits of a class of row i at a sample of column j:  z_ij = X_ij / (√m_i √m_j s_j) + b_i + ι_i,
//! own class: z + q (1 − 1/m),   siblings: z − q/m,
//! price of the norms: κ (‖X‖_* + Σ_j (m_j − 1) s_j q_j).
//! ```
//!
//! s_j is √n_j where the features of n_j samples are paid for, and 1 where those of one are.

use nalgebra::DMatrix;

use crate::problem::regularization::Bias;

/// How the logits of a sample are held against its label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fidelity {
    /// ln Σ exp z − yᵀz.
    CrossEntropy,
    /// ½‖z − y‖².
    SquaredError,
    /// ½ dist²(z − y) to the logits that are one number on the column's support and less by 1 at least elsewhere.
    Margins,
}

/// The program, but for the price κ or the budget of the norm.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Data {
    pub(super) fidelity: Fidelity,
    /// m_i, the number of classes of each row.
    pub(super) rows: Vec<f64>,
    pub(super) columns: Vec<Column>,
    /// The label of each column by rows, for one class of the row, without the part of the own class.
    pub(super) labels: DMatrix<f64>,
    /// ι, what is added to the logits of a class of each row.
    pub(super) offsets: Vec<f64>,
    /// The support of each column, for margins; else empty.
    pub(super) supports: Vec<Vec<usize>>,
    pub(super) bias: Bias,
}

/// A kind of samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Column {
    /// w_j, what one of its classes weighs.
    pub(crate) weight: f64,
    /// Number of classes with such samples.
    pub(crate) members: f64,
    /// s_j.
    pub(crate) scale: f64,
    /// The row of the own class: that of the largest label.
    pub(crate) anchor: usize,
    /// What the label of the own class has beyond that of its siblings.
    pub(crate) own: f64,
    /// One less that.
    pub(crate) deficit: f64,
}

impl Column {
    /// A column that is there to fill up a square.
    const EMPTY: Self =
        Self { weight: 0.0, members: 1.0, scale: 1.0, anchor: 0, own: 0.0, deficit: 1.0 };

    /// What all its classes weigh together.
    pub(super) fn total_weight(&self) -> f64 {
        self.weight * self.members
    }

    /// √m_j s_j.
    pub(super) fn divisor(&self) -> f64 {
        self.members.sqrt() * self.scale
    }

    /// w_j/s_j, the factor of a column of the gradient.
    pub(super) fn slope(&self) -> f64 {
        self.weight / self.scale
    }
}

impl Data {
    /// The program, with empty columns where there are fewer columns than rows.
    pub(crate) fn new(
        fidelity: Fidelity,
        rows: Vec<f64>,
        mut columns: Vec<Column>,
        labels: DMatrix<f64>,
        bias: Bias,
    ) -> Self {
        let missing = rows.len().saturating_sub(columns.len());
        columns.extend(core::iter::repeat_n(Column::EMPTY, missing));
        let labels = labels.resize(rows.len(), columns.len(), 0.0);
        let offsets = vec![0.0; rows.len()];
        Self { fidelity, rows, columns, labels, offsets, supports: Vec::new(), bias }
    }

    /// m_i of each row.
    pub(super) fn row_members(&self) -> Vec<f64> {
        self.rows.clone()
    }

    /// K.
    pub(super) fn classes(&self) -> f64 {
        self.rows.iter().sum()
    }

    /// Σ w over all classes.
    pub(super) fn total_weight(&self) -> f64 {
        self.columns.iter().map(Column::total_weight).sum()
    }

    /// The number of siblings m − 1 of the own class.
    pub(super) fn siblings(&self, column: &Column) -> f64 {
        self.rows[column.anchor] - 1.0
    }

    /// λ_b, or zero.
    pub(super) fn bias_decay(&self) -> f64 {
        match self.bias {
            Bias::Regularized(decay) => decay,
            Bias::None | Bias::Unregularized => 0.0,
        }
    }

    /// A bound of the largest curvature of the data term in X, anywhere.
    pub(super) fn lipschitz_constant(&self) -> f64 {
        let of_one = match self.fidelity {
            Fidelity::CrossEntropy => 0.5,
            Fidelity::SquaredError | Fidelity::Margins => 1.0,
        };
        let slopes = self.columns.iter().map(|column| column.slope() / column.scale);
        slopes.fold(0.0, f64::max) * of_one
    }

    /// Where the search starts: the margins that each kind would have if all classes were like it.
    pub(super) fn start(&self, price: f64) -> DMatrix<f64> {
        let classes = self.classes();
        let mut start = DMatrix::zeros(self.rows.len(), self.columns.len());
        for (column, mut entries) in self.columns.iter().zip(start.column_iter_mut()) {
            let margin = self.lonely_margin(column, price, classes);
            for (entry, members) in entries.iter_mut().zip(&self.rows) {
                *entry = -margin * column.scale * (members * column.members).sqrt() / classes;
            }
            entries[column.anchor] += margin * column.scale;
        }
        start
    }

    /// The largest change of a logit relative to that of the own class in a step in X.
    pub(super) fn largest_change(&self, step: &DMatrix<f64>) -> f64 {
        let mut largest: f64 = 0.0;
        for (column, entries) in self.columns.iter().zip(step.column_iter()) {
            let own = entries[column.anchor] / self.rows[column.anchor].sqrt();
            for (entry, members) in entries.iter().zip(&self.rows) {
                largest = largest.max((entry / members.sqrt() - own).abs() / column.divisor());
            }
        }
        largest
    }

    fn lonely_margin(&self, column: &Column, price: f64, classes: f64) -> f64 {
        let missing = price / column.slope() + column.deficit;
        match self.fidelity {
            Fidelity::CrossEntropy => (classes * (missing.recip() - 1.0).max(0.0)).ln_1p(),
            Fidelity::SquaredError => (1.0 - missing).max(0.0),
            Fidelity::Margins => 0.0,
        }
    }
}
