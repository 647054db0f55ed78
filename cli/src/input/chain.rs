//! Finding the linear layers of a head among all matrices of the files, by their shapes and names.
//!
//! A network that is taken for another one gives wrong numbers without a word, so nothing is guessed: a chain is
//! taken only if no other matrices lead from the features to the classes.

use std::collections::{BTreeMap, BTreeSet};

use super::names::Numbered;

/// A matrix that may be a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Matrix {
    /// Its name.
    pub(crate) key: String,
    /// Columns, as PyTorch has it.
    pub(crate) inputs: usize,
    /// Rows.
    pub(crate) outputs: usize,
}

/// Why there is no chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoChain {
    /// No matrices lead from the features to the classes.
    None,
    /// Several do: the matrices that can come first.
    Several(Vec<Matrix>),
}

/// Steps of a search after which there are surely several ways.
const MAX_STEPS: usize = 100_000;

/// The layers from `inputs` features to one of the numbers of outputs `ends`.
pub(crate) fn find(
    matrices: &[Matrix],
    inputs: usize,
    ends: &[usize],
) -> Result<Vec<Matrix>, NoChain> {
    let fits = |chain: &[Matrix]| is_chain(chain, inputs, ends);
    let (stacks, singles): (Vec<_>, Vec<_>) =
        stacks(matrices).into_iter().partition(|stack| is_numbered(stack) && fits(stack));
    // Of layers that do not fit together the last one may still be a head, with the features before it.
    let lasts = singles.into_iter().filter_map(|mut stack| stack.pop());
    let singles = lasts.map(|matrix| vec![matrix]).filter(|one| fits(one));
    let mut chains: Vec<_> = stacks.into_iter().chain(singles).collect();
    let chain = match (chains.pop(), chains.is_empty()) {
        (Some(chain), true) => chain,
        _ => Vec::new(),
    };
    let leading = leading_widths(matrices, ends);
    let others: Vec<_> = matrices
        .iter()
        .filter(|matrix| leading.contains(&matrix.outputs) && !chain.contains(matrix))
        .collect();
    match Search::new(&chain, &others, ends).leads_elsewhere(inputs) {
        false if chain.is_empty() => Err(NoChain::None),
        false => Ok(chain),
        true => Err(NoChain::Several(
            matrices.iter().filter(|matrix| matrix.inputs == inputs).cloned().collect(),
        )),
    }
}

/// The stacks of numbered layers in their order, and every other matrix by itself.
pub(crate) fn stacks(matrices: &[Matrix]) -> Vec<Vec<Matrix>> {
    let mut numbered: BTreeMap<(&str, &str), BTreeMap<usize, Matrix>> = BTreeMap::new();
    let mut others = Vec::new();
    for matrix in matrices {
        match Numbered::parse(&matrix.key) {
            Some(Numbered { prefix, number, suffix }) => {
                numbered.entry((prefix, suffix)).or_default().insert(number, matrix.clone());
            }
            None => others.push(vec![matrix.clone()]),
        }
    }
    let stacks = numbered.into_values().map(|stack| stack.into_values().collect());
    stacks.chain(others).collect()
}

/// Whether the numbers of a stack begin with 0 or 1 and have no gaps, where activations may stand.
pub(crate) fn is_numbered(stack: &[Matrix]) -> bool {
    let numbers: Option<Vec<_>> =
        stack.iter().map(|matrix| Some(Numbered::parse(&matrix.key)?.number)).collect();
    numbers.is_some_and(|numbers| {
        let first = numbers.first().copied().unwrap_or(0);
        first <= 1 && numbers.iter().zip(first..).all(|(number, expected)| *number == expected)
    })
}

fn is_chain(chain: &[Matrix], inputs: usize, ends: &[usize]) -> bool {
    let mut width = inputs;
    let fit =
        chain.iter().all(|matrix| std::mem::replace(&mut width, matrix.outputs) == matrix.inputs);
    fit && !chain.is_empty() && ends.contains(&width)
}

