//! Mean and standard deviation.

/// Mean and standard deviation of some numbers.
///
/// ```
/// use neural_collapse::metrics::Spread;
///
/// let spread = Spread::of(&[1.0, 2.0, 3.0, 6.0]).unwrap();
/// assert_eq!((spread.mean, spread.deviation), (3.0, 3.5_f64.sqrt()));
/// assert_eq!(spread.coefficient_of_variation(), Some(3.5_f64.sqrt() / 3.0));
/// assert!((spread.sample_deviation().unwrap() - (14.0_f64 / 3.0).sqrt()).abs() < 1e-15);
/// assert_eq!(Spread::of(&[]), None);
/// assert_eq!(Spread::of(&[3.0]).unwrap().sample_deviation(), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Standard deviation with the divisor n, as NumPy's `std` has it by default.
    pub deviation: f64,
    /// The number n of numbers.
    pub number: u64,
}

impl Spread {
    /// The spread of a list of numbers; `None` of an empty one, and if the mean is not a finite number.
    #[must_use]
    pub fn of(numbers: &[f64]) -> Option<Self> {
        let number = numbers.len() as f64;
        let mean = numbers.iter().sum::<f64>() / number;
        let mut sums = Moments::around(mean);
        numbers.iter().for_each(|&number| sums.add(number));
        mean.is_finite().then(|| sums.spread())
    }

    /// Standard deviation with the divisor n − 1, as `torch.std` has it by default; `None` for one number.
    #[must_use]
    pub fn sample_deviation(&self) -> Option<f64> {
        let number = self.number as f64;
        (self.number > 1).then(|| self.deviation * (number / (number - 1.0)).sqrt())
    }

    /// Standard deviation divided by the mean, the coefficient of variation; `None` for a mean of 0.
    #[must_use]
    pub fn coefficient_of_variation(&self) -> Option<f64> {
        (self.mean != 0.0).then(|| self.deviation / self.mean)
    }
}

/// Sums from which a spread follows, around a number close to the mean.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moments {
    origin: f64,
    number: u64,
    sum: f64,
    squares: f64,
}

impl Moments {
    pub(crate) fn around(origin: f64) -> Self {
        Self::new(origin, 0, 0.0, 0.0)
    }

    /// From Σ (x − origin) and Σ (x − origin)² of so many numbers.
    pub(crate) fn new(origin: f64, number: u64, sum: f64, squares: f64) -> Self {
        Self { origin, number, sum, squares }
    }

    pub(crate) fn add(&mut self, number: f64) {
        let difference = number - self.origin;
        self.number += 1;
        self.sum += difference;
        self.squares += difference * difference;
    }

    pub(crate) fn spread(&self) -> Spread {
        let number = self.number as f64;
        let shift = self.sum / number;
        let variance = self.squares / number - shift * shift;
        // Numbers that grow without limit deviate without limit, where ∞ − ∞ says nothing.
        let variance = if shift.is_finite() { variance.max(0.0) } else { f64::INFINITY };
        Spread { mean: self.origin + shift, deviation: variance.sqrt(), number: self.number }
    }
}
