//! Minority collapse: norms of classes against the imbalance.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::models::diagrams::stretching::Stretching;
use crate::models::squared::GlobalMinimum;
use crate::monitor::Monitor;
use crate::problem::counts::ClassCounts;
use crate::problem::regularization::Bias;

/// Halvings of an interval of ratios: class sizes are known to four digits.
const BISECTIONS: u32 = 30;

/// How the norms of classes fall to zero as others get larger, under the squared loss without a bias.
///
/// ```
/// use neural_collapse::models::diagrams::MinorityCollapse;
/// use neural_collapse::{ClassCounts, Regularization, Ufm};
///
/// let ufm = Ufm::new(ClassCounts::from_runs([(1000, 5), (100, 5)])?, Regularization::new(&[1e-3], 1e-3)?)?;
/// let collapse = MinorityCollapse::new(&ufm.global_minimum()?, 6, &())?;
/// // A class of each size, and the ratio at which the smaller ones collapse: (√(100·10⁶)/100 − 5)/5.
/// assert_eq!(collapse.classes.iter().map(|class| class.class).collect::<Vec<_>>(), [0, 5]);
/// assert!((collapse.critical[0] - 19.0).abs() < 1e-12);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Theorem 4.4 of Dang et al. (ICML 2023).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct MinorityCollapse {
    /// Classes by falling size: the first of every size, or some of them all if all have one size.
    pub classes: Vec<ClassNorms>,
    /// The ratios of the largest to the smallest class at which one of these classes collapses, by rising ratio: for two
    /// class sizes in closed form ([`critical_imbalance_ratio`](GlobalMinimum::critical_imbalance_ratio)), else bisected
    /// between the ends of the curves.
    pub critical: Vec<f64>,
}

/// ‖wₖ‖² of a class over the imbalance.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ClassNorms {
    /// The class.
    pub class: usize,
    /// Its number of samples in the problem itself.
    pub count: u64,
    /// Pairs of imbalance and ‖wₖ‖².
    pub points: Vec<(f64, f64)>,
}

impl MinorityCollapse {
    /// That of the classes of a minimum, at most `most` of them, which a monitor watches and may end.
    ///
    /// # Errors
    /// [`Error::NotAnswered`] beside a bias and for a target without classes, [`Error::Cancelled`] if the monitor ends the work.
    pub fn new(minimum: &GlobalMinimum, most: usize, monitor: &dyn Monitor) -> Result<Self> {
        let refused =
            |reason| Error::NotAnswered { question: "the collapse of minorities", reason };
        let regularization = minimum.problem().regularization();
        if regularization.bias() != Bias::None {
            return Err(refused("beside a bias no class collapses on its own"));
        }
        let counts = minimum.problem().counts();
        let counts = counts.ok_or_else(|| refused("the target has no classes"))?;
        let stretching = Stretching::new(counts, regularization)?;
        let mut classes = chosen(counts, most);
        stretching.watched(monitor, |imbalance, stretched| {
            let other = stretching.minimum(minimum, stretched)?;
            for ClassNorms { class, points, .. } in &mut classes {
                let norm = other.class(*class).and_then(|class| class.classifier_norm_squared);
                points.extend(norm.map(|norm| (imbalance, norm)));
            }
            Ok(())
        })?;
        let of: Vec<usize> = classes.iter().map(|class| class.class).collect();
        Ok(Self { critical: critical(minimum, &stretching, &of, monitor)?, classes })
    }
}

/// Of every size the first class; of balanced classes, which become a long tail, all. Of many the first, the last and some
/// between them.
fn chosen(counts: &ClassCounts, most: usize) -> Vec<ClassNorms> {
    let mut seen = BTreeSet::new();
    let mut of_sizes: Vec<(usize, u64)> = match counts.is_balanced() {
        true => counts
            .runs()
            .flat_map(|run| run.classes().map(move |class| (class, run.size)))
            .collect(),
        false => {
            let firsts = counts.runs().filter(|run| seen.insert(run.size));
            firsts.map(|run| (run.first_class, run.size)).collect()
        }
    };
    of_sizes.sort_by_key(|&(class, size)| (Reverse(size), class));
    let number = of_sizes.len().min(most);
    let place = |index: usize| match number {
        1 => 0,
        _ => index * (of_sizes.len() - 1) / (number - 1),
    };
    let norms = |&(class, count): &(usize, u64)| ClassNorms { class, count, points: Vec::new() };
    (0..number).filter_map(|index| of_sizes.get(place(index)).map(norms)).collect()
}

/// The ratios at which these classes collapse.
fn critical(
    minimum: &GlobalMinimum,
    stretching: &Stretching,
    classes: &[usize],
    monitor: &dyn Monitor,
) -> Result<Vec<f64>> {
    let two_sizes = minimum.problem().counts().is_some_and(|counts| counts.sizes().len() == 2);
    if two_sizes {
        let ratio = minimum.critical_imbalance_ratio();
        return Ok(ratio.filter(|&ratio| ratio > 1.0).into_iter().collect());
    }
    let end = stretching.steps().last().map_or(1.0, |counts| counts.imbalance());
    let mut found = Vec::new();
    for (done, &class) in (1..).zip(classes) {
        found.extend(bisected(minimum, stretching, class, end));
        monitor.report("critical imbalances", done, Some(classes.len() as u64))?;
    }
    found.sort_by(f64::total_cmp);
    Ok(found)
}

