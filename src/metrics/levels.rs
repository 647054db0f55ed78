//! What metrics are where there is nothing to be found, and where nothing but noise is left.

mod between;
mod collapsed;
mod of_metric;
mod shape;
mod simulated;
mod unstructured;

pub use collapsed::Collapsed;
pub(crate) use collapsed::looks_at_pairs;
pub use shape::ShapeLevel;
pub use unstructured::Unstructured;

/// The two ends of the scale on which measured numbers lie.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Levels {
    /// Without any structure.
    pub unstructured: Unstructured,
    /// Collapsed perfectly but for the measured spread within the classes; `None` where the errors of the class means
    /// are not known.
    pub collapsed: Option<Collapsed>,
}

impl Levels {
    /// Both of them.
    #[must_use]
    pub fn new(unstructured: Unstructured, collapsed: Option<Collapsed>) -> Self {
        Self { unstructured, collapsed }
    }
}
