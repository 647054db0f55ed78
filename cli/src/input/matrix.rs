//! What is done with the numbers of every stored matrix.

use super::array::Layout;
use super::error::Problem;

/// Brings the numbers of a matrix into the order row after row.
pub(crate) fn to_rows<T: Copy>(
    values: Vec<T>,
    [rows, columns]: [usize; 2],
    layout: Layout,
) -> Vec<T> {
    match layout {
        Layout::RowMajor => values,
        Layout::ColumnMajor => {
            let row = |row: usize| values.iter().skip(row).step_by(rows).copied();
            let mut sorted = Vec::with_capacity(rows * columns);
            (0..rows).for_each(|index| sorted.extend(row(index)));
            sorted
        }
    }
}

/// Refuses numbers that are not finite in the rows of `columns` numbers from the row `first` on.
pub(crate) fn check_finite_rows<T: Copy + Into<f64>>(
    key: &str,
    values: &[T],
    first: usize,
    columns: usize,
) -> Result<(), Problem> {
    check_finite(key, values, |index| {
        let [row, column] = place(index, first, columns);
        format!("[{row}, {column}]")
    })
}

/// Refuses numbers that are not finite; `position` names the place of a number.
pub(crate) fn check_finite<T: Copy + Into<f64>>(
    key: &str,
    values: &[T],
    position: impl Fn(usize) -> String,
) -> Result<(), Problem> {
    // To look at all of them is faster than to stop at the first.
    if values.iter().fold(true, |finite, &value| finite & value.into().is_finite()) {
        return Ok(());
    }
    match values.iter().position(|&value| !value.into().is_finite()) {
        None => Ok(()),
        Some(index) => Err(Problem::NotFinite {
            key: key.into(),
            value: values[index].into(),
            position: position(index),
        }),
    }
}

/// Row and column of the number `index` after the beginning of the row `first`.
pub(crate) fn place(index: usize, first: usize, columns: usize) -> [usize; 2] {
    [first + index / columns, index % columns]
}
