//! Everything that ends the program with exit status 1.

use std::io;

use neural_collapse::Error;

use crate::tables::shortest_number;

/// Why the program failed, in one line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The file with the measurements is bad.
    #[error(transparent)]
    Input(Box<dyn std::error::Error + Send + Sync>),

    /// The library refuses the numbers.
    #[error(transparent)]
    Problem(Error),

    /// No model has this training.
    #[error("{error}; {instead}")]
    NoClosedForm {
        /// What is not known; in a box, so that results stay small.
        error: Box<Error>,
        /// What is.
        instead: &'static str,
    },

    /// The library refuses the numbers in a file, or in several.
    #[error("{file}: {error}")]
    Measurement {
        /// Name of the file.
        file: String,
        /// What is wrong; in a box, so that results stay small.
        error: Box<Error>,
    },

    /// A number or list is bad.
    #[error("{name}: {reason}")]
    Argument {
        /// Name of the flag or file.
        name: String,
        /// What is wrong.
        reason: String,
    },

    /// A text file cannot be read.
    #[error("{name} cannot be read: {error}")]
    Unreadable {
        /// Name of the file.
        name: String,
        /// The error of the operating system.
        error: io::Error,
    },

    /// A file cannot be written.
    #[error("{name} cannot be written: {error}")]
    Unwritable {
        /// Name of the file.
        name: String,
        /// The error of the operating system.
        error: io::Error,
    },

    /// The result cannot be written.
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl From<Error> for CliError {
    /// Names the flag where the library names its own argument.
    fn from(error: Error) -> Self {
        match &error {
            Error::OutOfRange { argument, value, expected } => match flag(argument.name) {
                Some(flag) => Self::Argument {
                    name: flag.into(),
                    reason: format!(
                        "{}, but must be {expected}{}",
                        shortest_number(*value),
                        hint(argument.name, *value)
                    ),
                },
                None => Self::Problem(error),
            },
            _ => Self::Problem(error),
        }
    }
}

/// What is meant by a value that is refused, where that is plain.
fn hint(argument: &str, value: f64) -> &'static str {
    match argument {
        "bias_decay" if value == 0.0 => "; a bias without weight decay is `unregularized`",
        _ => "",
    }
}

/// The flag that sets an argument of the library, such as `weight_decays[2]`.
fn flag(argument: &str) -> Option<&'static str> {
    match argument {
        "weight_decays" => Some("--weight-decay"),
        "feature_decay" => Some("--feature-decay"),
        "bias_decay" => Some("--bias"),
        "weight_energy" => Some("--weight-energy"),
        "feature_energy" => Some("--feature-energy"),
        "widths" => Some("--widths"),
        _ => None,
    }
}

impl CliError {
    /// An error of a model; where no closed form is known it says what can be had.
    pub(crate) fn of_model(error: Error, instead: &'static str) -> Self {
        match error {
            Error::NoClosedForm { .. } => Self::NoClosedForm { error: Box::new(error), instead },
            other => other.into(),
        }
    }

    /// Adds the name of the file that the library found a mistake in.
    pub(crate) fn in_file(file: &str) -> impl FnOnce(Error) -> Self {
        let file = file.to_string();
        |error| Self::Measurement { file, error: Box::new(error) }
    }

    /// The message as one line: names from files may contain line breaks and control characters.
    pub(crate) fn one_line(&self) -> String {
        self.to_string().replace(char::is_control, " ")
    }

    /// Whether the reader of the output has gone away, as `head` does: no error of ours.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}
