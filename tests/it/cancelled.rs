//! Work that may be long ends as soon as its monitor wants it to.

use std::ops::ControlFlow;

use nalgebra::DMatrix;
use neural_collapse::audit::{AuditOptions, audit_with, measure_with};
use neural_collapse::models::AnyModel;
use neural_collapse::models::cross_entropy::{phase_diagram, phase_diagram_with};
use neural_collapse::models::diagrams::{MinorityCollapse, PhaseDiagram};
use neural_collapse::models::low_rank::Search;
use neural_collapse::problem::{LossFunction, TrainingObjective};
use neural_collapse::{
    Bias, ClassCounts, Error, Features, LinearHead, Monitor, Progress, Regularization, Ufm,
};

const ENDED: &dyn Monitor = &|_: Progress| ControlFlow::Break(());

/// Ends the work at the second step of a stage, or at its only one.
fn ended_in(stage: &'static str) -> impl Monitor {
    move |progress: Progress| match progress.stage == stage
        && (progress.done > 0 || progress.total.is_none())
    {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    }
}

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

/// The closed forms and the comparison of one depth, by themselves and within the diagram of several depths.
#[test]
fn phase_diagrams_are_ended_within_a_depth() {
    let two = penalized(LossFunction::CrossEntropy, 2, Bias::None);
    let model = AnyModel::new(&two, counts(&[4, 4, 4]), None).unwrap();
    let phases = |monitor: &dyn Monitor| phase_diagram_with(3, 2, Bias::None, 0.0, monitor);
    assert_eq!(phases(&()), phase_diagram(3, 2, Bias::None, 0.0));
    for stage in ["closed forms at every strength", "comparing structures at every strength"] {
        let monitor = ended_in(stage);
        assert_eq!(phases(&monitor), Err(Error::Cancelled), "{stage}");
        // No depth is done.
        let within = |progress: Progress| {
            assert_ne!(progress.stage, "depths");
            monitor.progress(progress)
        };
        assert!(matches!(PhaseDiagram::new(&model, &within), Err(Error::Cancelled)), "{stage}");
    }
}

/// Levels and standard errors take the time of a comparison, each at all its steps.
#[test]
fn comparisons_are_ended() {
    let rows = DMatrix::from_fn(12, 4, |i, j| {
        ((i * i + 5 * j) as f64).sin() + if i % 3 == j { 4.0 } else { 0.0 }
    });
    let labels: Vec<usize> = (0..12).map(|sample| sample % 3).collect();
    let data = Features::from_sample_rows(&rows).unwrap().with_labels(&labels, 3).unwrap();
    let head = LinearHead::new(vec![DMatrix::identity(3, 4)], None).unwrap();
    let regularization = Regularization::uniform(1, 5e-3, 5e-3).unwrap();
    let prediction = Ufm::new(counts(&[4, 4, 4]), regularization).unwrap();
    let prediction = prediction.global_minimum().unwrap();
    let options = AuditOptions::for_prediction(&prediction).unwrap();
    let options = options.with_all_metrics(true).with_standard_errors(true);
    let measured = || measure_with(&data, &head, &options, &()).unwrap();
    let alone = |monitor: &dyn Monitor| measured().without_prediction_with("unknown", monitor);
    let beside = |monitor: &dyn Monitor| measured().compare_with(&prediction, monitor);
    assert_eq!(alone(&()), measured().without_prediction("unknown"));
    assert_eq!(beside(&()), measured().compare(&prediction));
    for stage in [
        "levels without structure",
        "levels of a collapsed network",
        "standard errors",
        "largest of all pairs",
    ] {
        let monitor = ended_in(stage);
        assert_eq!(alone(&monitor), Err(Error::Cancelled), "{stage}");
        assert_eq!(beside(&monitor), Err(Error::Cancelled), "{stage}");
    }
    let begun = |progress: Progress| {
        assert!(progress.total.is_none_or(|total| progress.done <= total), "{progress:?}");
        ControlFlow::Continue(())
    };
    assert!(beside(&begun).is_ok());
    let audited = audit_with(&data, &head, &prediction, &ended_in("levels without structure"));
    assert_eq!(audited, Err(Error::Cancelled));
}
