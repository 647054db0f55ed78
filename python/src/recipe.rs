//! What a prediction is made of, which is what is pickled of it, and the model that is made.

use neural_collapse::models::AnyModel;
use neural_collapse::models::convex::ConvexUfm;
use neural_collapse::models::low_rank::Search;
use neural_collapse::models::multi_label::{MultiLabelMinimum, MultiLabelUfm};
use neural_collapse::models::soft_labels::{CenteredSupports, SparseLabels};
use neural_collapse::problem::TrainingObjective;
use neural_collapse::{ClassCounts, GlobalMinimum, Monitor, Prediction, Ufm};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde::{Deserialize, Serialize};

use crate::stored;

const CLASSES: &str = "neuralcollapse.Prediction";
const CONVEX: &str = "neuralcollapse.Convex";
const MULTI_LABEL: &str = "neuralcollapse.MultiLabel";
const SPARSE_LABELS: &str = "neuralcollapse.SparseLabels";
const TARGETS: &str = "neuralcollapse.Targets";

/// All that a model is made of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Recipe {
    Classes(ClassRecipe),
    /// Soft labels, or weights as PyTorch understands them.
    Convex(ConvexUfm),
    MultiLabel(MultiLabelUfm),
    SparseLabels(SparseLabels),
    /// Real-valued targets under the squared loss.
    Targets(Ufm),
}

/// Classes with the objective that the library chooses a model by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClassRecipe {
    pub(crate) objective: TrainingObjective,
    pub(crate) counts: ClassCounts,
    pub(crate) widths: Option<Vec<usize>>,
    pub(crate) search: Option<Search>,
}

/// The minimum of a recipe.
#[derive(Debug)]
pub(crate) enum Model {
    Any(Box<AnyModel>),
    MultiLabel(MultiLabelMinimum),
    SparseLabels(Box<CenteredSupports>),
}

impl Recipe {
    pub(crate) fn build(&self, monitor: &dyn Monitor) -> neural_collapse::Result<Model> {
        let any = match self {
            Self::Classes(recipe) => recipe.build(monitor)?,
            Self::Convex(ufm) => AnyModel::Convex(ufm.global_minimum_with(monitor)?),
            Self::Targets(ufm) => AnyModel::Squared(ufm.global_minimum()?),
            Self::MultiLabel(ufm) => return Ok(Model::MultiLabel(ufm.global_minimum()?)),
            Self::SparseLabels(labels) => {
                return Ok(Model::SparseLabels(Box::new(labels.global_minimum_with(monitor)?)));
            }
        };
        Ok(Model::Any(Box::new(any)))
    }

    /// The label of every sample of the explicit matrices: its class, or the number of its soft label, set of tags or
    /// context. None for real-valued targets.
    pub(crate) fn labels(&self) -> neural_collapse::Result<Option<Vec<usize>>> {
        let counts = match self {
            Self::Classes(recipe) => &recipe.counts,
            Self::Convex(ufm) => ufm.counts(),
            Self::SparseLabels(labels) => labels.samples(),
            Self::MultiLabel(ufm) => return labels_of_tag_sets(ufm).map(Some),
            Self::Targets(_) => return Ok(None),
        };
        counts.labels().map(Some)
    }

    pub(crate) fn written<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        match self {
            Self::Classes(recipe) => stored::write(py, CLASSES, recipe),
            Self::Convex(ufm) => stored::write(py, CONVEX, ufm),
            Self::MultiLabel(ufm) => stored::write(py, MULTI_LABEL, ufm),
            Self::SparseLabels(labels) => stored::write(py, SPARSE_LABELS, labels),
            Self::Targets(ufm) => stored::write(py, TARGETS, ufm),
        }
    }

    pub(crate) fn read(py: Python<'_>, data: &[u8]) -> PyResult<Self> {
        match stored::kind_of(data, &[CONVEX, MULTI_LABEL, SPARSE_LABELS, TARGETS]) {
            Some(CONVEX) => stored::read(py, CONVEX, data).map(Self::Convex),
            Some(MULTI_LABEL) => stored::read(py, MULTI_LABEL, data).map(Self::MultiLabel),
            Some(SPARSE_LABELS) => stored::read(py, SPARSE_LABELS, data).map(Self::SparseLabels),
            Some(TARGETS) => stored::read(py, TARGETS, data).map(Self::Targets),
            _ => stored::read(py, CLASSES, data).map(Self::Classes),
        }
    }
}

/// The number of the set of tags of every sample.
fn labels_of_tag_sets(ufm: &MultiLabelUfm) -> neural_collapse::Result<Vec<usize>> {
    let samples: Vec<(usize, u64)> = ufm.samples_per_set().collect();
    let of_size = |tags: usize| samples.iter().find(|(size, _)| *size == tags);
    let runs = ufm.tag_sets().filter_map(|set| Some((of_size(set.len())?.1, 1)));
    ClassCounts::from_runs(runs)?.labels()
}

impl ClassRecipe {
    fn build(&self, monitor: &dyn Monitor) -> neural_collapse::Result<AnyModel> {
        let (counts, widths) = (self.counts.clone(), self.widths.as_deref());
        AnyModel::new_with(&self.objective, counts, widths, self.search.as_ref(), monitor)
    }
}

impl Model {
    /// As what all predictions are.
    pub(crate) fn prediction(&self) -> &dyn Prediction {
        match self {
            Self::Any(model) => model.prediction(),
            Self::MultiLabel(minimum) => minimum,
            Self::SparseLabels(minimum) => &**minimum,
        }
    }

    /// The model that the library chose, if it did.
    pub(crate) fn any(&self) -> Option<&AnyModel> {
        match self {
            Self::Any(model) => Some(model),
            Self::MultiLabel(_) | Self::SparseLabels(_) => None,
        }
    }

    pub(crate) fn squared(&self) -> Option<&GlobalMinimum> {
        match self.any()? {
            AnyModel::Squared(minimum) => Some(minimum),
            _ => None,
        }
    }
}
