//! The directions in which class means differ, onto which NC1 projects deviations.

use nalgebra::{DMatrix, DVector};

use crate::error::{Error, Result};
use crate::measure::center::{Center, centre};
use crate::measure::statistics::ClassStatistics;
use crate::metrics::Nc1Options;
use crate::numerics::linalg::{
    Svd, gram, inverse_cholesky, left_svd, power_of_two, product, times_in_place, transposed,
};

/// Rounding errors of class means, in units of ε times their root mean square norm.
const ROUNDING: f64 = 8.0 * f64::EPSILON;

/// Below this, singular values cannot be divided by.
const SMALLEST: f64 = 1e-290;

/// A Gram matrix squares the condition number. Up to this one, factorising it twice is accurate.
const LARGEST_CONDITION: f64 = 1e6;

/// Up to this condition number, factorising it once is accurate: to 1e4·ε.
const GOOD_CONDITION: f64 = 100.0;

/// Steps of the power iteration that estimates the condition number.
const POWER_STEPS: usize = 5;

/// A matrix D with ‖B†x‖ = ‖Dᵀx‖/`scale` for every x, where B = \[h_k − h_G\]/√K: B†ᵀ up to an
/// orthogonal matrix from the right.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Projector {
    /// A column for each of the directions in which the class means differ.
    pub(crate) directions: DMatrix<f64>,
    /// A power of two at the size of B.
    pub(crate) scale: f64,
}

impl Projector {
    /// The projector for `layers` times the features, or for the features as they are; it is applied
    /// to the features as they are in both cases. [`Error::ZeroNorm`] if class means do not differ.
    pub(crate) fn new(
        statistics: &ClassStatistics,
        options: &Nc1Options,
        layers: Option<&DMatrix<f64>>,
    ) -> Result<Self> {
        if !(0.0..1.0).contains(&options.rank_cutoff) {
            let expected = "at least 0 and less than 1";
            return Err(Error::out_of_range("rank_cutoff", options.rank_cutoff, expected));
        }
        let between = BetweenClasses::new(statistics, options, layers)?;
        let scale = between.scale;
        let directions = between.directions()?;
        let directions = match layers {
            Some(layers) => product(&transposed(layers), &directions),
            None => directions,
        };
        Ok(Self { directions, scale })
    }
}

/// What the class means differ by.
struct BetweenClasses {
    /// A power of two at the size of B.
    scale: f64,
    /// B/`scale` times an orthogonal matrix that leaves out its null vector: d×(K−1).
    differences: DMatrix<f64>,
    /// Singular values count as zero up to this share of the largest one …
    relative_cutoff: f64,
    /// … and up to this, which is what rounding errors of the means amount to.
    absolute_cutoff: f64,
}

impl BetweenClasses {
    fn new(
        statistics: &ClassStatistics,
        options: &Nc1Options,
        layers: Option<&DMatrix<f64>>,
    ) -> Result<Self> {
        let mut means = statistics.class_means()?;
        let mut size = means.norm();
        centre(&mut means, statistics.counts(), options.center);
        if let Some(layers) = layers {
            let center = statistics.center(options.center)?;
            let root = (statistics.classes() as f64).sqrt();
            means = product(layers, &means);
            size = means.norm().hypot((layers * center).norm() * root);
        }
        let root = (statistics.classes() as f64).sqrt();
        let scale = power_of_two(&means) / root.log2().round().exp2();
        if means.amax() / root < SMALLEST {
            return Err(no_differences());
        }
        means /= root * scale;
        let differences = without_null_vector(means, &null_vector(statistics, options.center));
        let absolute_cutoff = (ROUNDING * size / root).max(SMALLEST) / scale;
        let relative_cutoff = options.rank_cutoff;
        Ok(Self { scale, differences, relative_cutoff, absolute_cutoff })
    }

    /// D.
    fn directions(mut self) -> Result<DMatrix<f64>> {
        let many = self.differences.nrows() < self.differences.ncols();
        let gram = match many {
            true => gram(&self.differences),
            false => gram(&transposed(&self.differences)),
        };
        let found = self.inverse_factor(gram).and_then(|inverse| match many {
            true => self.directions_of_many_classes(inverse),
            false => self.directions_of_few_classes(inverse),
        });
        found.map_or_else(|| self.directions_by_singular_values(), Ok)
    }

