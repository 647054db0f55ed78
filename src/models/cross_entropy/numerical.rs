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
use crate::models::low_rank::search::{Found, LEAST_PRICE, Search, followed, screened, search};
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
/// How far above the level a stage of a first descent may begin, and its steps. From the better of two sizes whole descents
/// lower F by up to 27 % (K from 6 to 24, M from 2 to 4), nearly all of it in the first 30 steps.
const STAGES: [(f64, usize); 2] = [(1.35, 30), (1.08, 200)];
/// How far above the lowest F a solid is still listed.
const LISTED: f64 = 1.02;
/// How far above the lowest F a first descent may end if a longer one is to end below it.
const LOWER: f64 = 1.001;
/// Relative difference of losses of one minimum.
const SAME_POINT: f64 = 1e-10;
/// Relative difference at which Z counts as symmetric.
const ASYMMETRY: f64 = 1e-6;

/// Whether a numerical loss is that of another point than the one of a loss that is known.
pub(super) fn is_lower(numerical: f64, known: f64) -> bool {
    numerical < known * (1.0 - SAME_POINT)
}

/// Whether losses are those of one point.
pub(super) fn is_same(a: f64, b: f64) -> bool {
    (a - b).abs() <= SAME_POINT * a
}

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

/// The solids, paths and patches of K classes, with the positions that descents start from made once for all strengths.
#[derive(Debug, Clone)]
pub(crate) struct Solids {
    classes: usize,
    list: Vec<(Solid, Vec<Vec<Vec<f64>>>)>,
}

impl Solids {
    pub(crate) fn new(classes: usize, bias: Bias) -> Self {
        let list = Solid::of(classes, bias != Bias::None).into_iter();
        Self { classes, list: list.map(|solid| (solid, solid.starts(classes))).collect() }
    }

    /// Those that are minima and no higher than about `level`, in the order of the list.
    pub(crate) fn minima(&self, penalty: &Penalty, level: f64) -> Vec<(Solid, Found)> {
        let objective = objective(self.classes, penalty);
        let mut minima: Vec<(Solid, Found)> = Vec::new();
        for start in self.first_descents(&objective, LISTED * level) {
            if !minima.iter().any(|(solid, _)| *solid == start.solid) {
                minima.extend(start.minimum(&objective).map(|found| (start.solid, found)));
            }
        }
        minima.sort_by_key(|(solid, _)| self.place(*solid));
        minima
    }

    fn place(&self, solid: Solid) -> Option<usize> {
        self.list.iter().position(|(other, _)| *other == solid)
    }

    /// The lowest one below `level`; of two names for one minimum the first in the list.
    pub(crate) fn lowest(&self, penalty: &Penalty, level: f64) -> Option<(Solid, Found)> {
        let objective = objective(self.classes, penalty);
        let mut best: Option<(Solid, Found)> = None;
        let mut followed: Vec<Solid> = Vec::new();
        for start in self.first_descents(&objective, followed_up_to(level)) {
            let limit = best.as_ref().map_or(level, |(_, found)| found.value);
            if start.value > followed_up_to(limit) {
                break;
            }
            if followed.contains(&start.solid) {
                continue;
            }
            let Some(found) = start.minimum(&objective) else { continue };
            followed.push(start.solid);
            let first = best
                .as_ref()
                .is_some_and(|(other, _)| self.place(start.solid) < self.place(*other));
            let margin = if first { SAME_POINT } else { -SAME_POINT };
            if found.value < limit * (1.0 + margin) {
                best = Some((start.solid, found));
            }
        }
        best
    }

    /// First descents that end no higher than `level`, by their ends.
    fn first_descents(&self, objective: &Objective, level: f64) -> Vec<FirstDescent> {
        let all =
            self.list.iter().flat_map(|(solid, starts)| starts.iter().map(move |s| (*solid, s)));
        let mut near: Vec<FirstDescent> = all
            .filter_map(|(solid, start)| FirstDescent::new(solid, start, objective, level))
            .collect();
        near.sort_by(|a, b| a.value.total_cmp(&b.value));
        near
    }
}

/// The highest end of a first descent of which a longer one may end below a level.
fn followed_up_to(level: f64) -> f64 {
    LOWER * level
}

/// Where a first descent from positions of a solid ends.
struct FirstDescent {
    solid: Solid,
    value: f64,
    rank: usize,
    point: Vec<f64>,
}

impl FirstDescent {
    /// `None` if it ends above `level`. At most strengths most solids are far above, so that they are given up as soon as
    /// that is plain.
    fn new(
        solid: Solid,
        positions: &[Vec<f64>],
        objective: &Objective,
        level: f64,
    ) -> Option<Self> {
        let starts = START_FACTORS.map(|factor| {
            let (rank, start) = from_positions(objective, positions, factor);
            (screened(objective, rank, start, 0), rank)
        });
        let (mut here, rank) = starts.into_iter().min_by(|a, b| a.0.0.total_cmp(&b.0.0))?;
        for (limit, iterations) in STAGES {
            if here.0 > limit * level {
                return None;
            }
            here = screened(objective, rank, here.1, iterations);
        }
        let (value, point) = here;
        (value <= level).then_some(Self { solid, value, rank, point })
    }

