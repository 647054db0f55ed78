//! Normalised distances of matrix products to class matrices, without K×K matrices where K is large.

use nalgebra::DMatrix;

use crate::class_matrix::{ClassMatrix, Grouped};
use crate::error::{Error, Result};
use crate::linalg::check_finite;

/// Up to this many classes, K×K matrices are small and the direct way is the accurate one.
const FEW_CLASSES: usize = 1024;

/// 2 − 2cos has an absolute error of some 1e-15, so that below this distance it has less than five
/// digits and the residual is computed directly.
const SMALL_DISTANCE: f64 = 1e-5;

/// Rows of the residual that are formed at a time.
const BLOCK: usize = 256;

impl ClassMatrix {
    /// The normalised [`distance`](Self::distance) between the Gram matrix V Vᵀ of the rows of V (K×d)
    /// and this matrix: NC2 for V = W_M⋯W_(M−m+1).
    ///
    /// For many classes this takes O(K d²) operations and O(d²) memory where the distance is above
    /// 10⁻⁵, and O(K² d) operations in blocks of rows where it is below.
    ///
    /// # Errors
    /// As [`distance`](Self::distance).
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::ClassMatrix;
    ///
    /// let rows = dmatrix![1.0, 0.0, 0.0; 0.0, 0.0, -1.0];
    /// assert!(ClassMatrix::orthogonal_frame(2)?.distance_to_gram(&rows)? < 1e-15);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn distance_to_gram(&self, rows: &DMatrix<f64>) -> Result<f64> {
        self.distance_to_product(rows, &rows.transpose())
    }

    /// The normalised [`distance`](Self::distance) between the product A B of a K×d and a d×K matrix
    /// and this matrix: NC3 for A = W_M⋯W₁ and B = H̄.
    ///
    /// The cost is that of [`distance_to_gram`](Self::distance_to_gram).
    ///
    /// # Errors
    /// As [`distance`](Self::distance), and [`Error::Shape`] if the shapes do not agree.
    pub fn distance_to_product(&self, left: &DMatrix<f64>, right: &DMatrix<f64>) -> Result<f64> {
        let classes = self.classes();
        if left.nrows() != classes {
            let expected = format!("{classes}×d, for the {classes} classes");
            return Err(Error::shape("left", left.shape(), expected));
        }
        if right.shape() != (left.ncols(), classes) {
            let expected = format!("{}×{classes}, to follow `left`", left.ncols());
            return Err(Error::shape("right", right.shape(), expected));
        }
        check_finite(left, |i, j| format!("left[({i}, {j})]"))?;
        check_finite(right, |i, j| format!("right[({i}, {j})]"))?;
        // The distance does not depend on the scale, and without it nothing overflows.
        let (left, right) = (unit_scale(left)?, unit_scale(right)?);
        match self.as_grouped() {
            Some(target) if classes > FEW_CLASSES.max(left.ncols()) => {
                Product { left: &left, right: &right }.distance_to(target)
            }
            _ => self.distance(&(&left * &right)),
        }
    }
}

/// The matrix divided by its largest entry.
fn unit_scale(matrix: &DMatrix<f64>) -> Result<DMatrix<f64>> {
    let largest = if matrix.is_empty() { 0.0 } else { matrix.amax() };
    if largest > 0.0 { Ok(matrix / largest) } else { Err(Error::ZeroNorm { argument: "measured" }) }
}

/// A K×K matrix of low rank.
struct Product<'a> {
    left: &'a DMatrix<f64>,
    right: &'a DMatrix<f64>,
}

