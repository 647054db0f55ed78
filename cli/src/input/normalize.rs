//! Vectors of length one, for classifiers whose outputs are cosines.

/// Divides each row of `width` numbers by its norm. Zeros stay as they are, as in PyTorch.
pub(super) fn normalize_rows(numbers: &mut [f64], width: usize) {
    for row in numbers.chunks_mut(width.max(1)) {
        // Divided by the largest first, no square is out of range.
        let largest = row.iter().map(|&number| number.abs()).fold(0.0, f64::max);
        if largest == 0.0 {
            continue;
        }
        let squares = row.iter().map(|&number| (number / largest).powi(2));
        let norm = squares.sum::<f64>().sqrt();
        for number in row {
            *number = *number / largest / norm;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_length_one_at_every_scale() {
        for scale in [1e-300, 1.0, 1e300] {
            let mut numbers: [f64; 6] = [3.0 * scale, -4.0 * scale, 0.0, 0.0, 0.0, 2.0 * scale];
            normalize_rows(&mut numbers, 2);
            let expected = [0.6, -0.8, 0.0, 0.0, 0.0, 1.0];
            let errors = numbers.iter().zip(expected).map(|(found, exact)| (found - exact).abs());
            assert!(errors.fold(0.0, f64::max) < 1e-15, "{numbers:?}");
        }
    }
}
