//! The scalar core at any depth and number, and beside its thresholds.

#![no_main]

#[path = "../../tests/it/properties/mod.rs"]
#[allow(dead_code, reason = "each target checks some of the properties")]
mod properties;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use neural_collapse::Potential;

#[derive(Debug, Arbitrary)]
struct Input {
    depth: u32,
    b: f64,
    x: f64,
    kind: u8,
    steps: i16,
}

impl Input {
    fn depth(&self) -> u32 {
        match self.kind % 4 {
            0 => self.depth % 12,
            1 => self.depth % 2000,
            _ => self.depth,
        }
    }

    /// b itself, or a number some steps from the threshold or the fold.
    fn slope(&self) -> f64 {
        let Ok(potential) = Potential::<f64>::new(self.depth()) else { return self.b };
        let center = match self.kind / 4 % 3 {
            0 => return self.b,
            1 => potential.slope_threshold(),
            _ => potential.fold(),
        };
        let steps = i64::from(self.steps).pow(3);
        f64::from_bits(center.to_bits().wrapping_add_signed(steps))
    }
}

fuzz_target!(|input: Input| properties::scalar::check(input.depth(), input.slope(), input.x));
