//! Vectors around a center, and what is found of them.

/// Vectors that are multiplied in one call.
pub(crate) const TOGETHER: usize = 6;

/// Rows at most: of the 32 registers of a processor there is one for each inner product of three vectors with them.
pub(crate) const ROWS: usize = 9;

/// Up to [six](TOGETHER) vectors of which a center is subtracted: (x − `high` − `low`) · `factor`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Centered<'a, T> {
    pub(crate) vectors: &'a [&'a [T]],
    pub(crate) high: &'a [T],
    pub(crate) low: &'a [T],
    pub(crate) factor: f64,
    /// Vectors that are wanted next.
    pub(crate) next: &'a [&'a [T]],
}

/// What was found of centered vectors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Found {
    /// F x of each, zeros where F has no rows.
    pub(crate) products: [[f64; ROWS]; TOGETHER],
    /// ‖F x‖² of each.
    pub(crate) squares: [f64; TOGETHER],
    /// ‖x‖² of each, summed in their type.
    pub(crate) around: [f64; TOGETHER],
}

impl Found {
    /// Of no vectors.
    pub(super) const NOTHING: Self = Self {
        products: [[0.0; ROWS]; TOGETHER],
        squares: [0.0; TOGETHER],
        around: [0.0; TOGETHER],
    };
}
