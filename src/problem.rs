//! What every model is given, checked once: class counts, decays and bias, the linear head.

pub(crate) mod counts;
pub(crate) mod head;
pub(crate) mod regularization;
