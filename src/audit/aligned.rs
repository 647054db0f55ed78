//! The matrices of a network, and those of its prediction in the network's coordinates.

use crate::audit::comparison::Audit;
use crate::audit::measurement::Measurement;
use crate::error::Result;
use crate::prediction::{Matrices, Prediction};

impl Measurement {
    /// The matrices of the network itself.
    ///
    /// # Errors
    /// [`Error::Unrepresentable`](crate::Error::Unrepresentable) if a number overflows.
    pub fn matrices(&self) -> Result<Matrices> {
        Matrices::of_network(Some(self.counts()), self.class_means(), self.head())
    }
}

impl Audit {
    /// The matrices of the prediction that this audit was made with, to be laid beside the
    /// [measured](Measurement::matrices) ones: classes in the order of the network, the nearest member of a family,
    /// weights and class means in the coordinates of the hidden spaces of the network ([`Matrices::aligned`]). For a model
    /// of one layer they are those of the product of all layers.
    ///
    /// # Errors
    /// As [`Matrices::aligned`].
    ///
    /// ```
    /// use neural_collapse::{Basis, ClassCounts, Features, Prediction, Regularization, Ufm, audit};
    ///
    /// let ufm = Ufm::new(ClassCounts::new(&[4, 2])?, Regularization::uniform(2, 1e-3, 1e-3)?)?;
    /// let minimum = ufm.with_widths(&[3, 3])?.global_minimum()?;
    /// let network = minimum.explicit(&Basis::Random(1))?; // stands in for a trained network
    /// let features = network.features()?;
    /// let data = Features::from_sample_columns(&features)?.with_labels(&[0, 0, 0, 0, 1, 1], 2)?;
    /// let audit = audit(&data, network.head(), &minimum)?;
    /// let aligned = audit.aligned(&minimum)?;
    /// let distance = aligned.class_means.unwrap() - audit.measurement.class_means();
    /// assert!(distance.norm() < 1e-14);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn aligned(&self, prediction: &dyn Prediction) -> Result<Matrices> {
        let measured = &self.measurement;
        let one_layer = prediction.training_objective().is_of_one_layer();
        let head = match one_layer {
            true => measured.head().to_one_layer()?,
            false => measured.head().clone(),
        };
        let Some(order) = &self.matching else {
            return Matrices::aligned(measured.class_means(), &head, prediction);
        };
        let means = measured.class_means().select_columns(order);
        Matrices::aligned(&means, &head.with_order(order)?, prediction)?.with_classes_at(order)
    }
}
