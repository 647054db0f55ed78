//! One layer as the convex problem that it is.

use crate::error::{Error, Result};
use crate::models::convex::ConvexUfm;
use crate::models::cross_entropy::problem::{CrossEntropyUfm, LossMean};

impl CrossEntropyUfm {
    /// The same problem of one layer as a [`ConvexUfm`], which knows when classes merge and when everything is zero.
    ///
    /// # Errors
    /// [`Error::NoClosedForm`] for several layers, which are not convex, and for the loss mean 1/(2N).
    ///
    /// ```
    /// use neural_collapse::{CrossEntropyUfm, Regularization};
    ///
    /// let ufm = CrossEntropyUfm::new(4, 25, Regularization::new(&[1e-3], 1e-3)?)?;
    /// assert!((ufm.to_convex()?.collapse_factor()? / ufm.simplex_collapse_factor() - 1.0).abs() < 1e-12);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn to_convex(&self) -> Result<ConvexUfm> {
        if self.loss_mean() != LossMean::Samples {
            return Err(Error::NoClosedForm {
                problem: "the loss mean 1/(2N) as a convex problem",
            });
        }
        ConvexUfm::cross_entropy(self.counts().clone(), self.regularization().clone())?
            .with_label_smoothing(self.label_smoothing())
    }
}
