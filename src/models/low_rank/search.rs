//! The search for the lowest minimum, from many starts at every rank.

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::models::low_rank::factors::{Factors, sides};
use crate::models::low_rank::objective::{Objective, Terms};
use crate::models::low_rank::polish::polish;
use crate::models::low_rank::starts::start;
use crate::monitor::{Monitor, Steps};
use crate::numerics::lbfgs::{Descent, Smooth, Stop, descend, largest};
use crate::numerics::linalg::{Svd, svd_thin};
use crate::numerics::parallel;

/// Ranks up to this one all have starts; beyond it only some, and the largest.
const ALL_RANKS: usize = 8;
/// A rough descent: enough to tell one minimum from another. Gradients are relative to the price of energy, which
/// the loss balances at a minimum.
const ROUGH: Stop = Stop { iterations: 600, gradient: 1e-5, decrease: 1e-7 };
/// A first descent from a start of which little is expected.
const SCREEN: Stop = Stop { iterations: 0, gradient: 1e-3, decrease: 1e-5 };
/// A descent as far as it goes.
const FINE: Stop = Stop { iterations: 4000, gradient: 1e-13, decrease: 0.0 };
/// A gradient that asks for no further digits.
const SHARP: Stop = Stop { iterations: 0, gradient: 1e-10, decrease: 0.0 };
/// Relative difference of losses of one minimum after rough descents, for counting them, and for choosing those
/// that are looked at more closely.
const COUNTED: f64 = 1e-5;
const SAME: f64 = 1e-6;
/// Rough minima that are looked at more closely.
const FINALISTS: usize = 6;
/// Singular values below this share of the largest are none.
const DEAD: f64 = 1e-8;
/// The smallest price of energy at which losses, which are of its size, keep their digits.
pub(crate) const LEAST_PRICE: f64 = 1e-260;
/// About how many operations a start costs for each entry of the outputs.
const OPERATIONS: usize = 100_000;
/// The golden section (√5 − 1)/2, whose multiples have no structure.
const GOLDEN: f64 = 0.618_033_988_749_894_9;
/// Escapes from saddle points.
const MOST_ESCAPES: usize = 4;

/// How a numerical search is done: from how many starts, at which ranks, with which random numbers.
///
/// The same search of the same problem gives the same bits on one machine, whatever the number of threads.
///
/// ```
/// use neural_collapse::models::low_rank::Search;
///
/// let thorough = Search::default().with_starts(200).with_seed(1);
/// assert_eq!((thorough.starts(), thorough.seed()), (200, 1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Search {
    starts: usize,
    seed: u64,
    largest_rank: Option<usize>,
}

impl Default for Search {
    /// 25 starts at each rank.
    fn default() -> Self {
        Self { starts: 25, seed: 0, largest_rank: None }
    }
}

impl Search {
    /// The same search from so many starts at each rank.
    #[must_use]
    pub fn with_starts(mut self, starts: usize) -> Self {
        self.starts = starts;
        self
    }

    /// The same search with other random numbers.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The same search without starts above a rank. A descent may lower the rank, but not raise it.
    #[must_use]
    pub fn with_largest_rank(mut self, rank: usize) -> Self {
        self.largest_rank = Some(rank);
        self
    }

    /// Starts at each rank.
    #[must_use]
    pub fn starts(&self) -> usize {
        self.starts
    }

    /// What the random numbers are made from.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The largest rank of a start, if it is limited.
    #[must_use]
    pub fn largest_rank(&self) -> Option<usize> {
        self.largest_rank
    }

    /// The ranks that have starts: 1, …, 8, then half as many again each time, and the largest.
    fn ranks(&self, limit: usize) -> Vec<usize> {
        let limit = self.largest_rank.map_or(limit, |largest| largest.min(limit));
        let mut ranks: Vec<usize> = (1..=limit.min(ALL_RANKS)).collect();
        let mut next = ALL_RANKS * 3 / 2;
        while next < limit {
            ranks.push(next);
            next += next / 2;
        }
        if limit > ALL_RANKS {
            ranks.push(limit);
        }
        ranks
    }
}

