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
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
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
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
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
