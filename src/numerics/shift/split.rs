//! A center in two numbers of single precision, and what is found around it.

/// A center in two parts, and a factor.
#[derive(Debug, Clone)]
pub(super) struct Split {
    pub(super) high: Vec<f32>,
    pub(super) low: Vec<f32>,
    pub(super) scale: f32,
}

/// What was found of a vector h.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Found<M> {
    /// ‖h‖².
    pub(crate) square: f64,
    /// ‖x‖² of what was written.
    pub(crate) around: f64,
    /// The largest magnitude in h.
    pub(crate) largest: M,
}
