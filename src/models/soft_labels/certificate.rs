//! Whether centered supports are the minimum, with what proves it.

/// What is known about the centered supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Exactness {
    /// They are the minimum: the polar factor is not positive off the supports.
    Polar,
    /// They are the minimum: another subgradient is not positive off the supports.
    Subgradient,
    /// They are not the minimum: there is a feasible direction in which the norm falls.
    Improvable,
    /// The search ended before it was decided.
    Undecided,
}

/// The subgradient of the nuclear norm at S̃ D^½ that was found, with its numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Certificate {
    /// The answer.
    pub exactness: Exactness,
    /// The rank of S̃.
    pub rank: usize,
    /// The largest entry of the polar factor off the supports.
    pub largest_of_polar_factor: f64,
    /// The largest entry off the supports of the subgradient that was found, the polar factor itself if nothing was
    /// searched for. Entries up to the rounding errors of a singular value decomposition count as zero.
    pub largest_of_subgradient: f64,
    /// ‖A‖ of the subgradient UVᵀ + U_⊥ A V_⊥ᵀ, 0 for the polar factor.
    pub norm_of_rest: f64,
    /// A lower bound of the minimum of ‖L D^½‖_*, whatever the answer.
    pub lower_bound: f64,
}

impl Certificate {
    /// Whether the centered supports are the minimum.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        matches!(self.exactness, Exactness::Polar | Exactness::Subgradient)
    }
}
