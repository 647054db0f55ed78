//! The simplex ETF among its competitors: what is proved and what is only the best known.

use crate::error::Result;
use crate::models::cross_entropy::candidates::candidates;
use crate::models::cross_entropy::point::CrossEntropyPoint;
use crate::models::cross_entropy::problem::CrossEntropyUfm;
use crate::models::cross_entropy::structure::LogitStructure;
use crate::problem::regularization::Bias;

/// Relative differences of losses below this may be rounding errors.
const ROUNDING: f64 = 1e-13;

/// Why a point is a global minimum, or why it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Proof {
    /// Global for one layer: Theorem 3.1 of Zhu et al. (NeurIPS 2021).
    OneLayer,
    /// Global for two classes at every depth: the problem is a convex one in the rank-one logits.
    TwoClasses,
    /// Global, as no logits can be below the bound [`Landscape::lower_bound`].
    LowerBound,
    /// Not global for K ≥ 4 and M ≥ 3 or K ≥ 6 and M = 2, whatever the decays: pairs (and a triangle
    /// if K is odd) with the same margin have a lower loss. Garrod & Keating (arXiv 2410.23169),
    /// Theorem 1, with equal decays and widths of at least K; the project's `docs/cross-entropy.md`
    /// proves it for all decays and widths of at least K − 1.
    Pairs,
    /// Not global for K = 3, M ≥ 3 and an unregularised bias: a pair with the third class at the
    /// origin and a bias has a lower loss (proved in the project's `docs/cross-entropy.md`).
    PairAndOrigin,
    /// Not global, as a point with a lower loss is among [`Landscape::points`].
    LowerPoint,
}

/// What is known about a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// It is a global minimum, by proof.
    ProvedGlobal(Proof),
    /// It is not a global minimum, by proof.
    ProvedNotGlobal(Proof),
    /// Nothing lower is known, and nothing is proved.
    BestKnown,
}

/// The known points of a [`CrossEntropyUfm`], by rising loss.
///
/// They are zero, the simplex ETF and every other [`LogitStructure`] that has a local minimum. Each
/// loss is attained, so that the lowest one is an upper bound of the global minimum, and the global
/// minimum itself where a [`Verdict`] says so. The list is that of the project's
/// `docs/cross-entropy.md`; polygons of more than 1000 classes and the best partition of more than
/// 10 000 classes are left out.
///
/// ```
/// use neural_collapse::{CrossEntropyUfm, Regularization, Verdict};
/// use neural_collapse::models::cross_entropy::Proof;
///
/// // Theorem A.1 of Dang et al. says that the simplex ETF is optimal here; an octahedron is better.
/// let ufm = CrossEntropyUfm::new(6, 10, Regularization::new(&[1e-3; 2], 1e-4)?)?;
/// let landscape = ufm.landscape()?;
/// assert_eq!(landscape.best().structure().to_string(), "3 × pair");
/// assert!((landscape.simplex_etf().loss() - 0.03149014).abs() < 1e-8);
/// assert!((landscape.best().loss() - 0.02956847).abs() < 1e-8);
/// assert_eq!(landscape.verdict_on_simplex_etf(), Verdict::ProvedNotGlobal(Proof::Pairs));
/// assert_eq!(landscape.verdict_on_best(), Verdict::BestKnown);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Landscape {
    ufm: CrossEntropyUfm,
    points: Vec<CrossEntropyPoint>,
    simplex_etf: usize,
    lower_bound: f64,
}

