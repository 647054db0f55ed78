//! Whether training has reached the prediction, in one line.

use std::fmt;

use crate::prediction::Verdict;

/// Below this ratio of the gradient's norm to that of the penalties' gradient alone, a network counts as
/// trained to a stationary point. At a stationary point the gradients of data term and penalties cancel; a
/// tenth left over moves the loss by about a hundredth of the penalties.
pub const STATIONARY: f64 = 0.1;

/// Up to this relative gap of the loss, a stationary network counts as at the global minimum. Local minima that
/// miss one direction of the prediction lie further above it.
pub const AT_MINIMUM: f64 = 0.01;

/// Losses closer than this, relatively, may differ by rounding only.
const ROUNDING: f64 = 1e-9;

/// Where training has come to, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Arrival {
    /// The gradient does not vanish: training has not ended, or minimized something else.
    NotStationary,
    /// The gradient vanishes, but the loss is above the predicted one: at a local minimum, or at a saddle. So it is
    /// too where the loss is close but the class means lack a direction of the prediction.
    LocalMinimum,
    /// The gradient vanishes and the loss is the predicted one.
    GlobalMinimum,
    /// The loss is below the lowest one that was known: the network refutes the prediction.
    BelowBestKnown,
    /// There is no objective or no prediction to tell by.
    Unknown,
}

/// Where training has come to, with the figures that tell it.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct TrainingVerdict {
    /// In one word.
    pub kind: Arrival,
    /// In one line.
    pub text: String,
}

/// What a verdict is made of.
pub(super) struct Evidence<'a> {
    /// ‖∇f‖ divided by the norm of the gradient of the penalties alone.
    pub(super) relative_gradient: Option<f64>,
    /// f and f*.
    pub(super) losses: Option<(f64, f64)>,
    pub(super) prediction: Option<&'a Verdict>,
    /// The numbers of directions in which the class means differ.
    pub(super) ranks: Option<Ranks>,
    /// Pairs of surviving classes whose means have one direction, where the prediction has none.
    pub(super) shared_directions: usize,
}

/// In how many directions class means differ.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ranks {
    /// Measured, however little they differ.
    pub(super) measured: usize,
    /// Measured, by more than the noise of the class means where that is known.
    pub(super) resolved: usize,
    /// Predicted.
    pub(super) predicted: usize,
}

impl Evidence<'_> {
    /// Whether the class means have not the figure of the prediction: there is not even noise in a direction, or
    /// classes share one. At a threshold such points have nearly the loss of the minimum.
    fn lacks_a_direction(&self) -> bool {
        self.shared_directions > 0
            || self.ranks.is_some_and(|ranks| ranks.measured < ranks.predicted)
    }

    /// What the figure of the class means has that the prediction has not, in words.
    fn figure(&self) -> String {
        let mut text = String::new();
        if let Some(Ranks { resolved, predicted, .. }) = self.ranks
            && resolved != predicted
        {
            text += &format!("; the class means have rank {resolved} instead of {predicted}");
        }
        match self.shared_directions {
            0 => {}
            1 => text += "; two classes share a direction",
            pairs => text += &format!("; {pairs} pairs of classes share a direction"),
        }
        text
    }
}

impl TrainingVerdict {
    fn new(kind: Arrival, text: String) -> Self {
        Self { kind, text }
    }

    pub(super) fn of(evidence: &Evidence<'_>) -> Self {
        let Some((loss, optimum)) = evidence.losses else {
            return Self::without_losses(evidence);
        };
        let gap = (loss - optimum) / optimum;
        if gap < -ROUNDING {
            return Self::below(gap, evidence.prediction);
        }
        match evidence.relative_gradient {
            Some(gradient) if gradient <= STATIONARY => Self::stationary(gradient, gap, evidence),
            Some(gradient) => Self::new(
                Arrival::NotStationary,
                format!(
                    "not trained to a stationary point: the gradient is {} of that of the penalties alone (at \
                     most {STATIONARY} is expected), the loss {} above the predicted one",
                    Short(gradient),
                    Percent(gap)
                ),
            ),
            None => Self::without_gradient(gap, evidence),
        }
    }

    /// Where there is no penalty that the gradient could be compared with, as under budgets or with vectors of length 1: near a
    /// minimum that is proved the loss alone tells that the point is there.
    fn without_gradient(gap: f64, evidence: &Evidence<'_>) -> Self {
        let is_proved = matches!(
            evidence.prediction,
            Some(Verdict::Proved(_) | Verdict::ProvedWithinGap { .. })
        );
        let percent = Percent(gap.max(0.0));
        if is_proved && (gap <= ROUNDING || gap <= AT_MINIMUM && !evidence.lacks_a_direction()) {
            let text = format!(
                "at the global minimum: the loss is within {percent} of the proved one, which no value is below"
            );
            return Self::new(Arrival::GlobalMinimum, text);
        }
        let text = format!(
            "the loss is {percent} above the predicted one; there is no penalty to compare the gradient with, so that it \
             does not tell whether training has ended"
        );
        Self::new(Arrival::Unknown, text)
    }

