//! Every implementor of `Prediction` answers for one and the same point, in many random problems: the explicit matrices
//! attain the loss under its first-order conditions, and norms, Gram matrices, outputs, bias and singular values are
//! theirs. What has no answer is in the table of `unanswered`, with the reason.

mod answers;
mod data_term;
mod first_order;
mod invariances;
mod labels;
mod margins;
mod problems;
mod subject;
mod unanswered;

use std::collections::BTreeSet;
use std::path::Path;

use neural_collapse::models::AnyModel;
use neural_collapse::models::contrastive::{UnitFeatures, UnitMinimum};
use neural_collapse::models::convex::ConvexUfm;
use neural_collapse::models::fixed_head::FixedHeadUfm;
use neural_collapse::models::low_rank::Search;
use neural_collapse::models::soft_labels::SparseLabels;
use neural_collapse::objective::Objective;
use neural_collapse::problem::{LossFunction, TrainingObjective};
use neural_collapse::{
    ClassCounts, ExplicitPoint, Features, LayerPeeled, Prediction, Regularization, Seli, Ufm,
};
use proptest::prelude::*;

use crate::architecture::{Shadows, sources};
use crate::contrastive::Unit;
use crate::support::bases::{random_basis, random_nonnegative_basis};
use crate::support::strategies::config;
use data_term::Held;
use subject::{Subject, assert_close};

/// Holds every answer of a prediction against its explicit matrices.
fn check(subject: &Subject<'_>) {
    unanswered::check(subject.kind, &subject.name, subject.prediction);
    let point = subject.prediction.explicit(&random_basis(subject.prediction, 7)).unwrap();
    first_order::check(subject, point.head(), &point.features().unwrap());
    check_measured(subject, &point);
    check_model(subject);
    answers::check(subject, &point);
}

/// What a measured network is told of its loss and gradient.
fn check_measured(subject: &Subject<'_>, point: &ExplicitPoint) {
    let (name, prediction) = (&subject.name, subject.prediction);
    let objective = prediction.training_objective();
    let (Held::Labels(labels), false) = (&subject.held, objective.is_constraint()) else { return };
    let features = point.features().unwrap();
    let data = Features::from_sample_columns(&features).unwrap();
    let data = data.with_labels(labels, objective.labels(prediction.classes())).unwrap();
    let measure = |objective| Objective::new(&data, point.head(), objective).unwrap();
    let measured = measure(&objective);
    assert_close(measured.loss(), prediction.loss(), 1e-11, name);
    let Some(regularization) = objective.regularization() else {
        // Under constraints: beside the whole gradient, most of which they take up.
        let whole = TrainingObjective::DataTerm { loss_function: LossFunction::CrossEntropy };
        let whole = measure(&whole).gradient_norm;
        assert!(measured.gradient_norm <= 1e-5 * whole, "{name}: {measured:?}, {whole:e}");
        return;
    };
    // λ‖W‖ of a layer is √(λ · λ‖W‖²), and λ‖W‖² is the same for all layers.
    let decays = regularization.weight_decays().iter().copied();
    let least = decays.chain([regularization.feature_decay()]).fold(f64::INFINITY, f64::min);
    let scale = (least * 2.0 * measured.feature_penalty).sqrt();
    first_order::assert_small(measured.gradient_norm, scale, name);
}

/// What is proved for an objective is found again from the objective alone.
fn check_model(subject: &Subject<'_>) {
    let prediction = subject.prediction;
    let (Some(counts), "proved") = (prediction.counts(), prediction.verdict().keyword()) else {
        return;
    };
    let objective = prediction.training_objective();
    let model = AnyModel::new(&objective, counts.clone(), prediction.widths());
    let found = model.expect(&subject.name).prediction().loss();
    assert_close(found, prediction.loss(), 1e-11, &subject.name);
}

