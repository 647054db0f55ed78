//! A measured number with its standard error.

/// A metric with its standard error: by how much it would typically differ, measured on other samples of the same classes,
/// from its mean over all such measurements.
///
/// It says nothing of a bias: class means of few samples are further apart than they should be, whatever the error.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// The metric.
    pub value: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// By how much each part of the samples moves it; empty where that is not known.
    moves: Vec<f64>,
}

impl Estimate {
    /// From the changes that the parts of the samples make.
    pub(crate) fn of_moves(value: f64, mut moves: Vec<f64>) -> Self {
        let mean = moves.iter().sum::<f64>() / moves.len() as f64;
        moves.iter_mut().for_each(|change| *change -= mean);
        let variance: f64 = moves.iter().map(|change| change * change).sum();
        Self { value, standard_error: variance.sqrt(), moves }
    }

    /// From what each sample moves a mean over samples: of N samples, 1/N of its influence.
    pub(crate) fn of_influences(value: f64, mut influences: Vec<f64>) -> Option<Self> {
        let samples = influences.len() as f64;
        let share = (samples * (samples - 1.0)).sqrt().recip();
        influences.iter_mut().for_each(|influence| *influence *= share);
        let found = Self::of_moves(value, influences);
        Some(found).filter(Self::is_finite)
    }

    /// By how much each part of the samples moves the number, divided by another one.
    pub(crate) fn moves_divided_by(&self, divisor: f64) -> Vec<f64> {
        self.moves.iter().map(|change| change / divisor).collect()
    }

    pub(crate) fn is_finite(&self) -> bool {
        self.value.is_finite() && self.standard_error.is_finite()
    }

    /// A number whose standard error is known otherwise.
    pub(crate) fn new(value: f64, standard_error: f64) -> Self {
        Self { value, standard_error, moves: Vec::new() }
    }

    /// The difference to a measurement on *other* samples or of an independently drawn data set: variances add up.
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::metrics::Nc1Options;
    /// use neural_collapse::metrics::errors::{Metric, SampleParts, StandardErrors};
    /// use neural_collapse::{ClassStatistics, Features, LinearHead};
    ///
    /// let rows = dmatrix![1.1, 0.0; 0.9, 0.1; -1.0, 0.3; -1.2, -0.3];
    /// let data = Features::from_sample_rows(&rows)?.with_labels(&[0, 0, 1, 1], 2)?;
    /// let head = LinearHead::new(vec![dmatrix![1.0, 0.0; -1.0, 0.0]], None)?;
    /// let mut parts = SampleParts::new(&ClassStatistics::new(&data)?, &Nc1Options::default())?;
    /// parts.accumulate(&data)?;
    /// let errors = StandardErrors::new(&parts, &head, None)?.unwrap();
    /// let nc1 = errors.get(Metric::Nc1).unwrap();
    /// let difference = nc1.minus_independent(nc1);
    /// assert!((difference.standard_error / nc1.standard_error - 2.0_f64.sqrt()).abs() < 1e-15);
    /// // The same samples: no error is left of the difference of a number to itself.
    /// assert_eq!(nc1.minus(nc1).unwrap().standard_error, 0.0);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    #[must_use]
    pub fn minus_independent(&self, other: &Self) -> Self {
        let standard_error = self.standard_error.hypot(other.standard_error);
        Self::new(self.value - other.value, standard_error)
    }

    /// The difference to a measurement on the *same* samples in the same order, such as that of the same network at
    /// another epoch: the errors of the samples are shared, and most of them cancel. `None` if the two do not have the
    /// same number of parts, or if one is a share of samples ([`Metric::Nc4`](crate::metrics::errors::Metric) and
    /// accuracies), of which the parts are not known.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Option<Self> {
        if self.moves.is_empty() || self.moves.len() != other.moves.len() {
            return None;
        }
        let moves = self.moves.iter().zip(&other.moves).map(|(own, other)| own - other);
        Some(Self::of_moves(self.value - other.value, moves.collect()))
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Estimate {
    /// The standard error alone, as the value stands elsewhere.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.standard_error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error of a mean, σ/√n with the divisor n − 1: √(14/3/4) for 1, 2, 3 and 6.
    #[test]
    fn influences_on_a_mean_are_numbers_less_the_mean() {
        let found = Estimate::of_influences(3.0, vec![-2.0, -1.0, 0.0, 3.0]).unwrap();
        assert!((found.standard_error - (14.0_f64 / 12.0).sqrt()).abs() < 1e-15, "{found:?}");
        assert_eq!(Estimate::of_influences(3.0, vec![0.0]), None);
        assert_eq!(Estimate::of_influences(f64::INFINITY, vec![-2.0, 2.0]), None);
    }

    #[test]
    fn differences_are_those_of_values_and_moves() {
        let one = Estimate::of_moves(5.0, vec![3.0, 1.0, -4.0]);
        let other = Estimate::of_moves(2.0, vec![1.0, 1.0, -2.0]);
        let paired = one.minus(&other).unwrap();
        assert_eq!((paired.value, paired.standard_error), (3.0, 8.0_f64.sqrt()));
        let independent = one.minus_independent(&other);
        assert_eq!(independent.value, 3.0);
        assert!((independent.standard_error - 32.0_f64.sqrt()).abs() < 1e-15);
        // Of other parts, or of none.
        let fewer = Estimate::of_moves(2.0, vec![1.0, -1.0]);
        assert!(one.minus(&fewer).is_none() && fewer.minus(&one).is_none());
        let unknown = Estimate::new(2.0, 1.0);
        assert!(unknown.minus(&unknown).is_none() && one.minus(&unknown).is_none());
    }
}
