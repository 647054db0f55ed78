//! Magnitudes whose products are in range, and products of others.

use nalgebra::DMatrix;

use crate::numerics::parallel;
use crate::numerics::scalar::largest_magnitude;

/// Products of numbers between this and its inverse are far from over- and underflow.
const COMFORTABLE: f64 = 1e70;

/// The largest |x|, or NaN if a number is.
pub(crate) fn largest(numbers: &[f64]) -> f64 {
    let pieces = parallel::map_slice(numbers, largest_magnitude);
    f64::from_bits(pieces.into_iter().max().unwrap_or_default())
}

/// A matrix divided by its largest |entry|, so that squares of its entries are in range, and that entry; `None` if there
/// are only zeros.
pub(crate) fn over_largest(matrix: &DMatrix<f64>) -> Option<(DMatrix<f64>, f64)> {
    let largest = largest(matrix.as_slice());
    (largest > 0.0).then(|| (matrix / largest, largest))
}

/// Where the largest number is, the first one if there are several; 0 if all are NaN.
pub(crate) fn index_of_largest(numbers: impl IntoIterator<Item = f64>) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (index, number) in numbers.into_iter().enumerate() {
        if number > best.1 {
            best = (index, number);
        }
    }
    best.0
}

/// Whether products of numbers of this size are far from over- and underflow.
pub(crate) fn is_comfortable(size: f64) -> bool {
    (COMFORTABLE.recip()..COMFORTABLE).contains(&size)
}

/// The product of positive numbers, which is out of range only if its value is: factors below one are taken where the product
/// so far is above, and the other way round.
pub(crate) fn balanced_product<const N: usize>(mut factors: [f64; N]) -> f64 {
    factors.sort_by(f64::total_cmp);
    let mut rest = factors.as_slice();
    let mut product = 1.0;
    loop {
        let next = if product > 1.0 { rest.split_first() } else { rest.split_last() };
        let Some((factor, others)) = next else { return product };
        product *= factor;
        rest = others;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::dmatrix;

    #[test]
    fn the_largest_of_all_numbers() {
        assert_eq!(largest(&[]), 0.0);
        assert_eq!(largest(&[1.0, -3.0, 2.0]), 3.0);
        assert_eq!(largest(&[1.0, f64::NEG_INFINITY]), f64::INFINITY);
        assert!(largest(&[f64::INFINITY, f64::NAN, 1.0]).is_nan());
    }

    #[test]
    fn matrices_are_divided_by_their_largest_magnitudes() {
        let scale = 2.0_f64.powi(-700);
        let found = over_largest(&(dmatrix![1.0, -4.0; 2.0, 0.0] * scale));
        assert_eq!(found, Some((dmatrix![0.25, -1.0; 0.5, 0.0], 4.0 * scale)));
        assert_eq!(over_largest(&DMatrix::zeros(2, 3)), None);
        assert_eq!(over_largest(&DMatrix::zeros(0, 3)), None);
    }

    #[test]
    fn the_first_of_the_largest_numbers_is_found() {
        assert_eq!(index_of_largest([-3.0, 2.0, f64::NAN, 2.0, 1.0]), 1);
        assert_eq!(index_of_largest([f64::NEG_INFINITY, -1.0, f64::INFINITY]), 2);
        assert_eq!((index_of_largest([]), index_of_largest([f64::NAN; 2])), (0, 0));
    }

    #[test]
    fn products_are_out_of_range_only_if_their_value_is() {
        let two = |exponent| 2.0_f64.powi(exponent);
        assert_eq!(balanced_product([two(40), two(40), two(1000), two(-1000)]), two(80));
        assert_eq!(balanced_product([two(-600), 3.0, two(-600), two(900)]), 3.0 * two(-300));
        assert_eq!(balanced_product([two(-100), two(600), two(600), two(-100)]), two(1000));
        assert_eq!(balanced_product([1e200, 1e200, 1e-10]), f64::INFINITY);
        assert_eq!(balanced_product([1e-200, 1e-200, 10.0]), 0.0);
        assert!(balanced_product([f64::NAN, 1.0]).is_nan());
    }

    #[test]
    fn comfortable_numbers_have_products_in_range() {
        let sizes = [0.0, 1e-80, 1e-60, 1.0, 1e60, 1e80, f64::NAN];
        assert_eq!(sizes.map(is_comfortable), [false, false, true, true, true, false, false]);
    }
}
