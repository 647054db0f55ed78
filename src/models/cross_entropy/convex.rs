//! One layer as the convex problem that it is.

#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::models::convex::ConvexUfm;
use crate::models::cross_entropy::problem::{CrossEntropyUfm, LossMean};
use crate::numerics::linalg::check_memory;

impl CrossEntropyUfm {
    /// The same problem of one layer as a [`ConvexUfm`], which knows when classes merge and when everything is zero.
    ///
    /// # Errors
    /// [`Error::NoClosedForm`] for several layers, which are not convex, [`Error::OutOfRange`] for the loss mean
    /// 1/(2N) of more classes than memory holds.
    ///
    /// ```
    /// use neural_collapse::{CrossEntropyUfm, Regularization};
    ///
    /// let ufm = CrossEntropyUfm::new(4, 25, Regularization::new(&[1e-3], 1e-3)?)?;
    /// assert!((ufm.to_convex()?.collapse_factor()? / ufm.simplex_collapse_factor() - 1.0).abs() < 1e-12);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn to_convex(&self) -> Result<ConvexUfm> {
        let ufm = ConvexUfm::cross_entropy(self.counts().clone(), self.regularization().clone())?
            .with_label_smoothing(self.label_smoothing())?;
        match self.loss_mean() {
            LossMean::Samples => Ok(ufm),
            // Half of every sample's loss, over N: 1/(2N).
            mean @ LossMean::TwiceSamples => {
                let classes = self.classes();
                check_memory("classes", classes as f64, Some(classes))?;
                ufm.with_class_weights(&vec![mean.factor(); classes])
            }
        }
    }
}
