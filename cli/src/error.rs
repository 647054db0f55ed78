//! Everything that ends the program with exit status 1.

use std::io;

use crate::input::InputError;

/// Why the program failed, in one line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The file with the measurements is bad.
    #[error(transparent)]
    Input(#[from] InputError),

    /// The library refuses the numbers.
    #[error(transparent)]
    Problem(#[from] neural_collapse::Error),

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

    /// The result cannot be written.
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl CliError {
    /// The message as one line: names from files may contain line breaks and control characters.
    pub(crate) fn one_line(&self) -> String {
        self.to_string().replace(char::is_control, " ")
    }

    /// Whether the reader of the output has gone away, as `head` does: no error of ours.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}
