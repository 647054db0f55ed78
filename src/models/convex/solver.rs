//! The method: proximal gradient steps with exact thresholding of singular values, each begun from where
//! Newton's method along the matrices of the current rank leads.
//!
//! A proximal step finds which singular values are zero, and the objective is smooth where these stay so. So
//! Newton's method converges quadratically once the rank is right, and a proximal step alone is made where
//! it does not lower the objective enough. What enough is, is what a proximal step is known to achieve, so the
//! number of steps has the bound of the proximal gradient method (docs/convex.md); a dozen are usual.

use nalgebra::DMatrix;

use crate::error::Result;
use crate::models::convex::certificate::Restraint;
use crate::models::convex::column::Contrasts;
use crate::models::convex::curvature::Curvature;
use crate::models::convex::data::Data;
use crate::models::convex::newton::{Step, newton_step};
use crate::models::convex::state::State;
use crate::models::convex::tangent::Frame;
use crate::monitor::Monitor;
use crate::numerics::linalg::{Svd, svd_thin};

/// What a monitor hears of.
const STAGE: &str = "convex program";

/// The relative gap at which the method ends.
const GAP: f64 = 1e-12;

/// The relative excess of the gradient at which the method ends.
const EXCESS: f64 = 1e-11;

/// Relative size of falls of the objective that rounding errors can hide.
const NOISE: f64 = 1e-14;

/// Cap on the proximal steps.
const MAX_STEPS: u64 = 2000;

/// Steps that Newton's step is shortened to, before it is given up.
const LENGTHS: [f64; 5] = [1.0, 0.5, 0.25, 0.125, 0.0625];

/// The largest change of a sample's logit, relative to that of its class, that Newton's step may make: the model
/// is good for a few units of an exponent.
const LONGEST: f64 = 2.0;

/// A point with what is known of it.
#[derive(Debug, Clone)]
pub(crate) struct Solution {
    pub(super) frame: Frame,
    pub(super) state: State,
    /// The objective, with the price of the norm.
    pub(super) objective: f64,
    /// What this point proves that no objective is below.
    pub(super) lower_bound: f64,
    /// By how much the gradient is steeper than the price allows, as a part of it. Where the norm is a small part
    /// of the objective, it says more of the point than the gap does.
    excess: f64,
    pub(super) steps: u64,
}

impl Solution {
    /// The nuclear norm of all logits: κ times this is the price.
    pub(super) fn norm(&self) -> f64 {
        self.frame.values.iter().sum::<f64>() + self.state.contrast_norm
    }

    /// q of each column.
    pub(super) fn contrasts(&self) -> Vec<f64> {
        self.state.fits.iter().map(|fit| fit.contrast).collect()
    }

    fn gap(&self) -> f64 {
        self.objective - self.lower_bound
    }
}

/// The minimum at a price κ, sought from `start` on: a point X and a bias.
pub(crate) fn solve(
    data: &Data,
    price: f64,
    start: Option<(DMatrix<f64>, Vec<f64>)>,
    monitor: &dyn Monitor,
) -> Result<Option<Solution>> {
    monitor.report(STAGE, 0, None)?;
    let search = Search { data, price, steepest: data.lipschitz_constant() };
    let Some(mut current) = search.first(start)? else { return Ok(None) };
    search.certify(&mut current)?;
    let mut best_bound = current.lower_bound;
    let unfinished = |current: &Solution, bound: f64| {
        current.objective - bound > GAP * current.objective || current.excess > EXCESS
    };
    while unfinished(&current, best_bound) && current.steps < MAX_STEPS {
        let Some(mut next) = search.next(&current, monitor)? else { break };
        next.steps = current.steps + 1;
        best_bound = best_bound.max(next.lower_bound);
        current = next;
    }
    current.lower_bound = best_bound.min(current.objective);
    Ok(Some(current))
}

/// One problem.
struct Search<'a> {
    data: &'a Data,
    price: f64,
    /// The largest curvature of the data term anywhere.
    steepest: f64,
}

