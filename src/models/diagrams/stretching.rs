//! A problem at other imbalances, for curves that have no steps.

use crate::error::Result;
use crate::models::squared::{GlobalMinimum, Ufm};
use crate::monitor::Monitor;
use crate::problem::counts::ClassCounts;
use crate::problem::regularization::Regularization;

/// Ratios of the largest to the smallest class on a curve.
const RATIOS: u32 = 120;

/// How many parts a sample is divided into, so that class sizes that are whole numbers of parts make no steps.
const PARTS: u64 = 10_000;

/// More parts of samples than these would not be told apart in double precision.
const MOST_PARTS: u64 = 1 << 50;

/// The same problem with other ratios of the largest to the smallest class.
///
/// Every sample is taken c times, with the decay λ_H/c: the mean loss and the penalty c · λ_H/(2c) ‖h‖² are the same, and so
/// is everything at the minimum. Class sizes are then multiples of 1/c.
pub(super) struct Stretching {
    counts: ClassCounts,
    regularization: Regularization,
    parts: u64,
    /// Whether balanced classes become two halves of larger and smaller ones rather than a long tail.
    has_halves: bool,
}

impl Stretching {
    /// Of classes and decays. Of two sizes the smaller stays, as in the critical ratio; else the number of samples stays,
    /// and balanced classes become a long tail.
    pub(super) fn new(counts: &ClassCounts, regularization: &Regularization) -> Result<Self> {
        let parts = (MOST_PARTS / counts.samples().max(1)).clamp(1, PARTS);
        let runs = counts.runs().map(|run| (run.size.saturating_mul(parts), run.class_count));
        let feature_decay = regularization.feature_decay() / parts as f64;
        Ok(Self {
            counts: ClassCounts::from_runs(runs)?,
            regularization: Regularization::new(regularization.weight_decays(), feature_decay)?
                .with_bias(regularization.bias())?,
            parts,
            has_halves: false,
        })
    }

    /// The same, in which balanced classes become two halves, of which the smaller ones stay.
    pub(super) fn in_halves(mut self) -> Self {
        self.has_halves = self.counts.is_balanced();
        self
    }

    /// The decays that belong to these class sizes.
    pub(super) fn regularization(&self) -> &Regularization {
        &self.regularization
    }

