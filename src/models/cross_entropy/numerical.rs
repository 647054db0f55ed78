//! Numerical descents as a source of points beside the closed forms.

use core::cmp::Reverse;

use nalgebra::DMatrix;

use crate::error::Result;
use crate::models::cross_entropy::point::{CrossEntropyPoint, Numbers};
use crate::models::cross_entropy::problem::CrossEntropyUfm;
use crate::models::cross_entropy::reduced::Penalty;
use crate::models::cross_entropy::solids::Solid;
use crate::models::cross_entropy::structure::{LogitStructure, NumericalStructure};
use crate::models::low_rank::objective::{DataTerm, Objective};
use crate::models::low_rank::search::{Found, LEAST_PRICE, Search, followed, rough_value, search};
use crate::models::low_rank::starts::from_positions;
use crate::models::low_rank::symmetry::symmetry;
use crate::monitor::Monitor;
use crate::numerics::linalg::svd_thin;
use crate::prediction::Prediction;
use crate::problem::regularization::Bias;

/// Closed forms that are starts too: they may be saddle points of the whole problem.
const CLOSED_STARTS: usize = 12;
/// Relative size of the disturbance that lets a descent leave a closed form.
const DISTURBANCE: f64 = 0.02;
/// Scales of the starts of a solid, relative to the one that suits it best.
const START_FACTORS: [f64; 2] = [0.8, 1.3];
/// How far above the lowest F a solid is still listed.
const NEAR: f64 = 1.02;
/// Relative difference at which Z counts as symmetric.
const ASYMMETRY: f64 = 1e-6;

/// The loss of K balanced classes in the outputs of the class means.
pub(crate) fn objective(classes: usize, penalty: &Penalty) -> Objective {
    Objective {
        data_term: DataTerm::CrossEntropy,
        classes,
        weights: vec![(classes as f64).recip(); classes],
        scales: vec![1.0; classes],
        sharpness: 1.0 - penalty.smoothing,
        depth: penalty.depth,
        strength: penalty.strength,
        bias: penalty.bias,
    }
}

/// Whether losses are too small for a search.
pub(crate) fn is_too_small(ufm: &CrossEntropyUfm) -> bool {
    objective(ufm.classes(), &Penalty::of(ufm)).price() < LEAST_PRICE
}

/// Searches numerically, from random starts and from points that are known already.
pub(crate) fn searched(
    ufm: &CrossEntropyUfm,
    known: &[CrossEntropyPoint],
    options: &Search,
    monitor: &dyn Monitor,
) -> Result<Found> {
    let objective = objective(ufm.classes(), &Penalty::of(ufm));
    let starts = known.iter().take(CLOSED_STARTS).map(|point| start(&objective, point));
    let starts = starts.collect::<Result<Vec<_>>>()?;
    search(&objective, ufm.classes() - 1, &starts, options, monitor)
}

/// The point that was found, with classes of one orbit next to each other.
pub(crate) fn point(ufm: &CrossEntropyUfm, found: &Found) -> Result<CrossEntropyPoint> {
    let bias = centered_bias(found, ufm.regularization().bias());
    let (structure, order) = structure(found, &bias);
    let classes = ufm.classes();
    let numbers = Numbers {
        logits: DMatrix::from_fn(classes, classes, |i, j| found.outputs[(order[i], order[j])]),
        bias: order.iter().map(|&class| bias[class]).collect(),
        singular_values: multiplicities(&found.singular_values),
    };
    let structure = LogitStructure::Numerical(structure);
    CrossEntropyPoint::numerical(ufm.clone(), structure, numbers, found.value)
}

/// The solids and paths of K classes that are minima and about as low as `level`, the lowest F known.
pub(crate) fn solids(classes: usize, penalty: &Penalty, level: f64) -> Vec<(Solid, Found)> {
    let list = Solid::of(classes, penalty.bias != Bias::None).into_iter();
    list.filter_map(|solid| Some((solid, solid_minimum(solid, classes, penalty, level)?))).collect()
}

