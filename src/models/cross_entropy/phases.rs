//! The phase diagram: which structure is the lowest for which strength of the penalties.

use crate::error::{Result, check_positive};
use crate::models::cross_entropy::candidates::Competitors;
use crate::models::cross_entropy::numerical::{
    Solids, centered_bias, is_lower, objective, structure,
};
use crate::models::cross_entropy::reduced::Penalty;
use crate::models::cross_entropy::simplex::SimplexPotential;
use crate::models::cross_entropy::structure::{LogitStructure, NumericalStructure};
use crate::models::low_rank::search::{Found, Search, followed, search};
use crate::monitor::{Monitor, Progress, Steps};
use crate::numerics::parallel;
use crate::problem::regularization::Bias;

/// The strengths of a diagram of closed forms: weaker penalties than the smallest are not met in practice.
const CLOSED: Grid = Grid { smallest: 1e-12, per_decade: 16.0 };
/// Those of a diagram with a search at each of them.
const SEARCHED: Grid = Grid { smallest: 1e-6, per_decade: 8.0 };
/// Relative differences of losses below this may be rounding errors.
const ROUNDING: f64 = 1e-12;
/// Relative differences of losses of one structure by two ways.
const SAME_VALUE: f64 = 1e-14;
/// Cap on the breakpoints between two neighboring strengths.
const MOST_NESTED: usize = 6;
/// Halvings that leave no double between the ends of a cell of a grid.
const HALVINGS: usize = 54;

/// About how many operations the closed forms of a strength cost for each class.
const OPERATIONS: usize = 100_000;

/// A range of strengths u = (n P)^(1/(M+1)) and the structure with the lowest known loss in it.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Phase {
    /// The structure.
    pub structure: LogitStructure,
    /// The smallest strength: 0 for the first phase, else where its loss ties with that of the phase
    /// before.
    pub from: f64,
    /// The largest strength: infinity for the last phase, in which everything is zero.
    #[cfg_attr(feature = "serde", serde(with = "crate::numerics::stored::unbounded"))]
    pub to: f64,
    depth: usize,
}

impl Phase {
    /// The range of n·P = n λ_H λ₁⋯λ_M for the mean loss 1/N: the (M+1)-th powers of the strengths. They
    /// may be 0 where they are below the range of `f64`.
    ///
    /// For the mean loss 1/(2N) they are 2^(−(M+1)) times as large.
    #[must_use]
    pub fn decay_products(&self) -> (f64, f64) {
        let power = self.depth as f64 + 1.0;
        (self.from.powf(power), self.to.powf(power))
    }
}

/// The phase diagram of K classes and M layers: the structures with the lowest known losses, from weak to
/// strong penalties.
///
/// Labels are smoothed by δ = `label_smoothing`, 0 for hard ones. The strength u = (n λ_H Πλₘ)^(1/(M+1)) of the mean loss 1/N (for 1/(2N): twice that) decides, beside
/// the bias, of which the penalty is λ_b (for 1/(2N): 2λ_b).
///
/// Breakpoints are where two losses tie, to about 1e-12 relatively; where one structure goes over into
/// another continuously, as blocks of two sizes into blocks of one, they are less sharp. Phases are
/// searched on a grid of 16 strengths a decade from 1e-12 up to where zero is proved to be optimal:
/// one that is narrower than the spacing of 15 % may be missed, and below the grid the first phase
/// is taken to go on. K = 10 takes one or two seconds of processor time, K = 24 ten, and with a free bias 15 (M = 2) to
/// 30 (M = 4), on all cores.
///
/// # Errors
/// [`Error::OutOfRange`](crate::Error::OutOfRange) if there are less than two classes, no layer, or a decay of the bias that is not
/// positive and finite, or a smoothing outside of 0 ≤ δ < 1.
///
/// ```
/// use neural_collapse::Bias;
/// use neural_collapse::models::cross_entropy::phase_diagram;
///
/// // Four classes, two layers: a square and a path between the simplex ETF and zero.
/// let phases = phase_diagram(4, 2, Bias::None, 0.0)?;
/// let names: Vec<String> = phases.iter().map(|phase| phase.structure.to_string()).collect();
/// assert_eq!(names, ["simplex ETF", "2 × pair", "path", "zero"]);
/// assert!(phases[0].to == phases[1].from && phases[3].to == f64::INFINITY);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
pub fn phase_diagram(
    classes: usize,
    depth: usize,
    bias: Bias,
    label_smoothing: f64,
) -> Result<Vec<Phase>> {
    phase_diagram_with(classes, depth, bias, label_smoothing, &())
}

