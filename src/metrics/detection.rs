//! How well a score tells samples of known classes from others.

use crate::error::{Argument, Error, Result};

/// A score of samples of known classes beside that of samples out of distribution.
///
/// ```
/// use neural_collapse::metrics::Detection;
///
/// let found = Detection::of_scores(&[Some(0.9), Some(0.5), None], &[Some(0.5), Some(0.1)])?;
/// assert!((found.known_mean.unwrap() - 0.7).abs() < 1e-15);
/// // Of the four pairs three are in the right order, and one is even.
/// assert_eq!(found.auroc, Some(3.5 / 4.0));
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Detection {
    /// The mean score of samples of known classes; `None` if none has a score.
    pub known_mean: Option<f64>,
    /// The mean score of samples out of distribution; `None` if none has a score.
    pub outside_mean: Option<f64>,
    /// The share of pairs of a known sample and one out of distribution of which the known one has the higher score, even
    /// ones counted by half: 1 if the score tells all apart, ½ if it tells nothing. It is the area under the curve of the
    /// receiver operating characteristic. `None` without pairs.
    pub auroc: Option<f64>,
}

impl Detection {
    /// Of the scores that a [`Neco`](crate::metrics::Neco) or [`nci_scores`](crate::metrics::nci_scores) gives; samples without
    /// one are left out.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] naming a score that is not finite.
    pub fn of_scores(known: &[Option<f64>], outside: &[Option<f64>]) -> Result<Self> {
        let (known, outside) = (sorted("known", known)?, sorted("outside", outside)?);
        Ok(Self {
            known_mean: mean(&known),
            outside_mean: mean(&outside),
            auroc: share_in_order(&known, &outside),
        })
    }
}

fn sorted(argument: &'static str, scores: &[Option<f64>]) -> Result<Vec<f64>> {
    let mut found = Vec::with_capacity(scores.len());
    for (index, score) in scores.iter().enumerate() {
        match score {
            Some(score) if !score.is_finite() => {
                return Err(Error::out_of_range(Argument::at(argument, index), *score, "finite"));
            }
            score => found.extend(*score),
        }
    }
    found.sort_unstable_by(f64::total_cmp);
    Ok(found)
}

fn mean(scores: &[f64]) -> Option<f64> {
    let count = scores.len() as f64;
    (count > 0.0).then(|| scores.iter().map(|score| score / count).sum())
}

/// The share of pairs whose first is above its second, of two sorted lists; even ones count by half.
fn share_in_order(known: &[f64], outside: &[f64]) -> Option<f64> {
    let pairs = known.len() as f64 * outside.len() as f64;
    let in_order = known.iter().map(|score| {
        let below = outside.partition_point(|other| other < score);
        let up_to = outside.partition_point(|other| other <= score);
        (below + up_to) as f64 / 2.0
    });
    (pairs > 0.0).then(|| in_order.sum::<f64>() / pairs)
}