/// The lowest minimum that a search found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    /// Z, K×K, without the bias.
    pub(crate) outputs: DMatrix<f64>,
    /// U, σ and V of Z diag(ν) on its rank.
    pub(crate) left: DMatrix<f64>,
    pub(crate) singular_values: Vec<f64>,
    pub(crate) right: DMatrix<f64>,
    /// b, empty without one.
    pub(crate) bias: Vec<f64>,
    /// F.
    pub(crate) value: f64,
    /// The largest entry of the gradient.
    pub(crate) gradient: f64,
    /// Whether no direction has negative curvature; `None` if that is not known.
    pub(crate) is_minimum: Option<bool>,
    /// Starts that ended at this value, and all of them.
    pub(crate) hits: usize,
    pub(crate) starts: usize,
}

impl Found {
    /// The rank and the parameters, as a start for another strength.
    pub(crate) fn parameters(&self, objective: &Objective) -> (usize, Vec<f64>) {
        let sides = [&self.left, &self.right];
        let length = |value| objective.energy(value).sqrt();
        (self.singular_values.len(), joined(sides, &self.singular_values, length, &self.bias))
    }
}

/// A rough end of a descent.
struct End {
    rank: usize,
    descent: Descent,
}

/// The criteria for an objective, whose gradient has the size of the price.
fn stop(objective: &Objective, relative: Stop) -> Stop {
    Stop { gradient: relative.gradient * objective.price() * objective.unit(), ..relative }
}

/// Searches all ranks up to `limit`; `given` are further starts (rank, parameters).
///
/// # Errors
/// [`Error::Unrepresentable`] for decays that are too small; [`Error::Cancelled`]; [`Error::NoConvergence`] if a decomposition fails or no descent has a finite value.
pub(crate) fn search(
    objective: &Objective,
    limit: usize,
    given: &[(usize, Vec<f64>)],
    options: &Search,
    monitor: &dyn Monitor,
) -> Result<Found> {
    let price = objective.price();
    if price < LEAST_PRICE {
        let quantity = "a loss as small as the decays, which a numerical search compares";
        return Err(Error::Unrepresentable { quantity, log10: price.log10() });
    }
    let ranks = options.ranks(limit);
    let random =
        ranks.iter().flat_map(|&rank| (0..options.starts).map(move |number| (rank, number)));
    let tasks: Vec<(usize, usize)> = core::iter::once((0, 0)).chain(random).collect();
    let starts = tasks.len() + given.len();
    let steps = Steps::new(monitor, "searching for a lower minimum", starts);
    let operations =
        tasks.len().saturating_mul(objective.classes.pow(2)).saturating_mul(OPERATIONS);
    let rough = stop(objective, ROUGH);
    let ends = parallel::map(
        starts,
        operations,
        || (),
        |(), index| {
            steps.step()?;
            let random = |&(rank, number): &(usize, usize)| {
                (rank, start(objective, rank, number, options.seed))
            };
            let further = || given.get(index.checked_sub(tasks.len())?).cloned();
            let Some((rank, point)) = tasks.get(index).map(random).or_else(further) else {
                return Ok(None);
            };
            let descent = descend(&mut Terms::new(objective, rank), point, &rough);
            Ok(Some(End { rank, descent }))
        },
    );
    let ends = ends.into_iter().collect::<Result<Vec<_>>>()?;
    let mut ends: Vec<End> = ends.into_iter().flatten().collect();
    ends.retain(|end| end.descent.value.is_finite());
    // A stable sort: equal values keep the order of the starts.
    ends.sort_by(|a, b| a.descent.value.total_cmp(&b.descent.value));
    let chosen = finalists(&ends);
    let polished = parallel::map(
        chosen.len(),
        operations,
        || (),
        |(), index| {
            steps.check()?;
            finish(objective, &ends[chosen[index]])
        },
    );
    let polished: Vec<Found> = polished.into_iter().collect::<Result<_>>()?;
    let best = polished.into_iter().min_by(|a, b| a.value.total_cmp(&b.value));
    let no_convergence =
        Error::NoConvergence { algorithm: "search for a minimum", iterations: ends.len() };
    let mut best = best.ok_or(no_convergence)?;
    let level = (best.value + COUNTED * best.value.abs()) * objective.unit();
    best.hits = ends.iter().filter(|end| end.descent.value <= level).count().max(1);
    best.starts = ends.len();
    Ok(best)
}

