//! Metrics of features without any structure.

use crate::error::{Error, Result};
use crate::geometry::class_matrix::ClassMatrix;
use crate::metrics::levels::shape::{ShapeLevel, Vectors};
use crate::problem::counts::ClassCounts;
use crate::problem::head::LinearHead;

/// What the metrics are on average where there is nothing to be found: the samples are independent standard normal vectors
/// whatever their labels, and the entries of the layers are independent normal numbers, as at the start of training.
///
/// For K classes of n_k samples, N in all, in d dimensions:
///
/// ```math
/// NC1               (N−K)/N · (N − Σn³/Σn²)/(d−K)                            d > K
///                   (n−1) d/(K−2−d)                                          d < K−2, equal sizes
/// tr Σ_W / tr Σ_B   (N−K)/N · d / (E(1 − 2 tr A²/(d (tr A)²))),   A = diag(1/n) − 11ᵀ/N,   E = d tr A/K
/// CDNV              d/(d−2) · mean over i ≠ j of n_i n_j/(n_i + n_j) − ½     d > 2
/// ```
///
/// NC1 and CDNV are exact, and the quotient of traces for equal class sizes. Cosines, norms and energies are right up to
/// O(1/d²). A mean that is infinite, or that no closed form is known of, is `None`.
///
/// ```
/// use neural_collapse::ClassCounts;
/// use neural_collapse::metrics::levels::Unstructured;
///
/// let random = Unstructured::new(&ClassCounts::balanced(10, 100)?, 512)?;
/// assert!((random.nc1.unwrap() - 99.0 * 9.0 / 502.0).abs() < 1e-12);
/// assert_eq!(random.nc4, 0.1);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: means of inverse Wishart matrices and of inverse χ² variables; the derivations are in the project's
/// `docs/metrics.md`.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Unstructured {
    /// [`nc1`](crate::metrics::nc1) with the paper's conventions.
    pub nc1: Option<f64>,
    /// [`nc1_trace_quotient`](crate::metrics::nc1_trace_quotient), centered at the mean of all samples.
    pub nc1_trace_quotient: Option<f64>,
    /// The mean of [`cdnv`](crate::metrics::cdnv).
    pub cdnv: Option<f64>,
    /// [`nc2`](method@Self::nc2) for m = 1, 2, …, as far as [targets](Self::with_targets) were given.
    pub nc2: Vec<Option<f64>>,
    /// [`nc3`](crate::metrics::nc3), of centered class means or not: outputs at right angles to the target.
    pub nc3: f64,
    /// The agreement of [`nc4`](crate::metrics::nc4), and the accuracy.
    pub nc4: f64,
    /// [`self_duality`](crate::metrics::self_duality).
    pub self_duality: f64,
    /// The mean of [`duality_cosines`](crate::metrics::duality_cosines).
    pub duality_cosine: f64,
    /// The shape of the class means.
    pub class_means: ShapeLevel,
    /// The shape of the class means less the mean of all samples.
    pub centered_class_means: ShapeLevel,
    /// The shape of the rows of the classifier, which have as many entries as the last layer has inputs.
    pub classifier: ShapeLevel,
}

impl Unstructured {
    /// For the class sizes `counts` and d = `dimension` features, which the classifier takes too.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if `dimension` is 0.
    pub fn new(counts: &ClassCounts, dimension: usize) -> Result<Self> {
        if dimension == 0 {
            return Err(Error::out_of_range("dimension", 0.0, "at least 1"));
        }
        let d = dimension as f64;
        let right_angle = core::f64::consts::SQRT_2;
        Ok(Self {
            nc1: nc1(counts, dimension),
            nc1_trace_quotient: trace_quotient(counts, d),
            cdnv: cdnv(counts, d),
            nc2: Vec::new(),
            nc3: right_angle,
            nc4: (counts.classes() as f64).recip(),
            self_duality: right_angle,
            duality_cosine: 0.0,
            class_means: Vectors::Means.level(counts, d),
            centered_class_means: Vectors::CenteredMeans.level(counts, d),
            classifier: Vectors::Rows.level(counts, d),
        })
    }

    /// The same in front of a head, whose last layer may have another number of inputs.
    ///
    /// # Errors
    /// [`Error::Shape`] if the head is for another number of classes.
    pub fn of_network(counts: &ClassCounts, head: &LinearHead) -> Result<Self> {
        head.check_shape("counts", head.feature_dimension(), counts.classes())?;
        let inputs = head.widths().last().copied().unwrap_or(head.feature_dimension());
        let classifier = Vectors::Rows.level(counts, inputs as f64);
        Ok(Self { classifier, ..Self::new(counts, head.feature_dimension())? })
    }

    /// With NC2 of the last m layers of a head for the targets of m = 1, 2, …; `None` where there is none.
    ///
    /// # Errors
    /// As [`nc2`](method@Self::nc2).
    pub fn with_targets(
        mut self,
        head: &LinearHead,
        targets: &[Option<ClassMatrix>],
    ) -> Result<Self> {
        let level = |(index, target): (usize, &Option<ClassMatrix>)| match target {
            Some(target) => Self::nc2(head, index + 1, target),
            None => Ok(None),
        };
        self.nc2 = targets.iter().enumerate().map(level).collect::<Result<_>>()?;
        Ok(self)
    }