impl Product<'_> {
    fn distance_to(&self, target: &Grouped) -> Result<f64> {
        let target = &target.unit_scale().ok_or(Error::ZeroNorm { argument: "target" })?;
        let (norm, target_norm) = (self.norm(), target.norm());
        if norm == 0.0 {
            return Err(Error::ZeroNorm { argument: "measured" });
        }
        if target_norm == 0.0 {
            return Err(Error::ZeroNorm { argument: "target" });
        }
        let cosine = self.inner_product(target) / norm / target_norm;
        let distance = (2.0 - 2.0 * cosine).max(0.0).sqrt();
        if distance > SMALL_DISTANCE {
            return Ok(distance);
        }
        Ok(self.residual(target, norm, target_norm))
    }

    /// ‖A B‖² = ⟨AᵀA, B Bᵀ⟩.
    fn norm(&self) -> f64 {
        let left = self.left.transpose() * self.left;
        let right = self.right * self.right.transpose();
        left.dot(&right).sqrt()
    }

    /// ⟨A B, diag(q) + block constants⟩ = Σ q_k a_k·b_k + Σ c_gh (Σ_{i∈g} a_i)·(Σ_{j∈h} b_j).
    fn inner_product(&self, target: &Grouped) -> f64 {
        let rows = self.left.transpose();
        let products = rows.column_iter().zip(self.right.column_iter()).map(|(a, b)| a.dot(&b));
        let diagonal: f64 = products.zip(target.diagonal()).map(|(dot, q)| dot * q).sum();
        let coupled = target.coupling().map_or(0.0, |coupling| {
            let (left, right) = (target.group_sums(&rows), target.group_sums(self.right));
            (left.transpose() * right).dot(coupling)
        });
        diagonal + coupled
    }

    /// ‖A B/‖A B‖ − T/‖T‖‖ in blocks of rows.
    fn residual(&self, target: &Grouped, norm: f64, target_norm: f64) -> f64 {
        let classes = self.left.nrows();
        let groups = target.class_groups();
        let mut sum = 0.0;
        for first in (0..classes).step_by(BLOCK) {
            let height = BLOCK.min(classes - first);
            let mut block = self.left.rows(first, height) * self.right / norm;
            for (j, mut column) in block.column_iter_mut().enumerate() {
                for (i, entry) in (first..).zip(column.iter_mut()) {
                    *entry -= target.entry(i == j, groups[i], groups[j]) / target_norm;
                }
            }
            sum += block.norm_squared();
        }
        sum.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pseudo_random(rows: usize, columns: usize, seed: f64) -> DMatrix<f64> {
        DMatrix::from_fn(rows, columns, |i, j| ((i * columns + j) as f64 * seed).sin())
    }

    fn structured(target: &ClassMatrix, left: &DMatrix<f64>, right: &DMatrix<f64>) -> f64 {
        Product { left, right }.distance_to(target.as_grouped().unwrap()).unwrap()
    }

    #[test]
    fn the_structured_way_agrees_with_the_direct_one() {
        let (left, right) = (pseudo_random(40, 6, 1.3), pseudo_random(6, 40, 0.7));
        let lengths: Vec<f64> = (0..40).map(|k| f64::from(k % 7)).collect();
        for target in [
            ClassMatrix::orthogonal_frame(40).unwrap(),
            ClassMatrix::simplex_etf(40).unwrap(),
            ClassMatrix::general_orthogonal_frame(&lengths).unwrap(),
        ] {
            let direct = target.distance(&(&left * &right)).unwrap();
            assert!((structured(&target, &left, &right) - direct).abs() < 1e-13 * direct);
            let gram = target.distance(&(&left * left.transpose())).unwrap();
            assert!((structured(&target, &left, &left.transpose()) - gram).abs() < 1e-13 * gram);
        }
    }

    #[test]
    fn both_ways_agree_where_they_meet() {
        let target = ClassMatrix::simplex_etf(30).unwrap();
        let exact = target.to_dense().unwrap();
        for size in [1e-3, 1e-4, 2e-5, 1e-5, 5e-6, 1e-7, 1e-12] {
            let left = &exact + pseudo_random(30, 30, 1.1) * size;
            let direct = target.distance(&(&left * &exact)).unwrap();
            let got = structured(&target, &left, &exact);
            assert!((got - direct).abs() < 1e-5 * direct + 1e-15, "{size}: {got:e}, {direct:e}");
        }
    }
}