/// [`phase_diagram`] under the eyes of a monitor, which may end it.
///
/// # Errors
/// As [`phase_diagram`], and [`Error::Cancelled`](crate::Error::Cancelled) if the monitor ends the work.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use neural_collapse::models::cross_entropy::phase_diagram_with;
/// use neural_collapse::{Bias, Error, Progress};
///
/// let hasty = |progress: Progress| match progress.done {
///     ..20 => ControlFlow::Continue(()),
///     _ => ControlFlow::Break(()),
/// };
/// assert_eq!(phase_diagram_with(4, 2, Bias::None, 0.0, &hasty), Err(Error::Cancelled));
/// ```
pub fn phase_diagram_with(
    classes: usize,
    depth: usize,
    bias: Bias,
    label_smoothing: f64,
    monitor: &dyn Monitor,
) -> Result<Vec<Phase>> {
    Diagram::new(classes, depth, bias, label_smoothing, None, monitor)?.phases(CLOSED)
}

/// The [`phase_diagram`] with a numerical search at every strength of the grid beside the closed forms.
///
/// The grid has 8 strengths a decade from 1e-6 on. Between two of them a numerical structure is followed from
/// where it was found, so that its ties are as sharp as those of closed forms; numerical structures are told
/// apart by their rank, their orbits and the order of their symmetry group. With 10 starts at each rank and K = 6
/// it takes some seconds.
///
/// # Errors
/// As [`phase_diagram`]; [`Error::Cancelled`](crate::Error::Cancelled) if the monitor ends the work.
///
/// ```
/// use neural_collapse::Bias;
/// use neural_collapse::models::cross_entropy::searched_phase_diagram;
/// use neural_collapse::models::low_rank::Search;
///
/// // Four classes, two layers: between the square and zero all classes lie on one axis.
/// let search = Search::default().with_starts(4);
/// let phases = searched_phase_diagram(4, 2, Bias::None, 0.0, &search, &())?;
/// let names: Vec<String> = phases.iter().map(|phase| phase.structure.to_string()).collect();
/// assert_eq!(names, ["simplex ETF", "2 × pair", "path", "zero"]);
/// assert!((phases[2].from - 0.159622).abs() < 1e-6 && (phases[3].from - 0.160294).abs() < 1e-6);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
pub fn searched_phase_diagram(
    classes: usize,
    depth: usize,
    bias: Bias,
    label_smoothing: f64,
    options: &Search,
    monitor: &dyn Monitor,
) -> Result<Vec<Phase>> {
    Diagram::new(classes, depth, bias, label_smoothing, Some(options), monitor)?.phases(SEARCHED)
}

/// Strengths that are looked at.
#[derive(Debug, Clone, Copy)]
struct Grid {
    smallest: f64,
    /// In each factor of 10.
    per_decade: f64,
}

/// A structure at a strength.
#[derive(Debug, Clone)]
struct Branch {
    strength: f64,
    structure: LogitStructure,
    value: f64,
    /// Rank and parameters of what was found numerically.
    numbers: Option<(usize, Vec<f64>)>,
}

struct Diagram<'a> {
    potential: SimplexPotential,
    classes: usize,
    depth: usize,
    bias: Bias,
    /// Made ready once for all strengths.
    competitors: Competitors,
    solids: Solids,
    search: Option<&'a Search>,
    monitor: &'a dyn Monitor,
}

