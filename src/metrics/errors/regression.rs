//! Standard errors of the metrics of regression, sample by sample.

use nalgebra::{DMatrix, DVector};

use crate::error::{Error, Result, check_not_negative};
use crate::measure::features::Features;
use crate::metrics::common_mean::CommonMean;
use crate::metrics::errors::estimate::Estimate;
use crate::metrics::regression::{Target, check_outputs, one_layer, row_space};
use crate::monitor::Monitor;
use crate::numerics::linalg::{check_finite, gram, power_of_two, product, transposed};
use crate::numerics::scalar::Scalar;
use crate::problem::head::LinearHead;

/// [`nrc1`](crate::metrics::nrc1) with its standard error over other samples of the same distribution. `None` if there are
/// less than two samples, or if the K-th principal direction is as long as the next one, so that it is open which one counts.
///
/// To first order a sample moves NRC1 by its own share outside, by how it moves the mean, and by how it turns the principal
/// directions v. With z_j = h_j − h̄, u_j = z_j/‖z_j‖, the eigenvalues λ of the covariance, and a for the K kept directions, b
/// for the others, these are
///
/// ```math
/// ‖(I − P)u_j‖² − NRC1 + ⟨∂NRC1/∂h̄, z_j⟩ − 2 Σ_ab ⟨v_a, z_j⟩ ⟨v_b, z_j⟩ (1/N Σᵢ ⟨v_a, uᵢ⟩ ⟨v_b, uᵢ⟩)/(λ_a − λ_b).
/// ```
///
/// # Errors
/// As [`nrc1`](crate::metrics::nrc1), and [`Error::Cancelled`] if the monitor ends the work.
///
/// ```
/// use nalgebra::DMatrix;
/// use neural_collapse::Features;
/// use neural_collapse::metrics::errors::nrc1_estimate;
/// use neural_collapse::metrics::nrc1;
///
/// let number = |i: usize, j: usize| ((i * 37 + j * 101 + i * j) as f64).sin();
/// let features = DMatrix::from_fn(4, 60, |i, j| number(i, j) / (i + 1) as f64);
/// let features = Features::from_sample_columns(&features)?;
/// let found = nrc1_estimate(&features, 2, &())?.unwrap();
/// assert!((found.value - nrc1(&features, 2)?).abs() < 1e-14);
/// assert!(found.standard_error > 0.0 && found.standard_error < 0.1);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: the influence function of Hampel (*Journal of the American Statistical Association* 1974); that of principal
/// directions is Critchley's (*Biometrika* 1985).
pub fn nrc1_estimate<T: Scalar>(
    features: &Features<'_, T>,
    outputs: usize,
    monitor: &dyn Monitor,
) -> Result<Option<Estimate>> {
    check_outputs(features, outputs)?;
    let labels = vec![0; features.samples()];
    let common = CommonMean::new(features, &labels, monitor)?;
    let all = features.dimension().min(features.samples());
    let principal = common.principal_directions(all.max(outputs), monitor)?;
    let kept = outputs.min(principal.ncols());
    let bases = Bases {
        kept: principal.columns_range(..kept).into_owned(),
        others: principal.columns_range(kept..).into_owned(),
    };
    estimate(&common, &bases, monitor)
}

/// [`nrc2`](crate::metrics::nrc2) with its standard error over other samples of the same distribution; the layers count as given.
/// `None` if there are less than two samples.
///
/// # Errors
/// As [`nrc2`](crate::metrics::nrc2), and [`Error::Cancelled`] if the monitor ends the work.
///
/// ```
/// use nalgebra::{DMatrix, dmatrix};
/// use neural_collapse::{Features, LinearHead};
/// use neural_collapse::metrics::errors::nrc2_estimate;
///
/// let number = |i: usize, j: usize| ((i * 37 + j * 101 + i * j) as f64).sin();
/// let features = DMatrix::from_fn(2, 60, |i, j| number(i, j) / (i + 1) as f64);
/// let features = Features::from_sample_columns(&features)?;
/// let head = LinearHead::new(vec![dmatrix![1.0, 0.0]], None)?;
/// let found = nrc2_estimate(&features, &head, &())?.unwrap();
/// assert!((found.value - neural_collapse::metrics::nrc2(&features, &head)?).abs() < 1e-14);
/// assert!(found.standard_error > 0.0 && found.standard_error < 0.1);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: as [`nrc1_estimate`].
pub fn nrc2_estimate<T: Scalar>(
    features: &Features<'_, T>,
    head: &LinearHead,
    monitor: &dyn Monitor,
) -> Result<Option<Estimate>> {
    head.check_shape("features", features.dimension(), head.classes())?;
    let labels = vec![0; features.samples()];
    let common = CommonMean::new(features, &labels, monitor)?;
    let bases = Bases { kept: row_space(head)?, others: DMatrix::zeros(features.dimension(), 0) };
    estimate(&common, &bases, monitor)
}

