//! Errors of the library as Python exceptions.

use neural_collapse::Error;
use neural_collapse::error::{Argument, Place};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// The names that arguments have in Python where the library's differ.
const NAMES: [(&str, &str); 4] = [
    ("weight_decays", "weight_decay"),
    ("numbers", "features"),
    ("layers", "weights"),
    ("weight_decays.len()", "depth"),
];

/// A result of the library, with its error as an exception.
pub(crate) trait OrRaise<T> {
    /// The value, or the exception that names the argument.
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for neural_collapse::Result<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| exception(py, &error))
    }
}

/// The exception for an error: a class of `neuralcollapse.errors`, a subclass of `ValueError`, with the argument, the
/// place in it, the value and what is expected as attributes.
pub(crate) fn exception(py: Python<'_>, error: &Error) -> PyErr {
    let facts = Facts::of(error);
    raised(py, facts.class, &readable(&error.to_string()), &facts)
        .unwrap_or_else(|_| PyValueError::new_err(error.to_string()))
}

/// An `ArgumentError` of the binding itself.
pub(crate) fn bad_argument(
    py: Python<'_>,
    name: &'static str,
    found: &str,
    expected: &str,
) -> PyErr {
    let message = format!("`{name}` is {found}, but must be {expected}");
    let facts = Facts {
        class: "ArgumentError",
        argument: Some(name),
        expected: Some(expected.into()),
        ..Facts::default()
    };
    raised(py, facts.class, &message, &facts).unwrap_or_else(|error| error)
}

/// A `ShapeError` of the binding itself.
pub(crate) fn bad_shape(
    py: Python<'_>,
    name: &'static str,
    found: usize,
    expected: usize,
    reason: &str,
) -> PyErr {
    let message = format!("`{name}` has shape {found}, but must have shape {expected}, {reason}");
    let facts = Facts {
        class: "ShapeError",
        argument: Some(name),
        expected: Some(reason.into()),
        ..Facts::default()
    };
    raised(py, facts.class, &message, &facts).unwrap_or_else(|error| error)
}

/// What a program can ask an exception for.
#[derive(Default)]
struct Facts {
    class: &'static str,
    argument: Option<&'static str>,
    place: Vec<usize>,
    value: Option<f64>,
    expected: Option<String>,
}

impl Facts {
    fn new(class: &'static str) -> Self {
        Self { class, ..Self::default() }
    }

    fn at(class: &'static str, argument: &Argument) -> Self {
        let place = match argument.place {
            Place::Index(index) => vec![index],
            Place::Entry { row, column } => vec![row, column],
            Place::LayerEntry { layer, row, column } => vec![layer, row, column],
            Place::Sample { sample, feature } => vec![sample, feature],
            _ => Vec::new(),
        };
        Self { class, argument: Some(argument.name), place, ..Self::default() }
    }

    fn named(class: &'static str, argument: &'static str) -> Self {
        Self { class, argument: Some(argument), ..Self::default() }
    }

    fn of(error: &Error) -> Self {
        match error {
            Error::OutOfRange { argument, value, expected } => Self {
                value: Some(*value),
                expected: Some((*expected).into()),
                ..Self::at("ArgumentError", argument)
            },
            Error::Shape { argument, reason, .. } => {
                Self { expected: Some((*reason).into()), ..Self::at("ShapeError", argument) }
            }
            Error::LabelOutOfRange { sample, label, classes } => Self {
                place: vec![*sample],
                value: Some(*label as f64),
                expected: Some(format!("0, …, {}", classes.saturating_sub(1))),
                ..Self::named("ArgumentError", "labels")
            },
            Error::Empty { argument } | Error::ZeroNorm { argument } => {
                Self::named("ArgumentError", argument)
            }
            Error::EmptyClass { argument, class } | Error::ZeroVector { argument, class } => {
                Self { place: vec![*class], ..Self::named("EmptyClassError", argument) }
            }
            Error::SecondPass { class, found, expected }
            | Error::DifferentCounts { class, found, expected } => Self {
                place: vec![*class],
                value: Some(*found as f64),
                expected: Some(expected.to_string()),
                ..Self::new("MismatchError")
            },
            Error::DifferentFirstPass => Self::new("MismatchError"),
            Error::NoClosedForm { .. } => Self::new("NoClosedFormError"),
            Error::NotAnswered { .. } => Self::new("NotAnsweredError"),
            Error::NoConvergence { .. } => Self::new("ConvergenceError"),
            Error::Unrepresentable { .. } => Self::new("RangeError"),
            Error::Syntax { expected, .. } => {
                Self { expected: Some((*expected).into()), ..Self::new("ArgumentError") }
            }
            Error::Cancelled => Self::new("CancelledError"),
            _ => Self::new("NeuralCollapseError"),
        }
    }
}

/// The text of an error with the names of Python.
fn readable(text: &str) -> String {
    let rename = |text: String, (from, to): &(&str, &str)| {
        text.replace(&format!("`{from}`"), &format!("`{to}`"))
            .replace(&format!("`{from}["), &format!("`{to}["))
    };
    NAMES.iter().fold(text.to_owned(), rename)
}

fn raised(py: Python<'_>, class: &str, message: &str, facts: &Facts) -> PyResult<PyErr> {
    let rename = |name| NAMES.iter().find(|(from, _)| *from == name).map_or(name, |(_, to)| *to);
    let keywords = PyDict::new(py);
    keywords.set_item("argument", facts.argument.map(rename))?;
    let place = (!facts.place.is_empty()).then(|| PyTuple::new(py, &facts.place)).transpose()?;
    keywords.set_item("place", place)?;
    keywords.set_item("value", facts.value)?;
    keywords.set_item("expected", facts.expected.as_deref())?;
    let class = py.import("neuralcollapse.errors")?.getattr(class)?;
    Ok(PyErr::from_value(class.call((message,), Some(&keywords))?))
}
