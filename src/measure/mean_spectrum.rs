//! The singular values of the features, each replaced by its class mean.

use crate::error::Result;
use crate::measure::statistics::ClassStatistics;
use crate::numerics::linalg::singular_values;

impl ClassStatistics {
    /// The singular values of (√n₁ h₁, …, √n_K h_K), by falling size: those that the features H (d×N) would have if
    /// all of them were their class means, as they are once NC1 is reached.
    ///
    /// What is predicted for them is
    /// [`Prediction::feature_singular_values`](crate::Prediction::feature_singular_values).
    ///
    /// # Errors
    /// [`Error::EmptyClass`](crate::Error::EmptyClass) if a class has no mean,
    /// [`Error::NoConvergence`](crate::Error::NoConvergence) if they were not found.
    ///
    /// ```
    /// use neural_collapse::{ClassStatistics, Features};
    ///
    /// let numbers = [3.0, 0.0, 3.0, 0.0, 0.0, 5.0];
    /// let data = Features::from_row_major(&numbers, 3, 2)?.with_labels(&[0, 0, 1], 2)?;
    /// let values = ClassStatistics::new(&data)?.mean_singular_values()?;
    /// assert!((values[0] - 5.0).abs() < 1e-14 && (values[1] - 18.0_f64.sqrt()).abs() < 1e-14);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn mean_singular_values(&self) -> Result<Vec<f64>> {
        let mut means = self.class_means()?;
        for (mut mean, &count) in means.column_iter_mut().zip(self.counts()) {
            mean *= (count as f64).sqrt();
        }
        Ok(singular_values(&means)?.as_slice().to_vec())
    }
}
