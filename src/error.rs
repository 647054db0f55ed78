//! What can be wrong with an input.

/// Result of everything in this crate that checks its input.
pub type Result<T> = core::result::Result<T, Error>;

/// What was wrong with an input, with the name of the argument, the value found and what is allowed.
///
/// ```
/// use neural_collapse::{Error, Regularization};
///
/// let error = Regularization::new(&[0.0], 1e-4).unwrap_err();
/// assert_eq!(error.to_string(), "`weight_decays[0]` is 0, but must be positive and finite");
/// assert!(matches!(error, Error::OutOfRange { .. }));
/// ```
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A number lies outside of its range; NaN and infinities are outside of every range.
    #[error("`{argument}` is {}, but must be {expected}", Readable(*.value))]
    OutOfRange {
        /// Name of the argument, with its index if it is one of a list: `weight_decays[2]`.
        argument: String,
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
    #[error("`{argument}` has shape {found}, but must have shape {expected}")]
    Shape {
        /// Name of the argument.
        argument: String,
        /// The shape found, such as `3×4`.
        found: String,
        /// The shape needed and why.
        expected: String,
    },

    /// A label is not one of the classes 0, …, K−1.
    #[error("`labels[{index}]` is {label}, but there are {classes} classes, numbered from 0")]
    LabelOutOfRange {
        /// Index of the sample.
        index: usize,
        /// Its label.
        label: usize,
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

    /// An iterative matrix decomposition did not converge.
    #[error("the {algorithm} did not converge in {iterations} iterations")]
    NoConvergence {
        /// The decomposition.
        algorithm: &'static str,
        /// Iterations done.
        iterations: usize,
    },
}

/// Refuses data of another number of features and classes than something measured or trained `of` them.
pub(crate) fn check_shape(
    argument: &str,
    found: (usize, usize),
    expected: (usize, usize),
    of: &str,
) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    let expected = format!("{}×{}, features × classes of the {of}", expected.0, expected.1);
    Err(Error::shape(argument, found, expected))
}

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

impl Error {
    /// An [`Error::OutOfRange`] for `argument`.
    pub(crate) fn out_of_range(
        argument: impl Into<String>,
        value: f64,
        expected: &'static str,
    ) -> Self {
        Self::OutOfRange { argument: argument.into(), value, expected }
    }

    /// An [`Error::Shape`] for `argument`, a matrix of `found` rows and columns.
    pub(crate) fn shape(
        argument: impl Into<String>,
        found: (usize, usize),
        expected: impl Into<String>,
    ) -> Self {
        Self::Shape {
            argument: argument.into(),
            found: format!("{}×{}", found.0, found.1),
            expected: expected.into(),
        }
    }
}
