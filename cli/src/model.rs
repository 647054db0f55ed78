//! The predictions: of the squared loss, and of the models beside it with what is proved about them.

use neural_collapse::Prediction as _;
use neural_collapse::models::cross_entropy::CrossEntropyPoint;
use neural_collapse::models::layer_peeled::LayerPeeledMinimum;
use neural_collapse::prediction::ClassGeometry;
use neural_collapse::problem::Run;
use neural_collapse::{
    ClassCounts, ClassMatrix, CrossEntropyUfm, Error, GlobalMinimum, Landscape, LayerPeeled, Seli,
    Ufm, Verdict,
};
use serde::Serialize;

use crate::arguments::Loss;

/// Structures that are not symmetric need K² numbers and a decomposition: not for more classes.
const MAX_DENSE_CLASSES: usize = 1000;

/// The prediction for a loss.
#[derive(Debug)]
pub(crate) enum Prediction {
    /// The squared loss: the global minimum, always proved.
    Squared(GlobalMinimum),
    /// Another loss.
    Other(Model),
}

/// The lowest known point of a model other than the squared loss.
#[derive(Debug)]
pub(crate) enum Model {
    /// Cross-entropy with weight decay, balanced classes.
    CrossEntropy(Landscape),
    /// Cross-entropy with budgets for the norms.
    LayerPeeled(LayerPeeledMinimum),
    /// The support vector machine on unconstrained features.
    SupportVectors(Seli),
}

impl Prediction {
    /// The loss at the predicted point.
    pub(crate) fn loss(&self) -> f64 {
        match self {
            Self::Squared(minimum) => minimum.loss(),
            Self::Other(model) => model.loss(),
        }
    }
}

/// A singular direction of the logits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LogitDirection {
    /// Singular value of the logits of the class means (UF-SVM: of all samples).
    pub(crate) logit: f64,
    /// λ·(singular value)² of every layer and of the features.
    pub(crate) energy: f64,
    /// Singular value of W₁.
    pub(crate) s: f64,
    /// Its multiplicity.
    pub(crate) multiplicity: usize,
}

/// One class, as it is printed too. Numbers are null where they differ between minimisers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct ClassNorms {
    /// Number of samples.
    pub(crate) count: u64,
    /// Whether classifier and class mean are zero.
    pub(crate) collapsed: Option<bool>,
    /// Of the classifier's row.
    pub(crate) classifier_norm_squared: Option<f64>,
    /// Of the class mean.
    pub(crate) feature_norm_squared: Option<f64>,
}

impl From<ClassGeometry> for ClassNorms {
    fn from(class: ClassGeometry) -> Self {
        Self {
            count: class.count,
            collapsed: class.collapsed,
            classifier_norm_squared: class.classifier_norm_squared,
            feature_norm_squared: class.feature_norm_squared,
        }
    }
}

impl ClassNorms {
    fn new(count: u64, classifier: Option<f64>, feature: Option<f64>) -> Self {
        Self {
            count,
            collapsed: classifier.zip(feature).map(|norms| norms == (0.0, 0.0)),
            classifier_norm_squared: classifier,
            feature_norm_squared: feature,
        }
    }
}

impl Model {
    /// Cross-entropy for the classes, penalties and widths of `ufm`.
    pub(crate) fn cross_entropy(ufm: &Ufm) -> Result<Self, Error> {
        let no_closed_form = || Error::NoClosedForm {
            problem: "the cross-entropy loss with classes of different sizes",
        };
        let counts = ufm.counts().filter(|counts| counts.is_balanced());
        let counts = counts.ok_or_else(no_closed_form)?;
        let size = counts.runs().next().map_or(0, |run| run.size);
        let problem = CrossEntropyUfm::new(counts.classes(), size, ufm.regularization().clone())?;
        let problem = match ufm.widths() {
            Some(widths) => problem.with_widths(widths)?,
            None => problem,
        };
        Ok(Self::CrossEntropy(problem.landscape()?))
    }

    /// The layer-peeled model with the budgets E_W and E_H.
    pub(crate) fn layer_peeled(
        counts: ClassCounts,
        weight_energy: f64,
        feature_energy: f64,
    ) -> Result<Self, Error> {
        let problem = LayerPeeled::new(counts, weight_energy, feature_energy)?;
        Ok(Self::LayerPeeled(problem.global_minimum()?))
    }

