//! Work that may be long ends as soon as its monitor wants it to.

use std::ops::ControlFlow;

use neural_collapse::models::AnyModel;
use neural_collapse::models::diagrams::{MinorityCollapse, PhaseDiagram};
use neural_collapse::models::low_rank::Search;
use neural_collapse::problem::{LossFunction, TrainingObjective};
use neural_collapse::{Bias, ClassCounts, Error, Monitor, Progress, Regularization};

const ENDED: &dyn Monitor = &|_: Progress| ControlFlow::Break(());

fn penalized(loss: LossFunction, depth: usize, bias: Bias) -> TrainingObjective {
    let regularization = Regularization::uniform(depth, 5e-3, 5e-3).unwrap();
    TrainingObjective::penalized(loss, regularization.with_bias(bias).unwrap())
}

fn counts(sizes: &[u64]) -> ClassCounts {
    ClassCounts::new(sizes).unwrap()
}

/// Every program and every search behind [`AnyModel`], each of which ends with a model if nobody ends it.
#[test]
fn programs_and_searches_are_ended() {
    let (squared, entropy) = (LossFunction::SquaredError, LossFunction::CrossEntropy);
    let budgeted = TrainingObjective::Budgeted {
        loss_function: entropy,
        weight_energy: 1.0,
        feature_energy: 1.0,
    };
    let penalized_bias = Bias::Regularized(0.1);
    let search = Search::default().with_starts(1);
    let (unequal, alike) = (&[6, 4, 2][..], &[4, 4, 4][..]);
    for (name, objective, sizes, search) in [
        ("program, squared", penalized(squared, 1, penalized_bias), unequal, None),
        ("program, cross-entropy", penalized(entropy, 1, Bias::None), unequal, None),
        ("program within budgets", budgeted, unequal, None),
        ("search, squared", penalized(squared, 2, penalized_bias), unequal, Some(&search)),
        ("search, cross-entropy", penalized(entropy, 2, Bias::None), unequal, Some(&search)),
        ("search beside closed forms", penalized(entropy, 3, Bias::None), alike, Some(&search)),
    ] {
        let build = |monitor| AnyModel::new_with(&objective, counts(sizes), None, search, monitor);
        assert!(build(&()).is_ok(), "{name}");
        assert!(matches!(build(ENDED), Err(Error::Cancelled)), "{name}");
    }
}

#[test]
fn diagrams_are_ended() {
    let model = |objective: &TrainingObjective, sizes: &[u64]| {
        AnyModel::new(objective, counts(sizes), None).unwrap()
    };
    let squared = penalized(LossFunction::SquaredError, 2, Bias::None);
    let one = penalized(LossFunction::CrossEntropy, 1, Bias::None);
    let two = penalized(LossFunction::CrossEntropy, 2, Bias::None);
    for (name, model) in [
        ("survival", model(&squared, &[6, 4, 2])),
        ("merging", model(&one, &[6, 4, 2])),
        ("structures", model(&two, &[4, 4, 4])),
    ] {
        let ended = PhaseDiagram::new(&model, ENDED);
        assert!(matches!(ended, Err(Error::Cancelled)), "{name}");
    }
    let AnyModel::Squared(minimum) = model(&squared, &[6, 4, 2]) else { panic!("it is squared") };
    assert!(matches!(MinorityCollapse::new(&minimum, 3, ENDED), Err(Error::Cancelled)));
}
