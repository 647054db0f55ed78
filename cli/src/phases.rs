//! Which classes collapse, and which structure is the lowest, over decays and imbalance or depth.

use std::collections::{BTreeMap, BTreeSet};

use neural_collapse::models::AnyModel;
use neural_collapse::models::convex::ConvexUfm;
use neural_collapse::models::cross_entropy::phase_diagram;
use neural_collapse::problem::LossFunction;
use neural_collapse::{ClassCounts, Error, GlobalMinimum, Landscape, Regularization};

use crate::error::CliError;
use crate::imbalance::Stretching;
use crate::pictures::{self, Column, Ink, Picture, Thresholds};
use crate::plot::{MOST_CURVES, counts_of, nearly_equal, refused};

/// The deepest network beside which others are drawn.
const DEPTHS: usize = 6;

/// Up to so many classes all depths are drawn, up to so many the neighbors of the own one.
const FEW_CLASSES: usize = 6;
const MORE_CLASSES: usize = 12;

/// The phase diagram of a model.
pub(crate) fn phase_of(model: &AnyModel, ink: Ink) -> Result<Picture, CliError> {
    match model {
        AnyModel::Squared(minimum) => surviving(minimum, ink),
        AnyModel::CrossEntropy(landscape) if landscape.problem().depth() == 1 => {
            let problem = landscape.problem();
            let counts = problem.counts().clone();
            let of_one_layer = ConvexUfm::cross_entropy(counts, problem.regularization().clone())?
                .with_label_smoothing(problem.label_smoothing())?;
            merging(&of_one_layer, ink)
        }
        AnyModel::CrossEntropy(landscape) => Ok(structures(landscape, ink)?),
        AnyModel::Convex(minimum) => merging(minimum.problem(), ink),
        _ => Err(refused("phase", "there is no phase diagram for this model".into())),
    }
}

/// The factors on all decays at which directions collapse one by one.
fn surviving(minimum: &GlobalMinimum, ink: Ink) -> Result<Picture, CliError> {
    let counts = counts_of(minimum)?;
    let stretching = Stretching::new(counts, minimum.problem().regularization())?;
    let mut limits: BTreeMap<usize, Vec<(f64, f64)>> = BTreeMap::new();
    for stretched in stretching.steps() {
        let imbalance = stretched.imbalance();
        let other = stretching.minimum(minimum, stretched)?;
        for (factor, surviving) in other.collapse_factors() {
            limits.entry(surviving).or_default().push((imbalance, factor));
        }
    }
    let name = |surviving: usize| match surviving {
        0 => "none survives above".to_string(),
        1 => "1 direction survives above".into(),
        number => format!("{number} directions survive above"),
    };
    let limits: Vec<_> = limits.into_iter().rev().collect();
    let limits = first_to_last(limits);
    Ok(pictures::thresholds(
        Thresholds {
            title: "Which classes collapse",
            description: "Factors on all weight decays at which classes collapse, against the ratio of the largest to the \
                          smallest class: below the lowest curve all classes survive, above the highest none.",
            limits: limits.into_iter().map(|(number, points)| (name(number), points)).collect(),
            here: (counts.imbalance(), 1.0),
        },
        ink,
    ))
}

/// Of many curves the first, the last and some between them.
fn first_to_last<T>(curves: Vec<T>) -> Vec<T> {
    let step = curves.len().div_ceil(MOST_CURVES).max(1);
    let last = curves.len().saturating_sub(1);
    let kept = curves.into_iter().enumerate();
    kept.filter(|(index, _)| index % step == 0 || *index == last).map(|(_, curve)| curve).collect()
}

