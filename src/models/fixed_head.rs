//! A classifier that is a simplex ETF from the start and is not trained: features for any soft label.

mod minimum;
mod response;

pub use minimum::{FixedHeadMinimum, FixedHeadUfm};
pub use response::{FixedSimplexHead, Response};
