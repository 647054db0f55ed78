//! NC1: the variability within the classes beside the distances between them.

use crate::error::{Error, Result};
use crate::measure::center::Center;
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::scatter::{ProjectedScatter, Wanted};
use crate::measure::statistics::ClassStatistics;
use crate::numerics::scalar::Scalar;

/// The conventions of NC1, which differ between papers and codes.
///
/// ```
/// use neural_collapse::measure::Center;
/// use neural_collapse::metrics::Nc1Options;
///
/// // tr(Σ_W Σ_B†) with Σ_B centred at the mean of the class means, not divided by K.
/// let options = Nc1Options {
///     center: Center::Classes,
///     divide_by_classes: false,
///     ..Nc1Options::default()
/// };
/// assert_eq!(options.rank_cutoff, 1e-6);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Nc1Options {
    /// What the class means are centred at in Σ_B; the mean over samples by default.
    pub center: Center,
    /// Whether the trace is divided by the number of classes K; it is by default.
    pub divide_by_classes: bool,
    /// Directions in which the class means differ by less than this share of what they differ by in
    /// the first direction count as directions in which they do not differ at all (see [`nc1`]).
    /// 10⁻⁶ by default.
    pub rank_cutoff: f64,
}

impl Default for Nc1Options {
    fn default() -> Self {
        Self { center: Center::Samples, divide_by_classes: true, rank_cutoff: 1e-6 }
    }
}

/// The value of NC1 and the number of directions it was measured in.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Nc1 {
    /// tr(Σ_W Σ_B†)/K, or without the division.
    pub value: f64,
    /// Rank of Σ_B above the cut-off: K−1 at most, and less where class means coincide.
    pub rank: usize,
}

/// NC1 = tr(Σ_W Σ_B†)/K, which vanishes when the features of each class have collapsed to their mean.
///
/// ```math
/// Σ_W = 1/N ΣₖΣᵢ (h_ki − h_k)(h_ki − h_k)ᵀ,    Σ_B = 1/K Σₖ (h_k − h_G)(h_k − h_G)ᵀ
/// ```
///
/// † is the pseudo-inverse. Papyan, Han & Donoho, *Prevalence of neural collapse* (PNAS 2020); in this
/// form Dang et al. (ICML 2023, C.1.1). It is computed as 1/N ΣₖΣᵢ ‖B†(h_ki − h_k)‖² with
/// B = \[h_k − h_G\]/√K from the deviations themselves, in N·d·min(K, d) operations and without a d×d
/// matrix: deviations of 10⁻¹² of the means give as accurate a number as large ones, and if all are
/// zero so is NC1.
///
/// # The rank of Σ_B
/// Σ_B† inverts what the class means differ by, and only that. Where they do not differ (in d−K+1
/// directions always; in one more for each pair of classes whose means coincide, as under minority
/// collapse) rounding errors and unfinished training leave tiny differences, and inverting these
/// would give a number of any size. With singular values σ₁ ≥ σ₂ ≥ … of B the directions kept are
/// those with σᵢ > `rank_cutoff` · σ₁. The default of 10⁻⁶ lies between what is measured for means that
/// should coincide (10⁻⁸ after convergence, 10⁻⁷ from the rounding of `f32` features) and the
/// smallest true differences (above 10⁻⁴, even with a thousand classes). The rank found is part of
/// the result. Whatever the cut-off, differences below 8ε times the root mean square norm of the
/// class means are the rounding errors of the means and count as zero.
///
/// `statistics` are usually those of `data`; with means of other samples it is the variability
/// around those.
///
/// # Errors
/// [`Error::ZeroNorm`] if all class means are equal up to rounding errors (K = 1 included), as NC1 has
/// no scale then; [`Error::OutOfRange`] if the cut-off is not in 0..1; [`Error::EmptyClass`] if a class has no mean, [`Error::Empty`]
/// without samples, [`Error::Shape`] if `statistics` are of another shape.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::{ClassStatistics, Features};
/// use neural_collapse::metrics::{Nc1Options, nc1};
///
/// // Two classes around (1, 0) and (−1, 0): the deviations of 0.3 across do not count.
/// let rows = dmatrix![1.1, 0.0; 0.9, 0.0; -1.0, 0.3; -1.0, -0.3];
/// let data = Features::from_sample_rows(&rows)?.with_labels(&[0, 0, 1, 1], 2)?;
/// let nc1 = nc1(&data, &ClassStatistics::new(&data)?, &Nc1Options::default())?;
/// assert_eq!(nc1.rank, 1);
/// assert!((nc1.value - (0.1_f64.powi(2) + 0.1_f64.powi(2)) / 4.0 / 2.0).abs() < 1e-15);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
pub fn nc1<T: Scalar>(
    data: &LabeledFeatures<'_, T>,
    statistics: &ClassStatistics,
    options: &Nc1Options,
) -> Result<Nc1> {
    scatter_of(data, statistics, options, Wanted::Projection)?.nc1()
}

