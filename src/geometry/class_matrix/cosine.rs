//! Angles between the vectors of a Gram matrix.

use crate::geometry::class_matrix::ClassMatrix;

impl ClassMatrix {
    /// The cosine of the angle between the vectors of classes i and j, if this is their Gram matrix:
    /// G_ij/√(G_ii G_jj).
    ///
    /// `None` outside of the matrix, where members of the family differ, and where a vector is zero.
    ///
    /// ```
    /// use neural_collapse::ClassMatrix;
    ///
    /// let etf = ClassMatrix::simplex_etf(5)?;
    /// assert!((etf.cosine(0, 3).unwrap() + 0.25).abs() < 1e-15); // −1/(K−1)
    /// let collapsed = ClassMatrix::diagonal(&[1.0, 0.0])?;
    /// assert_eq!(collapsed.cosine(0, 1), None);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    #[must_use]
    pub fn cosine(&self, i: usize, j: usize) -> Option<f64> {
        let lengths = self.get(i, i)?.sqrt() * self.get(j, j)?.sqrt();
        let cosine = self.get(i, j)? / lengths;
        (lengths > 0.0).then_some(cosine.clamp(-1.0, 1.0))
    }
}
