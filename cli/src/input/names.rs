//! What the names of arrays tell: which are layers of one stack, which bias belongs to which weights, and which are
//! no layers of a classifier at all.

use std::collections::{BTreeMap, BTreeSet};

/// What separates the parts of a name: PyTorch's `.`, Keras's and Flax's `/`.
const SEPARATORS: [char; 2] = ['.', '/'];

/// The name of one of several numbered layers, as `classifier.1.weight`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Numbered<'a> {
    /// What is before the number, with the separator.
    pub(crate) prefix: &'a str,
    /// The number.
    pub(crate) number: usize,
    /// What is after it, with the separator.
    pub(crate) suffix: &'a str,
}

impl<'a> Numbered<'a> {
    /// The name `key`, if one of its parts is a number (the last one counts), or if it is a single letter with a
    /// number, as `W1` and `W_1`.
    ///
    /// `fc1.weight` is none of these: such layers are often called one by one, with activations between them.
    pub(crate) fn parse(key: &'a str) -> Option<Self> {
        parts(key).rev().find_map(|(start, part)| Self::at(key, start, part.len())).or_else(|| {
            let digits = key.trim_start_matches(|letter: char| letter.is_ascii_alphabetic());
            let start = key.len() - digits.trim_start_matches('_').len();
            let letters = key.len() - digits.len();
            (letters == 1).then(|| Self::at(key, start, key.len() - start)).flatten()
        })
    }

    fn at(key: &'a str, start: usize, length: usize) -> Option<Self> {
        let digits = key.get(start..start + length)?;
        // `01` would be another name with the same number.
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit())
            && (digits == "0" || !digits.starts_with('0'));
        let number = digits.parse().ok().filter(|_| is_number)?;
        Some(Self { prefix: key.get(..start)?, number, suffix: key.get(start + length..)? })
    }
}

/// The parts of a name with their places.
fn parts(key: &str) -> impl DoubleEndedIterator<Item = (usize, &str)> {
    let mut start = 0;
    let parts = key.split(SEPARATORS).map(move |part| {
        let place = start;
        start += part.len() + 1;
        (place, part)
    });
    parts.collect::<Vec<_>>().into_iter()
}

/// Whether the array `key` beside `others` is what PyTorch computes the weights of a layer from: `weight_v` beside
/// `weight_g` of a weight normalization, `weight_orig` beside the vectors of a spectral normalization or the mask of a
/// pruning, and everything under `parametrizations`.
pub(crate) fn is_parametrized(key: &str, others: &BTreeSet<&str>) -> bool {
    let has_beside = |ending: &str, endings: &[&str]| {
        key.strip_suffix(ending).is_some_and(|layer| {
            endings.iter().any(|other| others.contains(format!("{layer}{other}").as_str()))
        })
    };
    parts(key).any(|(_, part)| part == "parametrizations")
        || has_beside("weight_v", &["weight_g"])
        || has_beside("weight_orig", &["weight_u", "weight_v", "weight_mask"])
}

/// The beginning that the arrays of one layer share, as `head.0.` of `head.0.weight`.
pub(crate) fn module(key: &str) -> Option<&str> {
    key.get(..=key.rfind(SEPARATORS)?)
}

/// Whether a name has a single part.
pub(crate) fn is_plain(key: &str) -> bool {
    !key.is_empty() && !key.contains(SEPARATORS)
}

/// Names that the bias of the layer with these weights has in common libraries.
pub(crate) fn bias_names(weight: &str) -> Vec<String> {
    let mut names = own_bias_names(weight);
    if let Some(Numbered { prefix, .. }) = Numbered::parse(weight) {
        let is_letter = prefix.trim_end_matches('_').len() <= 1;
        names.push(if is_letter { "b".into() } else { format!("{prefix}bias") });
    }
    names.push("classifier.bias".into());
    names.sort_unstable();
    names.dedup();
    names
}

/// The names of the bias that differ from that of the weights in the last word only.
pub(crate) fn own_bias_names(weight: &str) -> Vec<String> {
    let words =
        [("weight", "bias"), ("kernel", "bias"), ("weights", "bias"), ("W", "b"), ("w", "b")];
    let mut names: Vec<_> = words
        .iter()
        .filter_map(|(word, bias)| Some(format!("{}{bias}", weight.strip_suffix(word)?)))
        .collect();
    // W1 and b1.
    if let Some(Numbered { prefix, number, suffix: "" }) = Numbered::parse(weight) {
        let rest = prefix.strip_prefix(['W', 'w']);
        names.extend(rest.map(|rest| format!("b{rest}{number}")));
    }
    names
}

