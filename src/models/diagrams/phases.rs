//! Phase diagrams.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::models::any::AnyModel;
use crate::models::convex::ConvexUfm;
use crate::models::cross_entropy::{Landscape, Phase, phase_diagram_with};
use crate::models::diagrams::stretching::Stretching;
use crate::models::squared::GlobalMinimum;
use crate::monitor::Monitor;
use crate::problem::counts::ClassCounts;
use crate::problem::regularization::Regularization;
use crate::problem::training_objective::LossFunction;

/// The deepest network beside which others are looked at.
const DEPTHS: usize = 6;

/// Up to so many classes all depths are looked at, up to so many the neighbors of the own one.
const FEW_CLASSES: usize = 6;
const MORE_CLASSES: usize = 12;

/// Limits that differ by no more than this, relatively, are one.
const SAME: f64 = 1e-9;

/// Where the minimum of a model changes its structure.
///
/// ```
/// use neural_collapse::models::AnyModel;
/// use neural_collapse::models::diagrams::PhaseDiagram;
/// use neural_collapse::{ClassCounts, Regularization, Ufm};
///
/// let ufm = Ufm::new(ClassCounts::new(&[100, 100, 20])?, Regularization::new(&[1e-3], 1e-3)?)?;
/// let diagram = PhaseDiagram::new(&AnyModel::Squared(ufm.global_minimum()?), &())?;
/// let PhaseDiagram::Survival { limits, imbalance } = diagram else { unreachable!() };
/// assert_eq!(imbalance, 5.0);
/// // The smallest class collapses first, and two directions survive it.
/// let surviving: Vec<usize> = limits.iter().map(|limit| limit.surviving_directions).collect();
/// assert_eq!(surviving, [2, 0]);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Theorem 4.4 of Dang et al. (ICML 2023) for the squared loss, the project's `docs/convex.md` and
/// `docs/cross-entropy.md` for the others.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "kind", rename_all = "snake_case"))]
#[non_exhaustive]
pub enum PhaseDiagram {
    /// The squared loss: factors on all decays at which directions collapse.
    Survival {
        /// The limits, that at which the first direction collapses first.
        limits: Vec<SurvivalLimit>,
        /// The ratio of the largest to the smallest class of the problem itself, which is at the factor 1.
        imbalance: f64,
    },
    /// One layer: factors on all decays at which classes of one size and weight merge to one vector.
    Merging {
        /// The limits, that of the smallest classes first. What merges only where everything becomes zero is left out.
        limits: Vec<MergingLimit>,
        /// The factors above which everything is zero: pairs of imbalance and factor.
        zero: Vec<(f64, f64)>,
        /// The ratio of the largest to the smallest class of the problem itself, which is at the factor 1.
        imbalance: f64,
    },
    /// Cross-entropy of balanced classes with two layers and more: the structures with the lowest known loss over the
    /// strength u = (n λ_H Πλₘ)^(1/(M+1)).
    Structures {
        /// The phases of some depths, by rising depth: up to six and that of the problem for up to six classes, its neighbors
        /// for up to twelve, else that of the problem alone.
        depths: Vec<DepthPhases>,
        /// The depth M of the problem itself.
        depth: usize,
        /// The strength u of the problem itself.
        strength: f64,
    },
}

/// A factor on all decays over the imbalance, at which a direction collapses under the squared loss.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct SurvivalLimit {
    /// How many directions survive above it; stored as `surviving`.
    #[cfg_attr(feature = "serde", serde(rename = "surviving"))]
    pub surviving_directions: usize,
    /// Pairs of imbalance and factor.
    pub points: Vec<(f64, f64)>,
}

/// A factor on all decays over the imbalance, above which classes of one size and weight share one vector.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct MergingLimit {
    /// The first of these classes.
    pub class: usize,
    /// Its number of samples in the problem itself.
    pub count: u64,
    /// With two class sizes, whether these are the smaller classes.
    pub is_smaller: Option<bool>,
    /// Pairs of imbalance and factor.
    pub points: Vec<(f64, f64)>,
}

