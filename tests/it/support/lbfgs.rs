//! Minimization by L-BFGS.

use std::cell::RefCell;

use argmin::core::{CostFunction, Error, Executor, Gradient};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::kernels::norm;
use super::objective::MseObjective;
use super::starts::random_start;

/// Pairs of steps and gradient differences that L-BFGS remembers.
const MEMORY: usize = 20;
/// Evaluations of one run of L-BFGS.
const EVALUATIONS: usize = 5000;
/// Evaluations without a better point after which a run is given up: argmin's line search has no
/// limit of its own, and where only rounding errors are left it would go on for ever.
const PATIENCE: usize = 60;
/// Runs of L-BFGS from one start, each from the best point of the one before, with an empty memory.
const RUNS: usize = 12;
/// Norm of the gradient at which a point is stationary, in scaled parameters and relative to them.
const STATIONARY: f64 = 1e-11;
/// The first step of a run, relative to the gradient and to the parameters, whichever is smaller:
/// short enough not to leave the basin of a good start, nor to overflow from a bad one.
const FIRST_STEP: f64 = 0.1;

/// Starts that are enough to reach the minimum of any problem made here with up to two layers. Most need a few; one
/// start in a hundred is right where every direction is close to its threshold, and 200 starts then failed once in
/// thousands of runs.
pub const ENOUGH: usize = 4000;

/// A function to minimize, with its gradient.
pub trait Smooth {
    /// Buffers of an evaluation, and the gradient it found.
    type Workspace;

    /// The square root of a natural curvature for each parameter.
    fn scales(&self) -> Vec<f64>;

    /// Buffers for [`evaluate`](Self::evaluate).
    fn workspace(&self) -> Self::Workspace;

    /// The value at a point; leaves the gradient in `workspace`.
    fn evaluate(&self, point: &[f64], workspace: &mut Self::Workspace) -> f64;

    /// The gradient that the last evaluation found.
    fn gradient_in(workspace: &Self::Workspace) -> &[f64];

    /// The value at a point.
    fn loss(&self, point: &[f64]) -> f64 {
        self.evaluate(point, &mut self.workspace())
    }

    /// The gradient at a point.
    fn gradient(&self, point: &[f64]) -> Vec<f64> {
        let mut workspace = self.workspace();
        self.evaluate(point, &mut workspace);
        Self::gradient_in(&workspace).to_vec()
    }
}

/// Where a minimization ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// f.
    pub loss: f64,
    /// ‖∇f‖.
    pub gradient_norm: f64,
    /// The point, packed.
    pub parameters: Vec<f64>,
}

/// Where the minimizations from several starts ended.
#[derive(Debug, Clone)]
pub struct MultiStart {
    /// The one with the smallest loss.
    pub best: Outcome,
    /// The loss of each, in the order of the starts.
    pub losses: Vec<f64>,
}

/// The best point that L-BFGS finds from `start`, never worse than `start`.
///
/// Without a finite loss at `start` the result is `start` with an infinite loss.
pub fn minimize<F: Smooth>(objective: &F, start: &[f64]) -> Outcome {
    let scales = objective.scales();
    let scaled = start.iter().zip(&scales).map(|(p, s)| p * s).collect();
    let mut best = Evaluation { scaled, ..Evaluation::none(start.len()) };
    for _ in 0..RUNS {
        let found = run(objective, &scales, best.scaled.clone());
        let progress = found.is_better_than(&best);
        if progress {
            best = found;
        }
        if !progress || best.is_stationary() {
            break;
        }
    }
    let parameters: Vec<f64> = best.scaled.iter().zip(&scales).map(|(p, s)| p / s).collect();
    let mut workspace = objective.workspace();
    objective.evaluate(&parameters, &mut workspace);
    let gradient_norm = norm(F::gradient_in(&workspace));
    Outcome { loss: best.loss, gradient_norm, parameters }
}

/// Minimizes from `starts` random points of all kinds.
pub fn multi_start(objective: &MseObjective, starts: usize, seed: u64) -> MultiStart {
    multi_start_until(objective, starts, seed, f64::NEG_INFINITY)
}

/// Minimizes from random points of all kinds until a loss is at most `wanted`, `starts` times at most.
pub fn multi_start_until(
    objective: &MseObjective,
    starts: usize,
    seed: u64,
    wanted: f64,
) -> MultiStart {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut losses = Vec::with_capacity(starts);
    let mut best: Option<Outcome> = None;
    for index in 0..starts {
        let outcome = minimize(objective, &random_start(objective, index, &mut rng));
        losses.push(outcome.loss);
        if best.as_ref().is_none_or(|best| outcome.loss < best.loss) {
            best = Some(outcome);
        }
        if best.as_ref().is_some_and(|best| best.loss <= wanted) {
            break;
        }
    }
    MultiStart { best: best.expect("at least one start"), losses }
}