impl<'a> Diagram<'a> {
    fn new(
        classes: usize,
        depth: usize,
        bias: Bias,
        label_smoothing: f64,
        search: Option<&'a Search>,
        monitor: &'a dyn Monitor,
    ) -> Result<Self> {
        if let Bias::Regularized(decay) = bias {
            check_positive("bias_decay", decay)?;
        }
        let potential = SimplexPotential::new(classes, depth)?;
        let potential = potential.with_label_smoothing(label_smoothing)?;
        let (competitors, solids) = (Competitors::new(classes, bias), Solids::new(classes, bias));
        Ok(Self { potential, classes, depth, bias, competitors, solids, search, monitor })
    }

    fn phases(&self, grid: Grid) -> Result<Vec<Phase>> {
        let mut phases = Vec::new();
        let mut from = 0.0;
        let strengths = self.strengths(grid);
        let total = strengths.len() as u64;
        let mut before: Option<Branch> = None;
        for (index, closed) in self.closed_winners(&strengths)?.into_iter().enumerate() {
            let progress = Progress {
                stage: "comparing structures at every strength",
                done: index as u64,
                total: Some(total),
            };
            let after = self.lower(closed, before.as_ref(), progress)?;
            if let Some(before) = &before {
                let mut breakpoints = Vec::new();
                self.split(before, &after, MOST_NESTED, progress, &mut breakpoints)?;
                for (at, structure) in breakpoints {
                    phases.push(Phase { structure, from, to: at, depth: self.depth });
                    from = at;
                }
            }
            before = Some(after);
        }
        if let Some(Branch { structure, .. }) = before {
            phases.push(Phase { structure, from, to: f64::INFINITY, depth: self.depth });
        }
        Ok(phases)
    }

    fn penalty(&self, strength: f64) -> Penalty {
        Penalty {
            depth: self.depth,
            strength,
            bias: self.bias,
            smoothing: self.potential.label_smoothing(),
        }
    }

    /// Strengths on a logarithmic grid, the last one beyond every structure.
    fn strengths(&self, grid: Grid) -> Vec<f64> {
        let last = 1.000_001 * self.potential.proved_collapse();
        let smallest = grid.smallest.min(last / 10.0);
        let decades = (last / smallest).log10();
        let cells = (decades * grid.per_decade).ceil().max(1.0);
        (0..=cells as u32)
            .map(|cell| smallest * 10.0_f64.powf(decades * f64::from(cell) / cells))
            .collect()
    }

    /// The lowest closed forms at all strengths, on all cores.
    fn closed_winners(&self, strengths: &[f64]) -> Result<Vec<Branch>> {
        let steps = Steps::new(self.monitor, "closed forms at every strength", strengths.len());
        let operations = strengths.len().saturating_mul(self.classes).saturating_mul(OPERATIONS);
        let winners = parallel::map(
            strengths.len(),
            operations,
            || (),
            |(), index| {
                steps.step()?;
                Ok(self.closed_winner(strengths[index]))
            },
        );
        winners.into_iter().collect()
    }

    /// The lowest structure at the strength of the lowest closed form; a search starts from the structure of the
    /// strength before, too.
    fn lower(&self, closed: Branch, before: Option<&Branch>, progress: Progress) -> Result<Branch> {
        let Progress { stage, done, total } = progress;
        self.monitor.report(stage, done, total)?;
        let strength = closed.strength;
        let Some(options) = self.search.filter(|_| self.has_competitors()) else {
            return Ok(closed);
        };
        let objective = objective(self.classes, &self.penalty(strength));
        let given: Vec<(usize, Vec<f64>)> =
            before.and_then(|before| before.numbers.clone()).into_iter().collect();
        let forward = |_: Progress| self.monitor.progress(progress);
        let found = search(&objective, self.classes - 1, &given, options, &forward)?;
        if !is_lower(found.value, closed.value) {
            return Ok(closed);
        }
        let numbers = Some(found.parameters(&objective));
        let structure = LogitStructure::Numerical(self.signature(&found));
        Ok(Branch { strength, structure, value: found.value, numbers })
    }