/// The [phases](crate::models::cross_entropy::phase_diagram) of one depth.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct DepthPhases {
    /// M.
    pub depth: usize,
    /// From weak to strong penalties.
    pub phases: Vec<Phase>,
}

impl PhaseDiagram {
    /// The phase diagram of a model, which a monitor watches and may end.
    ///
    /// # Errors
    /// [`Error::NotAnswered`] for models that have none, [`Error::NoClosedForm`] where the limits of one layer are not known
    /// in closed form, [`Error::Cancelled`] if the monitor ends the work.
    pub fn new(model: &AnyModel, monitor: &dyn Monitor) -> Result<Self> {
        match model {
            AnyModel::Squared(minimum) => survival(minimum, monitor),
            AnyModel::CrossEntropy(landscape) if landscape.problem().depth() == 1 => {
                merging(&landscape.problem().to_convex()?, monitor)
            }
            AnyModel::CrossEntropy(landscape) => structures(landscape, monitor),
            AnyModel::Convex(minimum) => merging(minimum.problem(), monitor),
            _ => {
                let reason = "there is none for this model";
                Err(Error::NotAnswered { question: "the phase diagram", reason })
            }
        }
    }
}

/// The factors on all decays at which directions collapse one by one.
fn survival(minimum: &GlobalMinimum, monitor: &dyn Monitor) -> Result<PhaseDiagram> {
    let counts = minimum.problem().counts().ok_or(Error::NotAnswered {
        question: "the phase diagram",
        reason: "the target has no classes",
    })?;
    let stretching = Stretching::new(counts, minimum.problem().regularization())?;
    let mut limits: BTreeMap<usize, Vec<(f64, f64)>> = BTreeMap::new();
    stretching.watched(monitor, |imbalance, stretched| {
        for step in stretching.minimum(minimum, stretched)?.collapse_factors() {
            let points = limits.entry(step.surviving_directions).or_default();
            points.push((imbalance, step.factor));
        }
        Ok(())
    })?;
    let limits = limits.into_iter().rev();
    let limit = |(surviving_directions, points)| SurvivalLimit { surviving_directions, points };
    Ok(PhaseDiagram::Survival {
        limits: limits.map(limit).collect(),
        imbalance: counts.imbalance(),
    })
}

/// One layer: the factors on all decays at which classes of one size merge, and all become zero.
fn merging(problem: &ConvexUfm, monitor: &dyn Monitor) -> Result<PhaseDiagram> {
    let counts = problem.counts();
    let stretching = Stretching::new(counts, problem.regularization())?.in_halves();
    let mut limits = groups_of(problem, &stretching)?;
    let mut zero = Vec::new();
    stretching.watched(monitor, |imbalance, stretched| {
        let other = like(problem, stretched, stretching.regularization())?;
        for limit in &mut limits {
            let class = limit.class;
            let size = other.counts().count(class).ok_or_else(|| {
                Error::out_of_range("class", class as f64, "below the number of classes")
            })?;
            let merging = other.merging_count(weight_of(problem, limit.class))?;
            limit.points.push((imbalance, (size as f64 / merging).sqrt()));
        }
        zero.push((imbalance, other.collapse_factor()?));
        Ok(())
    })?;
    // The largest classes may merge just where everything becomes zero.
    limits.retain(|limit| !are_equal(&limit.points, &zero));
    Ok(PhaseDiagram::Merging { limits, zero, imbalance: counts.imbalance() })
}

fn are_equal(one: &[(f64, f64)], other: &[(f64, f64)]) -> bool {
    one.iter().zip(other).all(|(a, b)| (a.1 - b.1).abs() <= SAME * a.1.abs())
}

fn weight_of(problem: &ConvexUfm, class: usize) -> f64 {
    problem.class_weights().map_or(1.0, |weights| weights[class])
}

