//! The unconstrained features model: what is trained, checked once.

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::problem::counts::ClassCounts;
use crate::problem::regularization::{Bias, Regularization};
use crate::problem::target::Target;
use crate::problem::widths::Widths;

/// A deep linear head on unconstrained features, trained with the squared loss:
///
/// ```math
/// min  1/(2N) ‖W_M ⋯ W₁ H + b 1ᵀ − Y‖² + Σₘ λₘ/2 ‖Wₘ‖² + λ_H/2 ‖H‖² + λ_b/2 ‖b‖²
/// ```
///
/// over Wₘ ∈ ℝ^(d_(m+1)×dₘ) with d_(M+1) = K, the features H ∈ ℝ^(d₁×N) and the bias b ∈ ℝᴷ. The
/// targets Y ∈ ℝ^(K×N) are one-hot vectors given by the class counts, or any matrix.
///
/// Everything is checked here; [`global_minimum`](Self::global_minimum) then nearly always has an answer.
///
/// ```
/// use neural_collapse::{ClassCounts, Geometry, Prediction, Regularization, Ufm};
///
/// let counts = ClassCounts::new(&[200, 100, 50, 50])?;
/// let ufm = Ufm::new(counts, Regularization::new(&[5e-4; 3], 5e-4)?)?.with_widths(&[64; 3])?;
/// let minimum = ufm.global_minimum()?;
/// assert_eq!(minimum.geometry(), Geometry::GeneralOrthogonalFrame);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: problem (3) of Dang et al. (ICML 2023).
#[doc(alias = "UFM")]
#[doc(alias = "unconstrained features model")]
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "stored::Stored", into = "stored::Stored"))]
pub struct Ufm {
    target: Target,
    regularization: Regularization,
    widths: Option<Widths>,
}

impl Ufm {
    /// A classification problem with `counts` samples in the classes.
    ///
    /// # Errors
    /// [`Error::NoClosedForm`] for a regularized bias with classes of different sizes.
    pub fn new(counts: ClassCounts, regularization: Regularization) -> Result<Self> {
        Self::of_target(Target::Classes(counts), regularization)
    }

    /// A problem with an arbitrary target matrix Y (K × N, one sample per column): label smoothing,
    /// several labels per sample, regression.
    ///
    /// Its singular values are found numerically, to 4 + 4√max(K, N) ulp of the largest one, and those closer
    /// together than that are taken for one.
    ///
    /// # Errors
    /// [`Error::Empty`] if the matrix has no entry, [`Error::OutOfRange`] if one is not finite,
    /// [`Error::NoClosedForm`] for a regularized bias.
    pub fn from_target(target: DMatrix<f64>, regularization: Regularization) -> Result<Self> {
        Self::of_target(Target::matrix(target)?, regularization)
    }

    fn of_target(target: Target, regularization: Regularization) -> Result<Self> {
        if matches!(regularization.bias(), Bias::Regularized(_)) {
            let problem = match &target {
                Target::Classes(counts) if counts.is_balanced() => None,
                Target::Classes(_) => Some("a regularized bias with classes of different sizes"),
                Target::Matrix(_) => Some("a regularized bias with an arbitrary target matrix"),
            };
            if let Some(problem) = problem {
                return Err(Error::NoClosedForm { problem });
            }
        }
        Ok(Self { target, regularization, widths: None })
    }

    /// The same problem with the widths d₁, …, d_M: `widths[m − 1]` is the number of inputs of Wₘ,
    /// and `widths[0]` the dimension of the features. Without them the widths are unlimited.
    ///
    /// # Errors
    /// [`Error::Shape`] unless there are M widths, [`Error::OutOfRange`] if one is 0.
    pub fn with_widths(mut self, widths: &[usize]) -> Result<Self> {
        self.widths = Some(Widths::new(widths, self.depth())?);
        Ok(self)
    }

    /// The class counts, or `None` for an arbitrary target matrix.
    #[must_use]
    pub fn counts(&self) -> Option<&ClassCounts> {
        self.target.counts()
    }

    /// The targets.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Number of outputs K.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.target.outputs()
    }

    /// Number of samples N.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.target.samples()
    }

    /// Number of linear layers M.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.regularization.depth()
    }

    /// The decays of the objective and the treatment of the bias.
    #[must_use]
    pub fn regularization(&self) -> &Regularization {
        &self.regularization
    }

    /// The widths d₁, …, d_M, or `None` if they are unlimited.
    #[must_use]
    pub fn widths(&self) -> Option<&[usize]> {
        self.widths.as_ref().map(Widths::as_slice)
    }

    /// R = min(K, d₁, …, d_M), the largest rank that the outputs can have (without the bias).
    #[must_use]
    pub fn rank_limit(&self) -> usize {
        self.widths().into_iter().flatten().copied().fold(self.classes(), usize::min)
    }
}

/// How problems are stored: what is read passes through the constructors.
#[cfg(feature = "serde")]
mod stored {
    use super::Ufm;
    use crate::error::{Error, Result};
    use crate::problem::regularization::Regularization;
    use crate::problem::target::Target;

    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(rename = "Ufm", deny_unknown_fields)]
    pub(super) struct Stored {
        target: Target,
        regularization: Regularization,
        #[serde(default)]
        widths: Option<Vec<usize>>,
    }

    impl From<Ufm> for Stored {
        fn from(ufm: Ufm) -> Self {
            let widths = ufm.widths().map(<[usize]>::to_vec);
            Self { target: ufm.target, regularization: ufm.regularization, widths }
        }
    }

    impl TryFrom<Stored> for Ufm {
        type Error = Error;

        fn try_from(stored: Stored) -> Result<Self> {
            let ufm = Self::of_target(stored.target, stored.regularization)?;
            match stored.widths {
                Some(widths) => ufm.with_widths(&widths),
                None => Ok(ufm),
            }
        }
    }
}
