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
}

impl LossNames {
    pub(crate) fn new(verdict: &Verdict) -> Self {
        const BEST_KNOWN: &str = "loss of the best known point";
        match verdict.is_proved() {
            true => Self {
                loss: "loss f*",
                predicted: "predicted loss f*",
                optimum: "f*",
                gap: "loss gap (f − f*)/f*",
            },
            false => Self {
                loss: BEST_KNOWN,
                predicted: BEST_KNOWN,
                optimum: BEST_KNOWN,
                gap: "loss gap to that point, relative",
            },
        }
    }
}