    fn without_losses(evidence: &Evidence<'_>) -> Self {
        match evidence.relative_gradient {
            Some(gradient) if gradient > STATIONARY => Self::new(
                Arrival::NotStationary,
                format!(
                    "not trained to a stationary point: the gradient is {} of that of the penalties alone",
                    Short(gradient)
                ),
            ),
            Some(_) => {
                let what = match evidence.prediction {
                    Some(_) => "predicted loss",
                    None => "prediction",
                };
                let text = format!(
                    "trained to a stationary point, but there is no {what} to compare it with"
                );
                Self::new(Arrival::Unknown, text)
            }
            None => {
                let text = match evidence.prediction {
                    Some(_) => {
                        "there is a prediction, but no loss and no gradient to tell whether training has reached it: nothing \
                         can be said"
                    }
                    None => "without an objective and a prediction nothing can be said",
                };
                Self::new(Arrival::Unknown, text.into())
            }
        }
    }

    fn below(gap: f64, prediction: Option<&Verdict>) -> Self {
        let below = Percent(-gap);
        if prediction.is_some_and(Verdict::is_proved) {
            return Self::new(
                Arrival::Unknown,
                format!(
                    "the loss is {below} below a proved minimum: decays, loss function or features are not those \
                     that the network was trained with"
                ),
            );
        }
        Self::new(
            Arrival::BelowBestKnown,
            format!(
                "the loss is {below} below the best that was known: the network refutes the prediction"
            ),
        )
    }

    fn stationary(gradient: f64, gap: f64, evidence: &Evidence<'_>) -> Self {
        let gradient = Short(gradient);
        if gap <= ROUNDING || (gap <= AT_MINIMUM && !evidence.lacks_a_direction()) {
            let which = match evidence.prediction {
                Some(Verdict::BestKnown { .. }) => "at the lowest known point",
                _ => "at the global minimum",
            };
            return Self::new(
                Arrival::GlobalMinimum,
                format!(
                    "{which}: the loss is within {} of the predicted one, the gradient {gradient} of that of \
                     the penalties",
                    Percent(gap.max(RESOLVED))
                ),
            );
        }
        let text = format!(
            "at a stationary point (the gradient is {gradient} of that of the penalties) that is not the minimum: \
             the loss is {} above it{}",
            Percent(gap),
            evidence.figure()
        );
        Self::new(Arrival::LocalMinimum, text)
    }
}

/// Less than this of the loss depends on the processor that rounds, and is not told apart.
const RESOLVED: f64 = 1e-12;

/// A share as a percentage with two digits.
struct Percent(f64);

impl fmt::Display for Percent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} %", Short(100.0 * self.0))
    }
}

/// A number with two or three digits.
struct Short(f64);

impl fmt::Display for Short {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.abs() {
            size if size == 0.0 || (0.01..1000.0).contains(&size) => {
                let decimals = if size >= 10.0 {
                    0
                } else if size >= 1.0 {
                    1
                } else {
                    3
                };
                write!(formatter, "{:.*}", decimals, self.0)
            }
            _ => write!(formatter, "{:.1e}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prediction::Source;

    fn evidence(gradient: f64, loss: f64, verdict: &Verdict) -> Evidence<'_> {
        Evidence {
            relative_gradient: Some(gradient),
            losses: Some((2.0 * loss, 2.0)),
            prediction: Some(verdict),
            ranks: Some(Ranks { measured: 4, resolved: 3, predicted: 4 }),
            shared_directions: 0,
        }
    }

