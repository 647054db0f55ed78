//! Class sizes as they are typed: `200,100,50x2`.

use std::io::Read;
use std::path::PathBuf;
use std::str::FromStr;

use neural_collapse::ClassCounts;

use crate::error::CliError;

/// Parses a list separated by commas, spaces or line breaks.
fn parse_counts(text: &str) -> Result<ClassCounts, String> {
    let separators = |character: char| character == ',' || character.is_whitespace();
    let items = text.split(separators).filter(|item| !item.is_empty());
    let runs = items.map(parse_run).collect::<Result<Vec<_>, _>>()?;
    if runs.is_empty() {
        return Err("there are no classes".into());
    }
    ClassCounts::from_runs(runs).map_err(|error| error.to_string())
}

/// The size and the number of classes of `50` or `50x2`: ten million equal classes are one entry.
fn parse_run(item: &str) -> Result<(u64, usize), String> {
    let (size, repeat) = item.split_once(['x', 'X']).unwrap_or((item, "1"));
    let (Ok(size), Ok(repeat)) = (size.parse(), repeat.parse()) else {
        return Err(format!("`{item}` is neither a class size nor `SIZExCLASSES`"));
    };
    if size == 0 || repeat == 0 {
        return Err(format!("`{item}` has a zero, but classes have at least one sample"));
    }
    Ok((size, repeat))
}

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
        parse_counts(&text).map_err(|reason| CliError::Argument { name, reason })
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
    fn lists_and_runs_are_parsed() {
        let sizes = parse_counts("200,100,50x2\n 7").unwrap();
        assert_eq!(sizes, ClassCounts::new(&[200, 100, 50, 50, 7]).unwrap());
    }

    #[test]
    fn huge_runs_are_not_expanded() {
        let sizes = parse_counts("1x18446744073709551615").unwrap();
        assert_eq!(sizes.runs().len(), 1);
    }

    #[test]
    fn other_texts_are_errors() {
        for text in
            ["", ",", "0", "5x0", "-5", "2.5", "5x", "x5", "5x5x5", "a", "2x9999999999999999999"]
        {
            assert!(parse_counts(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sources_are_recognised() {
        assert_eq!("@-".parse(), Ok(CountsSource::StandardInput));
        assert_eq!("@a.txt".parse(), Ok(CountsSource::File("a.txt".into())));
        assert!("@".parse::<CountsSource>().is_err());
    }
}