    /// L⁻¹ for the Gram matrix LLᵀ of the differences if it is certain that they have full rank, and
    /// whether it is accurate: ‖L⁻¹‖ (Frobenius norm) bounds 1/σ for the smallest singular value.
    fn inverse_factor(&self, gram: DMatrix<f64>) -> Option<(DMatrix<f64>, bool)> {
        let (largest, size) = (gram.trace().sqrt(), gram.nrows());
        let largest_square = power_iteration(|vector| &gram * vector, size);
        let inverse = inverse_cholesky(gram)?;
        let smallest = inverse.norm().recip();
        let cutoff = (self.relative_cutoff.max(LARGEST_CONDITION.recip()) * largest)
            .max(self.absolute_cutoff);
        if smallest.is_nan() || smallest <= cutoff {
            return None;
        }
        let square =
            largest_square * power_iteration(|vector| inverse.tr_mul(&(&inverse * vector)), size);
        Some((inverse, square <= GOOD_CONDITION * GOOD_CONDITION))
    }

    /// B = QR with R = L ᵀ from BᵀB = LLᵀ, and D = QR⁻ᵀ. If one factorisation leaves Q short of
    /// orthonormal, a second one repairs it (Yamamoto et al., *Roundoff error analysis of the
    /// CholeskyQR2 algorithm*, ETNA 44, 2015).
    fn directions_of_few_classes(
        &mut self,
        (inverse, accurate): (DMatrix<f64>, bool),
    ) -> Option<DMatrix<f64>> {
        if accurate {
            let inverse_gram = gram(&transposed(&inverse));
            drop(inverse);
            times_in_place(&mut self.differences, &inverse_gram);
            return Some(std::mem::replace(&mut self.differences, DMatrix::zeros(0, 0)));
        }
        let mut q = std::mem::replace(&mut self.differences, DMatrix::zeros(0, 0));
        times_in_place(&mut q, &inverse.transpose());
        let second = inverse_cholesky(gram(&transposed(&q)))?;
        times_in_place(&mut q, &second.transpose());
        times_in_place(&mut q, &product(&second, &inverse));
        Some(q)
    }

    /// D = L⁻ᵀ for BBᵀ = LLᵀ, again with a second factorisation where one is not accurate.
    fn directions_of_many_classes(
        &self,
        (inverse, accurate): (DMatrix<f64>, bool),
    ) -> Option<DMatrix<f64>> {
        if accurate {
            return Some(inverse.transpose());
        }
        let mut orthonormal = self.differences.transpose();
        times_in_place(&mut orthonormal, &inverse.transpose());
        let second = inverse_cholesky(gram(&transposed(&orthonormal)))?;
        Some(product(&second, &inverse).transpose())
    }

    /// D = UΣ⁻¹ for the singular values that are kept.
    fn directions_by_singular_values(&self) -> Result<DMatrix<f64>> {
        let Svd { u, singular_values, .. } = left_svd(&self.differences)?;
        let largest = singular_values.iter().copied().next().unwrap_or(0.0);
        let cutoff = (self.relative_cutoff * largest).max(self.absolute_cutoff);
        let rank = singular_values.iter().take_while(|&&value| value > cutoff).count();
        if rank == 0 {
            return Err(no_differences());
        }
        let mut directions = u.columns(0, rank).into_owned();
        for (mut direction, value) in directions.column_iter_mut().zip(&singular_values) {
            direction /= *value;
        }
        Ok(directions)
    }
}

fn no_differences() -> Error {
    Error::ZeroNorm { argument: "differences between the class means" }
}

/// The unit vector that centred class means map to zero.
fn null_vector(statistics: &ClassStatistics, center: Center) -> DVector<f64> {
    let weight = |class: usize| match center {
        Center::Samples => statistics.counts()[class] as f64,
        Center::Classes => 1.0,
    };
    let weights = DVector::from_fn(statistics.classes(), |class, _| weight(class));
    let largest = weights.amax();
    (weights / largest).normalize()
}

