//! The phase diagram: which structure is the lowest for which strength of the penalties.

use crate::error::{Result, check_positive};
use crate::models::cross_entropy::candidates::{Candidate, Competitors};
use crate::models::cross_entropy::problem::check_smoothing;
use crate::models::cross_entropy::reduced::Penalty;
use crate::models::cross_entropy::simplex::SimplexPotential;
use crate::models::cross_entropy::structure::LogitStructure;
use crate::problem::regularization::Bias;

/// The smallest strength looked at: weaker penalties are not met in practice.
const SMALLEST_STRENGTH: f64 = 1e-12;
/// Strengths looked at in each factor of 10.
const PER_DECADE: f64 = 16.0;
/// Cap on the breakpoints between two neighbouring strengths.
const MOST_NESTED: usize = 6;

/// A range of strengths u = (n P)^(1/(M+1)) and the structure with the lowest known loss in it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Phase {
    /// The structure.
    pub structure: LogitStructure,
    /// The smallest strength: 0 for the first phase, else where its loss ties with that of the phase
    /// before.
    pub from: f64,
    /// The largest strength: infinity for the last phase, in which everything is zero.
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
/// is taken to go on.
///
/// # Errors
/// [`Error::OutOfRange`] if there are less than two classes, no layer, or a decay of the bias that is not
/// positive and finite, or a smoothing outside of 0 ≤ δ < 1.
///
/// ```
/// use neural_collapse::Bias;
/// use neural_collapse::models::cross_entropy::phase_diagram;
///
/// // Four classes, two layers: a square between the simplex ETF and zero.
/// let phases = phase_diagram(4, 2, Bias::None, 0.0)?;
/// let names: Vec<String> = phases.iter().map(|phase| phase.structure.to_string()).collect();
/// assert_eq!(names, ["simplex ETF", "2 × pair", "zero"]);
/// assert!(phases[0].to == phases[1].from && phases[2].to == f64::INFINITY);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
pub fn phase_diagram(
    classes: usize,
    depth: usize,
    bias: Bias,
    label_smoothing: f64,
) -> Result<Vec<Phase>> {
    if let Bias::Regularized(decay) = bias {
        check_positive("bias_decay", decay)?;
    }
    check_smoothing(label_smoothing)?;
    let potential = SimplexPotential::new(classes, depth)?.with_label_smoothing(label_smoothing)?;
    let competitors = Competitors::new(classes, bias);
    let diagram = Diagram { potential, classes, depth, bias, competitors };
    let mut phases = Vec::new();
    let mut from = 0.0;
    let grid = diagram.grid();
    let mut winners = grid.iter().map(|&strength| (strength, diagram.winner(strength)));
    let Some(mut before) = winners.next() else { return Ok(phases) };
    for after in winners {
        let mut breakpoints = Vec::new();
        diagram.split(&before, &after, MOST_NESTED, &mut breakpoints);
        for (at, structure) in breakpoints {
            phases.push(Phase { structure, from, to: at, depth });
            from = at;
        }
        before = after;
    }
    phases.push(Phase { structure: before.1.structure, from, to: f64::INFINITY, depth });
    Ok(phases)
}

/// A strength and what wins there.
type Winner = (f64, Candidate);

struct Diagram {
    potential: SimplexPotential,
    classes: usize,
    depth: usize,
    bias: Bias,
    /// Made ready once for all strengths.
    competitors: Competitors,
}

impl Diagram {
    fn penalty(&self, strength: f64) -> Penalty {
        Penalty {
            depth: self.depth,
            strength,
            bias: self.bias,
            smoothing: self.potential.label_smoothing(),
        }
    }

    /// Strengths on a logarithmic grid, the last one beyond every structure.
    fn grid(&self) -> Vec<f64> {
        let last = 1.000_001 * self.potential.proved_collapse();
        let decades = (last / SMALLEST_STRENGTH).log10();
        let cells = (decades * PER_DECADE).ceil().max(1.0);
        (0..=cells as u32)
            .map(|cell| SMALLEST_STRENGTH * 10.0_f64.powf(decades * f64::from(cell) / cells))
            .collect()
    }

