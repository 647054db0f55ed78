//! The spectrum of centered one-hot targets for any class sizes.

#![no_main]

#[path = "../../tests/it/properties/mod.rs"]
#[allow(dead_code, reason = "each target checks some of the properties")]
mod properties;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;

/// A size as a base of any magnitude and an offset: neighbors are the hard case.
#[derive(Debug, Arbitrary)]
struct Group {
    base: u8,
    offset: u16,
    classes: u32,
}

fuzz_target!(|groups: Vec<Group>| {
    let runs: Vec<(u64, usize)> = groups
        .iter()
        .take(24)
        .map(|group| {
            let size = (1_u64 << (group.base % 54)).saturating_sub(u64::from(group.offset));
            (size, group.classes as usize >> (group.base / 8))
        })
        .collect();
    properties::spectrum::check(&runs);
});
