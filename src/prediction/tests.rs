//! What every prediction answers of itself, and how answers that are none are passed on.

use super::*;
use crate::problem::training_objective::LossFunction;

const NO_ANSWER: Error = Error::NotAnswered { question: "this", reason: "it is only a test" };

/// Three classes with the bias 1, 2, 3 and the loss 0.25; whatever can be refused is.
#[derive(Debug)]
struct Plain(Verdict);

impl Prediction for Plain {
    fn training_objective(&self) -> TrainingObjective {
        TrainingObjective::DataTerm { loss_function: LossFunction::CrossEntropy }
    }

    fn counts(&self) -> Option<&ClassCounts> {
        None
    }

    fn classes(&self) -> usize {
        3
    }

    fn depth(&self) -> usize {
        2
    }

    fn widths(&self) -> Option<&[usize]> {
        None
    }

    fn geometry(&self) -> Geometry {
        Geometry::OrthogonalFrame
    }

    fn verdict(&self) -> Verdict {
        self.0.clone()
    }

    fn loss(&self) -> f64 {
        0.25
    }

    fn is_unique(&self) -> bool {
        true
    }

    fn class_runs(&self) -> Result<Vec<(Run, ClassGeometry)>> {
        Err(NO_ANSWER)
    }

    fn bias(&self) -> Option<Vec<f64>> {
        Some(vec![1.0, 2.0, 3.0])
    }

    fn singular_values(&self, layers: RangeInclusive<usize>) -> Result<Vec<SingularValue>> {
        match *layers.start() {
            1 => Ok(vec![SingularValue::new(2.0, 3)]),
            _ => Err(NO_ANSWER),
        }
    }

    fn feature_singular_values(&self) -> Result<Vec<SingularValue>> {
        Err(NO_ANSWER)
    }

    fn trailing_gram(&self, _: usize) -> Result<ClassMatrix> {
        Err(NO_ANSWER)
    }

    fn class_means_gram(&self) -> Result<ClassMatrix> {
        ClassMatrix::orthogonal_frame(3)
    }

    fn class_outputs(&self) -> Result<ClassMatrix> {
        Err(NO_ANSWER)
    }

    fn explicit(&self, _: &Basis) -> Result<ExplicitPoint> {
        Err(NO_ANSWER)
    }
}

#[test]
fn a_prediction_is_plain_unless_it_says_otherwise() {
    let proved = Plain(Verdict::Proved(Source::new("a theorem", "a paper")));
    let best_known = Plain(Verdict::BestKnown { found_by: "a search".into() });
    assert_eq!((proved.lower_bound(), best_known.lower_bound()), (Some(0.25), None));
    assert!(proved.has_scale() && proved.is_symmetric() && !proved.has_arbitrary_order());
    assert_eq!(proved.bias_runs(), Some(vec![(1, 1.0), (1, 2.0), (1, 3.0)]));
    // Three orthogonal vectors differ in two directions.
    assert_eq!(proved.class_mean_rank(), Ok(2));
}

#[test]
fn what_is_not_answered_is_left_out_and_other_errors_are_passed_on() {
    let proved = Plain(Verdict::Proved(Source::new("a theorem", "a paper")));
    let summary = Summary::new(&proved).unwrap();
    assert_eq!(summary.layer_singular_values, [vec![SingularValue::new(2.0, 3)], vec![]]);
    assert_eq!((summary.classes.len(), summary.lower_bound), (0, Some(0.25)));
    let error = || Error::Empty { argument: "features" };
    assert_eq!(answered(Ok(5)), Ok(Some(5)));
    assert_eq!(answered::<u8>(Err(NO_ANSWER)), Ok(None));
    assert_eq!(answered::<u8>(Err(error())), Err(error()));
}
