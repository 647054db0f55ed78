//! Class matrices and frames.

use numpy::{PyArray1, PyArray2};
use pyo3::prelude::*;

use crate::arrays::{matrix, to_numpy, vector};
use crate::error::OrRaise;
use crate::pictures;
use crate::problem::samples;

/// A K×K matrix of inner products of classes, or a family of them; kept as its structure, never K×K unless asked for.
#[pyclass(frozen, module = "neuralcollapse")]
#[derive(Debug)]
pub(crate) struct ClassMatrix(pub(crate) neural_collapse::ClassMatrix);

#[pymethods]
impl ClassMatrix {
    /// Any symmetric K×K matrix.
    #[new]
    fn new(py: Python<'_>, matrix: &Bound<'_, PyAny>) -> PyResult<Self> {
        let dense = self::matrix(matrix, "matrix")?;
        neural_collapse::ClassMatrix::from_dense(dense).map(Self).or_raise(py)
    }

    /// The identity: orthogonal vectors of length 1.
    #[staticmethod]
    fn orthogonal_frame(py: Python<'_>, classes: usize) -> PyResult<Self> {
        neural_collapse::ClassMatrix::orthogonal_frame(classes).map(Self).or_raise(py)
    }

    /// I − 11ᵀ/K: the simplex equiangular tight frame.
    #[staticmethod]
    fn simplex_etf(py: Python<'_>, classes: usize) -> PyResult<Self> {
        neural_collapse::ClassMatrix::simplex_etf(classes).map(Self).or_raise(py)
    }

    /// All orthogonal projectors of this rank: what orthogonal frames become where widths leave room for so many directions.
    ///
    /// Source: Dang et al. (ICML 2023), theorem 3.1 (i).
    #[staticmethod]
    fn low_rank_orthogonal_frame(py: Python<'_>, classes: usize, rank: usize) -> PyResult<Self> {
        neural_collapse::ClassMatrix::low_rank_orthogonal_frame(classes, rank)
            .map(Self)
            .or_raise(py)
    }

    /// All orthogonal projectors of this rank on vectors that sum to zero: what simplex ETFs become there.
    ///
    /// Source: Dang et al. (ICML 2023), theorem 3.1 (ii).
    #[staticmethod]
    fn low_rank_simplex_etf(py: Python<'_>, classes: usize, rank: usize) -> PyResult<Self> {
        neural_collapse::ClassMatrix::low_rank_simplex_etf(classes, rank).map(Self).or_raise(py)
    }

    /// The diagonal matrix of squared lengths: a general orthogonal frame.
    #[staticmethod]
    fn diagonal(py: Python<'_>, squared_lengths: &Bound<'_, PyAny>) -> PyResult<Self> {
        let squares = vector(squared_lengths, "squared_lengths")?;
        neural_collapse::ClassMatrix::diagonal(&squares).map(Self).or_raise(py)
    }

    /// Number of classes K.
    #[getter]
    fn classes(&self) -> usize {
        self.0.classes()
    }

    /// Whether it is one matrix and not a family.
    #[getter]
    fn is_unique(&self) -> bool {
        self.0.is_unique()
    }

    /// All K² entries as an array, or None for a family.
    fn to_numpy<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyArray2<f64>>>> {
        self.0.to_dense().map(|dense| to_numpy(py, &dense)).transpose()
    }

    /// The entry (i, j), or None where it differs between the members of a family.
    fn get(&self, i: usize, j: usize) -> Option<f64> {
        self.0.get(i, j)
    }

    /// The cosine of the angle between two classes, if both are not zero.
    fn cosine(&self, i: usize, j: usize) -> Option<f64> {
        self.0.cosine(i, j)
    }

    /// ‖A/‖A‖ − G/‖G‖‖ of a measured K×K matrix A to this one G, or to the nearest member of the family.
    fn distance(&self, py: Python<'_>, measured: &Bound<'_, PyAny>) -> PyResult<f64> {
        let measured = matrix(measured, "measured")?;
        py.detach(|| self.0.distance(&measured)).or_raise(py)
    }

    /// The same for the Gram matrix of vectors, the rows of a K×d matrix.
    fn distance_to_gram(&self, py: Python<'_>, rows: &Bound<'_, PyAny>) -> PyResult<f64> {
        let rows = matrix(rows, "rows")?;
        py.detach(|| self.0.distance_to_gram(&rows)).or_raise(py)
    }

