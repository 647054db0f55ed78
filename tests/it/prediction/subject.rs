//! A prediction that is held against its explicit matrices.

use nalgebra::DMatrix;
use neural_collapse::{ExplicitPoint, Prediction};

use super::data_term::Held;

/// A prediction, with what its samples are held against.
pub struct Subject<'a> {
    /// Its row in the table of what is not answered.
    pub kind: &'static str,
    /// What is printed where it fails.
    pub name: String,
    pub prediction: &'a dyn Prediction,
    pub held: Held,
    /// How far multipliers of margins may be from what they have to be, of the largest.
    pub multipliers_within: f64,
}

impl<'a> Subject<'a> {
    pub fn new(kind: &'static str, prediction: &'a dyn Prediction, held: Held) -> Self {
        let name = format!("{kind}, {:?}", prediction.training_objective());
        Self { kind, name, prediction, held, multipliers_within: 1e-9 }
    }

    /// With labels of classes.
    pub fn of_classes(kind: &'static str, prediction: &'a dyn Prediction) -> Self {
        let counts = prediction.counts().expect(kind);
        let held = Held::Labels(counts.labels().unwrap());
        let mut subject = Self::new(kind, prediction, held);
        subject.name += &format!(", {counts}, widths {:?}", prediction.widths());
        subject
    }

    /// The class means; of sets of tags the features of those with one tag, if every tag has one.
    pub fn means(&self, point: &ExplicitPoint) -> Option<DMatrix<f64>> {
        let Held::Sets(sets) = &self.held else { return point.class_means().cloned() };
        let features = point.features().unwrap();
        let single = |tag: usize| sets.iter().position(|set| *set == [tag]);
        let columns: Option<Vec<usize>> = (0..self.prediction.classes()).map(single).collect();
        columns.map(|columns| features.select_columns(&columns))
    }
}

pub fn assert_close(found: f64, expected: f64, tolerance: f64, name: &str) {
    let difference = (found - expected).abs();
    assert!(difference <= tolerance * expected.abs(), "{name}: {found:e}, {expected:e}");
}