/// The best minimum with the symmetry of a solid, if there is one near `level`.
fn solid_minimum(solid: Solid, classes: usize, penalty: &Penalty, level: f64) -> Option<Found> {
    let objective = objective(classes, penalty);
    let starts = solid.starts(classes);
    let starts = starts.iter().flat_map(|start| START_FACTORS.map(|factor| (start, factor)));
    let rough = starts.map(|(positions, factor)| {
        let (rank, start) = from_positions(&objective, positions, factor);
        (rough_value(&objective, rank, start.clone()), rank, start)
    });
    // Most solids are far above at most strengths, and slow to follow to their end.
    let mut near: Vec<_> = rough.filter(|(value, ..)| *value <= NEAR * level).collect();
    near.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut ends =
        near.into_iter().filter_map(|(_, rank, start)| followed(&objective, rank, start).ok());
    ends.find(|found| {
        let kinds = kinds(&centered_bias(found, penalty.bias));
        let order = symmetry(&found.outputs, &kinds).order;
        found.singular_values.len() == solid.rank()
            && found.is_minimum != Some(false)
            && order.is_some_and(|order| order % solid.automorphisms() == 0)
    })
}

/// The point of a solid, in the order of its positions.
pub(crate) fn solid_point(
    ufm: &CrossEntropyUfm,
    solid: Solid,
    found: &Found,
) -> Result<CrossEntropyPoint> {
    let numbers = Numbers {
        logits: found.outputs.clone(),
        bias: centered_bias(found, ufm.regularization().bias()),
        singular_values: multiplicities(&found.singular_values),
    };
    CrossEntropyPoint::numerical(ufm.clone(), LogitStructure::Solid(solid), numbers, found.value)
}

/// What is known about logits that were found, and an order with classes of one orbit next to each other.
pub(crate) fn structure(found: &Found, bias: &[f64]) -> (NumericalStructure, Vec<usize>) {
    let classes = found.outputs.nrows();
    let symmetry = symmetry(&found.outputs, &kinds(bias));
    let orbit_size = |class: usize| {
        symmetry.orbits.iter().filter(|orbit| **orbit == symmetry.orbits[class]).count()
    };
    let mut order: Vec<usize> = (0..classes).collect();
    order.sort_by_key(|&class| (Reverse(orbit_size(class)), symmetry.orbits[class]));
    let mut orbits: Vec<usize> = Vec::new();
    let mut next = 0;
    while next < classes {
        orbits.push(orbit_size(order[next]));
        next += orbit_size(order[next]);
    }
    let asymmetry = (&found.outputs - found.outputs.transpose()).amax();
    let structure = NumericalStructure {
        rank: found.singular_values.len(),
        automorphisms: symmetry.order,
        orbits,
        is_symmetric: asymmetry <= ASYMMETRY * found.outputs.amax(),
        hits: found.hits,
        starts: found.starts,
    };
    (structure, order)
}

/// b, with the mean 0 where nothing else decides; zeros without one.
pub(crate) fn centered_bias(found: &Found, bias: Bias) -> Vec<f64> {
    let classes = found.outputs.nrows();
    let mut centered = found.bias.clone();
    centered.resize(classes, 0.0);
    if bias == Bias::Unregularized {
        let mean = centered.iter().sum::<f64>() / classes as f64;
        centered.iter_mut().for_each(|b| *b -= mean);
    }
    centered
}

/// What an exchange of classes has to keep.
fn kinds(bias: &[f64]) -> Vec<Vec<f64>> {
    bias.iter().map(|&b| vec![b]).collect()
}

/// The rank and the parameters of a known point, a little disturbed.
fn start(objective: &Objective, point: &CrossEntropyPoint) -> Result<(usize, Vec<f64>)> {
    let rank = point.rank();
    let logits = point.class_outputs()?.to_dense();
    let logits = logits.unwrap_or_else(|| DMatrix::zeros(objective.classes, objective.classes));
    let svd = svd_thin(&logits)?;
    let mut parameters = Vec::with_capacity(objective.parameters(rank));
    for side in [&svd.u, &svd.v] {
        for (column, &value) in side.column_iter().zip(svd.singular_values.iter()).take(rank) {
            let root = objective.energy(value).sqrt();
            let size = DISTURBANCE * root / (objective.classes as f64).sqrt();
            for entry in column.iter() {
                // Multiples of the golden section lie evenly and without symmetry.
                let number = parameters.len() as f64 + 1.0;
                let wild = (number * 0.618_033_988_749_894_9).fract() - 0.5;
                parameters.push(entry * root + size * wild);
            }
        }
    }
    if objective.has_bias() {
        parameters.extend(point.bias().unwrap_or_else(|| vec![0.0; objective.classes]));
    }
    Ok((rank, parameters))
}

/// Equal singular values with their number.
fn multiplicities(values: &[f64]) -> Vec<(f64, usize)> {
    let mut list: Vec<(f64, usize)> = Vec::new();
    for &value in values {
        match list.last_mut() {
            Some((last, count)) if *last - value <= 1e-9 * *last => *count += 1,
            _ => list.push((value, 1)),
        }
    }
    list
}
