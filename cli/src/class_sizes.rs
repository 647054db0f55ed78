//! Class sizes as they are typed: `200,100,50x2`.

use std::io::Read;
use std::path::PathBuf;
use std::str::FromStr;

use neural_collapse::ClassCounts;

use crate::error::CliError;

/// Where the class sizes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CountsSource {
    /// On the command line.
    Inline(String),
    /// In a file.
    File(PathBuf),
    /// On the standard input.
    StandardInput,
}

impl FromStr for CountsSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix('@') {
            Some("") => Err("`@` needs the name of a file, or `@-` for the standard input".into()),
            Some("-") => Ok(Self::StandardInput),
            Some(file) => Ok(Self::File(file.into())),
            None => Ok(Self::Inline(text.into())),
        }
    }
}

impl CountsSource {
    /// Reads the class sizes.
    pub(crate) fn read(&self) -> Result<ClassCounts, CliError> {
        let (name, text) = match self {
            Self::Inline(text) => ("--counts".into(), Ok(text.clone())),
            Self::File(path) => (path.display().to_string(), std::fs::read_to_string(path)),
            Self::StandardInput => ("standard input".into(), read_standard_input()),
        };
        let text = text.map_err(|error| CliError::Unreadable { name: name.clone(), error })?;
        text.parse().map_err(|error: neural_collapse::Error| CliError::Argument {
            name,
            reason: error.to_string(),
        })
    }
}

fn read_standard_input() -> std::io::Result<String> {
    let mut text = String::new();
    std::io::stdin().lock().read_to_string(&mut text).map(|_| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_recognized() {
        assert_eq!("@-".parse(), Ok(CountsSource::StandardInput));
        assert_eq!("@a.txt".parse(), Ok(CountsSource::File("a.txt".into())));
        assert!("@".parse::<CountsSource>().is_err());
    }
}
