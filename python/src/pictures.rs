//! What pictures of classes are drawn from.

use nalgebra::DMatrix;
use neural_collapse::audit::Audit;
use neural_collapse::geometry::{ClassGroups, Projection, class_pairs, cosines};
use neural_collapse::{ClassMatrix, Error, Prediction};
use numpy::{PyArray1, PyArray2};
use pyo3::prelude::*;

use crate::arrays::{columns_to_numpy, list_to_numpy, rows_as_columns, to_numpy};
use crate::error::{OrRaise, bad_argument};
use crate::problem::counts;

/// Pairs of classes whose cosines are counted.
const MOST_PAIRS: usize = 200_000;

/// A matrix over the classes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Matrix {
    Classifier,
    ClassMeans,
    Outputs,
}

impl Matrix {
    pub(crate) fn named(py: Python<'_>, name: &str) -> PyResult<Self> {
        Ok(match name {
            "classifier" => Self::Classifier,
            "class_means" => Self::ClassMeans,
            "outputs" => Self::Outputs,
            other => {
                let expected = "'classifier', 'class_means' or 'outputs'";
                return Err(bad_argument(py, "matrix", &format!("'{other}'"), expected));
            }
        })
    }

    /// The Gram matrix of these vectors.
    pub(crate) fn of_vectors(py: Python<'_>, name: &str) -> PyResult<Self> {
        match name {
            "classifier" => Ok(Self::Classifier),
            "class_means" => Ok(Self::ClassMeans),
            other => {
                let expected = "'classifier' or 'class_means'";
                Err(bad_argument(py, "vectors", &format!("'{other}'"), expected))
            }
        }
    }

    /// What is predicted of it, if it is determined.
    fn target(self, prediction: &dyn Prediction) -> Result<Option<ClassMatrix>, Error> {
        let target = match self {
            Self::Classifier => prediction.trailing_gram(1),
            Self::ClassMeans => prediction.class_means_gram(),
            Self::Outputs => prediction.class_outputs(),
        };
        match target {
            Ok(target) => Ok(Some(target)),
            Err(Error::NotAnswered { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The measured factors L (K×·) and R (·×K) of LR, classes in the order of the prediction.
    fn factors(self, audit: &Audit) -> Result<(DMatrix<f64>, DMatrix<f64>), Error> {
        let measurement = &audit.measurement;
        let (mut head, mut means) = (measurement.head().clone(), measurement.class_means().clone());
        if let Some(order) = &audit.matching {
            (head, means) = (head.with_order(order)?, means.select_columns(order));
        }
        Ok(match self {
            Self::Classifier => {
                let last = head.trailing_product(1)?;
                (last.clone(), last.transpose())
            }
            Self::ClassMeans => (means.transpose(), means),
            Self::Outputs => (head.product()?, means),
        })
    }
}

/// A matrix as it was measured, as it is predicted, and the difference of the two.
pub(crate) struct Compared {
    pub(crate) measured: DMatrix<f64>,
    pub(crate) others: Option<(DMatrix<f64>, DMatrix<f64>)>,
}

impl Compared {
    pub(crate) fn new(
        audit: &Audit,
        prediction: Option<&dyn Prediction>,
        matrix: Matrix,
        most: usize,
    ) -> Result<Self, Error> {
        let groups = ClassGroups::by_size(audit.measurement.counts(), most);
        let (left, right) = matrix.factors(audit)?;
        let target = prediction.map(|prediction| matrix.target(prediction)).transpose()?.flatten();
        let pair = target.map(|target| groups.compare(&left, &right, &target)).transpose()?;
        Ok(match pair.flatten() {
            Some(pair) => {
                Self { measured: pair.measured, others: Some((pair.target, pair.difference)) }
            }
            None => Self { measured: groups.means_of_product(&left, &right)?, others: None },
        })
    }
}

/// Cosines of pairs of classes, at most 200 000 of them: those measured, and those predicted.
pub(crate) fn pair_cosines(
    audit: &Audit,
    prediction: Option<&dyn Prediction>,
    matrix: Matrix,
) -> Result<(Vec<f64>, Vec<f64>), Error> {
    let (_, vectors) = matrix.factors(audit)?;
    let pairs = class_pairs(vectors.ncols(), MOST_PAIRS);
    let measured = cosines(&vectors, &pairs).into_iter().flatten().collect();
    let target = prediction.map(|prediction| matrix.target(prediction)).transpose()?.flatten();
    let predicted = target.map_or_else(Vec::new, |target| cosines_of(&target, &pairs));
    Ok((measured, predicted))
}

fn cosines_of(matrix: &ClassMatrix, pairs: &[(usize, usize)]) -> Vec<f64> {
    pairs.iter().filter_map(|&(i, j)| matrix.cosine(i, j)).collect()
}

/// The same of a prediction alone.
pub(crate) fn all_cosines<'py>(py: Python<'py>, matrix: &ClassMatrix) -> Bound<'py, PyArray1<f64>> {
    list_to_numpy(py, &cosines_of(matrix, &class_pairs(matrix.classes(), MOST_PAIRS)))
}

/// The means of the entries over pairs of groups; None for a family.
pub(crate) fn grouped<'py>(
    py: Python<'py>,
    matrix: &ClassMatrix,
    sizes: &Bound<'py, PyAny>,
    most: usize,
) -> PyResult<Option<Bound<'py, PyArray2<f64>>>> {
    let means = ClassGroups::by_size(&counts(sizes)?, most).means_of_matrix(matrix);
    means.map(|means| to_numpy(py, &means)).transpose()
}

/// The vectors of a Gram matrix, turned so that they lie as near to measured ones, the rows, as they can.
pub(crate) fn aligned<'py>(
    py: Python<'py>,
    matrix: &ClassMatrix,
    rows: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let measured = rows_as_columns(rows, "rows")?;
    columns_to_numpy(py, py.detach(|| matrix.aligned_with(&measured)).or_raise(py)?)
}

/// The classes by falling size in at most `most` groups of neighbors, and the groups that begin with smaller classes than the
/// one before ends with: a pair of a list of lists of classes and a list of indices.
#[pyfunction]
#[pyo3(signature = (counts, most = 40))]
pub(crate) fn class_groups(
    counts: &Bound<'_, PyAny>,
    most: usize,
) -> PyResult<(Vec<Vec<usize>>, Vec<usize>)> {
    let groups = ClassGroups::by_size(&self::counts(counts)?, most);
    Ok((groups.groups().to_vec(), groups.boundaries()))
}

/// The plane that holds the most of vectors (K, d), one a row: a pair of its orthonormal axes (2, d) and its share of the
/// squared lengths. With `star` the plane in which vectors at equal angles point into all directions evenly. With `dimensions`
/// the space of so many. There are fewer axes for fewer vectors or features.
#[pyfunction]
#[pyo3(signature = (vectors, star = false, dimensions = 2))]
pub(crate) fn plane<'py>(
    py: Python<'py>,
    vectors: &Bound<'py, PyAny>,
    star: bool,
    dimensions: usize,
) -> PyResult<(Bound<'py, PyArray2<f64>>, f64)> {
    let vectors = rows_as_columns(vectors, "vectors")?;
    let plane = match star {
        true => Projection::star(&vectors),
        false => Projection::leading(&vectors, dimensions),
    };
    let plane = plane.or_raise(py)?;
    let axes = plane.coordinates(&DMatrix::identity(vectors.nrows(), vectors.nrows()));
    Ok((to_numpy(py, &axes.or_raise(py)?)?, plane.share()))
}
