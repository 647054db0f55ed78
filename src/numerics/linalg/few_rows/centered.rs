//! Vectors around a center, and what is found of them.

/// Vectors that share one pass over the rows.
pub(crate) const TOGETHER: usize = 3;

/// Up to [three](TOGETHER) vectors of which a center is subtracted: (x − `high` − `low`) · `factor`.
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
pub(crate) struct Found<T> {
    /// ‖F x‖² of each.
    pub(crate) squares: [f64; TOGETHER],
    /// The largest magnitude of the numbers before the center was subtracted. Those that are not finite may be left
    /// out: a square is not finite then.
    pub(crate) largest: T,
}
