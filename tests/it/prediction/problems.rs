//! Random problems of every model.

use std::ops::RangeInclusive;

use nalgebra::DMatrix;
use neural_collapse::models::contrastive::UnitFeatures;
use neural_collapse::models::convex::ConvexUfm;
use neural_collapse::models::cross_entropy::LossMean;
use neural_collapse::models::fixed_head::FixedHeadUfm;
use neural_collapse::models::low_rank::LowRankProblem;
use neural_collapse::models::multi_label::MultiLabelUfm;
use neural_collapse::models::nonnegative::NonnegativeUfm;
use neural_collapse::models::soft_labels::SparseLabels;
use neural_collapse::{Bias, ClassCounts, CrossEntropyUfm, LayerPeeled, Regularization, Seli, Ufm};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::subsequence;

/// Classes of any sizes, or of two.
fn counts() -> impl Strategy<Value = ClassCounts> {
    let two =
        (1..=16_u64, 1..=16_u64, vec(any::<bool>(), 2..=6)).prop_map(|(one, other, which)| {
            which.iter().map(|&first| if first { one } else { other }).collect()
        });
    prop_oneof![vec(1..=16_u64, 2..=6), two].prop_map(|sizes| ClassCounts::new(&sizes).unwrap())
}

/// Classes of one size.
fn balanced() -> impl Strategy<Value = ClassCounts> {
    (2..=6_usize, 1..=8_u64).prop_map(|(classes, n)| ClassCounts::balanced(classes, n).unwrap())
}

fn decay() -> impl Strategy<Value = f64> {
    (-4.0..-2.0).prop_map(|exponent| 10_f64.powf(exponent))
}

fn regularization(
    depths: RangeInclusive<usize>,
    bias: impl Strategy<Value = Bias>,
) -> impl Strategy<Value = Regularization> {
    (vec(decay(), depths), decay(), bias).prop_map(|(weights, features, bias)| {
        Regularization::new(&weights, features).unwrap().with_bias(bias).unwrap()
    })
}

fn free_bias() -> impl Strategy<Value = Bias> {
    prop_oneof![Just(Bias::None), Just(Bias::Unregularized)]
}

fn any_bias() -> impl Strategy<Value = Bias> {
    prop_oneof![free_bias(), (0.05..2.0).prop_map(Bias::Regularized)]
}

fn numbers(classes: usize, range: std::ops::Range<f64>) -> impl Strategy<Value = Vec<f64>> {
    vec(range, classes)
}

/// Widths of all layers, or none.
fn widths(
    layers: usize,
    range: RangeInclusive<usize>,
) -> impl Strategy<Value = Option<Vec<usize>>> {
    option::of(vec(range, layers))
}

fn smoothing() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), 0.01..0.3]
}

pub fn squared() -> impl Strategy<Value = Ufm> {
    let penalized = (0.05..2.0).prop_map(Bias::Regularized);
    let classes = prop_oneof![
        (counts().boxed(), regularization(1..=3, free_bias()).boxed()),
        (balanced().boxed(), regularization(1..=3, penalized).boxed()),
    ];
    let problem = classes.prop_flat_map(|(counts, regularization)| {
        let widths = widths(regularization.depth(), 1..=8);
        (Just((counts, regularization)), widths)
    });
    problem.prop_map(|((counts, regularization), widths)| {
        let ufm = Ufm::new(counts, regularization).unwrap();
        match widths {
            Some(widths) => ufm.with_widths(&widths).unwrap(),
            None => ufm,
        }
    })
}

/// With fewer samples than outputs or more.
pub fn target() -> impl Strategy<Value = (DMatrix<f64>, Ufm)> {
    let shape = (1..=5_usize, 1..=9_usize);
    let target = shape.prop_flat_map(|(rows, columns)| {
        vec(-1.0..1.0, rows * columns)
            .prop_map(move |entries| DMatrix::from_vec(rows, columns, entries))
    });
    (target, regularization(1..=3, free_bias())).prop_map(|(target, regularization)| {
        (target.clone(), Ufm::from_target(target, regularization).unwrap())
    })
}