/// One layer, cross-entropy: the factors on all decays at which classes of one size merge, and all become zero.
fn merging(problem: &ConvexUfm, ink: Ink) -> Result<Picture, CliError> {
    let counts = problem.counts();
    let stretching = Stretching::new(counts, problem.regularization())?.in_halves();
    let groups = first_to_last(groups_of(problem, &stretching)?);
    let mut limits: Vec<(String, Vec<(f64, f64)>)> =
        groups.iter().map(|group| (group.name.clone(), Vec::new())).collect();
    let mut zero = Vec::new();
    for stretched in stretching.steps() {
        let imbalance = stretched.imbalance();
        let other = like(problem, stretched, stretching.regularization())?;
        for (group, (_, points)) in groups.iter().zip(&mut limits) {
            let size = other.counts().count(group.class).unwrap_or(0) as f64;
            points.push((imbalance, (size / other.merging_count(group.weight)?).sqrt()));
        }
        zero.push((imbalance, other.collapse_factor()?));
    }
    // The largest classes may merge just where everything becomes zero.
    limits.retain(|(_, points)| !nearly_equal(points, &zero));
    limits.push(("all weights are zero above".into(), zero));
    Ok(pictures::thresholds(
        Thresholds {
            title: "Which classes merge, cross-entropy, M = 1",
            description: "Factors on all weight decays above which classes of one size share one vector, and above which \
                          everything is zero, against the ratio of the largest to the smallest class.",
            limits,
            here: (counts.imbalance(), 1.0),
        },
        ink,
    ))
}

/// Classes of one size and weight, which may merge.
struct Group {
    name: String,
    class: usize,
    weight: f64,
}

/// The groups of two classes and more, from the smallest classes on, which merge first.
fn groups_of(problem: &ConvexUfm, stretching: &Stretching) -> Result<Vec<Group>, Error> {
    // Where balanced classes become two halves, these are the groups.
    let counts = stretching.at(if problem.counts().is_balanced() {
        2.0
    } else {
        problem.counts().imbalance()
    })?;
    let weight = |class: usize| {
        problem.class_weights().and_then(|weights| weights.get(class)).copied().unwrap_or(1.0)
    };
    let mut groups: BTreeMap<(u64, u64), Vec<usize>> = BTreeMap::new();
    for run in counts.runs() {
        for class in run.classes() {
            groups.entry((run.size, weight(class).to_bits())).or_default().push(class);
        }
    }
    let two_sizes = counts.sizes().len() == 2;
    let smallest = counts.sizes().map(|group| group.size).min();
    let name = |class: usize, size: u64| match (two_sizes, Some(size) == smallest) {
        (true, true) => "the smaller classes merge above".into(),
        (true, false) => "the larger classes merge above".into(),
        _ => {
            format!("classes of now n = {} merge above", problem.counts().count(class).unwrap_or(0))
        }
    };
    let several = groups.into_iter().filter(|(_, classes)| classes.len() > 1);
    let named = several.filter_map(|((size, _), classes)| {
        let &class = classes.first()?;
        Some(Group { name: name(class, size), class, weight: weight(class) })
    });
    Ok(named.collect())
}

/// The problem for other classes.
fn like(
    problem: &ConvexUfm,
    counts: ClassCounts,
    decays: &Regularization,
) -> Result<ConvexUfm, Error> {
    let other = match problem.loss_function() {
        LossFunction::SquaredError => ConvexUfm::squared_error(counts, decays.clone())?,
        _ => ConvexUfm::cross_entropy(counts, decays.clone())?
            .with_label_smoothing(problem.label_smoothing())?,
    };
    match problem.class_weights() {
        Some(weights) => other.with_class_weights(weights),
        None => Ok(other),
    }
}

/// Two and more layers, cross-entropy: the structures with the lowest loss over strength and depth.
fn structures(landscape: &Landscape, ink: Ink) -> Result<Picture, Error> {
    let problem = landscape.problem();
    let (own, classes) = (problem.depth(), problem.classes());
    let depths: BTreeSet<usize> = if classes <= FEW_CLASSES {
        (1..=DEPTHS).chain([own]).collect()
    } else if classes <= MORE_CLASSES {
        (own.saturating_sub(1).max(1)..=own + 1).collect()
    } else {
        [own].into()
    };
    let mut columns = Vec::new();
    for depth in depths {
        let bias = problem.regularization().bias();
        let phases = phase_diagram(classes, depth, bias, problem.label_smoothing())?;
        let named = phases.iter().map(|phase| (phase.structure.to_string(), phase.from, phase.to));
        columns.push(Column { depth, phases: named.collect() });
    }
    Ok(pictures::structures(columns, (own, problem.strength()), ink))
}