/// Whether the array is a bias by its name, though it may have the shape of a matrix.
pub(crate) fn is_bias(key: &str) -> bool {
    let last = parts(key).next_back().map_or(key, |(_, part)| part);
    let is_letter = Numbered::parse(key)
        .is_some_and(|name| name.suffix.is_empty() && ["b", "b_"].contains(&name.prefix));
    ["bias", "b"].contains(&last) || is_letter
}

/// Whether the array is a part of an optimizer's state, which has the shapes of what is optimized.
pub(crate) fn is_optimizer_state(key: &str) -> bool {
    const MOMENTS: [&str; 6] =
        ["exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg", "acc_delta"];
    parts(key).any(|(_, part)| part.starts_with("optim") || MOMENTS.contains(&part))
}

/// Whether the array is a table of vectors that are looked up rather than multiplied with.
pub(crate) fn is_embedding(key: &str) -> bool {
    parts(key).any(|(_, part)| {
        let part = part.to_lowercase();
        part.contains("embed") || ["wte", "wpe", "shared"].contains(&part.as_str())
    })
}

/// The numbered blocks of a network that have several matrices or kernels each, as those of ResNets and
/// transformers: no layers of a linear head.
#[derive(Debug, Default)]
pub(crate) struct Blocks(BTreeSet<String>);

impl Blocks {
    /// The blocks among arrays with two axes or more.
    pub(crate) fn find<'a>(keys: impl Iterator<Item = &'a str>) -> Self {
        let mut contents: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for key in keys {
            for block in blocks_of(key) {
                let rest = key.get(block.len()..).unwrap_or_default();
                contents.entry(block).or_default().insert(rest);
            }
        }
        let several = contents.into_iter().filter(|(_, contents)| contents.len() > 1);
        Self(several.map(|(block, _)| block).collect())
    }

    /// Whether the array is in one of the blocks.
    pub(crate) fn contain(&self, key: &str) -> bool {
        blocks_of(key).any(|block| self.0.contains(&block))
    }
}

/// The beginnings of a name up to each number in it.
fn blocks_of(key: &str) -> impl Iterator<Item = String> {
    let numbers = parts(key)
        .filter(|(_, part)| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    numbers.filter_map(|(start, part)| key.get(..=start + part.len()).map(String::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found() {
        let parsed = |key| {
            Numbered::parse(key).map(|Numbered { prefix, number, suffix }| (prefix, number, suffix))
        };
        assert_eq!(parsed("classifier.1.weight"), Some(("classifier.", 1, ".weight")));
        assert_eq!(parsed("a.2.b.0.linear.weight"), Some(("a.2.b.", 0, ".linear.weight")));
        assert_eq!(parsed("head/3/kernel"), Some(("head/", 3, "/kernel")));
        assert_eq!(parsed("12"), Some(("", 12, "")));
        assert_eq!(parsed("W1"), Some(("W", 1, "")));
        assert_eq!(parsed("W_10"), Some(("W_", 10, "")));
        for key in
            ["fc1.weight", "fc.weight", "W", "classifier.01.weight", "", "..", "conv2d", "w2v"]
        {
            assert_eq!(parsed(key), None, "{key}");
        }
    }

    #[test]
    fn biases_are_named_after_their_weights() {
        for (weight, bias) in [
            ("fc.weight", "fc.bias"),
            ("module.head.weight", "module.head.bias"),
            ("classifier.2.weight", "classifier.2.bias"),
            ("classifier.2.weight", "classifier.bias"),
            ("head.0.weight", "head.bias"),
            ("Dense_0/kernel", "Dense_0/bias"),
            ("W", "b"),
            ("W2", "b2"),
            ("W_2", "b_2"),
            ("W2", "b"),
        ] {
            assert!(bias_names(weight).iter().any(|name| name == bias), "{weight}");
            assert!(is_bias(bias) && !is_bias(weight), "{weight}");
        }
    }

    #[test]
    fn blocks_of_backbones_are_told_from_layers() {
        let keys = [
            "blocks.0.attn.proj.weight",
            "blocks.0.mlp.fc1.weight",
            "layer4.1.conv1.weight",
            "layer4.1.downsample.0.weight",
            "classifier.0.weight",
            "classifier.1.weight",
            "layers.0.linear.weight",
        ];
        let blocks = Blocks::find(keys.into_iter());
        let inside: Vec<_> = keys.into_iter().filter(|key| blocks.contain(key)).collect();
        assert_eq!(inside, keys[..4]);
    }
}
