//! Class sizes as they are typed: `200,100,50x2`.

use std::io::Read;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::CliError;

/// Consecutive classes of the same size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClassRun {
    /// Samples of each class.
    pub(crate) size: usize,
    /// Number of classes.
    pub(crate) repeat: usize,
}

/// Sizes of all classes, in the order given, as runs: ten million equal classes are one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClassSizes(Vec<ClassRun>);

impl ClassSizes {
    /// The runs, in the order given.
    pub(crate) fn runs(&self) -> &[ClassRun] {
        &self.0
    }

    /// The size of each class, in the order given.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().flat_map(|run| std::iter::repeat_n(run.size, run.repeat))
    }

    /// Number of classes K.
    pub(crate) fn classes(&self) -> usize {
        self.0.iter().map(|run| run.repeat).sum()
    }

    /// Number of samples N.
    pub(crate) fn samples(&self) -> usize {
        self.0.iter().map(|run| run.repeat * run.size).sum()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let separators = |character: char| character == ',' || character.is_whitespace();
        let items = text.split(separators).filter(|item| !item.is_empty());
        let runs = items.map(parse_run).collect::<Result<Vec<_>, _>>()?;
        check_total(&runs)?;
        Ok(Self(runs))
    }
}

/// `50` or `50x2`.
fn parse_run(item: &str) -> Result<ClassRun, String> {
    let (size, repeat) = item.split_once(['x', 'X']).unwrap_or((item, "1"));
    let number = |text: &str| text.parse::<usize>().ok();
    let (Some(size), Some(repeat)) = (number(size), number(repeat)) else {
        return Err(format!("`{item}` is neither a class size nor `SIZExCLASSES`"));
    };
    if size == 0 || repeat == 0 {
        return Err(format!("`{item}` has a zero, but classes have at least one sample"));
    }
    Ok(ClassRun { size, repeat })
}

/// Makes sure that the number of classes and of samples can be counted.
fn check_total(runs: &[ClassRun]) -> Result<(), String> {
    let add = |total: usize, run: &ClassRun| total.checked_add(run.repeat.checked_mul(run.size)?);
    match runs.iter().try_fold(0, add) {
        None => Err(format!("there are more than {} samples", usize::MAX)),
        Some(0) => Err("there are no classes".into()),
        Some(_) => Ok(()),
    }
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
    pub(crate) fn read(&self) -> Result<ClassSizes, CliError> {
        let (name, text) = match self {
            Self::Inline(text) => ("--counts".into(), Ok(text.clone())),
            Self::File(path) => (path.display().to_string(), std::fs::read_to_string(path)),
            Self::StandardInput => ("standard input".into(), read_standard_input()),
        };
        let text = text.map_err(|error| CliError::Unreadable { name: name.clone(), error })?;
        ClassSizes::parse(&text).map_err(|reason| CliError::Argument { name, reason })
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
        let sizes = ClassSizes::parse("200,100,50x2\n 7").unwrap();
        assert_eq!(sizes.iter().collect::<Vec<_>>(), [200, 100, 50, 50, 7]);
        assert_eq!(sizes.runs()[2], ClassRun { size: 50, repeat: 2 });
    }

    #[test]
    fn huge_runs_are_not_expanded() {
        let sizes = ClassSizes::parse("1x18446744073709551615").unwrap();
        assert_eq!(sizes.runs().len(), 1);
    }

    #[test]
    fn other_texts_are_errors() {
        for text in
            ["", ",", "0", "5x0", "-5", "2.5", "5x", "x5", "5x5x5", "a", "2x9999999999999999999"]
        {
            assert!(ClassSizes::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sources_are_recognised() {
        assert_eq!("@-".parse(), Ok(CountsSource::StandardInput));
        assert_eq!("@a.txt".parse(), Ok(CountsSource::File("a.txt".into())));
        assert!("@".parse::<CountsSource>().is_err());
    }
}