    #[test]
    fn every_arrival_has_its_reason() {
        let proved = Verdict::Proved(Source::new("it is so", "somewhere"));
        let known = Verdict::BestKnown { found_by: "a search".into() };
        for (gradient, loss, verdict, kind, words) in [
            (0.5, 1.2, &proved, Arrival::NotStationary, "not trained"),
            (1e-6, 1.2, &proved, Arrival::LocalMinimum, "rank 3 instead of 4"),
            (1e-6, 1.0 + 1e-7, &proved, Arrival::GlobalMinimum, "at the global minimum"),
            (1e-6, 1.0 + 1e-7, &known, Arrival::GlobalMinimum, "at the lowest known point"),
            (STATIONARY, 1.0, &proved, Arrival::GlobalMinimum, "at the global minimum"),
            (1e-6, 1.0 - 5e-10, &proved, Arrival::GlobalMinimum, "at the global minimum"),
            (1e-6, 1.0 - 2e-9, &known, Arrival::BelowBestKnown, "refutes"),
            (1e-6, 1.009, &known, Arrival::GlobalMinimum, "at the lowest known point"),
            (1e-6, 1.011, &known, Arrival::LocalMinimum, "1.1 % above it"),
            (1e-6, 0.75, &known, Arrival::BelowBestKnown, "25 % below the best"),
            (1e-6, 0.9, &proved, Arrival::Unknown, "below a proved minimum"),
        ] {
            let verdict = TrainingVerdict::of(&evidence(gradient, loss, verdict));
            assert_eq!(verdict.kind, kind, "{}", verdict.text);
            assert!(verdict.text.contains(words), "{}", verdict.text);
        }
        // Near a threshold the loss alone does not tell.
        for (measured, shared_directions, words) in
            [(3, 0, "rank 3 instead of 4"), (4, 1, "two classes share a direction")]
        {
            let ranks = Some(Ranks { measured, resolved: 3, predicted: 4 });
            let evidence =
                Evidence { ranks, shared_directions, ..evidence(1e-6, 1.0 + 1e-7, &proved) };
            let verdict = TrainingVerdict::of(&evidence);
            assert_eq!(verdict.kind, Arrival::LocalMinimum, "{}", verdict.text);
            assert!(verdict.text.contains(words), "{}", verdict.text);
        }
        // Without a penalty to compare the gradient with, a proved minimum can be told by the loss, and nothing else can.
        for (loss, verdict, kind, words) in [
            (1.0 + 1e-7, &proved, Arrival::GlobalMinimum, "at the global minimum"),
            (1.0 + 1e-7, &known, Arrival::Unknown, "no penalty"),
            (1.2, &proved, Arrival::Unknown, "20 % above the predicted one"),
            (0.9, &proved, Arrival::Unknown, "below a proved minimum"),
        ] {
            let evidence = Evidence { relative_gradient: None, ..evidence(0.0, loss, verdict) };
            let verdict = TrainingVerdict::of(&evidence);
            assert_eq!(verdict.kind, kind, "{}", verdict.text);
            assert!(verdict.text.contains(words), "{}", verdict.text);
        }
        let nothing = Evidence {
            relative_gradient: None,
            losses: None,
            prediction: None,
            ranks: None,
            shared_directions: 0,
        };
        assert_eq!(TrainingVerdict::of(&nothing).kind, Arrival::Unknown);
        assert!(
            TrainingVerdict::of(&nothing).text.starts_with("without an objective and a prediction")
        );
        // As for margins, which have no loss.
        let constraint = Evidence { prediction: Some(&proved), ..nothing };
        let verdict = TrainingVerdict::of(&constraint);
        assert_eq!(verdict.kind, Arrival::Unknown);
        assert!(verdict.text.starts_with("there is a prediction, but no loss"), "{}", verdict.text);
        let stationary = Evidence { relative_gradient: Some(STATIONARY), ..constraint };
        let verdict = TrainingVerdict::of(&stationary);
        assert!(verdict.text.ends_with("no predicted loss to compare it with"), "{}", verdict.text);
        let nothing = Evidence { prediction: None, ..constraint };
        // Without a prediction the gradient alone tells whether training has ended.
        for (gradient, kind, words) in [
            (0.11, Arrival::NotStationary, "not trained to a stationary point"),
            (STATIONARY, Arrival::Unknown, "trained to a stationary point, but"),
        ] {
            let verdict =
                TrainingVerdict::of(&Evidence { relative_gradient: Some(gradient), ..nothing });
            assert_eq!(verdict.kind, kind, "{}", verdict.text);
            assert!(verdict.text.starts_with(words), "{}", verdict.text);
        }
    }

    /// A rank that is the predicted one is no figure to speak of, nor is a pair that is none.
    #[test]
    fn figures_are_what_differs() {
        let figure = |resolved: usize, shared_directions: usize| {
            let ranks = Some(Ranks { measured: 9, resolved, predicted: 4 });
            let (relative_gradient, losses, prediction) = (None, None, None);
            Evidence { relative_gradient, losses, prediction, ranks, shared_directions }.figure()
        };
        assert_eq!(figure(4, 0), "");
        assert_eq!(figure(5, 0), "; the class means have rank 5 instead of 4");
        assert_eq!(figure(4, 1), "; two classes share a direction");
        assert_eq!(figure(4, 3), "; 3 pairs of classes share a direction");
    }
}
