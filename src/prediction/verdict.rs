//! How far a prediction is proved.

use std::borrow::Cow;
use std::fmt;

/// How far it is proved that a point is a global minimum.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Verdict {
    /// It is a global minimum, by this proof.
    Proved(Source),
    /// Its loss is above the global minimum by no more than the distance to a lower bound of all values, by this
    /// proof.
    ProvedWithinGap {
        /// The bound.
        lower_bound: f64,
        /// Why it is one.
        source: Source,
    },
    /// It is a global minimum, by this proof, if an assumption holds that is not proved.
    Assuming {
        /// The assumption.
        assumption: Cow<'static, str>,
        /// The proof that uses it.
        source: Source,
    },
    /// Nothing lower is known, and nothing is proved.
    BestKnown {
        /// How the point was found.
        found_by: Cow<'static, str>,
    },
    /// It is not a global minimum, by this proof.
    Refuted(Source),
}

/// A statement with the place where it is proved.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Source {
    /// What is proved, in a few words.
    pub statement: Cow<'static, str>,
    /// The theorem and the paper, or the document of this project that has the proof.
    pub reference: Cow<'static, str>,
}

impl Source {
    /// A statement and the place of its proof.
    pub(crate) const fn new(statement: &'static str, reference: &'static str) -> Self {
        Self { statement: Cow::Borrowed(statement), reference: Cow::Borrowed(reference) }
    }
}

impl Verdict {
    /// Whether the point is a global minimum by proof, without a further assumption.
    #[must_use]
    pub fn is_proved(&self) -> bool {
        matches!(self, Self::Proved(_))
    }

    /// One word for programs: `proved`, `proved_within_gap`, `assumed`, `best_known` or `proved_not_global`.
    #[must_use]
    pub fn keyword(&self) -> &'static str {
        match self {
            Self::Proved(_) => "proved",
            Self::ProvedWithinGap { .. } => "proved_within_gap",
            Self::Assuming { .. } => "assumed",
            Self::BestKnown { .. } => "best_known",
            Self::Refuted(_) => "proved_not_global",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.statement, self.reference)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proved(source) => write!(formatter, "proved: {source}"),
            Self::ProvedWithinGap { lower_bound, source } => {
                write!(formatter, "proved within a gap, no value is below {lower_bound}: {source}")
            }
            Self::Assuming { assumption, source } => {
                write!(formatter, "proved if {assumption}: {source}")
            }
            Self::BestKnown { found_by } => write!(formatter, "best known: {found_by}"),
            Self::Refuted(source) => write!(formatter, "not the global minimum: {source}"),
        }
    }
}