    /// The minimum that it leads to, if that has the rank and the symmetry of the solid.
    fn minimum(&self, objective: &Objective) -> Option<Found> {
        let found = followed(objective, self.rank, self.point.clone()).ok()?;
        let symmetries = self.solid.automorphisms();
        let has_symmetry = || {
            let kinds = kinds(&centered_bias(&found, objective.bias));
            let order = symmetry(&found.outputs, &kinds).order;
            order.is_some_and(|order| order % symmetries == 0)
        };
        let is_solid = found.singular_values.len() == self.solid.rank()
            && found.is_minimum != Some(false)
            && (symmetries == 1 || has_symmetry());
        is_solid.then_some(found)
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::low_rank::objective::Terms;
    use crate::numerics::lbfgs::Smooth;
    use crate::problem::regularization::Regularization;

    /// Relative differences of 1e-10 tell points apart, however small the losses are.
    #[test]
    fn losses_of_one_point_agree_to_ten_digits() {
        for unit in [1e-100, 1.0, 50.0] {
            assert!(is_same(unit, unit * (1.0 + 9e-11)) && is_same(unit, unit * (1.0 - 9e-11)));
            assert!(!is_same(unit, unit * (1.0 + 2e-10)) && !is_same(unit, unit * (1.0 - 2e-10)));
            assert!(is_lower(unit * (1.0 - 1.1e-10), unit));
            assert!(!is_lower(unit * (1.0 - 9e-11), unit) && !is_lower(unit, unit));
        }
        assert!(!is_lower(1.0 - 1e-10, 1.0));
    }

    /// Starts beside known points are near to them, and not at them.
    #[test]
    fn starts_are_near_known_points() {
        for (depth, bias, smoothing) in
            [(2, Bias::Unregularized, 0.0), (3, Bias::None, 0.1), (3, Bias::Regularized(0.3), 0.0)]
        {
            let regularization = Regularization::new(&vec![5e-3; depth], 5e-3).unwrap();
            let ufm = CrossEntropyUfm::new(6, 3, regularization.with_bias(bias).unwrap()).unwrap();
            let ufm = ufm.with_label_smoothing(smoothing).unwrap();
            let objective = objective(6, &Penalty::of(&ufm));
            for point in ufm.landscape().unwrap().points() {
                if point.rank() == 0 {
                    continue;
                }
                let (rank, start) = start(&objective, point).unwrap();
                let mut gradient = vec![0.0; start.len()];
                let value = Terms::new(&objective, rank).evaluate(&start, &mut gradient);
                let excess = value / objective.unit() / point.loss() - 1.0;
                assert!((1e-7..2e-3).contains(&excess.abs()), "{}: {excess:e}", point.structure());
            }
        }
    }

    /// Symmetry, rank and orbits are those of the outputs, with classes of one orbit next to each other.
    #[test]
    fn structures_are_those_of_the_outputs() {
        let found = |outputs: DMatrix<f64>| Found {
            outputs,
            left: DMatrix::zeros(4, 2),
            singular_values: vec![2.0, 2.0 - 1e-12],
            right: DMatrix::zeros(4, 2),
            bias: Vec::new(),
            value: 1.0,
            gradient: 0.0,
            is_minimum: Some(true),
            hits: 3,
            starts: 5,
        };
        // Classes 0 and 2 are a pair, and so are 1 and 3, with another size.
        let pairs = DMatrix::from_fn(4, 4, |i, j| match (i % 2 == j % 2, i == j) {
            (true, true) => 1.0 + i as f64 % 2.0,
            (true, false) => -1.0 - i as f64 % 2.0,
            _ => 0.0,
        });
        let (of_pairs, order) = structure(&found(pairs.clone()), &[0.0; 4]);
        assert!(of_pairs.is_symmetric && of_pairs.automorphisms == Some(4));
        assert_eq!((of_pairs.orbits, of_pairs.rank), (vec![2, 2], 2));
        assert_eq!((of_pairs.hits, of_pairs.starts), (3, 5));
        assert_eq!([order[0] % 2, order[2] % 2], [order[1] % 2, order[3] % 2]);
        let mut lopsided = pairs.clone();
        lopsided[(0, 1)] = 1e-3;
        assert!(!structure(&found(lopsided.clone()), &[0.0; 4]).0.is_symmetric);
        // Outputs of thousands are symmetric to six digits here.
        lopsided += 1e3 * &pairs;
        assert!(structure(&found(lopsided), &[0.0; 4]).0.is_symmetric);
        // A bias sets classes apart that the outputs treat alike.
        let (with_bias, order) = structure(&found(pairs), &[0.0, 1.0, 0.0, 2.0]);
        assert_eq!((with_bias.automorphisms, with_bias.orbits), (Some(2), vec![2, 1, 1]));
        assert_eq!(order[..2], [0, 2]);
        assert_eq!(multiplicities(&[2.0, 2.0 - 1e-12, 1.0]), [(2.0, 2), (1.0, 1)]);
        assert_eq!(multiplicities(&[2e3, 2e3 - 1e-7, 2e3 - 1e-5]), [(2e3, 2), (2e3 - 1e-5, 1)]);
        let bias = Found { bias: vec![1.0, 2.0, 3.0, 6.0], ..found(DMatrix::zeros(4, 4)) };
        assert_eq!(centered_bias(&bias, Bias::Unregularized), [-2.0, -1.0, 0.0, 3.0]);
        assert_eq!(centered_bias(&bias, Bias::Regularized(0.1)), [1.0, 2.0, 3.0, 6.0]);
        assert_eq!(centered_bias(&found(DMatrix::zeros(4, 4)), Bias::None), [0.0; 4]);
    }

    /// Of two names for one minimum the first in the list, whichever descent ends lower by a rounding error.
    #[test]
    fn the_first_name_counts() {
        for (classes, depth, strength, bias) in [
            (11, 3, 1e-2, Bias::None),
            (11, 4, 1e-3, Bias::None),
            (11, 2, 1e-2, Bias::Unregularized),
            (12, 3, 1e-3, Bias::Unregularized),
            (12, 4, 3e-2, Bias::Unregularized),
        ] {
            let penalty = Penalty { depth, strength, bias, smoothing: 0.0 };
            let solids = Solids::new(classes, bias);
            let minima = solids.minima(&penalty, f64::INFINITY);
            let lowest = minima.iter().map(|(_, found)| found.value).fold(f64::INFINITY, f64::min);
            let same = |found: &Found| found.value <= lowest * (1.0 + SAME_POINT);
            let names: Vec<Solid> =
                minima.iter().filter(|(_, found)| same(found)).map(|(solid, _)| *solid).collect();
            // Each name once, in the order of the list.
            let list = Solid::of(classes, bias != Bias::None).into_iter();
            assert!(list.filter(|solid| names.contains(solid)).eq(names.clone()), "{names:?}");
            let (solid, found) = solids.lowest(&penalty, f64::INFINITY).unwrap();
            assert!(same(&found) && solid == names[0], "{classes}: {solid} of {names:?}");
            assert!(solids.lowest(&penalty, lowest * 0.9995).is_none());
        }
    }

    /// Saddle points, and descents that end at another symmetry, are no solids.
    #[test]
    fn solids_are_minima_with_their_symmetry() {
        let free = Bias::Unregularized;
        for (classes, strength, bias, expected) in [
            (7, 1e-3, Bias::None, vec![Solid::CappedOctahedron, Solid::Path]),
            (7, 0.03, Bias::None, vec![]),
            (7, 0.06, Bias::None, vec![Solid::Path]),
            (
                10,
                0.1,
                free,
                vec![
                    Solid::GyroelongatedBipyramid,
                    Solid::CenteredTricappedPrism,
                    Solid::LatticePatch,
                ],
            ),
        ] {
            let penalty = Penalty { depth: 3, strength, bias, smoothing: 0.0 };
            let minima = Solids::new(classes, bias).minima(&penalty, f64::INFINITY);
            let names: Vec<Solid> = minima.into_iter().map(|(solid, _)| solid).collect();
            assert_eq!(names, expected, "{classes}, {strength}");
        }
    }

    #[test]
    fn first_descents_may_end_a_thousandth_above() {
        assert_eq!([0.5, 2.0, 64.0].map(followed_up_to), [0.5005, 2.002, 64.064]);
    }

    /// Solids are listed that are no more than 2 % above the lowest loss, whatever that is.
    #[test]
    fn solids_near_the_lowest_loss_are_listed() {
        for (strength, solid) in [(1e-3, Solid::CappedOctahedron), (0.06, Solid::Path)] {
            let penalty = Penalty { depth: 3, strength, bias: Bias::None, smoothing: 0.0 };
            let solids = Solids::new(7, Bias::None);
            let (_, found) = solids.lowest(&penalty, f64::INFINITY).unwrap();
            assert!(solids.minima(&penalty, found.value / 1.03).is_empty());
            let near = solids.minima(&penalty, found.value / 1.01);
            assert!(matches!(near[..], [(found, _)] if found == solid), "{strength}");
        }
    }

    /// The price of energy, (M+1)/2 times the strength, is at least 1e-260 for a search.
    #[test]
    fn the_smallest_decays_are_not_searched() {
        for (strength, is_small) in [(4.9e-261, true), (5.1e-261, false), (1.0, false)] {
            let regularization = Regularization::new(&[strength; 3], strength).unwrap();
            assert_eq!(
                is_too_small(&CrossEntropyUfm::new(4, 1, regularization).unwrap()),
                is_small
            );
        }
    }
}
