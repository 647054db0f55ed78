//! Arrays from and to Python.

use nalgebra::{DMatrix, DVector};
use neural_collapse::LinearHead;
use numpy::prelude::*;
use numpy::{PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;

use crate::error::{OrRaise, bad_argument};
use crate::passes::{Accumulate, Listener, add_all, all_or_nothing};

/// N×d features, one sample per row, as they lie in the caller's memory.
pub(crate) enum Features<'py> {
    Single(PyReadonlyArray2<'py, f32>),
    Double(PyReadonlyArray2<'py, f64>),
}

impl<'py> Features<'py> {
    /// From anything that `neuralcollapse._arrays` makes an array of; what is C-contiguous is not copied.
    pub(crate) fn new(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        let array = converted(object, "matrix", "features")?;
        match array.cast::<PyArray2<f32>>() {
            Ok(single) => Ok(Self::Single(single.readonly())),
            Err(_) => Ok(Self::Double(double_matrix(&array)?.readonly())),
        }
    }

    pub(crate) fn shape(&self) -> (usize, usize) {
        let shape = match self {
            Self::Single(array) => array.shape(),
            Self::Double(array) => array.shape(),
        };
        (shape[0], shape[1])
    }

    /// Adds them to sums that take either precision; on an error nothing is added.
    pub(crate) fn add_to<S: Accumulate<f32> + Accumulate<f64> + Clone>(
        &self,
        py: Python<'_>,
        sums: &mut S,
        labels: &[i64],
        classes: usize,
        listener: Listener<'_, '_>,
    ) -> PyResult<()> {
        all_or_nothing(sums, self.shape(), |sums| {
            self.add_all_to(py, sums, labels, classes, listener)
        })
    }

    /// The same, but that what has been added before an error stays.
    pub(crate) fn add_all_to<S: Accumulate<f32> + Accumulate<f64>>(
        &self,
        py: Python<'_>,
        sums: &mut S,
        labels: &[i64],
        classes: usize,
        listener: Listener<'_, '_>,
    ) -> PyResult<()> {
        match self {
            Self::Single(array) => add_all(py, sums, array, labels, classes, listener),
            Self::Double(array) => add_all(py, sums, array, labels, classes, listener),
        }
    }
}

/// What `work` makes of features of either precision as the library takes them, a result of the library's: `of_rows!(features,
/// |rows| work)`.
macro_rules! of_rows {
    ($features:expr, |$rows:ident| $work:expr) => {{
        let (samples, dimension) = $features.shape();
        match &$features {
            $crate::arrays::Features::Single(array) => {
                let numbers = $crate::arrays::row_major(array)?;
                let $rows =
                    neural_collapse::Features::<f32>::from_row_major(numbers, samples, dimension);
                $work
            }
            $crate::arrays::Features::Double(array) => {
                let numbers = $crate::arrays::row_major(array)?;
                let $rows =
                    neural_collapse::Features::<f64>::from_row_major(numbers, samples, dimension);
                $work
            }
        }
    }};
}
pub(crate) use of_rows;

/// The numbers of a C-contiguous array, one row after the other.
pub(crate) fn row_major<'a, T: numpy::Element>(
    array: &'a PyReadonlyArray2<'_, T>,
) -> PyResult<&'a [T]> {
    match array.is_c_contiguous() {
        true => Ok(array.as_slice()?),
        // `_arrays` hands out nothing else.
        false => Err(bad_argument(array.py(), "features", "not contiguous", "C-contiguous")),
    }
}

/// Labels as 64-bit integers.
pub(crate) fn labels<'py>(object: &Bound<'py, PyAny>) -> PyResult<PyReadonlyArray1<'py, i64>> {
    Ok(converted(object, "labels", "labels")?.cast::<PyArray1<i64>>()?.readonly())
}

