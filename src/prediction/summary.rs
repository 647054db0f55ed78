//! The numbers of a prediction as plain data.

use crate::error::{Error, Result};
use crate::prediction::{ClassGeometry, Geometry, Prediction, SingularValue, Verdict};
use crate::problem::counts::{ClassCounts, Run};
use crate::problem::training_objective::TrainingObjective;

/// The numbers of a [`Prediction`] as plain data that outlive it: what is stored and shown of it.
///
/// ```
/// use neural_collapse::prediction::Summary;
/// use neural_collapse::{ClassCounts, Geometry, Regularization, Ufm};
///
/// let ufm = Ufm::new(ClassCounts::balanced(4, 50)?, Regularization::new(&[1e-3], 1e-3)?)?;
/// let summary = Summary::new(&ufm.global_minimum()?)?;
/// assert_eq!(summary.geometry, Geometry::OrthogonalFrame);
/// assert_eq!(summary.layer_singular_values[0][0].multiplicity, 4);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Summary {
    /// The objective that training minimizes.
    pub training_objective: TrainingObjective,
    /// The class counts; `None` for a target without classes.
    pub counts: Option<ClassCounts>,
    /// Number of linear layers M.
    pub depth: usize,
    /// The widths d₁, …, d_M; `None` if they are unlimited.
    pub widths: Option<Vec<usize>>,
    /// Name of the geometry.
    pub geometry: Geometry,
    /// Whether everything but rotations of the hidden spaces is determined.
    pub unique: bool,
    /// How far it is proved.
    pub verdict: Verdict,
    /// The value of the objective.
    pub loss: f64,
    /// What no value of the objective is below.
    pub lower_bound: Option<f64>,
    /// The bias.
    pub bias: Option<Vec<f64>>,
    /// The singular values of W₁, …, W_M.
    pub layer_singular_values: Vec<Vec<SingularValue>>,
    /// The runs of alike classes with their norms; empty where they are not known.
    pub classes: Vec<(Run, ClassGeometry)>,
}

impl Summary {
    /// The numbers of a prediction.
    ///
    /// # Errors
    /// What the prediction reports, but for questions that it has no answer to.
    pub fn new(prediction: &dyn Prediction) -> Result<Self> {
        Ok(Self {
            training_objective: prediction.training_objective(),
            counts: prediction.counts().cloned(),
            depth: prediction.depth(),
            widths: prediction.widths().map(<[usize]>::to_vec),
            geometry: prediction.geometry(),
            unique: prediction.is_unique(),
            verdict: prediction.verdict(),
            loss: prediction.loss(),
            lower_bound: prediction.lower_bound(),
            bias: prediction.bias(),
            layer_singular_values: (1..=prediction.depth())
                .map(|layer| or_empty(prediction.singular_values(layer..=layer)))
                .collect::<Result<_>>()?,
            classes: or_empty(prediction.class_runs())?,
        })
    }
}

/// Nothing, where there is no answer.
fn or_empty<T>(answer: Result<Vec<T>>) -> Result<Vec<T>> {
    match answer {
        Err(Error::NotAnswered { .. }) => Ok(Vec::new()),
        answer => answer,
    }
}