    /// What tells numerical structures apart, at whichever strength and from however many starts.
    fn signature(&self, found: &Found) -> NumericalStructure {
        let (structure, _) = structure(found, &centered_bias(found, self.bias));
        NumericalStructure { hits: 0, starts: 0, ..structure }
    }

    /// For one layer and for two classes nothing competes with the simplex ETF.
    fn has_competitors(&self) -> bool {
        self.depth > 1 && self.classes > 2
    }

    fn closed_winner(&self, strength: f64) -> Branch {
        let branch = |structure, value, numbers| Branch { strength, structure, value, numbers };
        let zero = branch(LogitStructure::Collapsed, (self.classes as f64).ln(), None);
        let etf = LogitStructure::SimplexEtf;
        let mut list = vec![branch(etf.clone(), self.closed_value(&etf, strength), None)];
        if self.has_competitors() {
            let penalty = self.penalty(strength);
            let candidates = self.competitors.candidates(&penalty).into_iter();
            list.extend(candidates.map(|found| branch(found.structure, found.value, None)));
            let objective = objective(self.classes, &penalty);
            let lowest = list.iter().map(|other| other.value).fold(zero.value, f64::min);
            list.extend(self.solids.lowest(&penalty, lowest).map(|(solid, found)| {
                let numbers = Some(found.parameters(&objective));
                branch(LogitStructure::Solid(solid), found.value, numbers)
            }));
        }
        // Of two names for one point the first counts, whatever the rounding errors are.
        list.into_iter().fold(zero, |best, next| {
            if next.value < best.value * (1.0 - ROUNDING) { next } else { best }
        })
    }

    /// The loss of a closed form; ln K where it has no minimum but zero.
    fn closed_value(&self, structure: &LogitStructure, strength: f64) -> f64 {
        let found = match structure {
            LogitStructure::SimplexEtf => {
                let alpha = self.potential.local_minimum(strength).ok().flatten();
                alpha.map(|alpha| self.potential.value_unchecked(alpha, strength))
            }
            _ => {
                let found = structure.minimize(self.classes, &self.penalty(strength));
                found.map(|found| found.value)
            }
        };
        found.unwrap_or((self.classes as f64).ln())
    }

    /// The loss of a structure at another strength.
    fn value(&self, branch: &Branch, strength: f64) -> f64 {
        let Some((rank, point)) = &branch.numbers else {
            return self.closed_value(&branch.structure, strength);
        };
        let objective = objective(self.classes, &self.penalty(strength));
        followed(&objective, *rank, point.clone()).map_or(f64::INFINITY, |found| found.value)
    }

    /// Adds the breakpoints between two strengths, each with the structure that ends there.
    fn split(
        &self,
        low: &Branch,
        high: &Branch,
        nested: usize,
        progress: Progress,
        found: &mut Vec<(f64, LogitStructure)>,
    ) -> Result<()> {
        if low.structure == high.structure {
            return Ok(());
        }
        let at = self.tie(low, high);
        let between = self.lower(self.closed_winner(at), Some(low), progress)?;
        let tied = self.value(low, at);
        let third = between.structure != low.structure && between.structure != high.structure;
        if third && nested > 0 && between.value < tied * (1.0 - ROUNDING) {
            self.split(low, &between, nested - 1, progress, found)?;
            self.split(&between, high, nested - 1, progress, found)?;
        } else {
            found.push((at, low.structure.clone()));
        }
        Ok(())
    }