pub fn cross_entropy() -> impl Strategy<Value = CrossEntropyUfm> {
    let mean = prop_oneof![Just(LossMean::Samples), Just(LossMean::TwiceSamples)];
    let problem = (balanced(), regularization(1..=3, any_bias()), smoothing(), mean);
    let wide = problem.prop_flat_map(|(counts, regularization, smoothing, mean)| {
        let (classes, layers) = (counts.classes(), regularization.depth());
        let widths = widths(layers, classes - 1..=classes + 2);
        (Just((counts, regularization, smoothing, mean)), widths)
    });
    wide.prop_map(|((counts, regularization, smoothing, mean), widths)| {
        let size = counts.count(0).unwrap();
        let ufm = CrossEntropyUfm::new(counts.classes(), size, regularization).unwrap();
        let ufm = ufm.with_label_smoothing(smoothing).unwrap().with_loss_mean(mean);
        match widths {
            Some(widths) => ufm.with_widths(&widths).unwrap(),
            None => ufm,
        }
    })
}

/// Classes with weights, smoothing and constants beside the logits, under cross-entropy and the squared loss.
pub fn convex() -> impl Strategy<Value = ConvexUfm> {
    let problem = counts().prop_flat_map(|counts| {
        let classes = counts.classes();
        (
            Just(counts),
            regularization(1..=1, any_bias()),
            option::of(numbers(classes, 0.5..2.5)),
            smoothing(),
            option::of(numbers(classes, -1.0..1.0)),
            option::of(classes..=classes + 2),
            0..4_usize,
        )
    });
    problem.prop_map(|(counts, regularization, weights, smoothing, offsets, width, kind)| {
        if let (0, Some(weights)) = (kind, &weights) {
            return ConvexUfm::pytorch(counts, weights, smoothing, regularization).unwrap();
        }
        let ufm = match kind {
            1 => ConvexUfm::squared_error(counts, regularization),
            _ => ConvexUfm::cross_entropy(counts, regularization),
        };
        let ufm = ufm.unwrap().with_label_smoothing(smoothing).unwrap();
        let ufm = weights.iter().fold(ufm, |ufm, own| ufm.with_class_weights(own).unwrap());
        let offsets = offsets.filter(|_| kind != 1);
        let ufm = offsets.iter().fold(ufm, |ufm, own| ufm.with_logit_offsets(own).unwrap());
        width.into_iter().fold(ufm, |ufm, width| ufm.with_widths(&[width]).unwrap())
    })
}

/// Probabilities of all classes as labels, with weights of their own.
pub fn soft_labels() -> impl Strategy<Value = ConvexUfm> {
    (2..=5_usize, 1..=6_usize).prop_flat_map(|(classes, labels)| {
        let entries = numbers(classes * labels, 0.01..1.0);
        let weights = option::of(numbers(labels, 0.5..2.5));
        (entries, vec(1..=9_u64, labels), regularization(1..=1, any_bias()), weights).prop_map(
            move |(entries, samples, regularization, weights)| {
                let mut probabilities = DMatrix::from_vec(classes, labels, entries);
                probabilities.column_iter_mut().for_each(|mut column| column /= column.sum());
                let ufm = ConvexUfm::soft_labels(probabilities, &samples, regularization).unwrap();
                weights.iter().fold(ufm, |ufm, own| ufm.with_label_weights(own).unwrap())
            },
        )
    })
}

pub fn nonnegative() -> impl Strategy<Value = NonnegativeUfm> {
    let classes = prop_oneof![
        (counts().boxed(), regularization(1..=1, Just(Bias::None)).boxed()),
        (balanced().boxed(), regularization(1..=1, any_bias()).boxed()),
    ];
    let problem = classes.prop_flat_map(|(counts, regularization)| {
        let classes = counts.classes();
        let weights = option::of(numbers(classes, 0.5..2.5));
        let width = option::of(classes..=classes + 2);
        (Just((counts, regularization)), weights, smoothing(), width)
    });
    problem.prop_map(|((counts, regularization), weights, smoothing, width)| {
        // Beside weights a bias has no closed form where classes die.
        let weights = weights.filter(|_| regularization.bias() == Bias::None);
        let ufm = NonnegativeUfm::new(counts, regularization).unwrap();
        let ufm = ufm.with_label_smoothing(smoothing).unwrap();
        let ufm = weights.iter().fold(ufm, |ufm, own| ufm.with_class_weights(own).unwrap());
        width.into_iter().fold(ufm, |ufm, width| ufm.with_widths(&[width]).unwrap())
    })
}

