//! Vectors that are divided by their norms.

use crate::numerics::scalar::Scalar;

/// Divides a vector by its norm times a factor. Zero stays as it is.
pub(crate) fn divide_by_norm<T: Scalar>(vector: &mut [T], factor: f64) {
    // Divided by the largest first, no square is out of range.
    let largest = vector.iter().map(|&number| number.into().abs()).fold(0.0, f64::max);
    if largest == 0.0 {
        return;
    }
    let squares = vector.iter().map(|&number| (number.into() / largest).powi(2));
    let norm = squares.sum::<f64>().sqrt();
    for number in vector {
        *number = T::rounded((*number).into() / largest / (norm * factor));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_have_the_length_at_every_scale() {
        for scale in [1e-320, 1e-300, 1.0, 1e300, 4e307] {
            let mut vector: [f64; 3] = [3.0 * scale, 0.0, -4.0 * scale];
            // 1e-320 has three digits.
            let tolerance = if scale < 1e-310 { 1e-3 } else { 1e-15 };
            divide_by_norm(&mut vector, 0.5);
            for (found, exact) in vector.into_iter().zip([1.2, 0.0, -1.6]) {
                assert!((found - exact).abs() < tolerance, "{scale}: {found}");
            }
        }
        let mut zero = [0.0_f32, -0.0];
        divide_by_norm(&mut zero, 2.0);
        assert_eq!(zero, [0.0; 2]);
    }
}