/// The groups of two classes and more of one size and weight, from the smallest classes on, which merge first.
fn groups_of(problem: &ConvexUfm, stretching: &Stretching) -> Result<Vec<MergingLimit>> {
    // Where balanced classes become two halves, these are the groups.
    let balanced = problem.counts().is_balanced();
    let counts = stretching.at(if balanced { 2.0 } else { problem.counts().imbalance() })?;
    let mut groups: BTreeMap<(u64, u64), Vec<usize>> = BTreeMap::new();
    for run in counts.runs() {
        for class in run.classes() {
            let weight = weight_of(problem, class).to_bits();
            groups.entry((run.size, weight)).or_default().push(class);
        }
    }
    let two_sizes = counts.sizes().len() == 2;
    let smallest = counts.sizes().map(|group| group.size).min();
    let several = groups.into_iter().filter(|(_, classes)| classes.len() > 1);
    let limits = several.filter_map(|((size, _), classes)| {
        let class = *classes.first()?;
        let count = problem.counts().count(class)?;
        let is_smaller = two_sizes.then_some(Some(size) == smallest);
        Some(MergingLimit { class, count, is_smaller, points: Vec::new() })
    });
    Ok(limits.collect())
}

/// The problem for other classes.
fn like(
    problem: &ConvexUfm,
    counts: ClassCounts,
    regularization: &Regularization,
) -> Result<ConvexUfm> {
    let other = match problem.loss_function() {
        LossFunction::SquaredError => ConvexUfm::squared_error(counts, regularization.clone())?,
        _ => ConvexUfm::cross_entropy(counts, regularization.clone())?
            .with_label_smoothing(problem.label_smoothing())?,
    };
    match problem.class_weights() {
        Some(weights) => other.with_class_weights(weights),
        None => Ok(other),
    }
}

/// The depths that are looked at for so many classes, from that of the problem itself.
fn depths_beside(own: usize, classes: usize) -> BTreeSet<usize> {
    if classes <= FEW_CLASSES {
        (1..=DEPTHS).chain([own]).collect()
    } else if classes <= MORE_CLASSES {
        (own.saturating_sub(1).max(1)..=own + 1).collect()
    } else {
        [own].into()
    }
}