/// The widths from which matrices lead to one of the ends.
fn leading_widths(matrices: &[Matrix], ends: &[usize]) -> BTreeSet<usize> {
    let mut leading: BTreeSet<usize> = ends.iter().copied().collect();
    loop {
        let before = leading.len();
        let more = matrices.iter().filter(|matrix| leading.contains(&matrix.outputs));
        let more: Vec<_> = more.map(|matrix| matrix.inputs).collect();
        leading.extend(more);
        if leading.len() == before {
            return leading;
        }
    }
}

/// A shape of matrices, `(inputs, outputs)`, and whether they are beside the chain rather than in it.
type Shape = (usize, usize, bool);

/// The search for ways from the features to the classes that use a matrix beside a chain.
struct Search<'a> {
    /// How many matrices of each shape are not on the way yet.
    left: BTreeMap<Shape, usize>,
    ends: &'a [usize],
    steps: usize,
}

impl<'a> Search<'a> {
    fn new(chain: &[Matrix], others: &[&Matrix], ends: &'a [usize]) -> Self {
        let mut left = BTreeMap::new();
        let chain = chain.iter().map(|matrix| (matrix, false));
        for (matrix, beside) in chain.chain(others.iter().map(|matrix| (*matrix, true))) {
            *left.entry((matrix.inputs, matrix.outputs, beside)).or_default() += 1;
        }
        Self { left, ends, steps: 0 }
    }

    /// Whether there is such a way, or the search is too long to tell.
    fn leads_elsewhere(&mut self, inputs: usize) -> bool {
        // Each step of a way takes a matrix away; ways are as long as there are matrices, so no recursion.
        let mut way: Vec<(Shape, Vec<Shape>)> = Vec::new();
        let mut choices = self.choices(inputs);
        loop {
            self.steps += 1;
            if self.steps > MAX_STEPS {
                return true;
            }
            let Some(shape) = choices.pop() else {
                let Some((shape, rest)) = way.pop() else { return false };
                self.put_back(shape);
                choices = rest;
                continue;
            };
            let (_, outputs, beside) = shape;
            let is_elsewhere = beside || way.iter().any(|((_, _, beside), _)| *beside);
            if is_elsewhere && self.ends.contains(&outputs) {
                return true;
            }
            self.take(shape);
            way.push((shape, std::mem::replace(&mut choices, self.choices(outputs))));
        }
    }

    fn choices(&self, inputs: usize) -> Vec<Shape> {
        let shapes = self.left.range((inputs, 0, false)..=(inputs, usize::MAX, true));
        shapes.filter(|(_, left)| **left > 0).map(|(shape, _)| *shape).collect()
    }

    fn take(&mut self, shape: Shape) {
        self.left.entry(shape).and_modify(|left| *left -= 1);
    }