pub fn layer_peeled() -> impl Strategy<Value = LayerPeeled> {
    (counts(), 0.1..4.0, 0.1..4.0).prop_map(|(counts, weight_energy, feature_energy)| {
        LayerPeeled::new(counts, weight_energy, feature_energy).unwrap()
    })
}

pub fn seli() -> impl Strategy<Value = Seli> {
    let problem = counts().prop_flat_map(|counts| {
        let classes = counts.classes();
        let margins = option::of(numbers(classes, 0.3..3.0));
        (Just(counts), margins, option::of(numbers(classes, 0.3..3.0)))
    });
    problem.prop_map(|(counts, margins, scales)| {
        let seli = Seli::new(counts).unwrap();
        let seli = margins.iter().fold(seli, |seli, own| seli.with_margins(own).unwrap());
        scales.iter().fold(seli, |seli, own| seli.with_logit_scales(own).unwrap())
    })
}

/// Any number of layers and any widths.
pub fn searched() -> impl Strategy<Value = LowRankProblem> {
    let problem = (counts(), regularization(1..=3, any_bias()), smoothing(), any::<bool>());
    let problem = problem.prop_flat_map(|(counts, regularization, smoothing, is_squared)| {
        let weights = option::of(numbers(counts.classes(), 0.5..2.5));
        let widths = widths(regularization.depth(), 1..=6);
        (Just((counts, regularization, smoothing, is_squared)), weights, widths)
    });
    problem.prop_map(|((counts, regularization, smoothing, is_squared), weights, widths)| {
        let problem = match is_squared {
            true => LowRankProblem::squared(counts, regularization),
            false => LowRankProblem::cross_entropy(counts, regularization),
        };
        let problem = problem.unwrap().with_label_smoothing(smoothing).unwrap();
        let problem =
            weights.iter().fold(problem, |own, list| own.with_class_weights(list).unwrap());
        widths.iter().fold(problem, |own, list| own.with_widths(list).unwrap())
    })
}

pub fn fixed_head() -> impl Strategy<Value = FixedHeadUfm> {
    (counts(), 0.5..100.0, decay(), smoothing()).prop_map(|(counts, norm, decay, smoothing)| {
        let ufm = FixedHeadUfm::new(counts, norm, decay).unwrap();
        ufm.with_label_smoothing(smoothing).unwrap()
    })
}

pub fn spherical() -> impl Strategy<Value = UnitFeatures> {
    (balanced(), 0.1..2.0)
        .prop_map(|(counts, tau)| UnitFeatures::spherical_cross_entropy(counts, tau).unwrap())
}

/// With features of either sign, and non-negative ones.
pub fn contrastive() -> impl Strategy<Value = UnitFeatures> {
    let some_pair = |counts: &ClassCounts| counts.sizes().any(|group| group.size > 1);
    let either = balanced().prop_map(|counts| (counts, false));
    let nonnegative = counts().prop_map(|counts| (counts, true));
    let classes = prop_oneof![either, nonnegative];
    let classes = classes.prop_filter("two of a class", move |(counts, _)| some_pair(counts));
    (classes, 0.1..2.0).prop_map(|((counts, is_nonnegative), temperature)| {
        let model = UnitFeatures::supervised_contrastive(counts, temperature).unwrap();
        match is_nonnegative {
            true => model.with_nonnegative_features().unwrap(),
            false => model,
        }
    })
}

/// Sets of some numbers of tags.
pub fn multi_label() -> impl Strategy<Value = MultiLabelUfm> {
    (2..=5_usize).prop_flat_map(|classes| {
        let tags = subsequence((1..=classes).collect::<Vec<_>>(), 1..=classes);
        (tags, vec(1..=6_u64, classes), regularization(1..=1, any_bias())).prop_map(
            move |(tags, samples, regularization)| {
                let sets: Vec<_> = tags.into_iter().zip(samples).collect();
                MultiLabelUfm::new(classes, &sets, regularization).unwrap()
            },
        )
    })
}

/// Contexts with any supports, some of which are alike or everything.
pub fn sparse_labels() -> impl Strategy<Value = SparseLabels> {
    (2..=5_usize, 1..=7_usize).prop_flat_map(|(classes, contexts)| {
        let support = subsequence((0..classes).collect::<Vec<_>>(), 1..=classes);
        (vec(support, contexts), vec(1..=12_u64, contexts)).prop_map(move |(supports, samples)| {
            SparseLabels::new(classes, &supports, &samples).unwrap()
        })
    })
}