    /// The lowest structure at a strength.
    fn winner(&self, strength: f64) -> Candidate {
        let etf = self.candidate(&LogitStructure::SimplexEtf, strength);
        let mut list: Vec<Candidate> = etf.into_iter().collect();
        if self.depth > 1 && self.classes > 2 {
            list.extend(self.competitors.candidates(&self.penalty(strength)));
        }
        let zero = Candidate {
            structure: LogitStructure::Collapsed,
            sizes: Vec::new(),
            value: (self.classes as f64).ln(),
        };
        list.into_iter().fold(zero, |best, next| if next.value < best.value { next } else { best })
    }

    /// The best point of one structure at a strength.
    fn candidate(&self, structure: &LogitStructure, strength: f64) -> Option<Candidate> {
        match structure {
            LogitStructure::Collapsed => None,
            LogitStructure::SimplexEtf => {
                let alpha = self.potential.local_minimum(strength).ok()??;
                let value = self.potential.value_unchecked(alpha, strength);
                Some(Candidate { structure: structure.clone(), sizes: vec![alpha], value })
            }
            _ => structure.minimize(self.classes, &self.penalty(strength)),
        }
    }

    /// The loss of one structure; ln K where it has no minimum but zero.
    fn value(&self, structure: &LogitStructure, strength: f64) -> f64 {
        let zero = (self.classes as f64).ln();
        self.candidate(structure, strength).map_or(zero, |found| found.value)
    }

    /// Adds the breakpoints between two strengths, each with the structure that ends there.
    fn split(
        &self,
        low: &Winner,
        high: &Winner,
        nested: usize,
        found: &mut Vec<(f64, LogitStructure)>,
    ) {
        if low.1.structure == high.1.structure {
            return;
        }
        let at = self.tie(low, high);
        let between = self.winner(at);
        let tied = self.value(&low.1.structure, at);
        let third = between.structure != low.1.structure && between.structure != high.1.structure;
        if third && nested > 0 && between.value < tied * (1.0 - 1e-12) {
            let middle = (at, between);
            self.split(low, &middle, nested - 1, found);
            self.split(&middle, high, nested - 1, found);
        } else {
            found.push((at, low.1.structure.clone()));
        }
    }

    /// Where the structures that win at two strengths have the same loss, by bisection to the last bits.
    fn tie(&self, low: &Winner, high: &Winner) -> f64 {
        let (low_structure, high_structure) = (&low.1.structure, &high.1.structure);
        let ends = (low_structure, high_structure);
        if ends == (&LogitStructure::SimplexEtf, &LogitStructure::Collapsed) {
            return self.potential.threshold();
        }
        let (mut from, mut to) = (low.0, high.0);
        for _ in 0..60 {
            let middle = from.midpoint(to);
            if middle <= from || middle >= to {
                break;
            }
            let gap = self.value(&low.1.structure, middle) - self.value(&high.1.structure, middle);
            if gap < 0.0 { from = middle } else { to = middle }
        }
        from.midpoint(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_goes_by_equal_factors_to_where_zero_is_proved() {
        let potential = SimplexPotential::new(5, 3).unwrap();
        let competitors = Competitors::new(5, Bias::None);
        let diagram = Diagram { potential, classes: 5, depth: 3, bias: Bias::None, competitors };
        let grid = diagram.grid();
        assert_eq!(grid[0], SMALLEST_STRENGTH);
        let beyond = grid[grid.len() - 1] / potential.proved_collapse();
        assert!(beyond > 1.0 && beyond < 1.00001, "{beyond}");
        let ratios = grid.windows(2).map(|pair| pair[1] / pair[0]);
        let (low, high) = ratios.fold((f64::INFINITY, 0.0), |(low, high): (f64, f64), ratio| {
            (low.min(ratio), high.max(ratio))
        });
        assert!(high / low < 1.0 + 1e-12 && high <= 10.0_f64.powf(PER_DECADE.recip()));
    }
}