/// [`nrc3`](crate::metrics::nrc3) with its standard error over other samples of the same distribution, of which the `targets`
/// (K×N) give the covariance Σ; the layer and γ count as given. `None` if there are less than two samples.
///
/// # Errors
/// As [`nrc3`](crate::metrics::nrc3).
///
/// ```
/// use nalgebra::{DMatrix, dmatrix};
/// use neural_collapse::LinearHead;
/// use neural_collapse::metrics::errors::nrc3_estimate;
///
/// let number = |i: usize, j: usize| ((i * 37 + j * 101 + i * j) as f64).sin();
/// let targets = DMatrix::from_fn(2, 60, |i, j| number(i, j) / (i + 1) as f64);
/// let head = LinearHead::new(vec![dmatrix![1.0, 0.2; 0.1, 1.0]], None)?;
/// let found = nrc3_estimate(&targets, &head, 1e-4)?.unwrap();
/// assert!(found.value > 0.0 && found.standard_error < found.value);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: as [`nrc1_estimate`].
pub fn nrc3_estimate(
    targets: &DMatrix<f64>,
    head: &LinearHead,
    gamma: f64,
) -> Result<Option<Estimate>> {
    check_not_negative("gamma", gamma)?;
    let weight = one_layer(head)?;
    let scale = power_of_two(targets);
    let scaled = centered(targets, scale)?;
    let samples = scaled.ncols() as f64;
    let covariance = gram(&scaled) / samples;
    let target = Target::new(&covariance, (gamma.sqrt() / scale).powi(2))?;
    let value = target.distance_squared(weight)?;
    let Some(gradient) = target.gradient(weight) else { return Ok(None) };
    let moved = product(&gradient, &scaled);
    // Their mean ⟨∂NRC3/∂Σ, Σ⟩ is subtracted with the mean of the moves.
    let influences = moved.column_iter().zip(scaled.column_iter());
    let influences = influences.map(|(moved, y)| moved.dot(&y)).collect();
    Ok(Estimate::of_influences(value, influences))
}

/// Targets less their mean, in a unit.
fn centered(targets: &DMatrix<f64>, unit: f64) -> Result<DMatrix<f64>> {
    if targets.is_empty() {
        return Err(Error::Empty { argument: "targets" });
    }
    check_finite("targets", targets)?;
    let mut centered = targets / unit;
    // Relative to the first sample, so that a large common mean costs no digits.
    let first = centered.column(0).into_owned();
    centered.column_iter_mut().for_each(|mut column| column -= &first);
    let mean = centered.column_mean();
    centered.column_iter_mut().for_each(|mut column| column -= &mean);
    Ok(centered)
}

/// Orthonormal bases of the directions that count and of the others, if these turn with the samples.
struct Bases {
    kept: DMatrix<f64>,
    others: DMatrix<f64>,
}

/// What a pass over the samples sums for the mean of the shares ‖(I − P)u‖² and its derivatives.
struct Sums {
    /// Of the samples that are not at the mean, whose shares are NaN.
    shares: Vec<f64>,
    count: f64,
    /// Of the mean share with respect to the mean of the features.
    gradient: DVector<f64>,
    /// Σ ⟨v_b, u⟩ ⟨v_a, u⟩ for the others b and the kept a.
    mixed: DMatrix<f64>,
    /// Σ ⟨v, z⟩² in the kept and in the other directions.
    variances: [DVector<f64>; 2],
}

impl Sums {
    fn new(bases: &Bases) -> Self {
        let (kept, others) = (bases.kept.ncols(), bases.others.ncols());
        Self {
            shares: Vec::new(),
            count: 0.0,
            gradient: DVector::zeros(bases.kept.nrows()),
            mixed: DMatrix::zeros(others, kept),
            variances: [DVector::zeros(kept), DVector::zeros(others)],
        }
    }

