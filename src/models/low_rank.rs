//! A numerical search for the lowest minimum where no theorem gives it.
//!
//! Features of one class coincide and layers are balanced at every minimum, which leaves a problem in the
//! outputs of the K class means: the loss plus a power of their singular values. `objective` writes it with
//! rank-one terms, which makes it smooth, `starts` has structured and random starts of every rank, `search`
//! descends from them on all cores, `polish` finds the last digits, in `factors` where terms are slow to give them, and
//! `symmetry` the exchanges of classes that change nothing. `problem` says what is trained and `minimum` answers all questions about the result. The
//! cross-entropy [`Landscape`](crate::Landscape) uses the same search.

mod factors;
pub(crate) mod minimum;
pub(crate) mod objective;
mod polish;
pub(crate) mod problem;
pub(crate) mod search;
pub(crate) mod starts;
pub(crate) mod symmetry;

pub use minimum::LowRankMinimum;
pub use problem::LowRankProblem;
pub use search::Search;
