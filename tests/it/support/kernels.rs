//! The three matrix products of back-propagation on column-major slices.
//!
//! Parameters packed in one vector are slices, and at the sizes of the tests (4×6 times 6×20) the
//! packing of a general matrix product would cost more than the arithmetic.

/// out += A B, with A of `rows` rows and B of `inner` rows.
pub fn add_product(rows: usize, inner: usize, a: &[f64], b: &[f64], out: &mut [f64]) {
    for (out_column, b_column) in out.chunks_exact_mut(rows).zip(b.chunks_exact(inner)) {
        for (a_column, &factor) in a.chunks_exact(rows).zip(b_column) {
            add_scaled(factor, a_column, out_column);
        }
    }
}

/// out += A Bᵀ, with A of `rows` rows and B of `columns` rows.
pub fn add_product_transposed(rows: usize, columns: usize, a: &[f64], b: &[f64], out: &mut [f64]) {
    for (a_column, b_column) in a.chunks_exact(rows).zip(b.chunks_exact(columns)) {
        for (out_column, &factor) in out.chunks_exact_mut(rows).zip(b_column) {
            add_scaled(factor, a_column, out_column);
        }
    }
}

/// out = Aᵀ B, with A and B of `inner` rows.
pub fn transposed_product(inner: usize, a: &[f64], b: &[f64], out: &mut [f64]) {
    let pairs = b.chunks_exact(inner).flat_map(|b| a.chunks_exact(inner).map(move |a| (a, b)));
    for (out, (a, b)) in out.iter_mut().zip(pairs) {
        *out = dot(a, b);
    }
}

/// y += factor·x.
pub fn add_scaled(factor: f64, x: &[f64], y: &mut [f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += factor * x;
    }
}

/// ⟨x, y⟩.
pub fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

/// ‖x‖.
pub fn norm(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}
