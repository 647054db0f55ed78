//! The numerical search as a source of points beside the closed forms.

use core::cmp::Reverse;

use nalgebra::DMatrix;

use crate::error::Result;
use crate::models::cross_entropy::point::CrossEntropyPoint;
use crate::models::cross_entropy::problem::CrossEntropyUfm;
use crate::models::cross_entropy::reduced::Penalty;
use crate::models::cross_entropy::structure::{LogitStructure, NumericalStructure};
use crate::models::low_rank::objective::{DataTerm, Objective};
use crate::models::low_rank::search::{Found, Search, search};
use crate::models::low_rank::symmetry::symmetry;
use crate::monitor::Monitor;
use crate::numerics::linalg::svd_thin;
use crate::prediction::Prediction;
use crate::problem::regularization::Bias;

/// Closed forms that are starts too: they may be saddle points of the whole problem.
const CLOSED_STARTS: usize = 12;
/// Relative size of the disturbance that lets a descent leave a closed form.
const DISTURBANCE: f64 = 0.02;
/// Relative difference at which Z counts as symmetric.
const ASYMMETRY: f64 = 1e-6;

/// Searches numerically, from random starts and from points that are known already.
pub(crate) fn searched(
    ufm: &CrossEntropyUfm,
    known: &[CrossEntropyPoint],
    options: &Search,
    monitor: &dyn Monitor,
) -> Result<Found> {
    let objective = objective(ufm);
    let limit = ufm.classes() - 1;
    let starts = known.iter().take(CLOSED_STARTS).map(|point| start(&objective, point));
    let starts = starts.collect::<Result<Vec<_>>>()?;
    search(&objective, limit, &starts, options, monitor)
}

/// The point that was found, with classes of one orbit next to each other.
pub(crate) fn point(ufm: &CrossEntropyUfm, found: &Found) -> Result<CrossEntropyPoint> {
    let classes = ufm.classes();
    let mut bias = found.bias.clone();
    bias.resize(classes, 0.0);
    if ufm.penalties().bias() == Bias::Unregularized {
        let mean = bias.iter().sum::<f64>() / classes as f64;
        bias.iter_mut().for_each(|b| *b -= mean);
    }
    let kinds: Vec<Vec<f64>> = bias.iter().map(|&b| vec![b]).collect();
    let symmetry = symmetry(&found.outputs, &kinds);
    let orbit_size = |class: usize| {
        symmetry.orbits.iter().filter(|orbit| **orbit == symmetry.orbits[class]).count()
    };
    let mut order: Vec<usize> = (0..classes).collect();
    order.sort_by_key(|&class| (Reverse(orbit_size(class)), symmetry.orbits[class]));
    let logits = DMatrix::from_fn(classes, classes, |i, j| found.outputs[(order[i], order[j])]);
    let asymmetry = (&logits - logits.transpose()).amax();
    let mut orbits: Vec<usize> = Vec::new();
    let mut next = 0;
    while next < classes {
        orbits.push(orbit_size(order[next]));
        next += orbit_size(order[next]);
    }
    let structure = NumericalStructure {
        rank: found.singular_values.len(),
        automorphisms: symmetry.order,
        orbits,
        is_symmetric: asymmetry <= ASYMMETRY * logits.amax(),
        hits: found.hits,
        starts: found.starts,
    };
    let biases = order.iter().map(|&class| bias[class]).collect();
    let singular_values = multiplicities(&found.singular_values);
    let structure = LogitStructure::Numerical(structure);
    CrossEntropyPoint::numerical(
        ufm.clone(),
        structure,
        logits,
        biases,
        singular_values,
        found.value,
    )
}

/// The loss of a problem in the outputs of the class means.
pub(crate) fn objective(ufm: &CrossEntropyUfm) -> Objective {
    let penalty = Penalty::of(ufm);
    let classes = ufm.classes();
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
            let size = root / (objective.classes as f64).sqrt();
            let disturbed = column.iter().map(|entry| entry * root);
            let first = parameters.len();
            parameters.extend(disturbed.enumerate().map(|(index, entry)| {
                // Multiples of the golden section lie evenly and without symmetry.
                let wild = ((first + index + 1) as f64 * 0.618_033_988_749_894_9).fract() - 0.5;
                entry + DISTURBANCE * size * wild
            }));
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