    /// Where the structures that win at two strengths have the same loss, by bisection to the last bits.
    fn tie(&self, low: &Branch, high: &Branch) -> f64 {
        let ends = (&low.structure, &high.structure);
        if ends == (&LogitStructure::SimplexEtf, &LogitStructure::Collapsed) {
            return self.potential.threshold();
        }
        let (mut from, mut to) = (low.strength, high.strength);
        for _ in 0..HALVINGS {
            let middle = from.midpoint(to);
            let (below, above) = (self.value(low, middle), self.value(high, middle));
            // Where one structure goes over into the other continuously, both are the same beyond.
            if below < above * (1.0 - SAME_VALUE) { from = middle } else { to = middle }
        }
        from.midpoint(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The grid rises by one ratio from the smallest strength to one at which everything is zero by proof.
    #[test]
    fn strengths_rise_by_one_ratio() {
        let diagram = Diagram::new(4, 2, Bias::None, 0.0, None, &()).unwrap();
        let grid = Grid { smallest: 1e-4, per_decade: 7.0 };
        let strengths = diagram.strengths(grid);
        let last = *strengths.last().unwrap();
        assert!((strengths[0] / 1e-4 - 1.0).abs() < 1e-12);
        assert!((last / diagram.potential.proved_collapse() - 1.0 - 1e-6).abs() < 1e-9);
        let ratio = strengths[1] / strengths[0];
        assert!(strengths.windows(2).all(|pair| (pair[1] / pair[0] / ratio - 1.0).abs() < 1e-12));
        let decades = (last / 1e-4).log10();
        assert!(ratio.log10() <= 1.0 / 7.0 && strengths.len() as f64 - 2.0 < 7.0 * decades);
        // A smallest strength that is too large is a tenth of the last one.
        let high = diagram.strengths(Grid { smallest: 100.0, ..grid });
        assert!((high[0] * 10.0 / last - 1.0).abs() < 1e-12);
    }

    /// Breakpoints of one cell of a grid are found inside of each other, as far as they may be nested.
    #[test]
    fn a_coarse_grid_has_the_same_breakpoints() {
        let diagram = Diagram::new(4, 2, Bias::None, 0.0, None, &()).unwrap();
        let coarse = diagram.phases(Grid { smallest: 1e-4, per_decade: 0.25 }).unwrap();
        assert_eq!(diagram.strengths(Grid { smallest: 1e-4, per_decade: 0.25 }).len(), 2);
        let fine = phase_diagram(4, 2, Bias::None, 0.0).unwrap();
        let names = |phases: &[Phase]| -> Vec<String> {
            phases.iter().map(|phase| phase.structure.to_string()).collect()
        };
        assert_eq!(names(&coarse), ["simplex ETF", "2 × pair", "path", "zero"]);
        assert_eq!(names(&coarse), names(&fine));
        for (a, b) in coarse.iter().zip(&fine) {
            assert!((a.from - b.from).abs() <= 1e-12 * b.from && a.depth == 2, "{a:?} {b:?}");
        }
        let (low, high) = (diagram.closed_winner(1e-4), diagram.closed_winner(0.2));
        let progress = Progress { stage: "", done: 0, total: None };
        for (nested, breakpoints) in [(0, 1), (1, 2), (2, 3), (3, 3)] {
            let mut found = Vec::new();
            diagram.split(&low, &high, nested, progress, &mut found).unwrap();
            assert_eq!(found.len(), breakpoints, "{nested}: {found:?}");
        }
    }

    #[test]
    fn a_diagram_has_the_penalties_that_were_given() {
        let bias = Bias::Regularized(0.2);
        let diagram = Diagram::new(4, 3, bias, 0.1, None, &()).unwrap();
        let expected = Penalty { depth: 3, strength: 0.05, bias, smoothing: 0.1 };
        assert_eq!(diagram.penalty(0.05), expected);
        let one_layer = phase_diagram(4, 1, Bias::None, 0.1).unwrap();
        assert_eq!(one_layer[0].to, 0.9 / 4.0);
    }

    /// From however many starts it was found.
    #[test]
    fn a_structure_is_the_same_at_every_strength() {
        let diagram = Diagram::new(4, 2, Bias::None, 0.0, None, &()).unwrap();
        let solids = diagram.solids.minima(&diagram.penalty(0.16), f64::INFINITY);
        let (_, found) = &solids[0];
        let often = Found { hits: 7, starts: 90, ..found.clone() };
        let signature = diagram.signature(found);
        assert_eq!(signature, diagram.signature(&often));
        assert_eq!((signature.rank, signature.automorphisms), (1, Some(2)));
        assert_eq!((signature.hits, signature.starts), (0, 0));
    }
}