    /// The support vector machine on unconstrained features.
    pub(crate) fn support_vectors(counts: ClassCounts) -> Result<Self, Error> {
        Ok(Self::SupportVectors(Seli::new(counts)?))
    }

    /// What is minimised.
    pub(crate) fn loss_function(&self) -> Loss {
        match self {
            Self::CrossEntropy(_) => Loss::Ce,
            Self::LayerPeeled(_) => Loss::LayerPeeled,
            Self::SupportVectors(_) => Loss::UfSvm,
        }
    }

    /// The class sizes.
    pub(crate) fn counts(&self) -> &ClassCounts {
        match self {
            Self::CrossEntropy(landscape) => landscape.problem().counts(),
            Self::LayerPeeled(minimum) => minimum.problem().counts(),
            Self::SupportVectors(seli) => seli.counts(),
        }
    }

    /// The loss of the point.
    pub(crate) fn loss(&self) -> f64 {
        match self {
            Self::CrossEntropy(landscape) => landscape.best().loss(),
            Self::LayerPeeled(minimum) => minimum.loss(),
            Self::SupportVectors(seli) => seli.loss(),
        }
    }

    /// The geometry, in words.
    pub(crate) fn geometry(&self) -> String {
        match self {
            Self::CrossEntropy(landscape) => landscape.geometry().to_string(),
            Self::LayerPeeled(minimum) if minimum.minority_collapsed() => {
                "minority collapse".into()
            }
            Self::LayerPeeled(_) | Self::SupportVectors(_) if self.counts().is_balanced() => {
                "simplex ETF".into()
            }
            Self::LayerPeeled(_) => "layer-peeled".into(),
            Self::SupportVectors(_) => "SELI".into(),
        }
    }

