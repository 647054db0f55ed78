//! The metrics and the audit of any measured network.

#![no_main]

#[path = "../../tests/it/properties/mod.rs"]
#[allow(dead_code, reason = "each target checks some of the properties")]
mod properties;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use neural_collapse::Regularization;
use properties::measured;

#[derive(Debug, Arbitrary)]
struct Input {
    dimension: u8,
    classes: u8,
    labels: Vec<u8>,
    features: Vec<Number>,
    hidden: Vec<u8>,
    weights: Vec<Number>,
    regularization: Option<(u8, u8)>,
}

/// Small numbers, among which equal ones are frequent, or any.
#[derive(Debug, Clone, Copy, Arbitrary)]
enum Number {
    Small(i8),
    Any(f64),
}

impl Number {
    fn value(self) -> f64 {
        match self {
            Self::Small(value) => f64::from(value) / 16.0,
            Self::Any(value) => value,
        }
    }
}

fuzz_target!(|input: Input| {
    let (dimension, classes) = (usize::from(input.dimension % 6), usize::from(input.classes % 6));
    let labels: Vec<usize> =
        input.labels.iter().take(16).map(|&label| usize::from(label % 8)).collect();
    let mut numbers = input.features.iter().map(|number| number.value()).cycle();
    let features = (0..labels.len() * dimension).map(|_| numbers.next().unwrap_or(0.0)).collect();
    let hidden: Vec<usize> = input.hidden.iter().take(3).map(|&width| (width % 6).into()).collect();
    let regularization = input.regularization.map(|(weights, features)| {
        let decay = |value: u8| (f64::from(value) + 1.0) / 512.0;
        Regularization::new(&vec![decay(weights); hidden.len() + 1], decay(features))
            .expect("positive decays")
    });
    let weights = input.weights.iter().map(|number| number.value()).collect();
    measured::check(&measured::Input {
        features,
        dimension,
        labels,
        classes,
        hidden,
        weights,
        regularization,
    });
});