    fn put_back(&mut self, shape: Shape) {
        self.left.entry(shape).and_modify(|left| *left += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrices(list: &[(&str, usize, usize)]) -> Vec<Matrix> {
        let matrix = |&(key, outputs, inputs): &(&str, usize, usize)| Matrix {
            key: key.into(),
            inputs,
            outputs,
        };
        list.iter().map(matrix).collect()
    }

    /// The names of the layers that are found between 4 features and 3 classes, `?` where there are several.
    fn found(list: &[(&str, usize, usize)]) -> String {
        match find(&matrices(list), 4, &[3]) {
            Ok(chain) => chain.into_iter().map(|matrix| matrix.key).collect::<Vec<_>>().join(" "),
            Err(NoChain::None) => String::new(),
            Err(NoChain::Several(_)) => "?".into(),
        }
    }

    #[test]
    fn a_single_matrix_or_a_stack_that_fits_is_taken() {
        assert_eq!(found(&[("fc.weight", 3, 4)]), "fc.weight");
        assert_eq!(found(&[("fc.weight", 3, 4), ("conv", 4, 8), ("other", 3, 5)]), "fc.weight");
        assert_eq!(found(&[("c.1.weight", 3, 4), ("c.0.weight", 4, 4)]), "c.0.weight c.1.weight");
        assert_eq!(found(&[("W2", 3, 9), ("W1", 9, 4)]), "W1 W2");
        // Numbers, not letters, are sorted.
        let ten: Vec<_> =
            (1..=10).map(|m| (format!("h.{m}.weight"), if m < 10 { 4 } else { 3 }, 4)).collect();
        let ten: Vec<_> =
            ten.iter().map(|(key, rows, columns)| (key.as_str(), *rows, *columns)).collect();
        assert!(found(&ten).ends_with("h.9.weight h.10.weight"));
        // A decoder leads back to the features, not to the classes.
        assert_eq!(found(&[("fc.weight", 3, 4), ("decoder.weight", 4, 3)]), "fc.weight");
        // The last of layers that do not take the features.
        assert_eq!(
            found(&[("c.0.weight", 8, 9), ("c.2.weight", 4, 8), ("c.4.weight", 3, 4)]),
            "c.4.weight"
        );
    }

    #[test]
    fn what_could_be_meant_in_two_ways_is_not_taken() {
        // Two heads, and two names of one stack's layers.
        assert_eq!(found(&[("fc.weight", 3, 4), ("head.weight", 3, 4)]), "?");
        assert_eq!(found(&[("a.0.weight", 3, 4), ("b.0.weight", 3, 4)]), "?");
        // A square layer before or after it.
        assert_eq!(found(&[("fc.weight", 3, 4), ("proj.weight", 4, 4)]), "?");
        assert_eq!(found(&[("fc.weight", 3, 4), ("noise", 3, 3)]), "?");
        // Gaps, as those where activations stand.
        assert_eq!(found(&[("c.0.weight", 9, 4), ("c.2.weight", 3, 9)]), "?");
        assert_eq!(found(&[("c.3.weight", 4, 4), ("c.6.weight", 3, 4)]), "?");
        assert_eq!(found(&[("c.2.weight", 9, 4), ("c.3.weight", 3, 9)]), "?");
        // Layers of an MLP.
        assert_eq!(found(&[("fc1.weight", 9, 4), ("fc2.weight", 3, 9)]), "?");
        // A layer that more layers follow.
        assert_eq!(found(&[("c.1.weight", 3, 4), ("c.2.weight", 3, 5)]), "?");
        // A way around a part of the stack.
        assert_eq!(found(&[("c.0.weight", 9, 4), ("c.1.weight", 3, 9), ("x", 9, 9)]), "?");
        let squares: Vec<_> = (0..300).map(|index| format!("square{index}")).collect();
        let mut many: Vec<_> = squares.iter().map(|key| (key.as_str(), 4, 4)).collect();
        many.push(("fc.weight", 3, 4));
        assert_eq!(found(&many), "?");
    }

    #[test]
    fn nothing_fits_where_no_way_leads_to_the_classes() {
        assert_eq!(found(&[]), "");
        assert_eq!(found(&[("fc.weight", 4, 3)]), "");
        assert_eq!(found(&[("a", 9, 4), ("b", 3, 8), ("c", 4, 9), ("d", 4, 4)]), "");
    }

    #[test]
    fn a_search_without_end_is_cut() {
        // Far more ways between the widths than can be looked at; only the chain's own matrix leads to the classes.
        let names: Vec<_> = (0..40).map(|index| format!("m{index}")).collect();
        let shapes =
            names.iter().zip(0..).map(|(key, i)| (key.as_str(), 4 + i % 6, 4 + (i / 6) % 6));
        let mut list: Vec<_> = shapes.collect();
        assert_eq!(found(&list), "");
        list.push(("fc.weight", 3, 9));
        assert_eq!(found(&list), "?");
    }
}