impl Landscape {
    pub(crate) fn new(ufm: &CrossEntropyUfm) -> Result<Self> {
        let potential = ufm.simplex_potential()?;
        let simplex_etf = ufm.simplex_etf()?;
        let mut points = vec![simplex_etf.clone()];
        if *simplex_etf.structure() != LogitStructure::Collapsed {
            let zero = LogitStructure::Collapsed;
            points.push(CrossEntropyPoint::new(ufm.clone(), zero, Vec::new())?);
        }
        // For one layer and for two classes the loss is known to have no other local minima.
        if ufm.depth() > 1 && ufm.classes() > 2 {
            for found in candidates(ufm.classes(), &ufm.penalty()) {
                points.push(CrossEntropyPoint::new(ufm.clone(), found.structure, found.sizes)?);
            }
        }
        points.sort_by(|a, b| a.loss().total_cmp(&b.loss()));
        let position = points.iter().position(|point| *point == simplex_etf).unwrap_or(0);
        let lower_bound = ufm.loss_mean().factor() * potential.lower_bound(ufm.strength());
        Ok(Self { ufm: ufm.clone(), points, simplex_etf: position, lower_bound })
    }

    /// The problem.
    #[must_use]
    pub fn problem(&self) -> &CrossEntropyUfm {
        &self.ufm
    }

    /// The points, by rising loss.
    #[must_use]
    pub fn points(&self) -> &[CrossEntropyPoint] {
        &self.points
    }

    /// The point with the lowest known loss.
    #[must_use]
    pub fn best(&self) -> &CrossEntropyPoint {
        &self.points[0]
    }

    /// The point of Theorem A.1: the simplex ETF, or zero where that is better than every ETF.
    #[must_use]
    pub fn simplex_etf(&self) -> &CrossEntropyPoint {
        &self.points[self.simplex_etf]
    }

    /// By how much the loss of the best known point is below that of the simplex ETF.
    #[must_use]
    pub fn margin_over_simplex_etf(&self) -> f64 {
        self.simplex_etf().loss() - self.best().loss()
    }

    /// A proved lower bound of the objective, for all widths and biases.
    ///
    /// As Σ σᵢ^(2/(M+1)) ≥ (Σ σᵢ)^(2/(M+1)), and as among all logits with a given nuclear norm the
    /// simplex ETF has the least cross-entropy, the objective is nowhere below
    ///
    /// ```math
    /// c · min_{α ≥ 0} ln(1 + (K−1) e^(−α)) + (M+1)/2 · u · ((K−1) α)^(2/(M+1)).
    /// ```
    #[must_use]
    pub fn lower_bound(&self) -> f64 {
        self.lower_bound
    }

    /// What is known about the [`simplex_etf`](Self::simplex_etf).
    #[must_use]
    pub fn verdict_on_simplex_etf(&self) -> Verdict {
        let etf = self.simplex_etf();
        if let Some(proof) = self.proof_for(etf) {
            return Verdict::ProvedGlobal(proof);
        }
        if *etf.structure() == LogitStructure::SimplexEtf {
            let (classes, depth) = (self.ufm.classes(), self.ufm.depth());
            if (classes >= 4 && depth >= 3) || (classes >= 6 && depth == 2) {
                return Verdict::ProvedNotGlobal(Proof::Pairs);
            }
            let free_bias = self.ufm.penalties().bias() == Bias::Unregularized;
            if classes == 3 && depth >= 3 && free_bias {
                return Verdict::ProvedNotGlobal(Proof::PairAndOrigin);
            }
        }
        if self.margin_over_simplex_etf() > ROUNDING * etf.loss() {
            return Verdict::ProvedNotGlobal(Proof::LowerPoint);
        }
        Verdict::BestKnown
    }

    /// What is known about the [`best`](Self::best) point: that it is global, or only the best known.
    #[must_use]
    pub fn verdict_on_best(&self) -> Verdict {
        self.proof_for(self.best()).map_or(Verdict::BestKnown, Verdict::ProvedGlobal)
    }

    /// Why a point is a global minimum, if that is proved.
    fn proof_for(&self, point: &CrossEntropyPoint) -> Option<Proof> {
        if self.ufm.depth() == 1 {
            return Some(Proof::OneLayer);
        }
        if self.ufm.classes() == 2 {
            return Some(Proof::TwoClasses);
        }
        let potential = self.ufm.simplex_potential().ok()?;
        let zero = *point.structure() == LogitStructure::Collapsed;
        let proved = zero && self.ufm.strength() >= potential.proved_collapse();
        proved.then_some(Proof::LowerBound)
    }
}
