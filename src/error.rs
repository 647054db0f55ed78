//! What can be wrong with an input.

use num_traits::Float;

/// Result of everything in this crate that checks its input.
///
/// The second parameter lets `use neural_collapse::*` stand beside `Result<(), Box<dyn std::error::Error>>`.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// What was wrong with an input: the argument, the place in it, the value found and what is allowed, as data
/// that a program can use.
///
/// ```
/// use neural_collapse::error::Place;
/// use neural_collapse::{Error, Regularization};
///
/// let error = Regularization::new(&[1e-4, 0.0], 1e-4).unwrap_err();
/// assert_eq!(error.to_string(), "`weight_decays[1]` is 0, but must be positive and finite");
/// let Error::OutOfRange { argument, value, .. } = error else { unreachable!() };
/// assert_eq!((argument.name, argument.place, value), ("weight_decays", Place::Index(1), 0.0));
/// ```
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A number lies outside of its range; NaN and infinities are outside of every range.
    #[error("{argument} is {}, but must be {expected}", Readable(*.value))]
    OutOfRange {
        /// The argument, with the place of the number in it.
        argument: Argument,
        /// The value found.
        value: f64,
        /// The values allowed.
        expected: &'static str,
    },
    /// A list or matrix has no entries.
    #[error("`{argument}` is empty")]
    Empty {
        /// Name of the argument.
        argument: &'static str,
    },
    /// A list or matrix does not have the shape that the other arguments ask for.
    #[error("{argument} has shape {}, but must have shape {}, {reason}", Sizes(.found), Sizes(.expected))]
    Shape {
        /// The argument.
        argument: Argument,
        /// The sizes found: one of a list, rows and columns of a matrix.
        found: Vec<usize>,
        /// The sizes needed.
        expected: Vec<Size>,
        /// Why these are needed.
        reason: &'static str,
    },
    /// A label is not one of the classes 0, …, K−1.
    #[error("`labels[{sample}]` is {label}, but there are {classes} classes, numbered from 0")]
    LabelOutOfRange {
        /// Index of the sample.
        sample: usize,
        /// Its label.
        label: i128,
        /// Number of classes K.
        classes: usize,
    },
    /// A class has no sample, so it has no mean.
    #[error("class {class} has no sample in `{argument}`")]
    EmptyClass {
        /// Name of the argument.
        argument: &'static str,
        /// The empty class, counted from 0.
        class: usize,
    },
    /// A matrix is zero, so that there is no direction to compare with another one's.
    #[error("`{argument}` is zero, so that it cannot be compared up to a factor")]
    ZeroNorm {
        /// Name of the argument.
        argument: &'static str,
    },
    /// The vector of a class is zero, as under minority collapse, so that it has no direction.
    #[error("the vector of class {class} in `{argument}` is zero, so it has no direction")]
    ZeroVector {
        /// Name of the argument.
        argument: &'static str,
        /// The class, counted from 0.
        class: usize,
    },
    /// A second pass over the samples has not visited the samples of the first one.
    #[error(
        "class {class} has {found} samples in the second pass over the features, but {expected} in the first"
    )]
    SecondPass {
        /// The first class whose samples differ in number.
        class: usize,
        /// Its samples in the second pass.
        found: u64,
        /// Its samples in the first pass.
        expected: u64,
    },
    /// A prediction is for other numbers of samples in the classes than a network was measured on.
    #[error("class {class} has {found} samples, but {expected} in the prediction")]
    DifferentCounts {
        /// The first class whose samples differ in number.
        class: usize,
        /// Its measured samples.
        found: u64,
        /// Those that the prediction is for.
        expected: u64,
    },
    /// Sums over pieces of a data set do not belong together.
    #[error(
        "sums of deviations from different class means or with different options cannot be merged"
    )]
    DifferentFirstPass,
    /// The problem is well posed, but its global minimum has no known closed form.
    #[error("no closed form is known for {problem}")]
    NoClosedForm {
        /// The problem, in words.
        problem: &'static str,
    },
    /// A result cannot be represented as a floating-point number.
    #[error("{quantity} is out of the range of floating-point numbers{}", Magnitude(*.log10))]
    Unrepresentable {
        /// The quantity.
        quantity: &'static str,
        /// Its decimal logarithm, infinite if that is not known.
        log10: f64,
    },
    /// An iterative method did not converge.
    #[error("the {algorithm} did not converge in {iterations} iterations")]
    NoConvergence {
        /// The method.
        algorithm: &'static str,
        /// Iterations done.
        iterations: usize,
    },
    /// A prediction has no answer to a question.
    #[error("there is no answer to {question}: {reason}")]
    NotAnswered {
        /// What was asked for.
        question: &'static str,
        /// Why there is no answer.
        reason: &'static str,
    },
    /// A text does not say what it should.
    #[error("`{text}` is not {expected}")]
    Syntax {
        /// The text.
        text: String,
        /// What it should be.
        expected: &'static str,
    },
    /// Long work was ended by the caller's [`Monitor`](crate::Monitor).
    #[error("the work was cancelled")]
    Cancelled,
}