/// The columns but the last of B H, where H = I − 2wwᵀ is the reflection that maps the null vector v to
/// the last axis: b_k − b_K v_k/(1 + v_K).
fn without_null_vector(mut matrix: DMatrix<f64>, null: &DVector<f64>) -> DMatrix<f64> {
    let last = matrix.ncols() - 1;
    let column = matrix.column(last).into_owned();
    for (mut other, entry) in matrix.column_iter_mut().zip(null).take(last) {
        other.axpy(-entry / (1.0 + null[last]), &column, 1.0);
    }
    matrix.remove_column(last)
}

/// An estimate of the largest eigenvalue of a positive semidefinite matrix, from below.
fn power_iteration(multiply: impl Fn(&DVector<f64>) -> DVector<f64>, size: usize) -> f64 {
    // Weyl's sequence: no structured vector is orthogonal to it.
    let golden = 0.618_033_988_749_894_9;
    let mut vector = DVector::from_fn(size, |i, _| ((i as f64 + 1.0) * golden).fract() - 0.4);
    let mut norm = 0.0;
    for _ in 0..POWER_STEPS {
        vector.normalize_mut();
        vector = multiply(&vector);
        norm = vector.norm();
    }
    norm
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::features::Features;
    use nalgebra::dmatrix;

    /// Classes with samples at their means, in random directions of different importance.
    fn statistics(dimension: usize, classes: usize, smallest: f64) -> ClassStatistics {
        let number = |i: usize, j: usize| ((i * 37 + j * 101 + i * j) as f64).sin();
        let shrink = |i: usize| smallest.powf(i as f64 / dimension as f64);
        let means = DMatrix::from_fn(dimension, classes, |i, j| number(i, j) * shrink(i) + 3.0);
        let labels: Vec<usize> = (0..classes).chain(0..classes.div_ceil(3)).collect();
        let samples = means.select_columns(&labels);
        let features = Features::from_sample_columns(&samples).unwrap();
        ClassStatistics::new(&features.with_labels(&labels, classes).unwrap()).unwrap()
    }

    fn between(statistics: &ClassStatistics, center: Center) -> BetweenClasses {
        let options = Nc1Options { center, rank_cutoff: 1e-9, ..Nc1Options::default() };
        BetweenClasses::new(statistics, &options, None).unwrap()
    }

    #[test]
    fn every_way_gives_the_pseudo_inverse() {
        for (dimension, classes) in [(60, 9), (20, 21), (20, 20), (9, 60), (130, 100), (3, 2)] {
            for (smallest, tolerance) in [(1.0, 1e-11), (1e-2, 1e-10), (1e-4, 1e-8)] {
                for center in [Center::Samples, Center::Classes] {
                    let statistics = statistics(dimension, classes, smallest);
                    let expected = between(&statistics, center).directions_by_singular_values();
                    let expected = gram(&expected.unwrap());
                    let found = between(&statistics, center).directions().unwrap();
                    assert_eq!(found.ncols(), dimension.min(classes - 1));
                    let error = (gram(&found) - &expected).norm() / expected.norm();
                    assert!(error < tolerance, "{dimension} {classes} {smallest}: {error:e}");
                }
            }
        }
    }

    #[test]
    fn the_null_vector_is_left_out_without_a_trace() {
        let statistics = statistics(12, 7, 1.0);
        let means = statistics.centred_means(Center::Samples).unwrap();
        let null = null_vector(&statistics, Center::Samples);
        assert!((&means * &null).norm() < 1e-14);
        let rest = without_null_vector(means.clone(), &null);
        assert_eq!(rest.shape(), (12, 6));
        assert!((gram(&rest) - gram(&means)).norm() < 1e-13);
    }

    #[test]
    fn the_largest_eigenvalue_is_estimated() {
        let matrix = dmatrix![2.0, 1.0; 1.0, 2.0];
        assert!((power_iteration(|vector| &matrix * vector, 2) - 3.0).abs() < 0.03);
    }
}
