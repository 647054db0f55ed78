//! The law of equi-separation.

use crate::error::{Error, Result};

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
        let r_squared = if yy > 0.0 { (slope * xy / yy).min(1.0) } else { 1.0 };
        Ok(Some(Self { slope, intercept: y - slope * x, r_squared, layers: points.len() }))
    }

    /// e^slope, the factor by which a layer changes NC1.
    #[must_use]
    pub fn factor(&self) -> f64 {
        self.slope.exp()
    }
}
