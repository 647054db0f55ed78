//! The means of the classes once all samples are counted, shared by all that is measured around them.

use std::sync::OnceLock;

use nalgebra::{DMatrix, DVector};

use crate::error::{Error, Result, check_shape};
use crate::measure::center::{Center, center_of, subtract_center};
use crate::measure::fingerprint::Fingerprint;
use crate::measure::labeled_features::LabeledFeatures;
use crate::numerics::scalar::Scalar;

/// What a first pass has found: the numbers of samples and the means of the classes, none of which is empty.
#[derive(Debug)]
pub(crate) struct ClassMeans {
    counts: Vec<u64>,
    /// d×K.
    matrix: DMatrix<f64>,
    fingerprint: OnceLock<u64>,
}

impl ClassMeans {
    /// The means of classes with so many samples, none of them 0.
    pub(crate) fn new(counts: Vec<u64>, matrix: DMatrix<f64>) -> Self {
        Self { counts, matrix, fingerprint: OnceLock::new() }
    }

    /// Numbers of features and classes.
    pub(crate) fn shape(&self) -> (usize, usize) {
        self.matrix.shape()
    }

    /// Number of classes K.
    pub(crate) fn classes(&self) -> usize {
        self.counts.len()
    }

    pub(crate) fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The means, d×K.
    pub(crate) fn matrix(&self) -> &DMatrix<f64> {
        &self.matrix
    }

    /// What the means are centered at.
    pub(crate) fn center(&self, center: Center) -> DVector<f64> {
        center_of(&self.matrix, &self.counts, center)
    }

    /// The means less their center, d×K.
    pub(crate) fn centered(&self, center: Center) -> DMatrix<f64> {
        let mut means = self.matrix.clone();
        subtract_center(&mut means, &self.counts, center);
        means
    }

    /// A number that tells these means from others.
    pub(crate) fn fingerprint(&self) -> u64 {
        *self.fingerprint.get_or_init(|| {
            let shape = [self.matrix.nrows() as u64, self.classes() as u64];
            let words = shape.into_iter().chain(self.counts.iter().copied());
            Fingerprint::new().words(words).numbers(&self.matrix).value()
        })
    }

    /// Refuses features of another shape.
    pub(crate) fn check_shape<T: Scalar>(&self, data: &LabeledFeatures<'_, T>) -> Result<()> {
        let found = (data.features().dimension(), data.classes());
        check_shape("features", found, self.shape(), "features × classes of the statistics")
    }
}

/// Whose samples a second pass over samples visits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Visited {
    /// Those of the class means: a result before all of them are there would be silently wrong.
    #[default]
    SamplesOfMeans,
    /// Others, such as a test set around the means of a training set.
    OtherSamples,
}

impl Visited {
    /// Refuses a second pass that is not complete, as far as numbers of samples tell; [`Error::Empty`] without any.
    pub(crate) fn check(self, first: &[u64], second: &[u64]) -> Result<()> {
        if second.iter().all(|&count| count == 0) {
            return Err(Error::Empty { argument: "features" });
        }
        match self {
            Self::OtherSamples => Ok(()),
            Self::SamplesOfMeans => check_second_pass(first, second),
        }
    }
}

/// Refuses a second pass over other samples than those of the first, as far as their numbers tell.
pub(crate) fn check_second_pass(first: &[u64], second: &[u64]) -> Result<()> {
    let mut classes = second.iter().zip(first).enumerate();
    match classes.find(|(_, (second, first))| second != first) {
        None => Ok(()),
        Some((class, (&found, &expected))) => Err(Error::SecondPass { class, found, expected }),
    }
}