/// The contrastive loss has no classifier: it is held against its class means.
fn check_contrastive(minimum: &UnitMinimum) {
    let kind = match minimum.is_unique() {
        true => "UnitMinimum, contrastive",
        false => "UnitMinimum, contrastive with samples alone",
    };
    let subject = Subject::of_classes(kind, minimum);
    let (name, prediction) = (&subject.name, subject.prediction);
    unanswered::check(kind, name, prediction);
    check_model(&subject);
    answers::check_bound(name, prediction);
    let objective = prediction.training_objective();
    assert!(prediction.has_scale() && invariances::fixes_lengths(&objective), "{name}");
    let means = minimum.class_means(&random_nonnegative_basis(prediction, 7)).unwrap();
    answers::check_classes(name, prediction, None, &means);
    let Held::Labels(labels) = &subject.held else { panic!("{name} has classes") };
    let features = means.select_columns(labels);
    if minimum.is_unique() {
        answers::check_class_means(name, prediction, &means);
        let values = prediction.feature_singular_values().unwrap();
        answers::same_values(name, &values, features.clone());
    }
    let counts = prediction.counts().unwrap();
    let sizes: Vec<usize> =
        (0..counts.classes()).map(|class| counts.count(class).unwrap() as usize).collect();
    let unit = Unit::new(&sizes, false, means.nrows(), minimum.problem().temperature());
    let (loss, slopes) = unit.of_products(&(features.transpose() * &features));
    assert_close(loss, prediction.loss(), 1e-11, name);
    let slopes = &features * (&slopes + slopes.transpose());
    first_order::unit_vectors(&features, &slopes, means.min() >= 0.0, name);
}

fn check_sparse_labels(problem: &SparseLabels) {
    let contexts = problem.samples().labels().unwrap();
    let support = |context: usize| problem.supports()[context].clone();
    let held = Held::Sets(contexts.into_iter().map(support).collect());
    let centered = problem.global_minimum().unwrap();
    assert_eq!(centered.label_geometry().unwrap().counts, *problem.samples());
    check(&Subject::new("CenteredSupports", &centered, held.clone()));
    let smallest = problem.smallest_logits().unwrap();
    let mut subject = Subject::new("SmallestLogits", &smallest, held);
    // Proved within a relative gap of 1e-11, of which multipliers have the root.
    subject.multipliers_within = 1e-4;
    check(&subject);
    // The matrices have the logits, and the features their Gram matrix.
    let point = smallest.explicit(&random_basis(&smallest, 7)).unwrap();
    let features = point.distinct_features();
    let logits = &point.head().weights()[0] * features;
    assert!((logits - smallest.logits()).amax() < 1e-11, "{problem:?}");
    let gram = smallest.context_gram().unwrap().to_dense().unwrap();
    let difference = (features.transpose() * features - &gram).amax();
    assert!(difference <= 1e-11 * gram.amax(), "{problem:?}");
}

/// The conditions tell a minimum from features that are turned a little: no norm, length or penalty sees that.
#[test]
fn turned_features_are_not_stationary() {
    let counts = || ClassCounts::new(&[6, 4, 4]).unwrap();
    let balanced = || ClassCounts::balanced(3, 4).unwrap();
    let decays = || Regularization::new(&[2e-3], 1e-3).unwrap();
    let of = |kind, prediction: &dyn Prediction, angle: f64| {
        let subject = Subject::of_classes(kind, prediction);
        let point = prediction.explicit(&random_basis(prediction, 7)).unwrap();
        let turned = |angle: f64| {
            let mut features = point.features().unwrap();
            let (first, second) = (features.row(0).into_owned(), features.row(1).into_owned());
            features.set_row(0, &(&first * angle.cos() - &second * angle.sin()));
            features.set_row(1, &(first * angle.sin() + second * angle.cos()));
            let check = || first_order::check(&subject, point.head(), &features);
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).is_ok()
        };
        assert_eq!([turned(0.0), turned(angle)], [true, false], "{kind}");
    };
    let ufm = ConvexUfm::cross_entropy(counts(), decays()).unwrap();
    of("ConvexMinimum", &ufm.global_minimum().unwrap(), 1e-5);
    of("GlobalMinimum", &Ufm::new(counts(), decays()).unwrap().global_minimum().unwrap(), 1e-5);
    let model = LayerPeeled::new(counts(), 1.0, 2.0).unwrap();
    of("LayerPeeledMinimum", &model.global_minimum().unwrap(), 1e-3);
    of("Seli", &Seli::new(counts()).unwrap(), 1e-5);
    let ufm = FixedHeadUfm::new(counts(), 2.0, 1e-3).unwrap();
    of("FixedHeadMinimum", &ufm.global_minimum().unwrap(), 1e-5);
    let model = UnitFeatures::spherical_cross_entropy(balanced(), 0.5).unwrap();
    of("UnitMinimum", &model.global_minimum().unwrap(), 1e-5);
}

