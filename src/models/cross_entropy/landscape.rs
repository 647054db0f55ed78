//! The simplex ETF among its competitors: what is proved and what is only the best known.

use core::ops::RangeInclusive;

use crate::error::Result;
use crate::geometry::class_matrix::ClassMatrix;
use crate::models::cross_entropy::candidates::candidates;
use crate::models::cross_entropy::point::CrossEntropyPoint;
use crate::models::cross_entropy::problem::CrossEntropyUfm;
use crate::models::cross_entropy::reduced::Penalty;
use crate::models::cross_entropy::structure::LogitStructure;
use crate::models::cross_entropy::verdict::lower_point_known;
use crate::prediction::{
    Basis, ClassGeometry, ExplicitPoint, Geometry, Prediction, SingularValue, Verdict,
};
use crate::problem::counts::{ClassCounts, Run};
use crate::problem::training_objective::TrainingObjective;

/// Relative differences of losses below this may be rounding errors.
const ROUNDING: f64 = 1e-13;

/// The known points of a [`CrossEntropyUfm`], by rising loss.
///
/// They are zero, the simplex ETF and every other [`LogitStructure`] that has a local minimum. Each
/// loss is attained, so that the lowest one is an upper bound of the global minimum, and the global
/// minimum itself where its [`verdict`](Prediction::verdict) says so. The list is that of the project's
/// `docs/cross-entropy.md`; polygons of more than 1000 classes and the best partition of more than
/// 10 000 classes are left out.
///
/// ```
/// use neural_collapse::{CrossEntropyUfm, Prediction, Regularization, Verdict};
///
/// // Theorem A.1 of Dang et al. says that the simplex ETF is optimal here; an octahedron is better.
/// let ufm = CrossEntropyUfm::new(6, 10, Regularization::new(&[1e-3; 2], 1e-4)?)?;
/// let landscape = ufm.landscape()?;
/// assert_eq!(landscape.best().structure().to_string(), "3 × pair");
/// assert!((landscape.simplex_etf().loss() - 0.03149014).abs() < 1e-8);
/// assert!((landscape.best().loss() - 0.02956847).abs() < 1e-8);
/// assert!(matches!(landscape.simplex_etf().verdict(), Verdict::Refuted(_)));
/// assert!(matches!(landscape.verdict(), Verdict::BestKnown { .. }));
/// // All questions about the prediction are answered for the best point.
/// assert_eq!(landscape.loss(), landscape.best().loss());
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Landscape {
    /// By rising loss; never empty.
    points: Vec<CrossEntropyPoint>,
    simplex_etf: usize,
    lower_bound: f64,
}

impl Landscape {
    fn new(ufm: &CrossEntropyUfm) -> Result<Self> {
        let potential = ufm.simplex_potential();
        let simplex_etf = ufm.simplex_etf()?;
        let mut points = vec![simplex_etf.clone()];
        if *simplex_etf.structure() != LogitStructure::Collapsed {
            let zero = LogitStructure::Collapsed;
            points.push(CrossEntropyPoint::new(ufm.clone(), zero, Vec::new())?);
        }
        // For one layer and for two classes the loss is known to have no other local minima.
        if ufm.depth() > 1 && ufm.classes() > 2 {
            for found in candidates(ufm.classes(), &Penalty::of(ufm)) {
                points.push(CrossEntropyPoint::new(ufm.clone(), found.structure, found.sizes)?);
            }
        }
        points.sort_by(|a, b| a.loss().total_cmp(&b.loss()));
        let position = points.iter().position(|point| *point == simplex_etf).unwrap_or(0);
        let lower_bound = ufm.loss_mean().factor() * potential.lower_bound(ufm.strength());
        Ok(Self { points: compared(points), simplex_etf: position, lower_bound })
    }

    /// The problem.
    #[must_use]
    pub fn problem(&self) -> &CrossEntropyUfm {
        self.best().problem()
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
}

/// Points by rising loss, with what the comparison says about those that are not the lowest.
fn compared(points: Vec<CrossEntropyPoint>) -> Vec<CrossEntropyPoint> {
    let lowest = points.first().map_or(0.0, |best| best.loss());
    let above = |point: &CrossEntropyPoint| point.loss() - lowest > ROUNDING * point.loss();
    let judged = points.into_iter().map(|point| match point.verdict() {
        Verdict::BestKnown { .. } if above(&point) => point.with_verdict(lower_point_known()),
        _ => point,
    });
    judged.collect()
}

/// All answers are those of the [`best`](Landscape::best) point, but for the lower bound.
impl Prediction for Landscape {
    fn training_objective(&self) -> TrainingObjective {
        self.best().training_objective()
    }

    fn counts(&self) -> Option<&ClassCounts> {
        Some(self.problem().counts())
    }

    fn classes(&self) -> usize {
        self.best().classes()
    }

    fn depth(&self) -> usize {
        self.best().depth()
    }

    fn widths(&self) -> Option<&[usize]> {
        self.problem().widths()
    }

    fn geometry(&self) -> Geometry {
        self.best().geometry()
    }

    fn verdict(&self) -> Verdict {
        self.best().verdict()
    }

    fn loss(&self) -> f64 {
        self.best().loss()
    }

    /// The loss where it is proved to be the global minimum. Else, as Σ σᵢ^(2/(M+1)) ≥ (Σ σᵢ)^(2/(M+1)), and as
    /// among all logits with a given nuclear norm the simplex ETF has the least cross-entropy, the objective
    /// is nowhere below
    ///
    /// ```math
    /// c · min_{α ≥ 0} ln(1 + (K−1) e^(−α)) + δ (K−1) α/K + (M+1)/2 · u · ((K−1) α)^(2/(M+1)),
    /// ```
    ///
    /// whatever the widths and the bias.
    fn lower_bound(&self) -> Option<f64> {
        let proved = self.verdict().is_proved();
        Some(if proved { self.loss() } else { self.lower_bound })
    }

    fn is_unique(&self) -> bool {
        self.best().is_unique()
    }

    fn is_symmetric(&self) -> bool {
        self.best().is_symmetric()
    }

    fn class_runs(&self) -> Result<Vec<(Run, ClassGeometry)>> {
        self.best().class_runs()
    }

    fn bias(&self) -> Option<Vec<f64>> {
        self.best().bias()
    }

    fn singular_values(&self, layers: RangeInclusive<usize>) -> Result<Vec<SingularValue>> {
        self.best().singular_values(layers)
    }

    fn feature_singular_values(&self) -> Result<Vec<SingularValue>> {
        self.best().feature_singular_values()
    }

    fn trailing_gram(&self, layers: usize) -> Result<ClassMatrix> {
        self.best().trailing_gram(layers)
    }

    fn class_means_gram(&self) -> Result<ClassMatrix> {
        self.best().class_means_gram()
    }

    fn class_outputs(&self) -> Result<ClassMatrix> {
        self.best().class_outputs()
    }

    fn explicit(&self, basis: &Basis) -> Result<ExplicitPoint> {
        self.best().explicit(basis)
    }
}

impl CrossEntropyUfm {
    /// The simplex ETF beside zero and every other structure known for these K, M, δ and bias.
    ///
    /// # Errors
    /// As [`simplex_etf`](Self::simplex_etf).
    pub fn landscape(&self) -> Result<Landscape> {
        Landscape::new(self)
    }
}
