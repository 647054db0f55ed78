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
