//! Names of classes, for tables.

use std::path::Path;

use super::error::{InputError, Problem};

/// Longer files are no lists of names.
const MAX_LENGTH: u64 = 1 << 28;

/// The names of `classes` classes in a text file: one for each line, or a JSON list.
pub(crate) fn read(path: &Path, classes: usize) -> Result<Vec<String>, InputError> {
    let read = || {
        if std::fs::metadata(path)?.len() > MAX_LENGTH {
            return Err(Problem::Impossible("is too long for a list of names".into()));
        }
        let names = parse(&String::from_utf8_lossy(&std::fs::read(path)?))?;
        match names.len() == classes {
            true => Ok(names),
            false => Err(Problem::Impossible(format!(
                "has {} names for {classes} classes; --label-names takes one for each, line by line or as a JSON list",
                names.len()
            ))),
        }
    };
    read().map_err(|problem: Problem| problem.in_file(path))
}

fn parse(text: &str) -> Result<Vec<String>, Problem> {
    let text = text.trim_start_matches('\u{feff}').trim();
    let names: Vec<String> = match text.starts_with('[') {
        true => serde_json::from_str(text).map_err(|error| {
            Problem::Impossible(format!("is not a JSON list of names: {error}; --label-names"))
        })?,
        false => text.lines().map(|line| line.trim().into()).collect(),
    };
    // They go to a terminal.
    Ok(names.into_iter().map(|name| name.replace(char::is_control, " ")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_lines_or_in_a_list() {
        assert_eq!(parse("cat\r\n sea lion \n").unwrap(), ["cat", "sea lion"]);
        assert_eq!(parse("\u{feff}[\"a\\u001b[0m\", \"b\"]").unwrap(), ["a [0m", "b"]);
        assert!(parse("[1, 2]").is_err());
    }
}
