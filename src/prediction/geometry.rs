//! Names of geometries, and what they make of one class.

use std::borrow::Cow;
use std::fmt;

/// The geometry that classifier and class means take.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Geometry {
    /// Everything is zero.
    Collapsed,
    /// Orthogonal vectors of equal length: balanced classes, no bias.
    #[doc(alias = "OF")]
    OrthogonalFrame,
    /// A simplex equiangular tight frame: balanced classes, a bias with no or a small penalty.
    #[doc(alias = "ETF")]
    SimplexEtf,
    /// Orthogonal vectors whose lengths depend on the class sizes: imbalanced classes, no bias. Collapsed
    /// classes have the length zero, which Definition 2.1 of Dang et al. (ICML 2023) leaves out.
    #[doc(alias = "GOF")]
    GeneralOrthogonalFrame,
    /// None of these, but given by the spectrum of the effective target.
    Spectral,
    /// The simplex-encoded-label interpolation of Thrampoulidis et al. (NeurIPS 2022).
    #[doc(alias = "SELI")]
    SimplexEncodedLabels,
    /// The minimum of the layer-peeled model for classes of different sizes.
    LayerPeeled,
    /// The same, with all classes of the smaller size in one point.
    MinorityCollapse,
    /// The minimum of a convex program, given by its logits.
    Convex,
    /// A structure with a name of its own, such as `3 × pair` for an octahedron.
    Structure(Cow<'static, str>),
}

impl fmt::Display for Geometry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Collapsed => "collapsed",
            Self::OrthogonalFrame => "orthogonal frame",
            Self::SimplexEtf => "simplex ETF",
            Self::GeneralOrthogonalFrame => "general orthogonal frame",
            Self::Spectral => "spectral",
            Self::SimplexEncodedLabels => "SELI",
            Self::LayerPeeled => "layer-peeled",
            Self::MinorityCollapse => "minority collapse",
            Self::Convex => "convex",
            Self::Structure(name) => name,
        })
    }
}

/// What a prediction makes of one class.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ClassGeometry {
    /// Number of samples n_k.
    pub count: u64,
    /// Whether classifier and class mean are zero; `None` if that differs between global minimizers.
    pub collapsed: Option<bool>,
    /// ‖w_k‖², w_k the k-th row of W_M; `None` if it differs between global minimizers.
    pub classifier_norm_squared: Option<f64>,
    /// ‖h_k‖², h_k the class mean; `None` if it differs between global minimizers.
    pub feature_norm_squared: Option<f64>,
}