    /// Adds deviations z, as columns.
    fn add(&mut self, mut z: DMatrix<f64>, bases: &Bases) {
        for (variances, basis) in self.variances.iter_mut().zip([&bases.kept, &bases.others]) {
            let along = product(&transposed(basis), &z);
            let squares = along.row_iter().map(|row| row.norm_squared());
            variances.iter_mut().zip(squares).for_each(|(sum, square)| *sum += square);
        }
        let norms: Vec<f64> = z.column_iter().map(|column| column.norm()).collect();
        for (mut column, &norm) in z.column_iter_mut().zip(&norms) {
            column *= if norm > 0.0 { norm.recip() } else { 0.0 };
        }
        let directions = z;
        let along = product(&transposed(&bases.kept), &directions);
        let inside = product(&bases.kept, &along);
        for ((inside, u), &norm) in inside.column_iter().zip(directions.column_iter()).zip(&norms) {
            if norm > 0.0 {
                let share = (u - inside).norm_squared();
                self.gradient += (inside - u * (1.0 - share)) * (2.0 / norm);
                self.shares.push(share);
                self.count += 1.0;
            } else {
                self.shares.push(f64::NAN);
            }
        }
        let outside = product(&transposed(&bases.others), &directions);
        self.mixed += product(&outside, &transposed(&along));
    }

    fn mean(&self) -> f64 {
        let sum: f64 = self.shares.iter().filter(|share| !share.is_nan()).sum();
        (sum / self.count).min(1.0)
    }

    /// What a sample moves the mean share by itself.
    fn own(&self) -> Vec<f64> {
        let (mean, weight) = (self.mean(), self.shares.len() as f64 / self.count);
        let own = |share: &f64| if share.is_nan() { 0.0 } else { weight * (share - mean) };
        self.shares.iter().map(own).collect()
    }

    /// How far a sample turns each kept direction into each other one.
    fn turn(&self) -> DMatrix<f64> {
        let [kept, others] = &self.variances;
        let samples = self.shares.len() as f64;
        let mut turn = &self.mixed / self.count;
        for (a, &first) in kept.iter().enumerate() {
            for (b, &rest) in others.iter().enumerate() {
                turn[(b, a)] /= (first - rest) / samples;
            }
        }
        turn
    }
}