    /// The order of the measured classes, a K×K matrix of inner products, that fits best: a list of K indices.
    ///
    /// With `kinds` (K,) only classes with the same number there are exchanged, such as those of one size if it has the class
    /// counts.
    #[pyo3(signature = (measured, kinds = None))]
    fn matching(
        &self,
        py: Python<'_>,
        measured: &Bound<'_, PyAny>,
        kinds: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Vec<usize>> {
        let measured = matrix(measured, "measured")?;
        let Some(kinds) = kinds.filter(|kinds| !kinds.is_none()) else {
            return py.detach(|| self.0.matching(&measured)).or_raise(py);
        };
        let kinds = samples(kinds, "kinds")?.into_iter().map(|kind| kind as usize);
        let kinds: Vec<usize> = kinds.collect();
        py.detach(|| self.0.matching_within_kinds(&measured, &kinds)).or_raise(py)
    }

    /// The member of the family that is nearest to a measured K×K matrix in direction: K×K.
    fn nearest_member<'py>(
        &self,
        py: Python<'py>,
        measured: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let measured = matrix(measured, "measured")?;
        to_numpy(py, &py.detach(|| self.0.nearest_member(&measured)).or_raise(py)?)
    }

    /// The rank of vectors with these inner products once their mean is subtracted; None where it differs between the members
    /// of a family.
    fn affine_rank(&self, py: Python<'_>) -> PyResult<Option<usize>> {
        py.detach(|| self.0.affine_rank()).or_raise(py)
    }

    /// The cosines between two classes, of at most 200 000 pairs, without pairs that have none.
    fn cosines<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        pictures::all_cosines(py, &self.0)
    }

    /// The means of the entries over pairs of at most `most` groups of classes by falling size; None for a family.
    #[pyo3(signature = (counts, most = 40))]
    fn grouped<'py>(
        &self,
        py: Python<'py>,
        counts: &Bound<'py, PyAny>,
        most: usize,
    ) -> PyResult<Option<Bound<'py, PyArray2<f64>>>> {
        pictures::grouped(py, &self.0, counts, most)
    }

    /// Vectors with these inner products, turned so that they lie as near to the rows of a K×d matrix as they can
    /// (Procrustes): K×d. Of a family the nearest member. Raises ShapeError if d is less than their rank.
    fn aligned_with<'py>(
        &self,
        py: Python<'py>,
        rows: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        pictures::aligned(py, &self.0, rows)
    }

    fn __repr__(&self) -> String {
        let family = if self.0.is_unique() { "" } else { ", a family" };
        format!("ClassMatrix(K={}{family})", self.0.classes())
    }

    #[pyo3(signature = (dtype = None, copy = None))]
    fn __array__<'py>(
        slf: &Bound<'py, Self>,
        dtype: Option<&Bound<'py, PyAny>>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = copy; // the entries are always computed
        let Some(dense) = slf.get().to_numpy(slf.py())? else {
            let message = "a family of matrices has no single array; ask get(i, j) or distance()";
            return Err(pyo3::exceptions::PyTypeError::new_err(message));
        };
        match dtype {
            Some(dtype) => dense.call_method1("astype", (dtype,)),
            None => Ok(dense.into_any()),
        }
    }
}

/// K orthogonal vectors of equal length as the rows of an array of Frobenius norm 1.
#[pyfunction]
pub(crate) fn orthogonal_frame(
    py: Python<'_>,
    classes: usize,
) -> PyResult<Bound<'_, PyArray2<f64>>> {
    frame(py, neural_collapse::geometry::Frame::orthogonal(classes))
}

/// K vectors of a simplex equiangular tight frame, of length 1, as the rows of an array.
#[pyfunction]
pub(crate) fn simplex_etf(py: Python<'_>, classes: usize) -> PyResult<Bound<'_, PyArray2<f64>>> {
    frame(py, neural_collapse::geometry::Frame::simplex(classes))
}

/// Orthogonal vectors of the given lengths as the rows of an array.
#[pyfunction]
pub(crate) fn general_orthogonal_frame<'py>(
    py: Python<'py>,
    lengths: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    frame(py, neural_collapse::geometry::Frame::general_orthogonal(&vector(lengths, "lengths")?))
}

fn frame(
    py: Python<'_>,
    frame: neural_collapse::Result<neural_collapse::geometry::Frame>,
) -> PyResult<Bound<'_, PyArray2<f64>>> {
    crate::arrays::columns_to_numpy(py, frame.or_raise(py)?.into_vectors())
}
