//! What a predicted loss and the gap to it are called.

use neural_collapse::prediction::Verdict;

/// f* is the global minimum; what no proof says to be that has another name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LossNames {
    /// Of the loss of a prediction.
    pub(crate) loss: &'static str,
    /// Of the same beside a measured one.
    pub(crate) predicted: &'static str,
    /// Its symbol, if it has one.
    pub(crate) optimum: &'static str,
    /// Of the distance to it, relative to it.
    pub(crate) gap: &'static str,
    /// Of the picture of that distance.
    pub(crate) distance: &'static str,
    /// How far it is proved.
    pub(crate) meaning: &'static str,
}

impl LossNames {
    pub(crate) fn new(verdict: &Verdict) -> Self {
        const WITHIN_GAP: &str = "loss of the minimum within its gap";
        const ASSUMED: &str = "loss of the minimum as assumed";
        const BEST_KNOWN: &str = "loss of the best known point";
        match verdict {
            Verdict::Proved(_) => Self {
                loss: "loss f*",
                predicted: "predicted loss f*",
                optimum: "f*",
                gap: "loss gap (f − f*)/f*",
                distance: "Distance to the minimum",
                meaning: "proved minimum",
            },
            Verdict::ProvedWithinGap { .. } => Self {
                loss: WITHIN_GAP,
                predicted: WITHIN_GAP,
                optimum: WITHIN_GAP,
                gap: "relative loss gap to the minimum within its gap",
                distance: "Distance to the minimum within its gap",
                meaning: "no loss is lower by more than the gap to a proved bound",
            },
            Verdict::Assuming { .. } => Self {
                loss: ASSUMED,
                predicted: ASSUMED,
                optimum: ASSUMED,
                gap: "relative loss gap to the minimum as assumed",
                distance: "Distance to the minimum as assumed",
                meaning: "proved minimum, if an assumption holds",
            },
            _ => Self {
                loss: BEST_KNOWN,
                predicted: BEST_KNOWN,
                optimum: BEST_KNOWN,
                gap: "relative loss gap to the best known point",
                distance: "Distance to the best known point",
                meaning: "lowest known loss",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use neural_collapse::{ClassCounts, Prediction, Regularization, Ufm};

    use super::*;

    /// Every verdict has words of its own, and f* stands for a proved minimum alone.
    #[test]
    fn each_verdict_has_its_name() {
        let (counts, decays) = (ClassCounts::new(&[2, 1]), Regularization::uniform(1, 0.1, 0.1));
        let minimum = Ufm::new(counts.unwrap(), decays.unwrap()).unwrap().global_minimum().unwrap();
        let Verdict::Proved(source) = minimum.verdict() else { panic!("{:?}", minimum.verdict()) };
        let source = || source.clone();
        let verdicts = [
            Verdict::Proved(source()),
            Verdict::ProvedWithinGap { lower_bound: 1.0, source: source() },
            Verdict::Assuming { assumption: "an assumption".into(), source: source() },
            Verdict::BestKnown { found_by: "a search".into() },
        ];
        let names = verdicts.map(|verdict| LossNames::new(&verdict));
        for (index, one) in names.iter().enumerate() {
            assert_eq!(one.gap.contains("f*") && one.predicted.contains("f*"), index == 0);
            for other in &names[..index] {
                assert!(one.loss != other.loss && one.gap != other.gap, "{one:?}");
                assert!(one.distance != other.distance && one.meaning != other.meaning, "{one:?}");
            }
        }
        assert_eq!(LossNames::new(&Verdict::Refuted(source())), names[3]);
    }
}