/// The mean share outside of the kept directions, with its error.
fn estimate<T: Scalar>(
    common: &CommonMean<'_, T>,
    bases: &Bases,
    monitor: &dyn Monitor,
) -> Result<Option<Estimate>> {
    let unit = common.unit(monitor)?;
    let mut sums = Sums::new(bases);
    common.for_each_chunk(unit, monitor, |deviations| sums.add(deviations, bases))?;
    let (gradient, turn, mut influences) = (&sums.gradient / sums.count, sums.turn(), sums.own());
    let mut rest = &mut influences[..];
    common.for_each_chunk(unit, monitor, |z| {
        let [inside, outside] =
            [&bases.kept, &bases.others].map(|basis| product(&transposed(basis), &z));
        let turned = product(&transposed(&turn), &outside);
        let (own, others) = std::mem::take(&mut rest).split_at_mut(z.ncols());
        rest = others;
        let columns = z.column_iter().zip(inside.column_iter().zip(turned.column_iter()));
        for (influence, (z, (inside, turned))) in own.iter_mut().zip(columns) {
            *influence += gradient.dot(&z) - 2.0 * inside.dot(&turned);
        }
    })?;
    Ok(Estimate::of_influences(sums.mean(), influences))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::regression::{nrc1, nrc2, nrc3};
    use nalgebra::dmatrix;

    const SAMPLES: usize = 13;

    fn matrix(rows: usize, columns: usize, seed: usize) -> DMatrix<f64> {
        DMatrix::from_fn(rows, columns, |i, j| {
            (((i * i + 3 * i * j + 7 * j + seed) as f64).sin() + 0.2) / (i + 1) as f64
        })
    }

    /// Σ w_j (x_j − Σ w x)(x_j − Σ w x)ᵀ with the deviations.
    fn weighted(columns: &DMatrix<f64>, weights: &DVector<f64>) -> (DMatrix<f64>, DMatrix<f64>) {
        let mean = columns * weights;
        let mut deviations = columns.clone();
        deviations.column_iter_mut().for_each(|mut column| column -= &mean);
        (&deviations * DMatrix::from_diagonal(weights) * deviations.transpose(), deviations)
    }

    /// The mean share outside of the columns of a basis of samples with weights.
    fn outside(deviations: &DMatrix<f64>, weights: &DVector<f64>, basis: &DMatrix<f64>) -> f64 {
        let share = |(column, weight): (nalgebra::DVectorView<'_, f64>, &f64)| {
            weight * (1.0 - (basis.tr_mul(&column)).norm_squared() / column.norm_squared())
        };
        deviations.column_iter().zip(weights).map(share).sum()
    }

    fn principal(deviations: &DMatrix<f64>, weights: &DVector<f64>, number: usize) -> DMatrix<f64> {
        let scaled = deviations * DMatrix::from_diagonal(&weights.map(f64::sqrt));
        scaled.svd(true, false).u.unwrap().columns_range(..number).into_owned()
    }

    /// The error that follows from what a number changes by as a sample gets more weight and the others less.
    #[track_caller]
    fn check(found: &Estimate, expected: f64, of_weights: &dyn Fn(&DVector<f64>) -> f64) {
        let equal = DVector::from_element(SAMPLES, 1.0 / SAMPLES as f64);
        for value in [found.value, of_weights(&equal)] {
            assert!((value / expected - 1.0).abs() < 1e-12, "{value} {expected}");
        }
        let influence = |sample: usize| {
            let at = |step: f64| {
                let mut weights = &equal * (1.0 - step);
                weights[sample] += step;
                of_weights(&weights)
            };
            (at(1e-5) - at(-1e-5)) / 2e-5
        };
        let numeric = Estimate::of_influences(expected, (0..SAMPLES).map(influence).collect());
        let ratio = found.standard_error / numeric.unwrap().standard_error;
        assert!((ratio - 1.0).abs() < 1e-6, "{ratio}");
    }

    #[test]
    fn errors_are_those_of_numerical_influences() {
        // More features than samples, and less.
        for dimension in [4, 30] {
            let columns = matrix(dimension, SAMPLES, 3);
            let features = Features::from_sample_columns(&columns).unwrap();
            let found = nrc1_estimate(&features, 2, &()).unwrap().unwrap();
            check(&found, nrc1(&features, 2).unwrap(), &|weights| {
                let deviations = weighted(&columns, weights).1;
                outside(&deviations, weights, &principal(&deviations, weights, 2))
            });
            let head = LinearHead::new(vec![matrix(2, dimension, 1)], None).unwrap();
            let rows = head.weights()[0].transpose().qr().q();
            let found = nrc2_estimate(&features, &head, &()).unwrap().unwrap();
            check(&found, nrc2(&features, &head).unwrap(), &|weights| {
                outside(&weighted(&columns, weights).1, weights, &rows)
            });
        }
        let (targets, gamma) =
            (matrix(3, SAMPLES, 5) * 7.0 + DMatrix::from_element(3, SAMPLES, 50.0), 0.01);
        let head = LinearHead::new(vec![matrix(3, 4, 2)], None).unwrap();
        let equal = DVector::from_element(SAMPLES, 1.0 / SAMPLES as f64);
        let value =
            |weights: &DVector<f64>| nrc3(&head, &weighted(&targets, weights).0, gamma).unwrap();
        check(&nrc3_estimate(&targets, &head, gamma).unwrap().unwrap(), value(&equal), &value);
    }

    /// Shares and errors have no unit, and samples at the mean have no share: that of the others counts as often.
    #[test]
    fn samples_at_the_mean_have_no_direction() {
        let columns = dmatrix![3.0, -3.0, 1.0, -1.0, 0.0; 0.0, 0.0, 1.0, -1.0, 0.0];
        let of = |scale: f64| {
            let scaled = &columns * scale;
            nrc1_estimate(&Features::from_sample_columns(&scaled).unwrap(), 1, &()).unwrap()
        };
        let found = of(1.0).unwrap();
        let whole = Features::from_sample_columns(&columns).unwrap();
        assert!((found.value - nrc1(&whole, 1).unwrap()).abs() < 1e-15, "{found:?}");
        for scale in [2.0_f64.powi(-600), 2.0_f64.powi(400)] {
            assert_eq!(of(scale), Some(found.clone()));
        }
        let head = LinearHead::new(vec![dmatrix![1.0, 0.0]], None).unwrap();
        let found = nrc2_estimate(&whole, &head, &()).unwrap().unwrap();
        // Shares 0, 0, ½, ½: each counts 5/4 times less the mean ¼; their mean does not move with that of the features.
        assert!((found.value - 0.25).abs() < 1e-15, "{found:?}");
        let expected =
            Estimate::of_influences(0.25, [-1.0, -1.0, 1.0, 1.0, 0.0].map(|x| 0.3125 * x).into());
        let expected = expected.unwrap().standard_error;
        assert!((found.standard_error / expected - 1.0).abs() < 1e-14, "{found:?} {expected}");
        let flat = DMatrix::from_element(2, 5, 0.5);
        let flat = nrc1_estimate(&Features::from_sample_columns(&flat).unwrap(), 1, &());
        assert!(matches!(flat, Err(Error::ZeroNorm { .. })), "{flat:?}");
    }
}
