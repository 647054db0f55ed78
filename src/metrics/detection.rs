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
    /// The standard errors of the three numbers.
    pub standard_errors: DetectionErrors,
}

/// The standard errors of a [`Detection`] over other samples of both kinds, for the same rule that gives the scores: that
/// its directions are of samples too is not counted. `None` for less than two samples.
///
/// Means have the error of a mean. With p_i the share of samples of the other kind that sample i has in the right order,
/// AUROC has the variance Var(p of known)/n + Var(p of others)/m.
///
/// Source: DeLong, DeLong & Clarke-Pearson, *Comparing the areas under two or more correlated receiver operating
/// characteristic curves* (Biometrics 1988).
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct DetectionErrors {
    /// Of [`Detection::known_mean`].
    pub known_mean: Option<f64>,
    /// Of [`Detection::outside_mean`].
    pub outside_mean: Option<f64>,
    /// Of [`Detection::auroc`].
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
        let in_order = shares_below(&known, &outside);
        // Shares p in order and 1 − p out of order have the same variance.
        let out_of_order = shares_below(&outside, &known);
        let has_pairs = !known.is_empty() && !outside.is_empty();
        let errors = (mean_variance(&in_order), mean_variance(&out_of_order));
        Ok(Self {
            known_mean: mean(&known),
            outside_mean: mean(&outside),
            auroc: has_pairs.then(|| in_order.iter().sum::<f64>() / known.len() as f64),
            standard_errors: DetectionErrors {
                known_mean: mean_variance(&known).map(f64::sqrt),
                outside_mean: mean_variance(&outside).map(f64::sqrt),
                auroc: errors.0.zip(errors.1).map(|(known, outside)| (known + outside).sqrt()),
            },
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

/// The variance of the mean of some numbers.
fn mean_variance(numbers: &[f64]) -> Option<f64> {
    let mean = mean(numbers)?;
    let count = numbers.len() as f64;
    let squares: f64 = numbers.iter().map(|number| (number - mean) * (number - mean)).sum();
    (count > 1.0).then(|| squares / (count - 1.0) / count)
}

/// For each score the share of others below it, of two sorted lists; even ones count by half.
fn shares_below(scores: &[f64], others: &[f64]) -> Vec<f64> {
    let share = |score: &f64| {
        let below = others.partition_point(|other| other < score);
        let up_to = others.partition_point(|other| other <= score);
        (below + up_to) as f64 / 2.0 / others.len() as f64
    };
    scores.iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shares ½, ½, 1 of the known scores and 0, ⅔ of the others.
    #[test]
    fn errors_are_those_of_means() {
        let scores = |scores: &[f64]| scores.iter().copied().map(Some).collect::<Vec<_>>();
        let (known, outside) = (scores(&[4.0, 1.0, 2.0]), scores(&[0.0, 3.0]));
        let found = Detection::of_scores(&known, &outside).unwrap();
        assert!((found.auroc.unwrap() - 2.0 / 3.0).abs() < 1e-15);
        let errors = found.standard_errors;
        for (error, expected) in [
            (errors.known_mean, 7.0_f64.sqrt() / 3.0),
            (errors.outside_mean, 1.5),
            (errors.auroc, 5.0_f64.sqrt() / 6.0),
        ] {
            assert!((error.unwrap() - expected).abs() < 1e-15, "{errors:?}");
        }
        let one = Detection::of_scores(&known, &outside[..1]).unwrap();
        assert_eq!((one.outside_mean, one.auroc), (Some(0.0), Some(1.0)));
        assert_eq!((one.standard_errors.outside_mean, one.standard_errors.auroc), (None, None));
        assert_eq!(one.standard_errors.known_mean, errors.known_mean);
        assert_eq!(Detection::of_scores(&[None], &outside).unwrap().auroc, None);
    }
}