    /// [`nc2`](crate::metrics::nc2) of the last m = `layers` layers to a target Θ for layers of independent normal
    /// numbers: √(2 − 2c) with
    ///
    /// ```math
    /// c = tr Θ/(K ‖Θ‖) · √(S/Q),   S = E (tr LLᵀ)²,   Q = E ‖LLᵀ‖²
    /// ```
    ///
    /// S and Q start at d² and d for the d inputs of the first of these layers, and a layer of p outputs makes p²S + 2pQ
    /// and pS + (p² + p)Q of them. Numbers of this size hardly vary, so that c is right up to O(1/(Kd)). `None` if the
    /// target is a family, to whose nearest member no closed form is known.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless 1 ≤ m ≤ M, [`Error::Shape`] if the target is for another number of classes.
    ///
    /// ```
    /// use nalgebra::DMatrix;
    /// use neural_collapse::{ClassMatrix, LinearHead};
    /// use neural_collapse::metrics::levels::Unstructured;
    ///
    /// let head = LinearHead::new(vec![DMatrix::zeros(10, 512)], None)?;
    /// let level = Unstructured::nc2(&head, 1, &ClassMatrix::simplex_etf(10)?)?.unwrap();
    /// assert!((level - 0.35).abs() < 0.005);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn nc2(head: &LinearHead, layers: usize, target: &ClassMatrix) -> Result<Option<f64>> {
        if !(1..=head.depth()).contains(&layers) {
            let expected = "from 1 to the number of layers";
            return Err(Error::out_of_range("layers", layers as f64, expected));
        }
        let classes = head.classes();
        if target.classes() != classes {
            let reason = "for the classes of the head";
            return Err(Error::length("target", target.classes(), classes, reason));
        }
        let Some(alignment) = target.trace_over_norm() else { return Ok(None) };
        let last = head.weights().iter().skip(head.depth() - layers);
        let inputs = last.clone().next().map_or(1, nalgebra::DMatrix::ncols) as f64;
        // Relative to what they would be without the fluctuations, so that deep products stay in range.
        let (mut square_of_trace, mut square) = (1.0, inputs.recip());
        for outputs in last.map(|weight| weight.nrows() as f64) {
            (square_of_trace, square) = (
                square_of_trace + 2.0 * square / outputs,
                square_of_trace / outputs + square * (1.0 + outputs.recip()),
            );
        }
        let cosine = alignment / classes as f64 * (square_of_trace / square).sqrt();
        Ok(Some((2.0 - 2.0 * cosine.min(1.0)).max(0.0).sqrt()))
    }
}

/// E tr(Σ_W Σ_B†)/K: Σ_W and Σ_B are independent, and Σ_B is a Wishart matrix or one of a sum of them.
fn nc1(counts: &ClassCounts, dimension: usize) -> Option<f64> {
    let (samples, classes) = (counts.samples() as f64, counts.classes());
    let (d, k) = (dimension as f64, classes as f64);
    let within = (samples - k) / samples;
    if classes < 2 {
        None
    } else if dimension > classes {
        Some(within * (samples - sum(counts, 3) / sum(counts, 2)) / (d - k))
    } else if dimension + 2 < classes && counts.is_balanced() {
        Some((samples / k - 1.0) * d / (k - 2.0 - d))
    } else {
        None
    }
}

/// Σ n_kᵖ.
fn sum(counts: &ClassCounts, power: i32) -> f64 {
    counts.sizes().map(|group| group.class_count as f64 * (group.size as f64).powi(power)).sum()
}

/// tr Σ_B is a sum of χ² variables, whose mean inverse follows from its mean and variance; exactly if all weights are
/// equal.
fn trace_quotient(counts: &ClassCounts, dimension: f64) -> Option<f64> {
    let (samples, classes) = (counts.samples() as f64, counts.classes() as f64);
    let trace = sum(counts, -1) - classes / samples;
    let square = sum(counts, -2) - 2.0 * sum(counts, -1) / samples + (classes / samples).powi(2);
    let between = dimension * trace / classes;
    let rest = 1.0 - 2.0 * square / (dimension * trace * trace);
    let within = dimension * (samples - classes) / samples;
    (trace > 0.0 && rest > 0.0).then(|| within / (between * rest))
}

fn cdnv(counts: &ClassCounts, dimension: f64) -> Option<f64> {
    let classes = counts.classes() as f64;
    if classes < 2.0 || dimension <= 2.0 {
        return None;
    }
    let mut mean = 0.0;
    for g in counts.sizes() {
        for h in counts.sizes() {
            let others = h.class_count as f64 - if g == h { 1.0 } else { 0.0 };
            let (n, m) = (g.size as f64, h.size as f64);
            mean += g.class_count as f64 * others * (n / (n + m) * m - 0.5);
        }
    }
    Some(dimension / (dimension - 2.0) * mean / (classes * (classes - 1.0)))
}
