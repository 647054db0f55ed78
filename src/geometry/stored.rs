//! How class matrices are stored, with the feature `serde`: what is read is checked as constructors check it.

use core::ops::{Range, RangeInclusive};

use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::geometry::class_matrix::ClassMatrix;
use crate::geometry::family::{Family, Subset};
use crate::geometry::frame::check_orthonormal;
use crate::geometry::structure::{Grouped, Structure};
use crate::numerics::stored::StoredMatrix;

/// [`ClassMatrix`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename = "ClassMatrix", deny_unknown_fields)]
pub(crate) struct Stored {
    base: StoredStructure,
    #[serde(default)]
    family: Option<StoredFamily>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum StoredStructure {
    Grouped {
        classes: usize,
        /// First class and group of each run of neighbors.
        runs: Vec<(usize, usize)>,
        diagonal: Vec<f64>,
        coupling: Option<StoredMatrix>,
    },
    Dense(StoredMatrix),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum StoredFamily {
    Projector { subset: StoredSubset, value: f64, ranks: RangeInclusive<usize> },
    Optional(StoredStructure),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum StoredSubset {
    Span(Vec<Range<usize>>),
    Contrasts(Vec<Range<usize>>),
    Columns(StoredMatrix),
}

impl From<&Structure> for StoredStructure {
    fn from(structure: &Structure) -> Self {
        match structure {
            Structure::Grouped(grouped) => Self::Grouped {
                classes: structure.classes(),
                runs: grouped.runs().to_vec(),
                diagonal: grouped.diagonal().to_vec(),
                coupling: grouped.coupling().map(StoredMatrix::from),
            },
            Structure::Dense(matrix) => Self::Dense(matrix.into()),
        }
    }
}

impl From<&Family> for StoredFamily {
    fn from(family: &Family) -> Self {
        match family {
            Family::Projector { subset, value, ranks } => {
                let subset = match subset {
                    Subset::Span(runs) => StoredSubset::Span(runs.clone()),
                    Subset::Contrasts(runs) => StoredSubset::Contrasts(runs.clone()),
                    Subset::Columns(columns) => StoredSubset::Columns(columns.into()),
                };
                Self::Projector { subset, value: *value, ranks: ranks.clone() }
            }
            Family::Optional(term) => Self::Optional(term.into()),
        }
    }
}

impl From<ClassMatrix> for Stored {
    fn from(matrix: ClassMatrix) -> Self {
        Self { base: matrix.base().into(), family: matrix.family().map(StoredFamily::from) }
    }
}

impl TryFrom<StoredStructure> for Structure {
    type Error = Error;

    fn try_from(stored: StoredStructure) -> Result<Self> {
        match stored {
            StoredStructure::Dense(matrix) => {
                Ok(ClassMatrix::from_dense(matrix.try_into()?)?.base().clone())
            }
            StoredStructure::Grouped { classes, runs, diagonal, coupling } => {
                let starts = runs.windows(2).all(|pair| pair[0].0 < pair[1].0)
                    && runs.first().is_some_and(|first| first.0 == 0)
                    && runs.last().is_some_and(|last| last.0 < classes);
                let groups = runs.iter().all(|&(_, group)| group < diagonal.len());
                expect(starts && groups, "runs", "the first class and the group of runs")?;
                let coupling: Option<DMatrix<f64>> = coupling.map(TryInto::try_into).transpose()?;
                let square =
                    |matrix: &DMatrix<f64>| matrix.shape() == (diagonal.len(), diagonal.len());
                expect(
                    coupling.as_ref().is_none_or(square),
                    "coupling",
                    "a number for two groups",
                )?;
                let numbers = diagonal.iter().chain(coupling.iter().flatten());
                expect(numbers.copied().all(f64::is_finite), "diagonal", "of finite numbers")?;
                Ok(Self::Grouped(Grouped::of_runs(runs, classes, diagonal, coupling)))
            }
        }
    }
}

impl StoredSubset {
    /// The subspace of ℝᴷ and its dimension.
    fn checked(self, classes: usize) -> Result<(Subset, usize)> {
        match self {
            Self::Span(runs) => {
                let members = checked_members(&runs, classes)?;
                Ok((Subset::Span(runs), members))
            }
            Self::Contrasts(runs) => {
                let members = checked_members(&runs, classes)?;
                Ok((Subset::Contrasts(runs), members.saturating_sub(1)))
            }
            Self::Columns(columns) => {
                let columns: DMatrix<f64> = columns.try_into()?;
                expect(columns.nrows() == classes, "columns", "of K rows")?;
                check_orthonormal("columns", None, &columns)?;
                let dimension = columns.ncols();
                Ok((Subset::Columns(columns), dimension))
            }
        }
    }
}

/// The number of classes in runs that rise and do not overlap.
fn checked_members(runs: &[Range<usize>], classes: usize) -> Result<usize> {
    let ordered = runs.windows(2).all(|pair| pair[0].end <= pair[1].start);
    let inside = runs.iter().all(|run| run.start < run.end && run.end <= classes);
    expect(ordered && inside, "subset", "rising runs of the K classes")?;
    Ok(runs.iter().map(ExactSizeIterator::len).sum())
}

impl StoredFamily {
    fn checked(self, classes: usize) -> Result<Family> {
        match self {
            Self::Optional(term) => {
                let term = Structure::try_from(term)?;
                expect(term.classes() == classes, "optional", "a matrix for K classes")?;
                Ok(Family::Optional(term))
            }
            Self::Projector { subset, value, ranks } => {
                let (subset, dimension) = subset.checked(classes)?;
                let possible = ranks.start() <= ranks.end() && *ranks.end() <= dimension;
                expect(possible, "ranks", "ranks of a projector in the subspace")?;
                expect(value.is_finite(), "value", "finite")?;
                Ok(Family::Projector { subset, value, ranks })
            }
        }
    }
}

impl TryFrom<Stored> for ClassMatrix {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self> {
        let base = Structure::try_from(stored.base)?;
        let classes = base.classes();
        let family = stored.family.map(|family| family.checked(classes)).transpose()?;
        Ok(Self::of_structure(base).with_family(family))
    }
}

fn expect(condition: bool, field: &'static str, expected: &'static str) -> Result<()> {
    if condition { Ok(()) } else { Err(Error::Syntax { text: field.to_owned(), expected }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_read(text: &str) -> bool {
        let stored: Stored = serde_json::from_str(text).unwrap();
        ClassMatrix::try_from(stored).is_ok()
    }

    #[test]
    fn groups_are_checked() {
        for (runs, coupling, expected) in [
            ("[[0, 1], [1, 0], [2, 1]]", "null", true),
            ("[[0, 1], [1, 0], [1, 1]]", "null", false),
            ("[[0, 1], [2, 0], [1, 1]]", "null", false),
            ("[[1, 1], [2, 0]]", "null", false),
            ("[]", "null", false),
            ("[[0, 1], [3, 0]]", "null", false),
            ("[[0, 1], [4, 0]]", "null", false),
            ("[[0, 2]]", "null", false),
            ("[[0, 3]]", "null", false),
            ("[[0, 1]]", r#"{"rows": 2, "columns": 2, "entries": [1, 2, 3, 4]}"#, true),
            ("[[0, 1]]", r#"{"rows": 2, "columns": 2, "entries": [1, 2, 3]}"#, false),
            ("[[0, 1]]", r#"{"rows": 1, "columns": 1, "entries": [1]}"#, false),
            ("[[0, 1]]", r#"{"rows": 1, "columns": 2, "entries": [1, 2]}"#, false),
        ] {
            let base = format!(
                r#"{{"grouped": {{"classes": 3, "runs": {runs}, "diagonal": [1, 2],
                    "coupling": {coupling}}}}}"#
            );
            assert_eq!(is_read(&format!(r#"{{"base": {base}}}"#)), expected, "{base}");
        }
    }

    #[test]
    fn families_are_checked() {
        let run = |start, end| format!(r#"{{"start": {start}, "end": {end}}}"#);
        let runs = |pairs: &[(usize, usize)]| {
            let runs: Vec<String> = pairs.iter().map(|&(start, end)| run(start, end)).collect();
            format!("[{}]", runs.join(", "))
        };
        let columns = r#"{"rows": 4, "columns": 1, "entries": [0.6, 0, 0.8, 0]}"#.to_owned();
        let short = r#"{"rows": 2, "columns": 1, "entries": [0.6, 0.8]}"#.to_owned();
        let long = r#"{"rows": 4, "columns": 1, "entries": [0.6, 1, 0.8, 0]}"#.to_owned();
        for (kind, subset, ranks, expected) in [
            ("span", runs(&[(0, 2), (2, 3)]), (1, 3), true),
            ("span", runs(&[(0, 2), (2, 3)]), (1, 4), false),
            ("span", runs(&[(0, 2), (3, 4)]), (2, 1), false),
            ("span", runs(&[(0, 2), (1, 3)]), (1, 1), false),
            ("span", runs(&[(2, 3), (0, 2)]), (1, 1), false),
            ("span", runs(&[(0, 2), (2, 2)]), (1, 1), false),
            ("span", runs(&[(0, 2), (3, 5)]), (1, 1), false),
            ("contrasts", runs(&[(0, 2), (3, 4)]), (2, 2), true),
            ("contrasts", runs(&[(0, 2), (3, 4)]), (2, 3), false),
            ("columns", columns.clone(), (0, 1), true),
            ("columns", columns, (0, 2), false),
            ("columns", short, (0, 1), false),
            ("columns", long, (0, 1), false),
        ] {
            let ranks = run(ranks.0, ranks.1);
            let text = format!(
                r#"{{"base": {{"grouped": {{"classes": 4, "runs": [[0, 0]], "diagonal": [1],
                    "coupling": null}}}}, "family": {{"projector": {{"subset": {{"{kind}": {subset}}},
                    "value": 2, "ranks": {ranks}}}}}}}"#
            );
            assert_eq!(is_read(&text), expected, "{text}");
        }
        for classes in [3, 4, 5] {
            let diagonal = |classes| {
                format!(
                    r#"{{"grouped": {{"classes": {classes}, "runs": [[0, 0]], "diagonal": [1],
                        "coupling": null}}}}"#
                )
            };
            let (base, term) = (diagonal(4), diagonal(classes));
            let text = format!(r#"{{"base": {base}, "family": {{"optional": {term}}}}}"#);
            assert_eq!(is_read(&text), classes == 4);
        }
    }
}
