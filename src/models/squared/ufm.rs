//! The unconstrained features model: what is trained, checked once.

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::models::squared::minimum::GlobalMinimum;
use crate::numerics::linalg::check_finite;
use crate::problem::counts::ClassCounts;
use crate::problem::regularization::{Bias, Regularization};

/// A deep linear head on unconstrained features, trained with the squared loss:
///
/// ```math
/// min  1/(2N) ‖W_M ⋯ W₁ H + b 1ᵀ − Y‖² + Σₘ λₘ/2 ‖Wₘ‖² + λ_H/2 ‖H‖² + λ_b/2 ‖b‖²
/// ```
///
/// over Wₘ ∈ ℝ^(d_(m+1)×dₘ) with d_(M+1) = K, the features H ∈ ℝ^(d₁×N) and the bias b ∈ ℝᴷ. The
/// targets Y ∈ ℝ^(K×N) are one-hot vectors given by the class counts, or any matrix.
///
/// Everything is checked here; [`global_minimum`](Self::global_minimum) then always has an answer.
///
/// ```
/// use neural_collapse::{ClassCounts, Geometry, Regularization, Ufm};
///
/// let counts = ClassCounts::new(&[200, 100, 50, 50])?;
/// let ufm = Ufm::new(counts, Regularization::new(&[5e-4; 3], 5e-4)?)?.with_widths(&[64; 3])?;
/// let minimum = ufm.global_minimum()?;
/// assert_eq!(minimum.geometry(), Geometry::GeneralOrthogonalFrame);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: problem (3) of Dang et al. (ICML 2023).
#[derive(Debug, Clone, PartialEq)]
pub struct Ufm {
    target: Target,
    penalties: Regularization,
    widths: Option<Vec<usize>>,
}

/// The targets Y.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Target {
    /// One-hot vectors.
    Classes(ClassCounts),
    /// Any matrix, K × N.
    Matrix(DMatrix<f64>),
}

impl Ufm {
    /// A classification problem with `counts` samples in the classes.
    ///
    /// # Errors
    /// [`Error::NoClosedForm`] for a regularised bias with classes of different sizes.
    pub fn new(counts: ClassCounts, penalties: Regularization) -> Result<Self> {
        if matches!(penalties.bias(), Bias::Regularized(_)) && !counts.is_balanced() {
            return Err(Error::NoClosedForm {
                problem: "a regularised bias with classes of different sizes",
            });
        }
        Ok(Self { target: Target::Classes(counts), penalties, widths: None })
    }

    /// A problem with an arbitrary target matrix Y (K × N, a column a sample): label smoothing,
    /// several labels a sample, regression.
    ///
    /// Its singular values are found numerically, to a few ulp of the largest one.
    ///
    /// # Errors
    /// [`Error::Empty`] if the matrix has no entry, [`Error::OutOfRange`] if one is not finite,
    /// [`Error::NoClosedForm`] for a regularised bias.
    pub fn from_target(target: DMatrix<f64>, penalties: Regularization) -> Result<Self> {
        if target.is_empty() {
            return Err(Error::Empty { argument: "target" });
        }
        check_finite("target", &target)?;
        if matches!(penalties.bias(), Bias::Regularized(_)) {
            return Err(Error::NoClosedForm {
                problem: "a regularised bias with an arbitrary target matrix",
            });
        }
        Ok(Self { target: Target::Matrix(target), penalties, widths: None })
    }

    /// The same problem with the widths d₁, …, d_M: `widths[m − 1]` is the number of inputs of Wₘ,
    /// and `widths[0]` the dimension of the features. Without them the widths are unlimited.
    ///
    /// # Errors
    /// [`Error::Shape`] unless there are M widths, [`Error::OutOfRange`] if one is 0.
    pub fn with_widths(mut self, widths: &[usize]) -> Result<Self> {
        self.penalties.check_widths(widths)?;
        self.widths = Some(widths.to_vec());
        Ok(self)
    }

    /// The class counts, or `None` for an arbitrary target matrix.
    #[must_use]
    pub fn counts(&self) -> Option<&ClassCounts> {
        match &self.target {
            Target::Classes(counts) => Some(counts),
            Target::Matrix(_) => None,
        }
    }

    /// The targets.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Number of outputs K.
    #[must_use]
    pub fn classes(&self) -> usize {
        match &self.target {
            Target::Classes(counts) => counts.classes(),
            Target::Matrix(target) => target.nrows(),
        }
    }

    /// Number of samples N.
    #[must_use]
    pub fn samples(&self) -> u64 {
        match &self.target {
            Target::Classes(counts) => counts.samples(),
            Target::Matrix(target) => target.ncols() as u64,
        }
    }

    /// Number of linear layers M.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.penalties.depth()
    }

    /// The penalties of the objective.
    #[must_use]
    pub fn penalties(&self) -> &Regularization {
        &self.penalties
    }

    /// The widths d₁, …, d_M, or `None` if they are unlimited.
    #[must_use]
    pub fn widths(&self) -> Option<&[usize]> {
        self.widths.as_deref()
    }

    /// R = min(K, d₁, …, d_M), the largest rank that the outputs can have (without the bias).
    #[must_use]
    pub fn rank_limit(&self) -> usize {
        self.widths.iter().flatten().copied().fold(self.classes(), usize::min)
    }

    /// The global minimum of the objective.
    ///
    /// # Errors
    /// [`Error::Unrepresentable`] if a scale of the problem is out of the range of `f64`, and
    /// [`Error::NoConvergence`] if the singular values of an arbitrary target could not be found.
    pub fn global_minimum(&self) -> Result<GlobalMinimum> {
        GlobalMinimum::new(self.clone())
    }
}
