//! Metrics of features without any structure.

use crate::error::{Error, Result};
use crate::geometry::class_matrix::ClassMatrix;
use crate::metrics::levels::between::MeanCovariance;
use crate::metrics::levels::shape::{ShapeLevel, Vectors};
use crate::metrics::levels::simulated::{Simulated, simulated_nc2, simulated_nc2_class_means};
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
///                   expanded in 1/(K−1−d) where that is sharp, else simulated     d < K−2, any sizes
/// tr Σ_W / tr Σ_B   (N−K)/N · dK/2 · ∫₀^∞ det(I + sM)^(−d/2) ds,   M = diag(1/n) − 11ᵀ/N
/// CDNV              d/(d−2) · mean over i ≠ j of n_i n_j/(n_i + n_j) − ½     d > 2
/// ```
///
/// These are exact but for the simulation and the expansion of NC1, and [`nc1_uncertainty`](Self::nc1_uncertainty) says how
/// far they may be off. Cosines, norms and energies are right up to O(1/d²). A mean that is infinite, or whose simulation
/// would take too long, is `None`. The seed of simulations is fixed, so that the same numbers come out each time.
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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Unstructured {
    /// [`nc1`](crate::metrics::nc1) with the paper's conventions.
    pub nc1: Option<f64>,
    /// What [`nc1`](Self::nc1) may be off by: 0 for a closed form, the standard error of a simulation, and the size of what
    /// an expansion leaves out. `None` where there is no value.
    pub nc1_uncertainty: Option<f64>,
    /// [`nc1_trace_quotient`](crate::metrics::nc1_trace_quotient), centered at the mean of all samples.
    pub nc1_trace_quotient: Option<f64>,
    /// The mean of [`cdnv`](crate::metrics::cdnv).
    pub cdnv: Option<f64>,
    /// [`nc2`](method@Self::nc2) for m = 1, 2, …, as far as [targets](Self::with_targets) were given.
    pub nc2: Vec<Option<f64>>,
    /// The standard errors of these, where they are simulated because the target is a family; 0 for the closed form.
    pub nc2_uncertainty: Vec<Option<f64>>,
    /// The distance of the Gram matrix H̄ᵀH̄ of the class means to that of
    /// [`with_class_means_target`](Self::with_class_means_target), if it was given.
    pub nc2_class_means: Option<f64>,
    /// As [`nc2_uncertainty`](Self::nc2_uncertainty).
    pub nc2_class_means_uncertainty: Option<f64>,
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
        let nc1 = nc1(counts, dimension);
        Ok(Self {
            nc1: nc1.map(|found| found.mean),
            nc1_uncertainty: nc1.map(|found| found.standard_error),
            nc1_trace_quotient: trace_quotient(counts, d),
            cdnv: cdnv(counts, d),
            nc2: Vec::new(),
            nc2_uncertainty: Vec::new(),
            nc2_class_means: None,
            nc2_class_means_uncertainty: None,
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
        let inputs = head.last_layer().ncols();
        let classifier = Vectors::Rows.level(counts, inputs as f64);
        Ok(Self { classifier, ..Self::new(counts, head.feature_dimension())? })
    }

    /// With NC2 of the last m layers of a head for the targets of m = 1, 2, …; `None` where there is none. For a family it
    /// is simulated, up to some hundred classes.
    ///
    /// # Errors
    /// As [`nc2`](method@Self::nc2).
    pub fn with_targets(
        mut self,
        head: &LinearHead,
        targets: &[Option<ClassMatrix>],
    ) -> Result<Self> {
        let level = |(index, target): (usize, &Option<ClassMatrix>)| {
            let Some(target) = target else { return Ok(None) };
            match Self::nc2(head, index + 1, target)? {
                Some(level) => Ok(Some(Simulated::exact(level))),
                None => simulated_nc2(head, index + 1, target),
            }
        };
        let levels: Vec<_> = targets.iter().enumerate().map(level).collect::<Result<_>>()?;
        self.nc2 = levels.iter().map(|level| level.map(|found| found.mean)).collect();
        self.nc2_uncertainty =
            levels.iter().map(|level| level.map(|found| found.standard_error)).collect();
        Ok(self)
    }

    /// With the distance of H̄ᵀH̄ to a `target` for the classes of `counts`, in front of the same d = `dimension` features.
    /// Right up to O(1/(Kd)); simulated for a family, up to some hundred classes.
    ///
    /// # Errors
    /// [`Error::Shape`] if the target is for another number of classes.
    pub fn with_class_means_target(
        mut self,
        counts: &ClassCounts,
        dimension: usize,
        target: &ClassMatrix,
    ) -> Result<Self> {
        if target.classes() != counts.classes() {
            let reason = "for the classes of the counts";
            return Err(Error::length("target", target.classes(), counts.classes(), reason));
        }
        let sizes: Vec<f64> = counts
            .runs()
            .flat_map(|run| core::iter::repeat_n(run.size as f64, run.class_count))
            .collect();
        let found = match nc2_class_means(&sizes, dimension as f64, target) {
            Some(level) => Some(Simulated::exact(level)),
            None => simulated_nc2_class_means(&sizes, dimension, target)?,
        };
        self.nc2_class_means = found.map(|found| found.mean);
        self.nc2_class_means_uncertainty = found.map(|found| found.standard_error);
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
        let Some(diagonal) = target.diagonal_over_norm() else { return Ok(None) };
        let alignment: f64 = diagonal.iter().sum();
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
        Ok(Some(distance_of_cosine(cosine)))
    }
}

/// The mean distance of H̄ᵀH̄ for independent means of the covariance I/n_k to a target that is no family.
///
/// E tr(H̄ᵀH̄ Θ) = d Σ Θ_kk/n_k and E ‖H̄ᵀH̄‖² = (d² + d) Σ 1/n_k² + d (Σ 1/n_k)².
fn nc2_class_means(sizes: &[f64], dimension: f64, target: &ClassMatrix) -> Option<f64> {
    let diagonal = target.diagonal_over_norm()?;
    let alignment: f64 = diagonal.iter().zip(sizes).map(|(entry, n)| entry / n).sum();
    let (sum, squares) =
        sizes.iter().fold((0.0, 0.0), |(sum, squares), n| (sum + n.recip(), squares + n.powi(-2)));
    let norm = ((dimension + 1.0) * squares + sum * sum) / dimension;
    Some(distance_of_cosine(alignment / norm.sqrt()))
}

/// √(2 − 2c), of matrices of norm 1.
fn distance_of_cosine(cosine: f64) -> f64 {
    (2.0 - 2.0 * cosine.min(1.0)).max(0.0).sqrt()
}

/// E tr(Σ_W Σ_B†)/K: Σ_W and Σ_B are independent, and Σ_B is a Wishart matrix or one of a sum of them. For K−2 ≤ d ≤ K the
/// mean is infinite.
fn nc1(counts: &ClassCounts, dimension: usize) -> Option<Simulated> {
    let (samples, classes) = (counts.samples() as f64, counts.classes());
    let (d, k) = (dimension as f64, classes as f64);
    let within = (samples - k) / samples;
    if classes < 2 {
        None
    } else if dimension > classes {
        Some(Simulated::exact(within * (samples - sum(counts, 3) / sum(counts, 2)) / (d - k)))
    } else if dimension + 2 >= classes {
        None
    } else if counts.is_balanced() {
        Some(Simulated::exact((samples / k - 1.0) * d / (k - 2.0 - d)))
    } else {
        let inverse = MeanCovariance(counts).mean_trace_of_inverse(dimension)?;
        Some(Simulated {
            mean: within * inverse.mean,
            standard_error: within * inverse.standard_error,
        })
    }
}

/// Σ n_kᵖ.
fn sum(counts: &ClassCounts, power: i32) -> f64 {
    counts.sizes().map(|group| group.class_count as f64 * (group.size as f64).powi(power)).sum()
}

/// E tr Σ_W · E 1/tr Σ_B, which are independent.
fn trace_quotient(counts: &ClassCounts, dimension: f64) -> Option<f64> {
    let (samples, classes) = (counts.samples() as f64, counts.classes() as f64);
    let within = dimension * (samples - classes) / samples;
    Some(within * classes * MeanCovariance(counts).mean_inverse_trace(dimension)?)
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

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::DMatrix;

    fn near(found: f64, expected: f64) {
        assert!((found / expected - 1.0).abs() < 1e-13, "{found} {expected}");
    }

    /// S and Q as they are documented, for layers 30 → 7 → 5 → 4 and a target with tr Θ = 12 and ‖Θ‖² = 50.
    #[test]
    fn products_of_random_layers_have_the_documented_cosine() {
        let layers = [(7, 30), (5, 7), (4, 5)].map(|(rows, columns)| DMatrix::zeros(rows, columns));
        let head = LinearHead::new(layers.to_vec(), None).unwrap();
        let target = ClassMatrix::diagonal(&[1.0, 2.0, 3.0, 6.0]).unwrap();
        for (inputs, outputs) in [(5.0, &[4.0][..]), (7.0, &[5.0, 4.0]), (30.0, &[7.0, 5.0, 4.0])] {
            let (mut s, mut q) = (inputs * inputs, inputs);
            for p in outputs {
                (s, q) = (p * p * s + 2.0 * p * q, p * s + (p * p + p) * q);
            }
            let cosine = 12.0 / (4.0 * 50.0_f64.sqrt()) * f64::sqrt(s / q);
            let found = Unstructured::nc2(&head, outputs.len(), &target).unwrap().unwrap();
            near(found, (2.0 - 2.0 * cosine).sqrt());
        }
    }

    /// E tr(H̄ᵀH̄ Θ) = d Σ Θ_kk/n_k and E ‖H̄ᵀH̄‖² = (d² + d) Σ 1/n_k² + d (Σ 1/n_k)² for d = 5: Σ 1/n = 1, Σ 1/n² = 7/18.
    #[test]
    fn random_class_means_have_the_documented_cosine() {
        let target = ClassMatrix::diagonal(&[1.0, 2.0, 2.0]).unwrap();
        let along = 5.0 * (1.0 / 2.0 + 2.0 / 3.0 + 2.0 / 6.0) / 3.0;
        let cosine = along / (30.0 * 7.0 / 18.0 + 5.0_f64).sqrt();
        let found = nc2_class_means(&[2.0, 3.0, 6.0], 5.0, &target).unwrap();
        near(found, (2.0 - 2.0 * cosine).sqrt());
    }

    #[test]
    fn means_are_infinite_for_dimensions_near_the_number_of_classes() {
        let found = |sizes: &[u64], dimension: usize| {
            Unstructured::new(&ClassCounts::new(sizes).unwrap(), dimension).unwrap()
        };
        for (dimension, is_finite) in [(3, true), (4, false), (5, false), (6, false), (7, true)] {
            assert_eq!(found(&[9, 7, 5, 5, 3, 2], dimension).nc1.is_some(), is_finite);
            assert_eq!(found(&[5; 6], dimension).nc1.is_some(), is_finite);
        }
        // (N−K)/N · K d n/((K−1) d − 2), as E 1/χ² = 1/(degrees − 2).
        assert_eq!(found(&[9; 3], 1).nc1_trace_quotient, None);
        assert_eq!(found(&[9; 2], 2).nc1_trace_quotient, None);
        near(found(&[9; 3], 2).nc1_trace_quotient.unwrap(), 24.0);
        near(found(&[9; 2], 3).nc1_trace_quotient.unwrap(), 48.0);
        // Two classes: (N−K)/N (N − n)/(d − K), and d/(d−2) (n/2 − ½).
        let two = found(&[9; 2], 6);
        near(two.nc1.unwrap(), 2.0);
        near(two.cdnv.unwrap(), 6.0);
        assert_eq!(found(&[9; 2], 2).cdnv, None);
    }
}
