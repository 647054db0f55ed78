//! The law of equi-separation.

use crate::error::{Error, Result};
use crate::metrics::errors::Estimate;

/// A straight line through ln NC1 over the number of the layer.
///
/// ```math
/// ln NC1(l) ≈ intercept + slope · l,    l = 1, …, L
/// ```
///
/// Where the law of equi-separation holds, every layer reduces NC1 by the same factor e^slope and R² is near 1.
///
/// ```
/// use neural_collapse::metrics::layers::SeparationLaw;
///
/// let law = SeparationLaw::fit(&[Some(8.0), Some(4.0), None, Some(1.0)])?.unwrap();
/// assert!((law.factor() - 0.5).abs() < 1e-15 && (law.r_squared - 1.0).abs() < 1e-15);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: He & Su, *A law of data separation in deep learning* (PNAS 2023), whose D is K times NC1 for equal class sizes.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct SeparationLaw {
    /// Change of ln NC1 from one layer to the next.
    pub slope: f64,
    /// ln NC1 in front of the first layer.
    pub intercept: f64,
    /// The share of the variance of ln NC1 that the line explains, between 0 and 1; 1 if NC1 is the same in all layers.
    pub r_squared: f64,
    /// Number of layers with a positive NC1, which alone count.
    pub layers: usize,
}

/// The standard errors of a [`SeparationLaw`]: the layers' NC1 are of the same samples, whose errors they share.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct SeparationErrors {
    /// Of [`SeparationLaw::slope`].
    pub slope: Option<f64>,
    /// Of [`SeparationLaw::intercept`].
    pub intercept: Option<f64>,
    /// Of [`SeparationLaw::r_squared`]; `None` if all NC1 are equal.
    pub r_squared: Option<f64>,
}

impl SeparationLaw {
    /// The line of least squares through the NC1 of the layers 1, 2, …; layers without one, or with NC1 = 0, are left
    /// out. `None` if fewer than three are left, as a line always fits two.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if a value is negative or not finite.
    pub fn fit(nc1: &[Option<f64>]) -> Result<Option<Self>> {
        let mut points = Vec::new();
        for (index, value) in nc1.iter().enumerate() {
            match value {
                Some(value) if !(*value >= 0.0 && value.is_finite()) => {
                    return Err(Error::out_of_range("nc1", *value, "at least 0 and finite"));
                }
                Some(value) if *value > 0.0 => points.push((index as f64 + 1.0, value.ln())),
                _ => {}
            }
        }
        if points.len() < 3 {
            return Ok(None);
        }
        let number = points.len() as f64;
        let mean = |coordinate: fn(&(f64, f64)) -> f64| {
            points.iter().map(coordinate).sum::<f64>() / number
        };
        let (x, y) = (mean(|point| point.0), mean(|point| point.1));
        let sum = |term: fn(f64, f64) -> f64| {
            points.iter().map(|point| term(point.0 - x, point.1 - y)).sum::<f64>()
        };
        let (xx, xy, yy) = (sum(|x, _| x * x), sum(|x, y| x * y), sum(|_, y| y * y));
        let slope = xy / xx;
        // Of a constant nothing is left: 0/0, beside which the minimum is the other number.
        let r_squared = (slope * xy / yy).min(1.0);
        Ok(Some(Self { slope, intercept: y - slope * x, r_squared, layers: points.len() }))
    }

