//! The simplex ETF among its competitors: what is proved and what is only the best known.

use core::ops::RangeInclusive;

use crate::error::{Error, Result};
use crate::geometry::class_matrix::ClassMatrix;
use crate::models::cross_entropy::candidates::Competitors;
use crate::models::cross_entropy::numerical::{self, Solids, is_lower, is_same, searched};
use crate::models::cross_entropy::point::CrossEntropyPoint;
use crate::models::cross_entropy::problem::CrossEntropyUfm;
use crate::models::cross_entropy::rank_bound::rank_bound;
use crate::models::cross_entropy::reduced::Penalty;
use crate::models::cross_entropy::structure::LogitStructure;
use crate::models::cross_entropy::verdict::lower_point_known;
use crate::models::low_rank::Search;
use crate::monitor::Monitor;
use crate::prediction::{
    Basis, ClassGeometry, ExplicitPoint, Geometry, Prediction, SingularValue, Verdict,
};
use crate::problem::counts::{ClassCounts, Run};
use crate::problem::training_objective::TrainingObjective;

/// Relative differences of losses below this may be rounding errors.
const ROUNDING: f64 = 1e-13;
/// The most classes for a numerical search.
const MOST_SEARCHED: usize = 1000;

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
    search: Option<SearchResult>,
}

/// What a numerical search for a lower point has found.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct SearchResult {
    /// The lowest loss that it found.
    pub loss: f64,
    /// How many starts ended there.
    pub hits: usize,
    /// How many starts there were.
    pub starts: usize,
}

impl Landscape {
    fn new(ufm: &CrossEntropyUfm) -> Result<Self> {
        let simplex_etf = ufm.simplex_etf()?;
        let mut points = vec![simplex_etf.clone()];
        if *simplex_etf.structure() != LogitStructure::Collapsed {
            let zero = LogitStructure::Collapsed;
            points.push(CrossEntropyPoint::new(ufm.clone(), zero, Vec::new())?);
        }
        // For one layer and for two classes the loss is known to have no other local minima.
        if ufm.depth() > 1 && ufm.classes() > 2 {
            let penalty = Penalty::of(ufm);
            for found in Competitors::new(ufm.classes(), penalty.bias).candidates(&penalty) {
                points.push(CrossEntropyPoint::new(ufm.clone(), found.structure, found.sizes)?);
            }
            let losses = points.iter().map(|point| point.loss() / ufm.loss_mean().factor());
            let lowest = losses.fold(f64::INFINITY, f64::min);
            let solids = Solids::new(ufm.classes(), penalty.bias);
            for (solid, found) in solids.minima(&penalty, lowest) {
                let point = numerical::solid_point(ufm, solid, &found)?;
                if !points.iter().any(|other| is_same(other.loss(), point.loss())) {
                    points.push(point);
                }
            }
        }
        // The first of them is the simplex ETF itself.
        let others = points.split_off(1);
        Ok(Self::compare(ufm, others, simplex_etf, None))
    }

    /// The closed forms beside what a numerical search finds.
    fn searched(ufm: &CrossEntropyUfm, options: &Search, monitor: &dyn Monitor) -> Result<Self> {
        let closed = Self::new(ufm)?;
        // At the end of the range of numbers only closed forms keep their digits.
        if closed.verdict().is_proved() || numerical::is_too_small(ufm) {
            return Ok(closed);
        }
        let found = searched(ufm, closed.points(), options, monitor)?;
        let result = SearchResult {
            loss: ufm.loss_mean().factor() * found.value,
            hits: found.hits,
            starts: found.starts,
        };
        let is_new = is_lower(result.loss, closed.loss());
        let mut others = closed.points;
        let simplex_etf = others.remove(closed.simplex_etf);
        if is_new {
            others.insert(0, numerical::point(ufm, &found)?);
        }
        Ok(Self::compare(ufm, others, simplex_etf, Some(result)))
    }

    /// The simplex ETF and other points in the order of their losses, with a verdict on each.
    fn compare(
        ufm: &CrossEntropyUfm,
        others: Vec<CrossEntropyPoint>,
        simplex_etf: CrossEntropyPoint,
        search: Option<SearchResult>,
    ) -> Self {
        let mut points = others;
        points.sort_by(|a, b| a.loss().total_cmp(&b.loss()));
        let position = points.partition_point(|point| point.loss() < simplex_etf.loss());
        points.insert(position, simplex_etf);
        let lower_bound = ufm.loss_mean().factor() * lower_bound(ufm);
        let points = compared(points, search.as_ref());
        Self { points, simplex_etf: position, lower_bound, search }
    }

