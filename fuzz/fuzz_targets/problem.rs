//! Whole problems, for classes and for target matrices.

#![no_main]

#[path = "../../tests/it/properties/mod.rs"]
#[allow(dead_code, reason = "each target checks some of the properties")]
mod properties;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use nalgebra::DMatrix;
use neural_collapse::Bias;
use properties::problem;

#[derive(Debug, Arbitrary)]
struct Input {
    runs: Vec<(Size, u8)>,
    decays: Vec<Number>,
    /// The first decay is repeated so often.
    repeated: u8,
    feature_decay: Number,
    bias: Option<Option<Number>>,
    widths: Vec<u8>,
    target: Option<(u8, Vec<Number>)>,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Size {
    Small(u8),
    Billion(u8),
    Any(u64),
}

/// Numbers of ordinary magnitudes, so that most problems are not refused, or any.
#[derive(Debug, Clone, Copy, Arbitrary)]
enum Number {
    Ordinary(u16),
    PowerOfTwo(i8),
    Any(f64),
}

impl Number {
    fn value(self) -> f64 {
        match self {
            Self::Ordinary(bits) => f64::from(bits) / 4096.0 * f64::from(bits % 7).exp2().recip(),
            Self::PowerOfTwo(exponent) => f64::from(exponent).exp2(),
            Self::Any(value) => value,
        }
    }
}

impl Input {
    fn problem(&self) -> problem::Input {
        let size = |size| match size {
            Size::Small(size) => u64::from(size),
            Size::Billion(offset) => 1_000_000_000 - u64::from(offset),
            Size::Any(size) => size,
        };
        let runs = self.runs.iter().take(12);
        let mut weight_decays: Vec<f64> =
            self.decays.iter().take(20).map(|decay| decay.value()).collect();
        if let Some(&first) = weight_decays.first() {
            weight_decays.extend(std::iter::repeat_n(first, self.repeated.into()));
        }
        problem::Input {
            runs: runs.map(|&(n, classes)| (size(n), classes.into())).collect(),
            weight_decays,
            feature_decay: self.feature_decay.value(),
            bias: match self.bias {
                None => Bias::None,
                Some(None) => Bias::Unregularized,
                Some(Some(decay)) => Bias::Regularized(decay.value()),
            },
            widths: self.widths.iter().take(300).map(|&width| width.into()).collect(),
        }
    }
}

fuzz_target!(|input: Input| {
    let problem = input.problem();
    match &input.target {
        None => problem::check(&problem),
        Some((rows, entries)) => {
            let rows = usize::from(*rows % 8);
            let entries: Vec<f64> = entries.iter().take(64).map(|entry| entry.value()).collect();
            let columns = entries.len().checked_div(rows).unwrap_or(0);
            problem::check_target(
                DMatrix::from_fn(rows, columns, |i, j| entries[columns * i + j]),
                &problem,
            );
        }
    }
});