    /// Class sizes from balanced ones on, as long as every class has a sample.
    pub(super) fn steps(&self) -> impl Iterator<Item = ClassCounts> + '_ {
        let end = (2.0 * self.counts.imbalance()).max(100.0);
        let ratios = (0..=RATIOS).map(move |step| end.powf(f64::from(step) / f64::from(RATIOS)));
        let has_samples =
            |counts: &ClassCounts| counts.sizes().all(|group| group.size >= self.parts);
        ratios.map_while(move |ratio| self.at(ratio).ok().filter(has_samples))
    }

    /// Hands the ratio and the class sizes of every step on, and tells a monitor of them.
    pub(super) fn watched(
        &self,
        monitor: &dyn Monitor,
        mut visit: impl FnMut(f64, ClassCounts) -> Result<()>,
    ) -> Result<()> {
        for (done, counts) in (1..).zip(self.steps()) {
            visit(counts.imbalance(), counts)?;
            monitor.report("imbalances", done, Some(u64::from(RATIOS) + 1))?;
        }
        Ok(())
    }

    /// The classes with another imbalance.
    pub(super) fn at(&self, ratio: f64) -> Result<ClassCounts> {
        let sizes: Vec<_> = self.counts.sizes().collect();
        let enlarged = |size: u64| (ratio * size as f64).round() as u64;
        match sizes[..] {
            [one] if self.has_halves => {
                let smaller = one.class_count / 2;
                let runs = [(enlarged(one.size), one.class_count - smaller), (one.size, smaller)];
                ClassCounts::from_runs(runs)
            }
            [larger, smaller] => {
                let size = |size| if size == larger.size { enlarged(smaller.size) } else { size };
                let runs = self.counts.runs().map(|run| (size(run.size), run.class_count));
                ClassCounts::from_runs(runs)
            }
            _ => self.counts.with_imbalance(ratio),
        }
    }

    /// The minimum for such classes, with the widths of another one.
    pub(super) fn minimum(
        &self,
        minimum: &GlobalMinimum,
        counts: ClassCounts,
    ) -> Result<GlobalMinimum> {
        let other = Ufm::new(counts, self.regularization.clone())?;
        match minimum.problem().widths() {
            Some(widths) => other.with_widths(widths)?.global_minimum(),
            None => other.global_minimum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prediction::Prediction;
    use crate::problem::regularization::Bias;

    #[test]
    fn divided_samples_have_the_same_minimum() {
        let counts: ClassCounts = "80,30,30,7".parse().unwrap();
        for bias in [Bias::None, Bias::Unregularized] {
            let regularization =
                Regularization::new(&[2e-3, 1e-3], 3e-4).unwrap().with_bias(bias).unwrap();
            let whole =
                Ufm::new(counts.clone(), regularization.clone()).unwrap().global_minimum().unwrap();
            let stretching = Stretching::new(&counts, &regularization).unwrap();
            let divided = stretching.minimum(&whole, stretching.counts.clone()).unwrap();
            assert!((divided.loss() / whole.loss() - 1.0).abs() < 1e-12);
            for class in 0..4 {
                let [one, other] = [&whole, &divided].map(|found| found.class(class).unwrap());
                let ratio = other.feature_norm_squared.unwrap() / one.feature_norm_squared.unwrap();
                assert!((ratio - 1.0).abs() < 1e-11, "{class}");
            }
        }
    }

    #[test]
    fn sizes_have_the_ratio_that_is_asked_for() {
        let regularization = Regularization::new(&[1e-3], 1e-3).unwrap();
        for (text, halves) in
            [("100x4", false), ("100x5", true), ("100,30,30,5", false), ("9,2", false)]
        {
            let stretching = Stretching::new(&text.parse().unwrap(), &regularization).unwrap();
            let stretching = if halves { stretching.in_halves() } else { stretching };
            let found = stretching.at(8.0).unwrap();
            assert!((found.imbalance() - 8.0).abs() < 1e-2, "{text}: {found:?}");
            assert!(stretching.steps().count() > 20);
        }
    }

    /// Of two sizes the smaller stays, balanced classes are halved or become a tail, and else the number of samples stays.
    #[test]
    fn classes_are_stretched_by_their_kind() {
        let regularization = Regularization::new(&[1e-3], 1e-3).unwrap();
        let stretched = |text: &str, halves: bool| {
            let stretching = Stretching::new(&text.parse().unwrap(), &regularization).unwrap();
            assert_eq!(
                (stretching.parts, stretching.regularization.feature_decay()),
                (10_000, 1e-7)
            );
            let stretching = if halves { stretching.in_halves() } else { stretching };
            let counts = stretching.at(3.0).unwrap();
            (0..counts.classes()).map(|k| counts.count(k).unwrap() as f64 / 1e4).collect::<Vec<_>>()
        };
        assert_eq!(stretched("2,9,2", false), [2.0, 6.0, 2.0]);
        assert_eq!(stretched("2,9,2", true), [2.0, 6.0, 2.0]);
        assert_eq!(stretched("5x5", true), [15.0, 15.0, 15.0, 5.0, 5.0]);
        assert_eq!(stretched("5x1", true), [15.0]);
        let tail = stretched("5x3", false);
        assert!(tail.is_sorted_by(|a, b| a > b) && (tail.iter().sum::<f64>() - 15.0).abs() < 1e-3);
        // Very many samples are divided less.
        let many: ClassCounts = format!("{}x2", 1_u64 << 45).parse().unwrap();
        assert_eq!(Stretching::new(&many, &regularization).unwrap().parts, 16);
    }

    /// From 1 to 100 or twice the own ratio in 120 steps of one factor, as long as every class has a sample.
    #[test]
    fn ratios_rise_by_a_factor() {
        let regularization = Regularization::new(&[1e-3], 1e-3).unwrap();
        for (text, end, steps) in [("8000,100", 160.0, 121), ("300,100", 100.0, 121)] {
            let stretching = Stretching::new(&text.parse().unwrap(), &regularization).unwrap();
            let ratios: Vec<f64> = stretching.steps().map(|counts| counts.imbalance()).collect();
            assert_eq!(ratios.len(), steps);
            for (step, ratio) in ratios.iter().enumerate() {
                let expected = f64::powf(end, step as f64 / 120.0);
                assert!((ratio / expected - 1.0).abs() < 1e-6, "{text}: {step}");
            }
            let heard = std::sync::Mutex::new(Vec::new());
            let monitor = |step: crate::monitor::Progress| {
                heard.lock().unwrap().push((step.done, step.total));
                core::ops::ControlFlow::Continue(())
            };
            let mut seen = Vec::new();
            let visit = |ratio, counts: ClassCounts| {
                assert_eq!(ratio, counts.imbalance());
                seen.push(ratio);
                Ok(())
            };
            stretching.watched(&monitor, visit).unwrap();
            assert_eq!(seen, ratios);
            let expected: Vec<_> = (1..=121).map(|done| (done, Some(121))).collect();
            assert_eq!(*heard.lock().unwrap(), expected);
        }
        let stretching = Stretching::new(&"40,10,2".parse().unwrap(), &regularization).unwrap();
        let steps: Vec<ClassCounts> = stretching.steps().collect();
        assert!((20..121).contains(&steps.len()));
        let has_samples = |counts: &ClassCounts| counts.sizes().all(|group| group.size >= 10_000);
        assert!(steps.iter().all(has_samples));
        let next = f64::powf(100.0, steps.len() as f64 / 120.0);
        assert!(!has_samples(&stretching.at(next).unwrap()));
    }
}
