//! The same classes, more or less imbalanced.

use crate::error::{Error, Result};
use crate::problem::counts::ClassCounts;

impl ClassCounts {
    /// The ratio of the largest to the smallest class, at least 1.
    ///
    /// ```
    /// use neural_collapse::ClassCounts;
    ///
    /// assert_eq!(ClassCounts::new(&[50, 200, 100])?.imbalance(), 4.0);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    #[must_use]
    pub fn imbalance(&self) -> f64 {
        let sizes = || self.sizes().map(|group| group.size as f64);
        sizes().fold(1.0, f64::max) / sizes().fold(f64::INFINITY, f64::min)
    }

    /// About as many samples of as many classes in the same order, with another ratio of the largest to the smallest: sizes
    /// n_k^γ with the γ of this ratio, in proportion, rounded to whole samples. If the classes are balanced, their sizes
    /// become a geometric series, the long tail n_k ∝ ratio^(−k/(K−1)).
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if the ratio is not finite or below 1, or if it leaves a class without a sample.
    ///
    /// ```
    /// use neural_collapse::ClassCounts;
    ///
    /// let counts = ClassCounts::new(&[400, 200, 100])?;
    /// assert_eq!(counts.with_imbalance(16.0)?, ClassCounts::new(&[533, 133, 33])?);
    /// let balanced = ClassCounts::balanced(3, 700)?;
    /// assert_eq!(balanced.with_imbalance(4.0)?, ClassCounts::new(&[1200, 600, 300])?);
    /// assert_eq!(counts.with_imbalance(1.0)?, ClassCounts::new(&[233, 233, 233])?);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// Source: the exponential profile of Cui et al. (CVPR 2019).
    pub fn with_imbalance(&self, ratio: f64) -> Result<Self> {
        if !(ratio >= 1.0 && ratio.is_finite()) {
            return Err(Error::out_of_range("ratio", ratio, "at least 1 and finite"));
        }
        let classes = self.classes();
        let own = self.imbalance();
        // ln n_k, from which the weights ratio^(position) come: 0 for the smallest and 1 for the largest class.
        let position = |class: usize, size: u64| match own > 1.0 {
            true => (size as f64 / self.smallest()).ln() / own.ln(),
            false if classes > 1 => 1.0 - class as f64 / (classes - 1) as f64,
            false => 0.0,
        };
        let weight = |class: usize, size: u64| (ratio.ln() * position(class, size)).exp();
        let sizes = || {
            let runs = self.runs();
            runs.flat_map(|run| run.classes().map(move |class| (class, run.size)))
        };
        let total: f64 = sizes().map(|(class, size)| weight(class, size)).sum();
        let unit = self.samples() as f64 / total;
        let runs = sizes().map(|(class, size)| ((unit * weight(class, size)).round() as u64, 1));
        let runs: Vec<_> = runs.collect();
        match runs.iter().any(|&(size, _)| size == 0) {
            true => {
                Err(Error::out_of_range("ratio", ratio, "small enough for a sample in each class"))
            }
            false => Self::from_runs(runs),
        }
    }

    fn smallest(&self) -> f64 {
        self.sizes().map(|group| group.size as f64).fold(f64::INFINITY, f64::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_class_stays_and_what_leaves_no_sample_is_refused() {
        let one = ClassCounts::new(&[7]).unwrap();
        assert_eq!(one.with_imbalance(3.0), Ok(one));
        let few = ClassCounts::balanced(2, 5).unwrap();
        // 10 · 9/10 and 10 · 1/10, but 10 · 99/100 and 10 · 1/100.
        assert_eq!(few.with_imbalance(9.0), ClassCounts::new(&[9, 1]));
        assert!(few.with_imbalance(99.0).is_err());
        for ratio in [0.9, -2.0, f64::INFINITY, f64::NAN] {
            let error = few.with_imbalance(ratio).unwrap_err().to_string();
            assert!(error.ends_with("at least 1 and finite"), "{error}");
        }
    }
}
