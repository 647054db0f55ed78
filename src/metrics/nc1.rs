//! The conventions of NC1 and its value.

use crate::measure::center::Center;

/// The conventions of NC1, which differ between papers and codes.
///
/// ```
/// use neural_collapse::measure::Center;
/// use neural_collapse::metrics::Nc1Options;
///
/// // tr(Σ_W Σ_B†) with Σ_B centered at the mean of the class means, not divided by K.
/// let options = Nc1Options::default().with_center(Center::Classes).with_divide_by_classes(false);
/// assert_eq!(options.rank_cutoff, 1e-6);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Nc1Options {
    /// What the class means are centered at in Σ_B; the mean over samples by default.
    pub center: Center,
    /// Whether the trace is divided by the number of classes K; it is by default.
    pub divide_by_classes: bool,
    /// Directions in which the class means differ by less than this share of what they differ by in
    /// the first direction count as directions in which they do not differ at all (see [`nc1`](crate::metrics::nc1)).
    /// 10⁻⁶ by default.
    pub rank_cutoff: f64,
    /// No more than so many directions count, those in which the class means differ most; all by default. A
    /// prediction of lower rank than K − 1 tells how many there should be
    /// ([`class_mean_rank`](crate::Prediction::class_mean_rank)).
    pub largest_rank: Option<usize>,
}

impl Default for Nc1Options {
    fn default() -> Self {
        Self {
            center: Center::Samples,
            divide_by_classes: true,
            rank_cutoff: 1e-6,
            largest_rank: None,
        }
    }
}

impl Nc1Options {
    /// The same with another [`center`](Self::center).
    #[must_use]
    pub fn with_center(self, center: Center) -> Self {
        Self { center, ..self }
    }

    /// The same with another choice of [`divide_by_classes`](Self::divide_by_classes).
    #[must_use]
    pub fn with_divide_by_classes(self, divide_by_classes: bool) -> Self {
        Self { divide_by_classes, ..self }
    }

    /// What the trace is divided by, K or 1.
    pub(crate) fn divisor(&self, classes: usize) -> f64 {
        if self.divide_by_classes { classes as f64 } else { 1.0 }
    }

    /// The same with another [`rank_cutoff`](Self::rank_cutoff).
    #[must_use]
    pub fn with_rank_cutoff(self, rank_cutoff: f64) -> Self {
        Self { rank_cutoff, ..self }
    }

    /// The same with a [`largest_rank`](Self::largest_rank).
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::{ClassStatistics, Features};
    /// use neural_collapse::metrics::{Nc1Options, nc1};
    ///
    /// // Three classes on a line but for noise, which the second direction of Σ_B consists of.
    /// let rows = dmatrix![
    ///     1.0, 1e-4; 1.0, 3e-4; 0.0, 1e-4; 0.0, -2e-4; -1.0, -3e-4; -1.0, 1e-4
    /// ];
    /// let data = Features::from_sample_rows(&rows)?.with_labels(&[0, 0, 1, 1, 2, 2], 3)?;
    /// let statistics = ClassStatistics::new(&data)?;
    /// let (all, one) = (Nc1Options::default(), Nc1Options::default().with_largest_rank(1));
    /// assert!(nc1(&data, &statistics, &all)?.value > 0.1);
    /// assert!(nc1(&data, &statistics, &one)?.value < 1e-7);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    #[must_use]
    pub fn with_largest_rank(self, rank: usize) -> Self {
        Self { largest_rank: Some(rank), ..self }
    }
}

/// The value of NC1 and the number of directions it was measured in.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Nc1 {
    /// tr(Σ_W Σ_B†)/K, or without the division.
    pub value: f64,
    /// Rank of Σ_B above the cut-off: K−1 at most, and less where class means coincide.
    pub rank: usize,
}
