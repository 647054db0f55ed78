//! The centered supports and the smallest logits as predictions.

use core::ops::RangeInclusive;

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::geometry::class_matrix::ClassMatrix;
use crate::models::soft_labels::certificate::Exactness;
use crate::models::soft_labels::factors::norms;
use crate::models::soft_labels::minimum::CenteredSupports;
use crate::models::soft_labels::smallest::SmallestLogits;
use crate::prediction::explicit::{Basis, ExplicitPoint};
use crate::prediction::{
    ClassGeometry, Geometry, LabelGeometry, Prediction, SingularValue, Source, Verdict,
};
use crate::problem::counts::{ClassCounts, Run};
use crate::problem::training_objective::{LossFunction, TrainingObjective};

const DOCUMENT: &str = "docs/closed-forms.md";
const POLAR: Source = Source::new("the polar factor is not positive off the supports", DOCUMENT);
const SUBGRADIENT: Source =
    Source::new("a subgradient of the norm is not positive off the supports", DOCUMENT);
const IMPROVABLE: Source =
    Source::new("the norm falls in a direction that keeps the margins", DOCUMENT);

const DUAL: Source = Source::new("a dual point bounds every norm from below", DOCUMENT);

/// Why there is no answer about classes.
const CONTEXTS: &str =
    "samples belong to contexts, not to classes; context_gram has their features";

/// What both answer alike, from their factors.
macro_rules! answers_of_factors {
    () => {
        fn training_objective(&self) -> TrainingObjective {
            TrainingObjective::SmallestNorms { loss_function: LossFunction::SupportMargin }
        }

        fn counts(&self) -> Option<&ClassCounts> {
            None
        }

        fn label_geometry(&self) -> Result<LabelGeometry> {
            Ok(LabelGeometry {
                counts: self.problem().samples().clone(),
                training_objective: self.training_objective(),
                tag_sets: None,
                features_gram: self.context_gram()?,
                outputs: self.logits_of_contexts()?,
            })
        }

        fn classes(&self) -> usize {
            self.problem().classes()
        }

        fn depth(&self) -> usize {
            1
        }

        fn widths(&self) -> Option<&[usize]> {
            None
        }

        /// False: training reaches a multiple that grows without bound.
        fn has_scale(&self) -> bool {
            false
        }

        fn class_runs(&self) -> Result<Vec<(Run, ClassGeometry)>> {
            Err(Error::NotAnswered { question: "the geometry by classes", reason: CONTEXTS })
        }

        fn bias(&self) -> Option<Vec<f64>> {
            None
        }

        fn singular_values(&self, layers: RangeInclusive<usize>) -> Result<Vec<SingularValue>> {
            norms()?.layer_indices(&layers)?;
            Ok(self.factors().roots())
        }

        fn feature_singular_values(&self) -> Result<Vec<SingularValue>> {
            Ok(self.factors().roots())
        }

        /// UΣUᵀ, the square root of L D Lᵀ for the logits L.
        fn trailing_gram(&self, layers: usize) -> Result<ClassMatrix> {
            norms()?.check_trailing(layers)?;
            self.factors().classifier_gram()
        }

        fn class_means_gram(&self) -> Result<ClassMatrix> {
            Err(Error::NotAnswered { question: "the class means' Gram matrix", reason: CONTEXTS })
        }

        fn class_outputs(&self) -> Result<ClassMatrix> {
            let question = "the outputs for the class means";
            Err(Error::NotAnswered { question, reason: CONTEXTS })
        }

        /// The distinct features are those of the contexts, in their order.
        fn explicit(&self, basis: &Basis) -> Result<ExplicitPoint> {
            self.factors().explicit(self.problem(), basis)
        }
    };
}

impl CenteredSupports {
    fn logits_of_contexts(&self) -> Result<DMatrix<f64>> {
        self.problem().centered_supports()
    }
}

impl SmallestLogits {
    fn logits_of_contexts(&self) -> Result<DMatrix<f64>> {
        Ok(self.logits().clone())
    }
}

impl Prediction for CenteredSupports {
    answers_of_factors!();

    fn geometry(&self) -> Geometry {
        if self.factors().values.is_empty() {
            return Geometry::Collapsed;
        }
        Geometry::Structure("centered supports".into())
    }

    fn verdict(&self) -> Verdict {
        match self.certificate().exactness {
            Exactness::Polar => Verdict::Proved(POLAR),
            Exactness::Subgradient => Verdict::Proved(SUBGRADIENT),
            Exactness::Improvable => Verdict::Refuted(IMPROVABLE),
            Exactness::Undecided => {
                Verdict::BestKnown { found_by: "centering the supports of the labels".into() }
            }
        }
    }

    /// ‖S̃ D^½‖_*, the smallest ½‖W‖² + ½‖H‖² with these logits.
    fn loss(&self) -> f64 {
        self.factors().norm()
    }

    fn lower_bound(&self) -> Option<f64> {
        let certificate = self.certificate();
        Some(if certificate.is_exact() { self.loss() } else { certificate.lower_bound })
    }

    /// True where the subgradient found is negative everywhere off the supports, so that every minimum has margins of
    /// 1; false where that is not proved.
    fn is_unique(&self) -> bool {
        let certificate = self.certificate();
        certificate.is_exact() && certificate.largest_of_subgradient < 0.0
    }
}

impl Prediction for SmallestLogits {
    answers_of_factors!();

    fn geometry(&self) -> Geometry {
        if self.factors().values.is_empty() {
            return Geometry::Collapsed;
        }
        Geometry::Structure("smallest logits".into())
    }

    fn verdict(&self) -> Verdict {
        Verdict::ProvedWithinGap { lower_bound: self.lower_bound, source: DUAL }
    }

    /// ‖L D^½‖_*, the smallest ½‖W‖² + ½‖H‖² with these logits.
    fn loss(&self) -> f64 {
        self.factors().norm()
    }

    fn lower_bound(&self) -> Option<f64> {
        Some(self.lower_bound)
    }

    /// False: it is not proved that no other logits have this norm.
    fn is_unique(&self) -> bool {
        false
    }
}
