//! What else is found of samples while their deviations are projected.

use nalgebra::DMatrix;

use crate::numerics::scalar::Scalar;

/// Some samples, in a unit, of which the deviations x = h − h_k from their class means have been projected.
pub(crate) struct Seen<'a, T> {
    /// The class k of each.
    pub(crate) labels: &'a [usize],
    /// Dᵀx for the directions D, a column for each.
    pub(crate) projected: &'a DMatrix<T>,
    /// ‖x‖², with the errors of a sum in the type `T`.
    pub(crate) around: &'a [f64],
}

/// What looks at samples.
pub(crate) trait Observer<T: Scalar>: Sync {
    /// What it finds of a sample.
    type Found: Copy + Default + Send;

    /// Memory for some samples.
    type Scratch: Default;

    /// Writes what it finds of each sample.
    fn see(&self, seen: &Seen<'_, T>, scratch: &mut Self::Scratch, found: &mut [Self::Found]);
}

/// For those who want nothing but the squares.
pub(crate) enum Nobody {}

impl<T: Scalar> Observer<T> for Nobody {
    type Found = ();
    type Scratch = ();

    fn see(&self, _: &Seen<'_, T>, _: &mut (), _: &mut [()]) {
        match *self {}
    }
}
