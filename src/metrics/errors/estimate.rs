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