/// NC1 as a quotient of traces, tr Σ_W / tr Σ_B: a variant that needs no inverse, in which each direction
/// counts as much as there is variance in it.
///
/// Σ_W and Σ_B are those of [`nc1`]: Σ_B is divided by K and centred as `center` says.
///
/// # Errors
/// As [`nc1`], with [`Error::ZeroNorm`](crate::Error::ZeroNorm) only if all class means are exactly equal.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::{ClassStatistics, Features};
/// use neural_collapse::measure::Center;
/// use neural_collapse::metrics::nc1_trace_quotient;
///
/// // The deviations of 0.3 across the means count as those of 0.1 along them.
/// let rows = dmatrix![1.1, 0.0; 0.9, 0.0; -1.0, 0.3; -1.0, -0.3];
/// let data = Features::from_sample_rows(&rows)?.with_labels(&[0, 0, 1, 1], 2)?;
/// let quotient = nc1_trace_quotient(&data, &ClassStatistics::new(&data)?, Center::Samples)?;
/// assert!((quotient - (0.1_f64.powi(2) + 0.3_f64.powi(2)) / 2.0).abs() < 1e-15);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Sources: Tirer & Bruna, *Extended unconstrained features model for exploring deep neural collapse*
/// (ICML 2022); Hui, Belkin & Nakkiran, *Limitations of neural collapse for understanding generalization
/// in deep learning* (2022).
pub fn nc1_trace_quotient<T: Scalar>(
    data: &LabeledFeatures<'_, T>,
    statistics: &ClassStatistics,
    center: Center,
) -> Result<f64> {
    let options = Nc1Options { center, ..Nc1Options::default() };
    scatter_of(data, statistics, &options, Wanted::Variances)?.trace_quotient(center)
}

/// The second pass over samples that are in memory.
pub(crate) fn scatter_of<T: Scalar>(
    data: &LabeledFeatures<'_, T>,
    statistics: &ClassStatistics,
    options: &Nc1Options,
    wanted: Wanted,
) -> Result<ProjectedScatter<T>> {
    let features = data.features();
    statistics.check_shape("features", features.dimension(), data.classes())?;
    if features.samples() == 0 {
        return Err(Error::Empty { argument: "features" });
    }
    let mut scatter = ProjectedScatter::build(statistics, options, None, wanted)?;
    scatter.accumulate(data)?;
    Ok(scatter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::features::Features;
    use nalgebra::{DMatrix, dmatrix};

    /// Two classes with means ±`half` in the first of two coordinates and deviations ±`deviation`
    /// in both.
    fn two_classes(half: f64, deviation: f64) -> (DMatrix<f64>, [usize; 4]) {
        let (h, d) = (half, deviation);
        (dmatrix![h + d, d; h - d, -d; -h + d, -d; -h - d, d], [0, 0, 1, 1])
    }

    fn value(
        rows: &DMatrix<f64>,
        labels: &[usize],
        classes: usize,
        options: Nc1Options,
    ) -> Result<Nc1> {
        let data = Features::from_sample_rows(rows)?.with_labels(labels, classes)?;
        nc1(&data, &ClassStatistics::new(&data)?, &options)
    }

    #[test]
    fn collapse_of_any_depth_and_scale() {
        for scale in [1e-200, 1e-9, 1.0, 1e139] {
            for deviation in [1e-1, 1e-3, 1e-6] {
                let (rows, labels) = two_classes(1.0, deviation);
                let found = value(&(rows * scale), &labels, 2, Nc1Options::default()).unwrap();
                let expected = deviation * deviation / 2.0;
                assert!((found.value / expected - 1.0).abs() < 1e-9, "{scale} {deviation}");
            }
            let (rows, labels) = two_classes(1.0, 0.0);
            let found = value(&(rows * scale), &labels, 2, Nc1Options::default()).unwrap();
            assert_eq!(found, Nc1 { value: 0.0, rank: 1 });
        }
    }

    #[test]
    fn conventions() {
        // Classes of 3 and 1 samples with means 0 and 4: h_G = 1 or 2; Σ_B = 5 or 4; Σ_W = 3/2.
        let (rows, labels) = (dmatrix![-1.0; -1.0; 2.0; 4.0], [0, 0, 0, 1]);
        let found = |center, divide_by_classes| {
            let options = Nc1Options { center, divide_by_classes, ..Nc1Options::default() };
            value(&rows, &labels, 2, options).unwrap().value
        };
        assert!((found(Center::Samples, true) - 1.5 / 5.0 / 2.0).abs() < 1e-15);
        assert!((found(Center::Classes, true) - 1.5 / 4.0 / 2.0).abs() < 1e-15);
        assert!((found(Center::Samples, false) - 1.5 / 5.0).abs() < 1e-15);
    }

    #[test]
    fn equal_class_means_have_no_scale() {
        let options = Nc1Options::default();
        let one_class = value(&dmatrix![1.0; 2.0], &[0, 0], 1, options);
        let equal = value(&dmatrix![1.0; 2.0; 0.0; 3.0], &[0, 0, 1, 1], 2, options);
        let zero = value(&DMatrix::zeros(4, 3), &[0, 0, 1, 1], 2, options);
        // 0.1 + 0.2 differs from 0.3 by a rounding error.
        let rounded = value(&dmatrix![0.1 + 0.2; 0.3], &[0, 1], 2, options);
        for result in [one_class, equal, zero, rounded] {
            assert!(matches!(result, Err(Error::ZeroNorm { .. })), "{result:?}");
        }
    }

    #[test]
    fn bad_options_and_shapes_are_named() {
        let (rows, labels) = two_classes(1.0, 0.1);
        for rank_cutoff in [-0.1, 1.0, f64::NAN, f64::INFINITY] {
            let options = Nc1Options { rank_cutoff, ..Nc1Options::default() };
            let error = value(&rows, &labels, 2, options).unwrap_err().to_string();
            assert!(error.starts_with("`rank_cutoff` is"), "{error}");
        }
        let options = Nc1Options::default();
        let empty_class = Error::EmptyClass { argument: "labels", class: 2 };
        assert_eq!(value(&rows, &labels, 3, options), Err(empty_class));
        let data = Features::from_sample_rows(&rows).unwrap().with_labels(&labels, 2).unwrap();
        let other = ClassStatistics::empty(2, 3).unwrap();
        assert!(matches!(nc1(&data, &other, &options), Err(Error::Shape { .. })));
    }
}