/// The best point of one run of L-BFGS. How the run ends does not matter: it may be by an error of
/// the line search.
fn run<F: Smooth>(objective: &F, scales: &[f64], start: Vec<f64>) -> Evaluation {
    let tracker = Tracker::new(objective, scales, &start);
    let solver = LBFGS::new(MoreThuenteLineSearch::new(), MEMORY)
        .with_tolerance_grad(stationary(&start) * tracker.factor)
        .and_then(|solver| solver.with_tolerance_cost(0.0))
        .expect("tolerances are not negative");
    let _ = Executor::new(&tracker, solver)
        .configure(|state| state.param(start).max_iters(EVALUATIONS as u64))
        .ctrlc(false)
        .run();
    tracker.state.into_inner().best
}

/// The norm of a gradient that counts as zero at a point of scaled parameters.
fn stationary(scaled: &[f64]) -> f64 {
    STATIONARY * size(scaled)
}

/// The norm of scaled parameters, with a floor for minimizers at the origin, which are approached but not reached.
fn size(scaled: &[f64]) -> f64 {
    norm(scaled).max(1e-3)
}

/// The objective as argmin sees it, in scaled parameters.
///
/// It remembers the last evaluation, as argmin asks for the loss and the gradient at the same point
/// one after the other, and the best one, as argmin loses it when a line search fails.
struct Tracker<'a, F: Smooth> {
    objective: &'a F,
    scales: &'a [f64],
    /// What argmin sees is the loss times this: L-BFGS starts with a step of the negative gradient.
    factor: f64,
    state: RefCell<State<F::Workspace>>,
}

struct State<W> {
    workspace: W,
    point: Vec<f64>,
    last: Evaluation,
    best: Evaluation,
    evaluations: usize,
    since_best: usize,
}

#[derive(Debug, Clone)]
struct Evaluation {
    scaled: Vec<f64>,
    loss: f64,
    gradient: Vec<f64>,
    gradient_norm: f64,
}

impl Evaluation {
    /// Worse than every evaluation, and at no point.
    fn none(dimension: usize) -> Self {
        Self {
            scaled: vec![f64::NAN; dimension],
            loss: f64::INFINITY,
            gradient: vec![f64::NAN; dimension],
            gradient_norm: f64::INFINITY,
        }
    }

    /// Losses that differ by no more than rounding errors are told apart by their gradients.
    fn is_better_than(&self, other: &Self) -> bool {
        let noise = 8.0 * f64::EPSILON * self.loss;
        self.loss < other.loss - noise
            || (self.loss <= other.loss + noise && self.gradient_norm < other.gradient_norm)
    }

    fn is_stationary(&self) -> bool {
        self.gradient_norm <= stationary(&self.scaled)
    }
}

impl<'a, F: Smooth> Tracker<'a, F> {
    /// A tracker that has visited `start`.
    fn new(objective: &'a F, scales: &'a [f64], start: &[f64]) -> Self {
        let none = Evaluation::none(scales.len());
        let mut state = State {
            workspace: objective.workspace(),
            point: vec![0.0; scales.len()],
            last: none.clone(),
            best: none,
            evaluations: 0,
            since_best: 0,
        };
        state.evaluate(objective, scales, start);
        let relative_to_size = size(start) / state.last.gradient_norm;
        let factor = FIRST_STEP * relative_to_size.min(1.0);
        Self { objective, scales, factor, state: RefCell::new(state) }
    }

    /// Makes `scaled` the last point. An error is the way to stop argmin.
    fn visit(&self, scaled: &[f64]) -> Result<(), Error> {
        let state = &mut *self.state.borrow_mut();
        if state.last.scaled == scaled {
            return Ok(());
        }
        if state.evaluations == EVALUATIONS || state.since_best == PATIENCE {
            return Err(Error::msg("no progress"));
        }
        state.evaluate(self.objective, self.scales, scaled);
        if state.last.loss.is_finite() && state.last.gradient_norm.is_finite() {
            Ok(())
        } else {
            Err(Error::msg("the line search went too far"))
        }
    }
}

impl<W> State<W> {
    fn evaluate<F: Smooth<Workspace = W>>(
        &mut self,
        objective: &F,
        scales: &[f64],
        scaled: &[f64],
    ) {
        for ((point, scaled), scale) in self.point.iter_mut().zip(scaled).zip(scales) {
            *point = scaled / scale;
        }
        self.last.loss = objective.evaluate(&self.point, &mut self.workspace);
        self.last.scaled.copy_from_slice(scaled);
        let unscaled = F::gradient_in(&self.workspace).iter().zip(scales);
        for (gradient, (unscaled, scale)) in self.last.gradient.iter_mut().zip(unscaled) {
            *gradient = unscaled / scale;
        }
        self.last.gradient_norm = norm(&self.last.gradient);
        self.evaluations += 1;
        self.since_best += 1;
        if self.last.is_better_than(&self.best) {
            self.best.clone_from(&self.last);
            self.since_best = 0;
        }
    }
}

impl<F: Smooth> CostFunction for &Tracker<'_, F> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, scaled: &Vec<f64>) -> Result<f64, Error> {
        self.visit(scaled)?;
        Ok(self.factor * self.state.borrow().last.loss)
    }
}

impl<F: Smooth> Gradient for &Tracker<'_, F> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, scaled: &Vec<f64>) -> Result<Vec<f64>, Error> {
        self.visit(scaled)?;
        Ok(self.state.borrow().last.gradient.iter().map(|g| self.factor * g).collect())
    }
}