/// An argument of a function, and a place in it.
///
/// It is written as code would have it: `weight_decays[2]`, `target[(0, 3)]`, `weights[1][(0, 3)]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Argument {
    /// The name that the function gives to the argument.
    pub name: &'static str,
    /// The place in the argument.
    pub place: Place,
}

/// A place in an argument. All indices count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// All of it.
    Whole,
    /// An entry of a list: a layer, a class, or whatever the list is of.
    Index(usize),
    /// An entry of a matrix.
    Entry {
        /// Its row.
        row: usize,
        /// Its column.
        column: usize,
    },
    /// An entry of one matrix of a list of layers.
    LayerEntry {
        /// Index of the layer's matrix.
        layer: usize,
        /// The entry's row.
        row: usize,
        /// The entry's column.
        column: usize,
    },
    /// A number of a sample, however the samples lie in memory.
    Sample {
        /// Index of the sample in the batch given.
        sample: usize,
        /// Index of the feature.
        feature: usize,
    },
}

/// A size that a list or one side of a matrix must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Size {
    /// This one.
    Exactly(usize),
    /// This one or any larger.
    AtLeast(usize),
    /// Any.
    Any,
}

/// Refuses data of another number of features and classes than something measured or trained has.
pub(crate) fn check_shape(
    argument: &'static str,
    found: (usize, usize),
    expected: (usize, usize),
    reason: &'static str,
) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::shape(argument, found, expected, reason))
}

/// What must be true of a positive parameter such as a decay.
pub(crate) fn check_positive<T: Float + Into<f64>>(
    argument: impl Into<Argument>,
    value: T,
) -> Result<()> {
    if value > T::zero() && value.is_finite() {
        return Ok(());
    }
    Err(Error::out_of_range(argument, value.into(), POSITIVE))
}

/// What must be true of a parameter that may be zero.
pub(crate) fn check_not_negative<T: Float + Into<f64>>(
    argument: impl Into<Argument>,
    value: T,
) -> Result<()> {
    if value >= T::zero() && value.is_finite() {
        return Ok(());
    }
    Err(Error::out_of_range(argument, value.into(), "finite and not negative"))
}

/// The range of a positive parameter in words.
const POSITIVE: &str = "positive and finite";

/// A number with an exponent where it would have many digits without one.
struct Readable(f64);

impl core::fmt::Display for Readable {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self(value) = self;
        if *value == 0.0 || (1e-4..1e15).contains(&value.abs()) || !value.is_finite() {
            write!(formatter, "{value}")
        } else {
            write!(formatter, "{value:e}")
        }
    }
}

/// A decimal logarithm, if it is known.
struct Magnitude(f64);

impl core::fmt::Display for Magnitude {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.0.is_finite() { write!(formatter, " (log10 ≈ {:.1})", self.0) } else { Ok(()) }
    }
}

/// Sizes with × between them.
struct Sizes<'a, T>(&'a [T]);

impl<T: core::fmt::Display> core::fmt::Display for Sizes<'_, T> {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (index, size) in self.0.iter().enumerate() {
            write!(formatter, "{}{size}", if index == 0 { "" } else { "×" })?;
        }
        Ok(())
    }
}

