//! Phrases that several pages have.

use crate::pictures::short;

/// How unequal the sizes of the classes are.
pub(super) fn sizes_in_words(imbalance: f64) -> String {
    match imbalance > 1.0 {
        true => format!("the largest has {} times as many as the smallest", short(imbalance)),
        false => "all of the same size".into(),
    }
}

/// How many linear layers.
pub(super) fn layers_in_words(depth: usize) -> String {
    match depth {
        1 => "one linear layer".into(),
        depth => format!("{depth} linear layers"),
    }
}