/// The lowest ends that differ from each other, by index.
fn finalists(ends: &[End]) -> Vec<usize> {
    let mut chosen: Vec<usize> = Vec::new();
    for (index, end) in ends.iter().enumerate() {
        let value = end.descent.value;
        let close = |&other: &usize| value - ends[other].descent.value <= SAME * value.abs();
        if !chosen.last().is_some_and(close) {
            chosen.push(index);
        }
        if chosen.len() == FINALISTS {
            break;
        }
    }
    chosen
}

/// The value after at most so many steps of a first descent from a point, and where they end.
pub(crate) fn screened(
    objective: &Objective,
    rank: usize,
    point: Vec<f64>,
    iterations: usize,
) -> (f64, Vec<f64>) {
    let screen = Stop { iterations, ..stop(objective, SCREEN) };
    let end = descend(&mut Terms::new(objective, rank), point, &screen);
    (end.value / objective.unit(), end.point)
}

/// Follows a descent from a point as far as it goes, without leaving a saddle point.
pub(crate) fn followed(objective: &Objective, rank: usize, point: Vec<f64>) -> Result<Found> {
    let fine = stop(objective, FINE);
    let descent = descend(&mut Terms::new(objective, rank), point, &fine);
    let (rank, descent, is_minimum) = settled(objective, rank, &descent)?;
    found(objective, rank, &descent, is_minimum)
}

/// Follows a rough end as far as it goes: to a minimum, without the terms that have vanished.
fn finish(objective: &Objective, end: &End) -> Result<Found> {
    let fine = stop(objective, FINE);
    let from = |rank: usize, point| descend(&mut Terms::new(objective, rank), point, &fine);
    let descent = from(end.rank, end.descent.point.clone());
    let (mut rank, mut descent, mut is_minimum) = sharpened(objective, end.rank, &descent)?;
    for _ in 0..MOST_ESCAPES {
        if is_minimum != Some(false) {
            break;
        }
        let escaped = from(rank, nudged(&descent.point));
        (rank, descent, is_minimum) = sharpened(objective, rank, &escaped)?;
    }
    found(objective, rank, &descent, is_minimum)
}

/// The end of a descent, without the terms that have vanished, and whether it is a minimum.
fn settled(
    objective: &Objective,
    rank: usize,
    descent: &Descent,
) -> Result<(usize, Descent, Option<bool>)> {
    let (rank, point) = without_dead_terms(objective, rank, descent)?;
    let mut terms = Terms::new(objective, rank);
    let descent = descend(&mut terms, point, &stop(objective, FINE));
    let (descent, is_minimum) = polish(&mut terms, descent);
    Ok((rank, descent, is_minimum))
}

/// What [`settled`] gives, at whose decomposition the gradient of a minimum vanishes. Singular values that are nearly equal
/// make of a little slope of the terms a larger one there.
fn sharpened(
    objective: &Objective,
    rank: usize,
    descent: &Descent,
) -> Result<(usize, Descent, Option<bool>)> {
    let (rank, descent, is_minimum) = settled(objective, rank, descent)?;
    if is_minimum != Some(true) {
        return Ok((rank, descent, is_minimum));
    }
    let mut terms = Terms::new(objective, rank);
    let bias = &descent.point[2 * rank * objective.classes..];
    let svd = svd_thin(&product(objective, rank, &descent.point))?;
    let decomposed = evaluated(&mut terms, terms_of(objective, &svd, rank, bias));
    if largest(&decomposed.gradient) <= stop(objective, SHARP).gradient {
        return Ok((rank, descent, is_minimum));
    }
    let mut factors = Factors::new(objective, rank);
    let values = &svd.singular_values.as_slice()[..rank];
    let point = joined([&svd.u, &svd.v], values, f64::sqrt, bias);
    let start = evaluated(&mut factors, point);
    let (end, is_minimum) = polish(&mut factors, start);
    let (left, right, bias) = sides(objective, rank, &end.point);
    let svd = svd_thin(&(left * right.transpose()))?;
    Ok((rank, evaluated(&mut terms, terms_of(objective, &svd, rank, bias)), is_minimum))
}