/// Two and more layers, cross-entropy: the structures with the lowest loss over strength and depth.
fn structures(landscape: &Landscape, monitor: &dyn Monitor) -> Result<PhaseDiagram> {
    let problem = landscape.problem();
    let (own, classes) = (problem.depth(), problem.classes());
    let depths = depths_beside(own, classes);
    let total = depths.len() as u64;
    let mut columns = Vec::new();
    for (done, depth) in (1..).zip(depths) {
        let bias = problem.regularization().bias();
        let phases = phase_diagram_with(classes, depth, bias, problem.label_smoothing(), monitor)?;
        columns.push(DepthPhases { depth, phases });
        monitor.report("depths", done, Some(total))?;
    }
    Ok(PhaseDiagram::Structures { depths: columns, depth: own, strength: problem.strength() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::cross_entropy::{CrossEntropyUfm, LossMean};
    use crate::models::squared::Ufm;

    fn regularization(depth: usize, factor: f64) -> Regularization {
        Regularization::new(&vec![2e-3 * factor; depth], 1e-3 * factor).unwrap()
    }

    fn entropy(counts: &str) -> ConvexUfm {
        ConvexUfm::cross_entropy(counts.parse().unwrap(), regularization(1, 1.0)).unwrap()
    }

    /// At its factor on both decays a class is just as large as the largest that merges, and at the last one everything is
    /// just zero.
    #[test]
    fn limits_of_one_layer_are_where_classes_merge() {
        let smoothed = entropy("100,100,20,20").with_label_smoothing(0.1).unwrap();
        let plain = entropy("100,100,20,20");
        for problem in [smoothed, plain] {
            let diagram = merging(&problem, &()).unwrap();
            let PhaseDiagram::Merging { limits, zero, imbalance } = diagram else {
                panic!("one layer")
            };
            assert_eq!((limits[0].class, limits[0].count, imbalance), (2, 20, 5.0));
            assert_eq!(limits[0].is_smaller, Some(true));
            let stretching = Stretching::new(problem.counts(), problem.regularization()).unwrap();
            let scaled = |counts: &ClassCounts, factor: f64| {
                let own = stretching.regularization();
                let weight_decay = own.weight_decays()[0] * factor;
                let regularization =
                    Regularization::new(&[weight_decay], own.feature_decay() * factor);
                like(&problem, counts.clone(), &regularization.unwrap()).unwrap()
            };
            let steps: Vec<ClassCounts> = stretching.steps().collect();
            assert_eq!((limits[0].points.len(), zero.len()), (steps.len(), steps.len()));
            for step in [0, 30, 120] {
                let (ratio, factor) = limits[0].points[step];
                assert_eq!(ratio, steps[step].imbalance());
                let size = steps[step].count(2).unwrap() as f64;
                let merging = scaled(&steps[step], factor).merging_count(1.0).unwrap();
                assert!((merging / size - 1.0).abs() < 1e-12, "{step}: {merging}, {size}");
                let (ratio, factor) = zero[step];
                assert_eq!(ratio, steps[step].imbalance());
                let left = scaled(&steps[step], factor).collapse_factor().unwrap();
                assert!((left - 1.0).abs() < 1e-9, "{step}: {left}");
            }
        }
    }

    /// Where the total collapse is not known there is no diagram.
    #[test]
    fn the_squared_loss_of_one_layer_is_refused() {
        let squared =
            ConvexUfm::squared_error("30,30,5".parse().unwrap(), regularization(1, 1.0)).unwrap();
        assert!(matches!(merging(&squared, &()), Err(Error::NoClosedForm { .. })));
    }

    /// Two classes and more of one size and weight are a group.
    #[test]
    fn groups_are_of_one_size_and_weight() {
        let groups = |problem: &ConvexUfm| -> Vec<(usize, u64, Option<bool>)> {
            let stretching = Stretching::new(problem.counts(), problem.regularization()).unwrap();
            let found = groups_of(problem, &stretching.in_halves()).unwrap();
            found.into_iter().map(|limit| (limit.class, limit.count, limit.is_smaller)).collect()
        };
        let (smaller, larger) = (Some(true), Some(false));
        assert_eq!(groups(&entropy("90,90,20,20")), [(2, 20, smaller), (0, 90, larger)]);
        assert_eq!(groups(&entropy("90,20,20")), [(1, 20, smaller)]);
        assert_eq!(groups(&entropy("90,90,20,20,7,20")), [(2, 20, None), (0, 90, None)]);
        assert_eq!(groups(&entropy("30x4")), [(2, 30, smaller), (0, 30, larger)]);
        let weighted = entropy("90,20,20,20").with_class_weights(&[1.0, 2.0, 1.0, 2.0]).unwrap();
        assert_eq!(groups(&weighted), [(1, 20, smaller)]);
        assert_eq!([0, 1, 2].map(|class| weight_of(&weighted, class)), [1.0, 2.0, 1.0]);
    }

    #[test]
    fn curves_that_differ_by_rounding_are_equal() {
        for value in [0.01, 30.0] {
            let equal =
                |other: f64| are_equal(&[(1.0, 1.0), (2.0, value)], &[(1.0, 1.0), (2.0, other)]);
            assert!(equal(value) && equal(value * (1.0 + 0.9e-9)) && equal(value * (1.0 - 0.9e-9)));
            assert!(!equal(value * (1.0 + 1.1e-9)) && !equal(value * (1.0 - 1.1e-9)));
        }
    }

    /// Another problem is like the own one but for the classes.
    #[test]
    fn problems_keep_loss_weights_and_smoothing() {
        let counts: ClassCounts = "5,4,3".parse().unwrap();
        let smoothed = entropy("90,20,20").with_label_smoothing(0.1).unwrap();
        let squared = ConvexUfm::squared_error(counts.clone(), regularization(1, 1.0)).unwrap();
        let weighted = squared.clone().with_class_weights(&[1.0, 2.0, 3.0]).unwrap();
        for problem in [smoothed, squared, weighted] {
            let other = like(&problem, counts.clone(), &regularization(1, 2.0)).unwrap();
            assert_eq!(
                (other.counts(), other.regularization()),
                (&counts, &regularization(1, 2.0))
            );
            assert_eq!(other.loss_function(), problem.loss_function());
            assert_eq!(other.class_weights(), problem.class_weights());
            assert_eq!(other.label_smoothing(), problem.label_smoothing());
        }
    }

    /// Few classes have all depths, some the neighbors, and many their own.
    #[test]
    fn depths_are_those_that_there_is_time_for() {
        for (classes, own, expected) in [
            (2, 2, &[1, 2, 3, 4, 5, 6][..]),
            (6, 8, &[1, 2, 3, 4, 5, 6, 8]),
            (7, 2, &[1, 2, 3]),
            (12, 3, &[2, 3, 4]),
            (13, 2, &[2]),
        ] {
            let found: Vec<usize> = depths_beside(own, classes).into_iter().collect();
            assert_eq!(found, expected, "{classes}");
        }
    }

    #[test]
    fn every_model_has_its_diagram() {
        let kind = |model: &AnyModel| match PhaseDiagram::new(model, &()) {
            Ok(PhaseDiagram::Survival { .. }) => "survival",
            Ok(PhaseDiagram::Merging { .. }) => "merging",
            Ok(PhaseDiagram::Structures { .. }) => "structures",
            Err(_) => "none",
        };
        let balanced = |depth| {
            let ufm = CrossEntropyUfm::new(3, 5, regularization(depth, 1.0)).unwrap();
            AnyModel::CrossEntropy(ufm.landscape().unwrap())
        };
        let squared = Ufm::new("30,20,20".parse().unwrap(), regularization(2, 1.0)).unwrap();
        let convex = entropy("30,20,20").global_minimum().unwrap();
        assert_eq!(kind(&AnyModel::Squared(squared.global_minimum().unwrap())), "survival");
        assert_eq!(kind(&AnyModel::Convex(convex)), "merging");
        assert_eq!([1, 2].map(|depth| kind(&balanced(depth))), ["merging", "structures"]);
        let AnyModel::CrossEntropy(landscape) = balanced(2) else { panic!("balanced classes") };
        let diagram = structures(&landscape, &()).unwrap();
        let PhaseDiagram::Structures { depths, depth, strength } = diagram else {
            panic!("several layers")
        };
        assert_eq!((depths.len(), depth, strength), (6, 2, landscape.problem().strength()));
    }

    /// Half the loss has the diagram of all of it with decays that are twice as large.
    #[test]
    fn the_mean_over_twice_the_samples_has_its_diagram() {
        let zero = |factor, mean| {
            let ufm = CrossEntropyUfm::new(4, 20, regularization(1, factor)).unwrap();
            let landscape = ufm.with_loss_mean(mean).landscape().unwrap();
            match PhaseDiagram::new(&AnyModel::CrossEntropy(landscape), &()).unwrap() {
                PhaseDiagram::Merging { zero, limits, .. } => (zero, limits.len()),
                other => panic!("{other:?}"),
            }
        };
        let (half, groups) = zero(1.0, LossMean::TwiceSamples);
        let (whole, expected) = zero(2.0, LossMean::Samples);
        assert_eq!((groups, half.len()), (expected, whole.len()));
        for (one, other) in half.iter().zip(&whole) {
            assert_eq!(one.0, other.0);
            assert!((one.1 / other.1 - 1.0).abs() < 1e-9, "{one:?}, {other:?}");
        }
    }
}
