//! What head and nearest class mean decide for a sample.

mod certain;
mod exact;
mod functions;
mod near;
mod screen;
mod screened;

use std::sync::{Arc, OnceLock};

use nalgebra::DMatrix;

use crate::error::Result;
use crate::measure::class_means::ClassMeans;
use crate::measure::features::Features;
use crate::measure::fingerprint::Fingerprint;
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::statistics::ClassStatistics;
use crate::numerics::linalg::whole_tiles;
use crate::numerics::parallel;
use crate::numerics::scalar::Scalar;
use crate::problem::head::LinearHead;
use exact::Exact;
use functions::Functions;
pub(crate) use near::Near;
use screen::Screen;
pub(crate) use screened::Screened;

/// Samples that are decided exactly at a time, at most.
const TOGETHER: usize = 128;

/// Where the decisions for more than one sample of so many are open, scores in `f32` cost less than those in `f64`.
const FEW: usize = 16;

/// What both rules decide for a sample.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decision {
    /// The class with the largest output.
    pub(crate) head: usize,
    /// The class with the nearest mean.
    pub(crate) nearest_mean: usize,
    /// ‖h‖² of the sample, if it was found along with them.
    pub(crate) square: Option<f64>,
}

/// The two rules. Ties go to the lowest class.
///
/// Decisions are those of scores in `f64`. Most of them are certain from scores in `f32`, and only the others are computed.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    means: Arc<ClassMeans>,
    head: Option<LinearHead>,
    of_head: Fingerprint,
    screen: Screen,
    /// Made when a sample needs it.
    exact: OnceLock<Exact>,
}

impl Rules {
    /// Those of a head and of the class means of `statistics`.
    pub(super) fn new(statistics: &ClassStatistics, head: &LinearHead) -> Result<Self> {
        head.check_shape("statistics", statistics.dimension(), statistics.classes())?;
        let bias = head.bias().into_iter().flatten();
        let of_head = Fingerprint::new().layers(head.weights()).numbers(bias);
        Self::of(statistics.shared_means()?, Some(head.clone()), of_head)
    }

    /// For features without a head: both rules are that of the nearest class mean.
    pub(super) fn without_head(statistics: &ClassStatistics) -> Result<Self> {
        Self::of(statistics.shared_means()?, None, Fingerprint::new())
    }

    fn of(means: Arc<ClassMeans>, head: Option<LinearHead>, of_head: Fingerprint) -> Result<Self> {
        let functions = Functions::new(&means, head.as_ref())?;
        let screen = Screen::new(&functions, &means);
        Ok(Self { means, head, of_head, screen, exact: OnceLock::new() })
    }

    /// Of the class means and the head.
    pub(super) fn fingerprint(&self) -> u64 {
        self.of_head.words([self.means.fingerprint()]).value()
    }

    pub(super) fn means(&self) -> &ClassMeans {
        &self.means
    }

    /// The decisions for the samples of a batch, in their order; those of the head may be known, and what is certain of the
    /// samples may have been [seen](Self::near).
    pub(super) fn decide<T: Scalar>(
        &self,
        batch: &LabeledFeatures<'_, T>,
        of_head: Option<&[Option<usize>]>,
        seen: Option<Vec<Screened>>,
    ) -> Result<Vec<Decision>> {
        self.means.check_shape(batch)?;
        let features = batch.features();
        // Where one is not known all are decided.
        let known: Option<Vec<usize>> =
            of_head.and_then(|of_head| of_head.iter().copied().collect());
        let wants_head = known.is_none() && self.head.is_some();
        let are_certain = |seen: &Vec<Screened>| {
            let open = seen.iter().filter(|found| found.is_open(wants_head)).count();
            open <= seen.len() / FEW
        };
        let mut screened = match seen.filter(are_certain) {
            Some(seen) => seen,
            None => self.screen(features, wants_head)?,
        };
        self.decide_exactly(features, wants_head, &mut screened)?;
        let decision = |(index, found): (usize, Screened)| {
            let nearest_mean = found.nearest_mean.unwrap_or_default();
            let head = known.as_ref().map(|known| known[index]).or(found.head);
            Decision { head: head.unwrap_or(nearest_mean), nearest_mean, square: found.square }
        };
        Ok(screened.into_iter().enumerate().map(decision).collect())
    }

    /// What is certain from scores in `f32`.
    fn screen<T: Scalar>(
        &self,
        features: &Features<'_, T>,
        wants_head: bool,
    ) -> Result<Vec<Screened>> {
        let blocks: Vec<_> = features.blocks().collect();
        let screened = parallel::map(
            blocks.len(),
            self.operations(features.samples()),
            screen::Scratch::default,
            |scratch, block| {
                self.screen.screen(features, blocks[block].clone(), wants_head, scratch)
            },
        );
        let screened = screened.into_iter().collect::<Result<Vec<_>>>()?;
        Ok(screened.into_iter().flatten().collect())
    }

    /// What tells decisions from deviations in some `directions`, divided by `scale`; `None` where that is not accurate.
    pub(super) fn near<T: Scalar>(
        &self,
        directions: &DMatrix<f64>,
        scale: f64,
    ) -> Result<Option<Near<T>>> {
        let functions = Functions::new(&self.means, self.head.as_ref())?;
        Ok(Near::new(&functions, &self.means, directions, scale))
    }

    /// Decides where it is not certain yet.
    fn decide_exactly<T: Scalar>(
        &self,
        features: &Features<'_, T>,
        wants_head: bool,
        screened: &mut [Screened],
    ) -> Result<()> {
        let open: Vec<usize> =
            (0..screened.len()).filter(|&index| screened[index].is_open(wants_head)).collect();
        if open.is_empty() {
            return Ok(());
        }
        let exact = self.exact()?;
        let blocks: Vec<_> = open.chunks(whole_tiles(TOGETHER)).collect();
        let found = parallel::map(
            blocks.len(),
            self.operations(open.len()),
            exact::Scratch::default,
            |scratch, block| exact.decide(features, blocks[block], wants_head, scratch),
        );
        for (samples, found) in blocks.into_iter().zip(found) {
            for (&sample, (nearest_mean, head)) in samples.iter().zip(found) {
                screened[sample].nearest_mean = Some(nearest_mean);
                screened[sample].head = head;
            }
        }
        Ok(())
    }

    fn exact(&self) -> Result<&Exact> {
        if let Some(exact) = self.exact.get() {
            return Ok(exact);
        }
        let functions = Functions::new(&self.means, self.head.as_ref())?;
        Ok(self.exact.get_or_init(|| Exact::new(functions, self.means.classes())))
    }

    /// For so many samples; it decides about threads only, which do not change the decisions.
    fn operations(&self, samples: usize) -> usize {
        let (dimension, classes) = self.means.shape();
        samples.saturating_mul(2).saturating_mul(classes).saturating_mul(dimension)
    }
}

#[cfg(test)]
mod tests;