    /// The standard errors, from NC1 of all layers on the same samples. `None` unless all have one.
    pub(super) fn errors(&self, nc1: &[Option<Estimate>]) -> Option<SeparationErrors> {
        let counted =
            nc1.iter().enumerate().filter_map(|(index, nc1)| Some((index, nc1.as_ref()?)));
        let counted: Vec<_> = counted.filter(|(_, nc1)| nc1.value > 0.0).collect();
        if counted.len() != self.layers {
            return None;
        }
        let number = counted.len() as f64;
        let xs: Vec<f64> = counted.iter().map(|(index, _)| *index as f64 + 1.0).collect();
        let ys: Vec<f64> = counted.iter().map(|(_, nc1)| nc1.value.ln()).collect();
        let mean = |numbers: &[f64]| numbers.iter().sum::<f64>() / number;
        let (x_mean, y_mean) = (mean(&xs), mean(&ys));
        let sum = |f: &dyn Fn(usize) -> f64| (0..counted.len()).map(f).sum::<f64>();
        let (x, y) = (|l: usize| xs[l] - x_mean, |l: usize| ys[l] - y_mean);
        let (xx, yy) = (sum(&|l| x(l) * x(l)), sum(&|l| y(l) * y(l)));
        let xy = sum(&|l| x(l) * y(l));
        // To first order ln NC1 changes by δNC1/NC1.
        let logarithms: Vec<Vec<f64>> =
            counted.iter().map(|(_, nc1)| nc1.moves_divided_by(nc1.value)).collect();
        let parts = logarithms.first()?.len();
        if parts == 0 || logarithms.iter().any(|moves| moves.len() != parts) {
            return None;
        }
        let error = |weight: &dyn Fn(usize) -> f64| {
            let moves = (0..parts).map(|part| sum(&|l| weight(l) * logarithms[l][part]));
            let found = Estimate::of_moves(0.0, moves.collect()).standard_error;
            found.is_finite().then_some(found)
        };
        Some(SeparationErrors {
            slope: error(&|l| x(l) / xx),
            intercept: error(&|l| number.recip() - x(l) * x_mean / xx),
            r_squared: error(&|l| 2.0 * xy / (xx * yy) * (x(l) - xy / yy * y(l))),
        })
    }

    /// e^slope, the factor by which a layer changes NC1.
    #[must_use]
    pub fn factor(&self) -> f64 {
        self.slope.exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of some values and the changes that parts make, whose sum is zero.
    fn estimates() -> Vec<Option<Estimate>> {
        let values = [Some(3.0), Some(2.5), None, Some(0.4), Some(0.0), Some(0.07)];
        let estimate = |(layer, value): (usize, Option<f64>)| {
            let moves = (0..7).map(|part| {
                let angle = (part * 2 * (layer + 1)) as f64 * core::f64::consts::PI / 7.0;
                1e-2 * value.unwrap_or(0.0) * angle.sin()
            });
            Some(Estimate::of_moves(value?, moves.collect()))
        };
        values.into_iter().enumerate().map(estimate).collect()
    }

    /// Errors are those of the line through moved values, by differences.
    #[test]
    fn errors_of_the_line_are_those_of_numerical_derivatives() {
        let estimates = estimates();
        let value = |found: &Option<Estimate>| found.as_ref().map(|found| found.value);
        let law = SeparationLaw::fit(&estimates.iter().map(value).collect::<Vec<_>>()).unwrap();
        let law = law.unwrap();
        let errors = law.errors(&estimates).unwrap();
        let moved = |part: usize, step: f64| {
            let values = estimates.iter().map(|found| {
                let found = found.as_ref()?;
                Some(found.value + step * found.moves_divided_by(1.0)[part])
            });
            SeparationLaw::fit(&values.collect::<Vec<_>>()).unwrap().unwrap()
        };
        let check = |part: fn(&SeparationLaw) -> f64, found: Option<f64>| {
            let change = |index| (part(&moved(index, 1e-3)) - part(&moved(index, -1e-3))) / 2e-3;
            let expected = Estimate::of_moves(0.0, (0..7).map(change).collect()).standard_error;
            assert!((found.unwrap() / expected - 1.0).abs() < 1e-6, "{found:?} {expected}");
        };
        check(|law| law.slope, errors.slope);
        check(|law| law.intercept, errors.intercept);
        check(|law| law.r_squared, errors.r_squared);
    }

    #[test]
    fn lines_without_all_errors_have_none() {
        let law = SeparationLaw::fit(&[Some(3.0), Some(2.5), Some(0.4), Some(0.07)]).unwrap();
        let law = law.unwrap();
        assert!(law.errors(&estimates()).is_some());
        let mut missing = estimates();
        missing[1] = None;
        assert!(law.errors(&missing).is_none());
        for moves in [vec![], vec![0.1; 6]] {
            let mut other = estimates();
            let value = other[1].as_ref().unwrap().value;
            other[1] = Some(Estimate::of_moves(value, moves));
            assert!(law.errors(&other).is_none());
        }
        let unknown = |value: f64| Some(Estimate::new(value, 0.1));
        let unknown = [unknown(3.0), unknown(2.0), unknown(1.0), unknown(0.5)];
        assert!(law.errors(&unknown).is_none());
    }
}