/// The ratio at which a class collapses, if it is between 1 and `end`.
fn bisected(
    minimum: &GlobalMinimum,
    stretching: &Stretching,
    class: usize,
    end: f64,
) -> Option<f64> {
    let collapses = |ratio: f64| {
        let other = stretching.minimum(minimum, stretching.at(ratio).ok()?).ok()?;
        other.class(class)?.collapsed
    };
    let (mut low, mut high) = (1.0, end);
    if collapses(low)? || !collapses(high)? {
        return None;
    }
    for _ in 0..BISECTIONS {
        let middle = f64::sqrt(low * high);
        match collapses(middle)? {
            true => high = middle,
            false => low = middle,
        }
    }
    Some(high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::squared::Ufm;
    use crate::problem::regularization::Regularization;

    fn minimum(counts: &str, decay: f64) -> GlobalMinimum {
        let regularization = Regularization::uniform(2, decay, decay).unwrap();
        Ufm::new(counts.parse().unwrap(), regularization).unwrap().global_minimum().unwrap()
    }

    fn stretching(minimum: &GlobalMinimum) -> Stretching {
        let problem = minimum.problem();
        Stretching::new(problem.counts().unwrap(), problem.regularization()).unwrap()
    }

    #[test]
    fn the_minority_collapses_at_the_critical_ratio_of_its_picture() {
        let here = minimum("1000x5,100x5", 1e-3);
        let critical = MinorityCollapse::new(&here, 6, &()).unwrap().critical[0];
        let stretching = stretching(&here);
        for (ratio, collapses) in [(critical - 1e-3, false), (critical + 1e-3, true)] {
            let other = stretching.minimum(&here, stretching.at(ratio).unwrap()).unwrap();
            assert_eq!(other.class(9).unwrap().collapsed, Some(collapses), "{ratio}");
        }
    }

    #[test]
    fn every_class_of_a_long_tail_has_its_critical_ratio() {
        let here = minimum("100x5", 5e-3);
        let collapse = MinorityCollapse::new(&here, 6, &()).unwrap();
        assert_eq!(collapse.classes.len(), 5);
        // The smallest class first: where its size falls to that of the collapse.
        assert_eq!(collapse.critical.len(), 2);
        let stretching = stretching(&here);
        for (ratio, class) in collapse.critical.iter().zip([4, 3]) {
            let at = stretching.at(*ratio).unwrap();
            let size = at.count(class).unwrap() as f64;
            let threshold = stretching.minimum(&here, at).unwrap().smallest_surviving_count();
            assert!((size / threshold - 1.0).abs() < 1e-3, "{class}: {size}, {threshold}");
            // The curve of the class is zero beyond it and positive before.
            let curve = &collapse.classes[class].points;
            assert!(curve.iter().all(|point| (point.1 == 0.0) == (point.0 > *ratio)), "{class}");
        }
    }

    #[test]
    fn a_bias_and_targets_without_classes_are_refused() {
        let regularization = Regularization::uniform(1, 1e-3, 1e-3).unwrap();
        let regularization = regularization.with_bias(Bias::Unregularized).unwrap();
        let biased =
            Ufm::new("30,10".parse().unwrap(), regularization).unwrap().global_minimum().unwrap();
        let refused = MinorityCollapse::new(&biased, 6, &());
        assert!(matches!(refused, Err(Error::NotAnswered { .. })));
    }

    #[test]
    fn of_many_classes_the_first_the_last_and_some_between_are_chosen() {
        let of = |text: &str, most: usize| -> Vec<(usize, u64)> {
            let norms = chosen(&text.parse().unwrap(), most);
            norms.into_iter().map(|class| (class.class, class.count)).collect()
        };
        let seven = "10,70,60,50,40,30,20,70";
        assert_eq!(of(seven, 1), [(1, 70)]);
        assert_eq!(of(seven, 2), [(1, 70), (0, 10)]);
        assert_eq!(of(seven, 3), [(1, 70), (4, 40), (0, 10)]);
        assert_eq!(of(seven, 4), [(1, 70), (3, 50), (5, 30), (0, 10)]);
        assert_eq!(of(seven, 9).len(), 7);
        assert_eq!(of("5x3", 9), [(0, 5), (1, 5), (2, 5)]);
    }

    /// Where the small classes are dead at every ratio there is no critical one: N² λ² = n at N = 667 for n = 100.
    #[test]
    fn what_is_dead_from_the_start_has_no_critical_ratio() {
        for counts in ["1000x5,100x5", "100x5"] {
            let here = minimum(counts, 0.3);
            assert_eq!(MinorityCollapse::new(&here, 6, &()).unwrap().critical, [0.0; 0]);
        }
    }
}