impl core::fmt::Display for Size {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Exactly(size) => write!(formatter, "{size}"),
            Self::AtLeast(size) => write!(formatter, "≥{size}"),
            Self::Any => write!(formatter, "d"),
        }
    }
}

impl core::fmt::Display for Argument {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let name = self.name;
        match self.place {
            Place::Whole => write!(formatter, "`{name}`"),
            Place::Index(index) => write!(formatter, "`{name}[{index}]`"),
            Place::Entry { row, column } => write!(formatter, "`{name}[({row}, {column})]`"),
            Place::LayerEntry { layer, row, column } => {
                write!(formatter, "`{name}[{layer}][({row}, {column})]`")
            }
            Place::Sample { sample, feature } => {
                write!(formatter, "`{name}` at sample {sample}, feature {feature},")
            }
        }
    }
}

impl Argument {
    /// An entry of a list.
    pub(crate) fn at(name: &'static str, index: usize) -> Self {
        Self { name, place: Place::Index(index) }
    }

    /// An entry of a matrix.
    pub(crate) fn entry(name: &'static str, row: usize, column: usize) -> Self {
        Self { name, place: Place::Entry { row, column } }
    }
}

impl From<&'static str> for Argument {
    fn from(name: &'static str) -> Self {
        Self { name, place: Place::Whole }
    }
}

impl From<usize> for Size {
    fn from(size: usize) -> Self {
        Self::Exactly(size)
    }
}

impl Error {
    /// The same error with the samples counted from the beginning of a data set whose batch, from the
    /// sample `first` on, was refused.
    ///
    /// ```
    /// use neural_collapse::Error;
    /// use neural_collapse::measure::{ClassStatistics, Features};
    ///
    /// let batch = Features::from_row_major(&[1.0, f64::NAN], 2, 1)?.with_labels(&[0, 1], 2)?;
    /// let error = ClassStatistics::new(&batch).unwrap_err().counted_from(100);
    /// assert!(error.to_string().starts_with("`features` at sample 101, feature 0, is NaN"));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn counted_from(mut self, first: usize) -> Self {
        match &mut self {
            Self::OutOfRange {
                argument: Argument { place: Place::Sample { sample, .. }, .. },
                ..
            }
            | Self::LabelOutOfRange { sample, .. } => *sample = sample.saturating_add(first),
            _ => {}
        }
        self
    }

    /// An [`Error::OutOfRange`] for `argument`.
    pub(crate) fn out_of_range(
        argument: impl Into<Argument>,
        value: f64,
        expected: &'static str,
    ) -> Self {
        Self::OutOfRange { argument: argument.into(), value, expected }
    }

    /// An [`Error::Shape`] for `argument`, a matrix of `found` rows and columns.
    pub(crate) fn shape(
        argument: impl Into<Argument>,
        found: (usize, usize),
        expected: (impl Into<Size>, impl Into<Size>),
        reason: &'static str,
    ) -> Self {
        Self::Shape {
            argument: argument.into(),
            found: vec![found.0, found.1],
            expected: vec![expected.0.into(), expected.1.into()],
            reason,
        }
    }

    /// An [`Error::Shape`] for `argument`, a list of `found` entries.
    pub(crate) fn length(
        argument: impl Into<Argument>,
        found: usize,
        expected: usize,
        reason: &'static str,
    ) -> Self {
        let expected = vec![Size::Exactly(expected)];
        Self::Shape { argument: argument.into(), found: vec![found], expected, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positive_numbers_are_finite_and_others_are_named() {
        let positive = |value: f64| check_positive("rate", value).is_ok();
        assert_eq!([5e-324, 1.0, 0.0, -1.0].map(positive), [true, true, false, false]);
        assert!(!positive(f64::INFINITY) && !positive(f64::NAN));
        let not_negative = |value: f64| check_not_negative("rate", value).is_ok();
        assert_eq!([0.0, 1.0, -5e-324, -1.0].map(not_negative), [true, true, false, false]);
        assert!(!not_negative(f64::INFINITY) && !not_negative(f64::NAN));
        let error = Error::out_of_range("rate", -2.5, POSITIVE);
        assert_eq!(check_positive("rate", -2.5_f32), Err(error));
    }
}