/// A matrix of this name, in double precision.
pub(crate) fn matrix(object: &Bound<'_, PyAny>, name: &'static str) -> PyResult<DMatrix<f64>> {
    let array = converted(object, "double_matrix", name)?;
    let array = double_matrix(&array)?.readonly();
    let (rows, columns) = (array.shape()[0], array.shape()[1]);
    let numbers = transposed(row_major(&array)?, rows, columns);
    Ok(DMatrix::from_vec(rows, columns, numbers))
}

/// A matrix whose columns are the rows of an array, as of one class mean a row: it lies in memory as the array does.
pub(crate) fn rows_as_columns(
    object: &Bound<'_, PyAny>,
    name: &'static str,
) -> PyResult<DMatrix<f64>> {
    let array = converted(object, "double_matrix", name)?;
    let array = double_matrix(&array)?.readonly();
    let (rows, columns) = (array.shape()[0], array.shape()[1]);
    Ok(DMatrix::from_column_slice(columns, rows, row_major(&array)?))
}

/// The numbers of a matrix column after column, from those row after row: in squares as wide as a line of the cache, as the
/// rows of wider ones fall into the same places of it where their length is a power of two.
fn transposed(numbers: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    const SIDE: usize = 8;
    let mut result = vec![0.0; numbers.len()];
    for first_row in (0..rows).step_by(SIDE) {
        let own_rows = first_row..rows.min(first_row + SIDE);
        for first_column in (0..columns).step_by(SIDE) {
            for column in first_column..columns.min(first_column + SIDE) {
                for row in own_rows.clone() {
                    result[column * rows + row] = numbers[row * columns + column];
                }
            }
        }
    }
    result
}

/// A list of numbers of this name.
pub(crate) fn vector(object: &Bound<'_, PyAny>, name: &'static str) -> PyResult<Vec<f64>> {
    let array = converted(object, "double_vector", name)?;
    Ok(array.cast::<PyArray1<f64>>()?.readonly().as_slice()?.to_vec())
}

/// The layers W₁, …, W_M from one matrix or a list of them, and the bias.
pub(crate) fn head(
    weights: &Bound<'_, PyAny>,
    bias: Option<&Bound<'_, PyAny>>,
) -> PyResult<LinearHead> {
    let layers = module(weights.py())?.call_method1("layers", (weights,))?;
    let layers = layers.try_iter()?.map(|layer| matrix(&layer?, "weights"));
    let bias = bias.filter(|bias| !bias.is_none()).map(|bias| vector(bias, "bias")).transpose()?;
    LinearHead::new(layers.collect::<PyResult<_>>()?, bias.map(DVector::from_vec))
        .or_raise(weights.py())
}

fn module(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import("neuralcollapse._arrays")
}

fn converted<'py>(
    object: &Bound<'py, PyAny>,
    kind: &str,
    name: &'static str,
) -> PyResult<Bound<'py, PyAny>> {
    module(object.py())?.call_method1(kind, (object, name))
}

fn double_matrix<'a, 'py>(array: &'a Bound<'py, PyAny>) -> PyResult<&'a Bound<'py, PyArray2<f64>>> {
    Ok(array.cast::<PyArray2<f64>>()?)
}

/// A matrix as a C-ordered array.
pub(crate) fn to_numpy<'py>(
    py: Python<'py>,
    matrix: &DMatrix<f64>,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let rows = transposed(matrix.as_slice(), matrix.ncols(), matrix.nrows());
    PyArray1::from_vec(py, rows).reshape([matrix.nrows(), matrix.ncols()])
}

/// The columns of a matrix as the rows of a C-ordered array, such as one class mean a row: its own numbers, not copied.
pub(crate) fn columns_to_numpy(
    py: Python<'_>,
    matrix: DMatrix<f64>,
) -> PyResult<Bound<'_, PyArray2<f64>>> {
    let (rows, columns) = matrix.shape();
    PyArray1::from_vec(py, matrix.data.into()).reshape([columns, rows])
}

/// Numbers as an array.
pub(crate) fn list_to_numpy<'py, T: numpy::Element>(
    py: Python<'py>,
    numbers: &[T],
) -> Bound<'py, PyArray1<T>> {
    PyArray1::from_slice(py, numbers)
}