impl Search<'_> {
    /// Where the search begins: at zero, if that is the minimum, or else one proximal step from the given point or
    /// from a guess.
    fn first(&self, start: Option<(DMatrix<f64>, Vec<f64>)>) -> Result<Option<Solution>> {
        if let Some((point, bias)) = start {
            return self.proximal_step(&point, &bias, None);
        }
        let no_bias = vec![0.0; self.data.rows.len()];
        let zeros = DMatrix::zeros(self.data.rows.len(), self.data.columns.len());
        let at_zero = self.proximal_step(&zeros, &no_bias, None)?;
        if at_zero.as_ref().is_some_and(|found| found.frame.rank() == 0) {
            return Ok(at_zero);
        }
        let guess = self.proximal_step(&self.data.start(self.price), &no_bias, None)?;
        let objective =
            |found: &Option<Solution>| found.as_ref().map_or(f64::INFINITY, |f| f.objective);
        Ok(if objective(&guess) <= objective(&at_zero) { guess } else { at_zero })
    }

    /// A better point, if there is one.
    fn next(&self, current: &Solution, monitor: &dyn Monitor) -> Result<Option<Solution>> {
        let matrix = current.frame.matrix();
        if let Some(step) = self.newton_step(current, monitor)? {
            let longest = (LONGEST / self.data.largest_change(&step.first)).min(1.0);
            for length in LENGTHS {
                let trial = step.from(&matrix, length * longest);
                let candidate = self.proximal_step(&trial, &current.state.bias, None)?;
                if let Some(found) = self.if_lower(current, candidate, self.enough(current))? {
                    return Ok(Some(found));
                }
            }
        }
        for curvature in [None, Some(self.steepest)] {
            let candidate = self.proximal_step(&matrix, &current.state.bias, curvature)?;
            if let Some(found) = self.if_lower(current, candidate, 0.0)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn newton_step(&self, current: &Solution, monitor: &dyn Monitor) -> Result<Option<Step>> {
        if current.frame.rank() == 0 {
            return Ok(None);
        }
        let Some(curvature) = Curvature::new(self.data, &current.state) else { return Ok(None) };
        let gradient = &current.state.gradient;
        newton_step(&current.frame, gradient, &curvature, self.price, &|| {
            monitor.report(STAGE, current.steps, None)
        })
    }

    /// A quarter of the fall that a proximal step guarantees at this gap: Newton's steps have to do as well.
    fn enough(&self, current: &Solution) -> f64 {
        let gap = current.gap();
        let radius = 2.0 * current.objective / self.price;
        0.25 * gap * (gap / (2.0 * self.steepest * radius * radius)).min(0.5)
    }

    /// The candidate with its lower bound, if the objective falls by `enough` at least, or, where that
    /// is below the rounding errors, the gap or the excess halves.
    fn if_lower(
        &self,
        current: &Solution,
        candidate: Option<Solution>,
        enough: f64,
    ) -> Result<Option<Solution>> {
        let noise = NOISE * current.objective;
        let fall = |found: &Solution| current.objective - found.objective;
        let Some(mut found) = candidate.filter(|found| fall(found) >= -noise) else {
            return Ok(None);
        };
        self.certify(&mut found)?;
        let nearer = found.gap() < 0.5 * current.gap() || found.excess < 0.5 * current.excess;
        let better = fall(&found) >= enough.max(noise) || nearer;
        Ok(better.then_some(found))
    }

    fn certify(&self, solution: &mut Solution) -> Result<()> {
        let (state, restraint) = (&solution.state, Restraint::Price(self.price));
        let steepness = self.data.steepness(state)?;
        solution.lower_bound = self.data.lower_bound(state, steepness, restraint);
        solution.excess = (steepness / self.price - 1.0).max(0.0);
        Ok(())
    }

    /// The proximal gradient step from X: singular values of X − t∇ are lowered by tκ, with 1/t the
    /// given curvature, or that at X.
    fn proximal_step(
        &self,
        point: &DMatrix<f64>,
        bias: &[f64],
        curvature: Option<f64>,
    ) -> Result<Option<Solution>> {
        let Some(state) = self.data.state(point, Contrasts::Best(self.price), bias) else {
            return Ok(None);
        };
        let here = || Some(Curvature::largest(self.data, &state)).filter(|value| value.is_normal());
        let length = curvature.or_else(here).unwrap_or(self.steepest).recip();
        let moved = point - &state.gradient * length;
        if !moved.iter().all(|entry| entry.is_finite()) {
            return Ok(None);
        }
        let frame = self.threshold(svd_thin(&moved)?, length);
        let Some(state) =
            self.data.state(&frame.matrix(), Contrasts::Best(self.price), &state.bias)
        else {
            return Ok(None);
        };
        let norm = frame.values.iter().sum::<f64>() + state.contrast_norm;
        let objective = state.value + self.price * norm;
        let (lower_bound, excess) = (f64::NEG_INFINITY, f64::INFINITY);
        Ok(Some(Solution { frame, state, objective, lower_bound, excess, steps: 0 }))
    }

    fn threshold(&self, svd: Svd, length: f64) -> Frame {
        let threshold = self.price * length;
        let (mut values, mut duals) = (Vec::new(), Vec::new());
        for &value in &svd.singular_values {
            if value > threshold {
                values.push(value - threshold);
            } else {
                duals.push((value / threshold).min(1.0));
            }
        }
        Frame { left: svd.u, right: svd.v, values, duals }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;
    use crate::models::convex::tests::{PRICE, programs, random};

    /// A proximal step of given length lowers the singular values of X − t∇ by tκ; what is as small as that is zero, and
    /// held down by a part of the price.
    #[test]
    fn proximal_steps_lower_singular_values() {
        let mut rng = SmallRng::seed_from_u64(8);
        let data = &programs()[1];
        let search = Search { data, price: PRICE, steepest: 3.0 };
        let values = DMatrix::from_diagonal(&vec![0.75, 0.25, 0.125, 0.0].into());
        let frame = Search { price: 0.5, ..search }.threshold(svd_thin(&values).unwrap(), 0.5);
        assert_eq!((frame.values, frame.duals), (vec![0.5], vec![1.0, 0.5, 0.0]));

        let point = random(&mut rng, 5.0);
        for curvature in [0.3, 0.02] {
            let found = search.proximal_step(&point, &[0.0; 4], Some(curvature)).unwrap().unwrap();
            let state = data.state(&point, Contrasts::Best(PRICE), &[0.0; 4]).unwrap();
            let moved = svd_thin(&(&point - state.gradient / curvature)).unwrap();
            let lowered = moved.singular_values.map(|value| (value - PRICE / curvature).max(0.0));
            let expected = &moved.u * DMatrix::from_diagonal(&lowered) * moved.v.transpose();
            assert!((found.frame.matrix() - &expected).amax() < 1e-13);
            let there = data.state(&expected, Contrasts::Best(PRICE), &[0.0; 4]).unwrap();
            let norm = lowered.sum() + there.contrast_norm;
            assert!((found.norm() - norm).abs() < 1e-13 * norm);
            assert!((found.objective - (there.value + PRICE * norm)).abs() < 1e-14);
        }
    }

    /// At the end the gap is closed, and no singular value of the gradient is above the price.
    #[test]
    fn minima_are_certified() {
        for data in programs() {
            for price in [1e-3, 0.02, 0.3] {
                let minimum = solve(&data, price, None, &()).unwrap().unwrap();
                let steepness = data.steepness(&minimum.state).unwrap();
                assert!(steepness <= price * (1.0 + EXCESS), "{:e}", steepness / price - 1.0);
                assert!(minimum.gap() <= GAP * minimum.objective);
            }
        }
        let data = &programs()[0];
        let search = Search { data, price: PRICE, steepest: data.lipschitz_constant() };
        let mut start = search.first(None).unwrap().unwrap();
        search.certify(&mut start).unwrap();
        let steepness = data.steepness(&start.state).unwrap();
        assert!(steepness > PRICE, "{steepness}");
        assert_eq!(start.excess, steepness / PRICE - 1.0);
    }
}
