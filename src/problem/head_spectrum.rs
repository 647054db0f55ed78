//! The singular values of a measured head.

use core::ops::RangeInclusive;

use crate::error::{Error, Result};
use crate::numerics::linalg::singular_values;
use crate::problem::head::{LinearHead, chain};

impl LinearHead {
    /// The singular values of the product of the `layers` (from 1 to M), by falling size: min(rows, columns) of them,
    /// to a few ulp of the largest.
    ///
    /// What is predicted for them is [`Prediction::singular_values`](crate::Prediction::singular_values).
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if there is no such layer, [`Error::Unrepresentable`] if the product overflows,
    /// [`Error::NoConvergence`] if they were not found.
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::LinearHead;
    ///
    /// let head = LinearHead::new(vec![dmatrix![2.0, 0.0; 0.0, 3.0], dmatrix![5.0, 0.0; 0.0, 1.0]], None)?;
    /// assert_eq!(head.singular_values(1..=1)?, [3.0, 2.0]);
    /// assert_eq!(head.singular_values(1..=2)?, [10.0, 3.0]);
    /// assert!(head.singular_values(0..=1).is_err());
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn singular_values(&self, layers: RangeInclusive<usize>) -> Result<Vec<f64>> {
        let (first, last) = layers.into_inner();
        let chosen = first.checked_sub(1).and_then(|start| self.weights().get(start..last));
        let Some(chosen) = chosen.filter(|chosen| !chosen.is_empty()) else {
            let outside = if first == 0 || first > self.depth() { first } else { last };
            let expected = "a range of layers from 1 to their number";
            return Err(Error::out_of_range("layers", outside as f64, expected));
        };
        Ok(singular_values(&chain(chosen)?)?.as_slice().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::dmatrix;

    #[test]
    fn a_range_that_is_none_is_named_where_it_is_wrong() {
        let layers = vec![dmatrix![2.0], dmatrix![3.0], dmatrix![5.0]];
        let head = LinearHead::new(layers, None).unwrap();
        for (first, last, product) in [(2, 2, 3.0), (2, 3, 15.0), (1, 3, 30.0)] {
            assert_eq!(head.singular_values(first..=last), Ok(vec![product]));
        }
        for (first, last, wrong) in
            [(0, 1, 0.0), (4, 4, 4.0), (5, 9, 5.0), (3, 5, 5.0), (3, 1, 1.0)]
        {
            let found = head.singular_values(first..=last);
            assert!(
                matches!(found, Err(Error::OutOfRange { value, .. }) if value == wrong),
                "{found:?}"
            );
        }
    }
}