fn evaluated(function: &mut impl Smooth, point: Vec<f64>) -> Descent {
    let mut gradient = vec![0.0; point.len()];
    let value = function.evaluate(&point, &mut gradient);
    Descent { point, gradient, value }
}

/// The point moved a little, in a direction without structure.
fn nudged(point: &[f64]) -> Vec<f64> {
    let size = 1e-3 * largest(point);
    let shift = |index: usize| ((index as f64 + 1.0) * GOLDEN).fract() - 0.5;
    point.iter().enumerate().map(|(index, x)| x + size * shift(index)).collect()
}

/// Z diag(ν).
fn product(objective: &Objective, rank: usize, point: &[f64]) -> DMatrix<f64> {
    let classes = objective.classes;
    let (left, right) = point.split_at(rank * classes);
    let left = DMatrix::from_column_slice(classes, rank, left);
    let mut right = DMatrix::from_column_slice(classes, rank, &right[..rank * classes]);
    for (mut column, c) in right.column_iter_mut().zip(left.column_iter()) {
        let energy = (column.norm_squared() + c.norm_squared()) / 2.0;
        column *= energy.powf(objective.exponent());
    }
    left * right.transpose()
}

/// The parameters of the singular value decomposition, with the terms that are alive.
fn without_dead_terms(
    objective: &Objective,
    rank: usize,
    descent: &Descent,
) -> Result<(usize, Vec<f64>)> {
    let classes = objective.classes;
    let svd = svd_thin(&product(objective, rank, &descent.point))?;
    let least = DEAD * svd.singular_values.iter().copied().fold(0.0, f64::max);
    let alive = svd.singular_values.iter().take(rank).filter(|&&value| value > least).count();
    Ok((alive, terms_of(objective, &svd, alive, &descent.point[2 * rank * classes..])))
}

/// The parameters of the first terms of a decomposition.
fn terms_of(objective: &Objective, svd: &Svd, rank: usize, bias: &[f64]) -> Vec<f64> {
    let values = &svd.singular_values.as_slice()[..rank];
    joined([&svd.u, &svd.v], values, |value| objective.energy(value).sqrt(), bias)
}

/// The columns of both sides, which are of a length for each singular value, and the bias.
fn joined(
    sides: [&DMatrix<f64>; 2],
    singular_values: &[f64],
    length: impl Fn(f64) -> f64,
    bias: &[f64],
) -> Vec<f64> {
    let mut point = Vec::new();
    for side in sides {
        for (column, &value) in side.column_iter().zip(singular_values) {
            let length = length(value);
            point.extend(column.iter().map(|entry| entry * length));
        }
    }
    point.extend_from_slice(bias);
    point
}

/// What is wanted of a point.
fn found(
    objective: &Objective,
    rank: usize,
    descent: &Descent,
    is_minimum: Option<bool>,
) -> Result<Found> {
    let svd = svd_thin(&product(objective, rank, &descent.point))?;
    let bias = descent.point[2 * rank * objective.classes..].to_vec();
    let point = terms_of(objective, &svd, rank, &bias);
    let gradient = largest(&evaluated(&mut Terms::new(objective, rank), point).gradient);
    let left = svd.u.columns(0, rank).into_owned();
    let right = svd.v.columns(0, rank).into_owned();
    let singular_values: Vec<f64> = svd.singular_values.iter().take(rank).copied().collect();
    let diagonal = DMatrix::from_diagonal(&svd.singular_values.rows(0, rank).into_owned());
    let mut outputs = &left * diagonal * right.transpose();
    objective.unscale(&mut outputs);
    let mut scratch = outputs.as_slice().to_vec();
    let energy: f64 = singular_values.iter().map(|&value| objective.energy(value)).sum();
    let value = objective.data_term(&mut scratch, &objective.shift(&bias))
        + objective.price() * energy
        + objective.bias_penalty(&bias);
    Ok(Found {
        outputs,
        left,
        singular_values,
        right,
        bias,
        value,
        gradient: gradient / objective.unit(),
        is_minimum,
        hits: 0,
        starts: 0,
    })
}

#[cfg(test)]
mod tests;