    /// What a numerical search has found, if there was one.
    #[must_use]
    pub fn search(&self) -> Option<SearchResult> {
        self.search
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

/// Points by rising loss, with what the comparison says about each.
fn compared(
    points: Vec<CrossEntropyPoint>,
    search: Option<&SearchResult>,
) -> Vec<CrossEntropyPoint> {
    let lowest = points.first().map_or(0.0, CrossEntropyPoint::loss);
    let above = |point: &CrossEntropyPoint| point.loss() - lowest > ROUNDING * point.loss();
    let judged = points.into_iter().map(|point| match point.verdict() {
        // What is proved for a problem is proved for its lowest point.
        Verdict::BestKnown { .. } | Verdict::Proved(_) if above(&point) => {
            point.with_verdict(lower_point_known())
        }
        Verdict::BestKnown { found_by } => match search.filter(|_| !is_numerical(&point)) {
            Some(search) => {
                let SearchResult { hits, starts, .. } = search;
                let found_by = format!(
                    "{found_by}; of {starts} numerical starts none ends lower, {hits} end there"
                );
                point.with_verdict(Verdict::BestKnown { found_by: found_by.into() })
            }
            None => point,
        },
        _ => point,
    });
    judged.collect()
}

/// What F is nowhere below: a bound by the nuclear norm, and for hard labels one that counts directions too.
fn lower_bound(ufm: &CrossEntropyUfm) -> f64 {
    let by_nuclear_norm = ufm.simplex_potential().lower_bound(ufm.strength());
    if !counts_directions(ufm) {
        return by_nuclear_norm;
    }
    by_nuclear_norm.max(rank_bound(ufm.classes(), ufm.depth(), ufm.strength()))
}

/// Whether the bound that counts directions can be the higher one, and is proved: for one layer and for two classes the
/// bound by the nuclear norm is attained.
fn counts_directions(ufm: &CrossEntropyUfm) -> bool {
    ufm.depth() > 1 && ufm.classes() > 2 && ufm.label_smoothing() == 0.0
}

fn is_numerical(point: &CrossEntropyPoint) -> bool {
    matches!(point.structure(), LogitStructure::Numerical(_))
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
    /// whatever the widths and the bias. With hard labels this is raised, by up to 30 %, as of any three classes
    /// two are close to each other if the logits have one large singular value, and of any four if they have
    /// two: a low rank needs larger logits.
    ///
    /// Source: the project's `docs/cross-entropy.md`, section 5.
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

    fn bias_runs(&self) -> Option<Vec<(usize, f64)>> {
        self.best().bias_runs()
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

    /// The [`landscape`](Self::landscape) with the lowest point of a numerical search beside the closed forms.
    ///
    /// If the search finds nothing lower, that confirms the best closed form; where a closed form is proved to be
    /// the global minimum nothing is searched. The same options give the same bits on one machine, whatever the
    /// number of threads. With the default of 25 starts at each rank, K = 20 takes about a second on two cores.
    ///
    /// # Errors
    /// As [`simplex_etf`](Self::simplex_etf); [`Error::OutOfRange`](crate::Error::OutOfRange) for more than 1000
    /// classes, [`Error::Cancelled`](crate::Error::Cancelled) if the monitor ends the work.
    ///
    /// ```
    /// use neural_collapse::models::low_rank::Search;
    /// use neural_collapse::{CrossEntropyUfm, Prediction, Regularization};
    ///
    /// // Twelve classes, two layers: rank four, one orbit of all classes with 48 symmetries, a circulant.
    /// let ufm = CrossEntropyUfm::new(12, 1, Regularization::new(&[0.03; 2], 0.03)?)?;
    /// let landscape = ufm.searched_landscape(&Search::default().with_starts(10), &())?;
    /// assert_eq!(landscape.geometry().to_string(), "12-circulant(2,3)");
    /// assert!((landscape.loss() - 1.21769534).abs() < 1e-8);
    /// assert!(landscape.search().is_some_and(|search| search.hits > 0));
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn searched_landscape(&self, options: &Search, monitor: &dyn Monitor) -> Result<Landscape> {
        if self.classes() > MOST_SEARCHED {
            let classes = self.classes() as f64;
            return Err(Error::out_of_range("classes", classes, "at most 1000 for a search"));
        }
        Landscape::searched(self, options, monitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::cross_entropy::problem::LossMean;
    use crate::problem::regularization::Bias;

    #[test]
    fn all_answers_are_those_of_the_best_point() {
        let ufm = CrossEntropyUfm::with_strength(5, 2, Bias::Unregularized, 0.02)
            .with_widths(&[4, 7])
            .unwrap();
        let landscape = ufm.landscape().unwrap();
        let best = landscape.best();
        assert_eq!(best.structure().to_string(), "triangle ⊕ pair");
        assert_eq!(landscape.training_objective(), best.training_objective());
        assert_eq!((landscape.classes(), landscape.depth()), (5, 2));
        assert_eq!(landscape.counts(), Some(ufm.counts()));
        assert_eq!(landscape.widths(), Some(&[4, 7][..]));
        assert_eq!(landscape.problem(), &ufm);
        assert_eq!(landscape.geometry().to_string(), "triangle ⊕ pair");
        assert!(landscape.is_unique() && !landscape.is_symmetric());
        assert!(landscape.simplex_etf().is_symmetric());
        assert_eq!(landscape.class_runs().unwrap(), best.class_runs().unwrap());
        let bias = landscape.bias().unwrap();
        assert!(bias.len() == 5 && bias[0] != bias[4] && landscape.bias() == best.bias());
        assert_eq!(landscape.bias_runs().unwrap(), [(3, bias[0]), (2, bias[4])]);
        let values = landscape.singular_values(1..=2).unwrap();
        assert_eq!(values, best.singular_values(1..=2).unwrap());
        assert_eq!(values.iter().map(|value| value.multiplicity).sum::<usize>(), 3);
        let features = landscape.feature_singular_values().unwrap();
        assert_eq!(features, best.feature_singular_values().unwrap());
        assert!(features.len() == values.len() && features != values);
        let (own, of_best) = (landscape.trailing_gram(2).unwrap(), best.trailing_gram(2).unwrap());
        assert_eq!(own.distance(&of_best.to_dense().unwrap()).unwrap(), 0.0);
    }

    /// Points are told apart by their losses, and all but the lowest are refuted, however small the losses are.
    #[test]
    fn points_are_different_and_all_but_one_refuted() {
        for (classes, strength) in [(7, 0.01), (8, 0.02), (10, 1e-3), (6, 1e-100)] {
            let landscape = CrossEntropyUfm::with_strength(classes, 3, Bias::None, strength)
                .landscape()
                .unwrap();
            for pair in landscape.points().windows(2) {
                let rise = pair[1].loss() / pair[0].loss() - 1.0;
                assert!(rise > 1e-11, "{} {}: {rise:e}", pair[0].structure(), pair[1].structure());
                let keyword = pair[1].verdict().keyword();
                assert_eq!(keyword, "proved_not_global", "{}", pair[1].structure());
            }
            assert_eq!(landscape.verdict().keyword(), "best_known");
            assert!(landscape.points().len() > 5, "{}", landscape.points().len());
        }
    }

    /// With smoothed labels, one layer or two classes it is the bound by the nuclear norm alone.
    #[test]
    fn directions_are_counted_for_hard_labels() {
        let hard = CrossEntropyUfm::with_strength(10, 3, Bias::None, 4e-3);
        let soft = hard.clone().with_label_smoothing(1e-9).unwrap();
        let by_nuclear_norm = |ufm: &CrossEntropyUfm| ufm.simplex_potential().lower_bound(4e-3);
        assert!(lower_bound(&hard) > 1.01 * by_nuclear_norm(&hard));
        assert_eq!(lower_bound(&soft), by_nuclear_norm(&soft));
        assert!(
            counts_directions(&CrossEntropyUfm::with_strength(3, 2, Bias::None, 4e-3))
                && !counts_directions(&soft)
        );
        for (classes, depth) in [(3, 1), (2, 2)] {
            assert!(!counts_directions(&CrossEntropyUfm::with_strength(
                classes,
                depth,
                Bias::None,
                4e-3
            )));
        }
        let half = |ufm: CrossEntropyUfm| ufm.with_loss_mean(LossMean::TwiceSamples).landscape();
        let half = half(CrossEntropyUfm::with_strength(10, 3, Bias::None, 2e-3)).unwrap();
        assert_eq!(half.lower_bound, lower_bound(&hard) / 2.0);
    }

    /// Three ranks with two starts each, zero, and the points that were known, which are confirmed in words.
    #[test]
    fn a_search_tells_what_it_did() {
        let ufm = CrossEntropyUfm::with_strength(4, 3, Bias::None, 0.02)
            .with_loss_mean(LossMean::TwiceSamples);
        let (closed, searched) = (
            ufm.landscape().unwrap(),
            ufm.searched_landscape(&Search::default().with_starts(2), &()).unwrap(),
        );
        assert!(closed.search().is_none());
        let result = searched.search().unwrap();
        assert_eq!(result.starts, 7 + closed.points().len());
        assert!((result.loss / closed.loss() - 1.0).abs() < 1e-10 && result.hits > 0);
        let words = |landscape: &Landscape| format!("{:?}", landscape.best().verdict());
        let confirmed = format!("of {} numerical starts none ends lower", result.starts);
        assert!(words(&searched).contains(&confirmed), "{}", words(&searched));
        assert!(!words(&closed).contains("none ends lower"));
        // What is proved is not searched for.
        let proved = CrossEntropyUfm::with_strength(1000, 1, Bias::None, 1e-4);
        let search = Search::default().with_starts(2);
        assert!(proved.searched_landscape(&search, &()).unwrap().search().is_none());
        let error = CrossEntropyUfm::with_strength(1001, 1, Bias::None, 1e-4)
            .searched_landscape(&search, &());
        assert!(matches!(error, Err(Error::OutOfRange { .. })), "{error:?}");
    }
}