/// The table has all implementors, by the sources of the library.
#[test]
fn every_implementor_is_in_the_table() {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let found = Shadows::new("Prediction", sources.iter().map(|(_, source)| source.as_str()));
    let first_word = |kind: &'static str| kind.split([' ', ',']).next().unwrap();
    let in_table: BTreeSet<&str> =
        unanswered::TABLE.iter().map(|(kind, ..)| first_word(kind)).collect();
    assert_eq!(in_table, found.implementors);
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn squared_loss(ufm in problems::squared()) {
        let minimum = ufm.global_minimum().unwrap();
        let kind = if minimum.is_unique() { "GlobalMinimum" } else { "GlobalMinimum, narrow" };
        check(&Subject::of_classes(kind, &minimum));
    }

    #[test]
    fn squared_loss_of_a_target((target, ufm) in problems::target()) {
        let minimum = ufm.global_minimum().unwrap();
        check(&Subject::new("GlobalMinimum of a target", &minimum, Held::Target(target)));
    }

    #[test]
    fn nonnegative_features(ufm in problems::nonnegative()) {
        let minimum = ufm.global_minimum().unwrap();
        let kind = match minimum.is_family() {
            true => "NonnegativeMinimum, a family",
            false => "NonnegativeMinimum",
        };
        check(&Subject::of_classes(kind, &minimum));
    }

    #[test]
    fn support_vectors(seli in problems::seli()) {
        check(&Subject::of_classes("Seli", &seli));
    }

    #[test]
    fn fixed_heads(ufm in problems::fixed_head()) {
        check(&Subject::of_classes("FixedHeadMinimum", &ufm.global_minimum().unwrap()));
    }

    #[test]
    fn unit_vectors(model in problems::spherical()) {
        check(&Subject::of_classes("UnitMinimum", &model.global_minimum().unwrap()));
    }

    #[test]
    fn contrastive_features(model in problems::contrastive()) {
        check_contrastive(&model.global_minimum().unwrap());
    }

    #[test]
    fn sets_of_tags(ufm in problems::multi_label()) {
        let minimum = ufm.global_minimum().unwrap();
        let kind = match ufm.samples_per_set().any(|(tags, _)| tags == 1) {
            true => "MultiLabelMinimum",
            false => "MultiLabelMinimum without single tags",
        };
        let samples: Vec<(usize, u64)> = ufm.samples_per_set().collect();
        let copies = |set: Vec<usize>| {
            let (_, copies) = samples.iter().find(|(tags, _)| *tags == set.len()).unwrap();
            vec![set; *copies as usize]
        };
        let held = Held::Sets(ufm.tag_sets().flat_map(copies).collect());
        check(&Subject::new(kind, &minimum, held));
    }
}

proptest! {
    #![proptest_config(config(80))]

    #[test]
    fn cross_entropy(ufm in problems::cross_entropy()) {
        let landscape = ufm.landscape().unwrap();
        check(&Subject::of_classes("Landscape", &landscape));
        for point in landscape.points() {
            let kind = match point.verdict().is_proved() {
                true => "CrossEntropyPoint",
                false => "CrossEntropyPoint, not proved",
            };
            check(&Subject::of_classes(kind, point));
        }
    }

    #[test]
    fn convex_programs(ufm in problems::convex()) {
        check(&Subject::of_classes("ConvexMinimum", &ufm.global_minimum().unwrap()));
    }

    #[test]
    fn soft_labels(ufm in problems::soft_labels()) {
        let minimum = ufm.global_minimum().unwrap();
        let held = Held::Labels(ufm.counts().labels().unwrap());
        check(&Subject::new("ConvexMinimum of soft labels", &minimum, held));
    }

    #[test]
    fn budgets(model in problems::layer_peeled()) {
        check(&Subject::of_classes("LayerPeeledMinimum", &model.global_minimum().unwrap()));
    }

    #[test]
    fn sparse_labels(problem in problems::sparse_labels()) {
        check_sparse_labels(&problem);
    }
}

proptest! {
    #![proptest_config(config(200))]

    /// Nothing is proved of these.
    #[test]
    fn searched_points(problem in problems::searched()) {
        let found = problem.minimize(&Search::default().with_starts(2), &()).unwrap();
        let kind = match problem.regularization().depth() {
            1 => "LowRankMinimum of one layer",
            _ => "LowRankMinimum of several layers",
        };
        check(&Subject::of_classes(kind, &found));
    }
}