    /// How much is proved about the point: `proved` global, or only the `best_known`.
    pub(crate) fn proof(&self) -> &'static str {
        match self {
            Self::CrossEntropy(landscape) => landscape.verdict().keyword(),
            Self::LayerPeeled(_) | Self::SupportVectors(_) => "proved",
        }
    }

    /// The theorem that speaks and how far, in one line.
    pub(crate) fn statement(&self) -> String {
        match self {
            Self::CrossEntropy(landscape) => cross_entropy_statement(landscape),
            Self::LayerPeeled(_) if self.counts().is_balanced() => {
                "proved: Theorem 1 of Fang et al. (PNAS 2021), the simplex ETF is the global minimum".into()
            }
            Self::LayerPeeled(_) => "proved: the model of Fang et al. (PNAS 2021) is a convex problem in the \
                 logits, solved here for two class sizes by symmetry"
                .into(),
            Self::SupportVectors(_) => "proved: Theorem 1 of Thrampoulidis et al. (NeurIPS 2022), SELI is the \
                 global minimum of the UF-SVM; assumption: training ends there as the weight decay vanishes"
                .into(),
        }
    }

    /// The simplex ETF of cross-entropy: its loss and what is known about it.
    pub(crate) fn simplex_etf(&self) -> Option<(f64, &'static str)> {
        let etf = self.landscape()?.simplex_etf();
        Some((etf.loss(), etf.verdict().keyword()))
    }

    /// b, if the model has one.
    pub(crate) fn bias(&self) -> Option<Vec<f64>> {
        self.landscape()?.best().bias()
    }

    /// The positive singular values of the logits, where they are known one by one.
    pub(crate) fn directions(&self) -> Result<Option<Vec<LogitDirection>>, Error> {
        match self {
            Self::CrossEntropy(landscape) => logit_directions(landscape.best()).map(Some),
            Self::LayerPeeled(_) => Ok(None),
            Self::SupportVectors(seli) => {
                let direction = |(logit, multiplicity): (f64, usize)| LogitDirection {
                    logit,
                    energy: logit,
                    s: logit.sqrt(),
                    multiplicity,
                };
                Ok(Some(seli.singular_values().map(direction).collect()))
            }
        }
    }

    /// The Gram matrix of the last `layers` layers; `None` if it is too large.
    pub(crate) fn trailing_gram(&self, layers: usize) -> Result<Option<ClassMatrix>, Error> {
        match self {
            Self::CrossEntropy(_) if self.is_too_large() => Ok(None),
            Self::CrossEntropy(landscape) => landscape.best().trailing_gram(layers).map(Some),
            Self::LayerPeeled(minimum) => Ok(Some(minimum.classifier_gram())),
            Self::SupportVectors(seli) => Ok(Some(seli.classifier_gram())),
        }
    }

    /// Runs of equal neighbouring classes, in the order of the labels; without norms if there are too many.
    pub(crate) fn class_runs(&self) -> Result<Vec<(usize, ClassNorms)>, Error> {
        let whole = |(run, class): (Run, ClassGeometry)| (run.class_count, class.into());
        match self {
            Self::CrossEntropy(_) if self.is_too_large() => Ok(self.runs_without_norms()),
            Self::CrossEntropy(landscape) => {
                Ok(landscape.class_runs()?.into_iter().map(whole).collect())
            }
            Self::LayerPeeled(minimum) => Ok(minimum.class_runs().map(whole).collect()),
            Self::SupportVectors(seli) => Ok(seli.class_runs().map(whole).collect()),
        }
    }

    fn runs_without_norms(&self) -> Vec<(usize, ClassNorms)> {
        let runs = self.counts().runs();
        runs.map(|run| (run.class_count, ClassNorms::new(run.size, None, None))).collect()
    }

    /// The Gram matrix of the class means; `None` if it is too large.
    pub(crate) fn class_means_gram(&self) -> Result<Option<ClassMatrix>, Error> {
        match self {
            Self::CrossEntropy(_) if self.is_too_large() => Ok(None),
            Self::CrossEntropy(landscape) => landscape.best().class_means_gram().map(Some),
            Self::LayerPeeled(minimum) => Ok(Some(minimum.class_means_gram())),
            Self::SupportVectors(seli) => Ok(Some(seli.class_means_gram())),
        }
    }

    /// The outputs for the class means, without the bias; `None` if they are too many.
    pub(crate) fn class_outputs(&self) -> Result<Option<ClassMatrix>, Error> {
        match self {
            Self::CrossEntropy(_) if self.is_too_large() => Ok(None),
            Self::CrossEntropy(landscape) => landscape.class_outputs().map(Some),
            Self::LayerPeeled(minimum) => Ok(Some(minimum.class_outputs())),
            Self::SupportVectors(seli) => Ok(Some(seli.class_outputs())),
        }
    }

    /// Whether classes of one size are alike, in any order: not so where they form pairs or polygons.
    pub(crate) fn is_symmetric(&self) -> bool {
        self.landscape().is_none_or(Landscape::is_symmetric)
    }

    /// Whether it is too large to be looked at class by class.
    fn is_too_large(&self) -> bool {
        !self.is_symmetric() && self.counts().classes() > MAX_DENSE_CLASSES
    }

    fn landscape(&self) -> Option<&Landscape> {
        match self {
            Self::CrossEntropy(landscape) => Some(landscape),
            Self::LayerPeeled(_) | Self::SupportVectors(_) => None,
        }
    }
}

fn logit_directions(point: &CrossEntropyPoint) -> Result<Vec<LogitDirection>, Error> {
    let logits = point.logit_singular_values().iter();
    let layers = point.singular_values(1..=1)?;
    let energies = point.energies().into_iter().zip(layers);
    let directions = logits.zip(energies).map(|(&(logit, _), ((energy, multiplicity), s))| {
        LogitDirection { logit, energy, s: s.value, multiplicity }
    });
    Ok(directions.collect())
}

/// How far the best point is proved, and why the simplex ETF is not global where that is proved.
fn cross_entropy_statement(landscape: &Landscape) -> String {
    let verdict = landscape.verdict();
    if verdict.is_proved() {
        return verdict.to_string();
    }
    let best = landscape.geometry();
    let theorem = "Theorem A.1 of Dang et al. (ICML 2023)";
    match landscape.simplex_etf().verdict() {
        Verdict::Refuted(source) => format!(
            "best known: {best}; the simplex ETF of {theorem} is proved not to be the global minimum: {source}"
        ),
        _ => format!(
            "best known: nothing is known to be below this point ({best}); {theorem} claims that it is global, \
             which is not proved for two or more layers"
        ),
    }
}
