//! Which arrays are the head: the weights of its linear layers and the bias of the last one.

use super::chain::{self, Matrix, NoChain};
use super::container::ListedArray;
use super::error::{InputError, Problem};
use super::keys::{Keys, NO_BIAS, Reading};
use super::listing::{Listed, Name, resolve};
use super::names::{
    Blocks, Numbered, bias_names, is_bias, is_embedding, is_optimizer_state, is_parametrized,
    is_plain, module, own_bias_names,
};
use super::samples::SampleNames;

/// What is to be known of the samples to find the head for them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// Names of the features and labels, which are no part of a head.
    pub(crate) samples: &'a SampleNames,
    /// Length of a feature vector.
    pub(crate) width: usize,
    /// The number of classes that the labels speak of.
    pub(crate) classes: usize,
}

/// Names of the layers W₁, …, W_M that a user gives, as far as they are given.
pub(crate) fn given_weights(
    files: &mut Vec<Listed>,
    keys: &Keys,
) -> Result<Option<Vec<Name>>, InputError> {
    let weights = keys.weights.as_ref();
    weights.map(|keys| keys.iter().map(|key| resolve(files, key)).collect()).transpose()
}

/// Name of the bias that a user gives.
pub(crate) fn given_bias(files: &mut Vec<Listed>, keys: &Keys) -> Result<Option<Name>, InputError> {
    let bias = keys.bias.as_ref().filter(|key| *key != NO_BIAS);
    bias.map(|key| resolve(files, key)).transpose()
}

/// Finds the layers by their shapes and names, or says what there is to choose from.
pub(crate) fn find_weights(
    files: &[Listed],
    wanted: Wanted<'_>,
    reading: &Reading,
) -> Result<Vec<Name>, InputError> {
    // An array that is damaged may be a layer. Reading it says what is wrong with it.
    if let Some(key) = first_array(files, wanted.samples, |array| !array.is_readable) {
        return Ok(vec![Name::anywhere(key)]);
    }
    let all = matrices(files, wanted.samples, reading, |array| array.has_floats);
    let others = |array: &ListedArray| !array.has_floats && !array.has_objects;
    let others = matrices(files, wanted.samples, reading, others);
    let (tables, layers): (Vec<_>, Vec<_>) =
        all.iter().cloned().partition(|matrix| is_embedding(&matrix.key));
    let larger: Vec<_> =
        layers.iter().map(|layer| layer.outputs).filter(|&end| end > wanted.classes).collect();
    let exact = match wanted.classes {
        // One output tells two classes apart by its sign.
        2 => vec![2, 1],
        classes => vec![classes],
    };
    // A table of embeddings is the classifier where they are tied, so that there is no other.
    let ways = [(&layers, &exact), (&all, &exact), (&layers, &larger)];
    for (matrices, ends) in ways {
        match chain::find(matrices, wanted.width, ends) {
            Ok(chain) => return Ok(names(with_others_of_its_stack(chain, &others))),
            // A single stack that does take the features is broken further on: reading it says where.
            Err(NoChain::Several(_)) if is_single_stack(matrices, wanted.width) => {
                return Ok(chain::stacks(matrices).into_iter().flat_map(names).collect());
            }
            Err(NoChain::Several(first)) => return Err(several(files, wanted, matrices, &first)),
            Err(NoChain::None) => {}
        }
    }
    let objects = |array: &&ListedArray| array.has_objects;
    if let Some(key) = first_array(files, wanted.samples, objects) {
        return Ok(vec![Name::anywhere(key)]);
    }
    // Layers of whole numbers, as an identity is often stored.
    let of_any_type: Vec<_> = layers.iter().chain(&others).cloned().collect();
    if let Ok(chain) = chain::find(&of_any_type, wanted.width, &exact) {
        return Ok(names(chain));
    }
    // What there is to choose from is one stack: the shapes will say what is wrong with it.
    let stacks = chain::stacks(&layers);
    let named = stacks.iter().find(|stack| is_documented(stack)).or(match &stacks[..] {
        [stack] if stack.len() == 1 || chain::is_numbered(stack) => Some(stack),
        _ => None,
    });
    match named {
        Some(stack) => Ok(names(stack.clone())),
        // Reading it says what is missing or wrong.
        None if all.is_empty() => {
            let key = only_array(files, wanted.samples);
            Ok(vec![Name::anywhere(key.unwrap_or_else(|| "classifier.1.weight".into()))])
        }
        None => Err(none(files, wanted, &layers, &tables)),
    }
}

/// Whether there is nothing but one stack without gaps, whose first layer takes the features.
fn is_single_stack(matrices: &[Matrix], width: usize) -> bool {
    match &chain::stacks(matrices)[..] {
        [stack] => {
            chain::is_numbered(stack) && stack.first().is_some_and(|first| first.inputs == width)
        }
        _ => false,
    }
}

/// A chain with the matrices of another type that are numbered as its layers are: they belong to it, and reading them
/// says what is wrong with them.
fn with_others_of_its_stack(chain: Vec<Matrix>, others: &[Matrix]) -> Vec<Matrix> {
    let stack_of = |matrix: &Matrix| {
        let name = Numbered::parse(&matrix.key)?;
        Some((name.prefix.to_string(), name.suffix.to_string()))
    };
    let Some(stack) = chain.first().and_then(stack_of) else { return chain };
    let others = others.iter().filter(|matrix| stack_of(matrix).as_ref() == Some(&stack));
    others.cloned().chain(chain.iter().cloned()).collect()
}

/// The only array that may have been meant as weights, whatever is wrong with it.
fn only_array(files: &[Listed], samples: &SampleNames) -> Option<String> {
    let mut arrays = files.iter().flat_map(|file| {
        let is_metadata = |key: &String| file.metadata.iter().any(|(name, _)| name == key);
        let keys = file.arrays.iter().map(|array| &array.key);
        keys.filter(move |key| !is_metadata(key) && !samples.include(file, key) && !is_bias(key))
    });
    arrays.next().filter(|_| arrays.next().is_none()).cloned()
}

/// The first array beside features and labels for which this is true.
fn first_array(
    files: &[Listed],
    samples: &SampleNames,
    is_wanted: impl Fn(&&ListedArray) -> bool,
) -> Option<String> {
    files.iter().find_map(|file| {
        let mut arrays = file.arrays.iter().filter(&is_wanted);
        arrays.find(|array| !samples.include(file, &array.key)).map(|array| array.key.clone())
    })
}

/// The name of the documentation, `classifier.1.weight` and so on.
fn is_documented(stack: &[Matrix]) -> bool {
    let parse = |matrix: &Matrix| {
        Numbered::parse(&matrix.key)
            .is_some_and(|name| (name.prefix, name.suffix) == ("classifier.", ".weight"))
    };
    stack.first().is_some_and(parse) && chain::is_numbered(stack)
}

fn names(chain: Vec<Matrix>) -> Vec<Name> {
    chain.into_iter().map(|matrix| Name::anywhere(matrix.key)).collect()
}

/// All matrices of such arrays that may be layers, each name once.
fn matrices(
    files: &[Listed],
    samples: &SampleNames,
    reading: &Reading,
    is_wanted: impl Fn(&ListedArray) -> bool,
) -> Vec<Matrix> {
    let blocks = blocks(files);
    let mut matrices: Vec<Matrix> = Vec::new();
    for file in files {
        for array in &file.arrays {
            let [rows, columns] = *array.shape else { continue };
            let is_layer = is_wanted(array)
                && rows > 0
                && columns > 0
                && !samples.include(file, &array.key)
                && !is_bias(&array.key)
                && !is_optimizer_state(&array.key)
                && !blocks.contain(&array.key)
                && !matrices.iter().any(|matrix| matrix.key == array.key);
            if is_layer {
                let (outputs, inputs) =
                    if reading.transposed { (columns, rows) } else { (rows, columns) };
                matrices.push(Matrix { key: array.key.clone(), inputs, outputs });
            }
        }
    }
    matrices.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    matrices
}

fn blocks(files: &[Listed]) -> Blocks {
    let arrays = files.iter().flat_map(|file| &file.arrays);
    Blocks::find(
        arrays
            .filter(|array| array.shape.iter().filter(|&&size| size > 1).count() >= 2)
            .map(|array| array.key.as_str()),
    )
}

/// The first file that has one of these matrices, to be named in a message.
fn in_first_file(problem: Problem, files: &[Listed], matrices: &[Matrix]) -> InputError {
    let has_one = |file: &&Listed| {
        let mut keys = file.arrays.iter().map(|array| &array.key);
        keys.any(|key| matrices.iter().any(|matrix| matrix.key == *key))
    };
    let file = files.iter().find(has_one).or(files.first());
    problem.in_file(file.map_or(std::path::Path::new(""), |file| &file.path))
}

fn list(matrices: &[Matrix]) -> String {
    const SHOWN: usize = 12;
    let text = |matrix: &Matrix| format!("`{}` ({}×{})", matrix.key, matrix.outputs, matrix.inputs);
    let shown: Vec<_> = matrices.iter().take(SHOWN).map(text).collect();
    match matrices.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        hidden => format!("{} and {hidden} more", shown.join(", ")),
    }
}

const ASK: &str = "name the linear layers with --weights, from the features to the output; only a linear chain may be \
                   named, without activations between its layers";

fn several(
    files: &[Listed],
    wanted: Wanted<'_>,
    matrices: &[Matrix],
    first: &[Matrix],
) -> InputError {
    let stacks = chain::stacks(matrices);
    let gap = stacks.iter().find(|stack| {
        stack.len() > 1 && !chain::is_numbered(stack) && stack.iter().any(|m| first.contains(m))
    });
    let gap = gap.map(|stack| {
        let numbers = stack.iter().filter_map(|matrix| Numbered::parse(&matrix.key));
        let numbers: Vec<_> = numbers.map(|name| name.number.to_string()).collect();
        format!(" (numbered {}: activations may stand in the gaps)", numbers.join(", "))
    });
    let text = format!(
        "the head cannot be told for sure: more than one way leads from the {} features to the {} classes, and {} can \
         come first{}; {ASK}",
        wanted.width,
        wanted.classes,
        list(first),
        gap.unwrap_or_default()
    );
    in_first_file(Problem::Head(text), files, first)
}

fn none(files: &[Listed], wanted: Wanted<'_>, layers: &[Matrix], tables: &[Matrix]) -> InputError {
    let fits = |matrix: &&Matrix| matrix.outputs == wanted.width && matrix.inputs == wanted.classes;
    let transposed = layers.iter().chain(tables).find(fits).map(|matrix| {
        format!(
            "; `{}` would fit as inputs × outputs, the order of Keras and Flax: --transposed reads it so",
            matrix.key
        )
    });
    let text = format!(
        "no head is found: no matrices lead from the {} features to the {} classes of the labels; there are {}{}; {ASK}",
        wanted.width,
        wanted.classes,
        list(layers),
        transposed.unwrap_or_default()
    );
    in_first_file(Problem::Head(text), files, layers)
}

/// Refuses layers that are taken twice, whose norms would count twice, and arrays that only a computation makes the
/// weights of a layer.
pub(crate) fn refuse_no_layers(files: &[Listed], weights: &[Name]) -> Result<(), InputError> {
    for (number, weight) in weights.iter().enumerate() {
        let Some(file) = files.iter().find(|file| weight.is_in(file)) else { continue };
        let keys = file.arrays.iter().map(|array| array.key.as_str());
        let text = if weights.iter().take(number).any(|other| other == weight) {
            format!("`{}` is taken for two layers; --weights names each layer once", weight.key)
        } else if is_parametrized(&weight.key, &keys.collect()) {
            format!(
                "`{}` is not the weights of a layer but what weight or spectral normalization or another parametrization \
                 computes them from; save `layer.weight` itself, under a name of its own",
                weight.key
            )
        } else {
            continue;
        };
        return Err(Problem::Head(text).in_file(&file.path));
    }
    Ok(())
}

/// The bias of the last of the layers `weights`, which has `outputs` outputs: that given, or the one beside the
/// weights. A vector that may be the bias and would be left out is refused.
pub(crate) fn find_bias(
    files: &[Listed],
    weights: &[Name],
    outputs: usize,
    (given, keys): (Option<Name>, &Keys),
    samples: &SampleNames,
) -> Result<Option<Name>, InputError> {
    if keys.bias.as_deref() == Some(NO_BIAS) {
        return Ok(None);
    }
    let Some((last, hidden)) = weights.split_last() else { return Ok(None) };
    for weight in hidden {
        for file in files {
            let is_used = |key: &str| given.as_ref().is_some_and(|given| given.key == key);
            let mut biases = file.arrays.iter().filter(|array| is_bias_of(array, weight, files));
            if let Some(array) = biases.find(|array| !is_used(&array.key)) {
                return Err(Problem::HiddenBias { key: array.key.clone() }.in_file(&file.path));
            }
        }
    }
    if given.is_some() {
        return Ok(given);
    }
    let names = bias_names(&last.key).into_iter().map(Name::anywhere);
    let mut present = names.filter(|name| {
        files.iter().any(|file| name.is_in(file)) && !is_bias_of_another(name, weights, files)
    });
    let bias = present.next();
    let used = bias.as_ref().map(|bias| bias.key.clone());
    let blocks = blocks(files);
    for file in files {
        for array in &file.arrays {
            let key = &array.key;
            // Of whole numbers too: a bias that is typed by hand may be stored so.
            let is_like_one = [&[outputs][..], &[1, outputs], &[outputs, 1]]
                .contains(&&array.shape[..])
                && array.has_numbers;
            let is_something_else = used.as_ref() == Some(key)
                || weights.iter().any(|weight| weight.key == *key)
                || samples.include(file, key)
                || file.metadata.iter().any(|(name, _)| name == key)
                || is_optimizer_state(key)
                || blocks.contain(key);
            if is_like_one && !is_something_else {
                let (key, classes) = (key.clone(), outputs);
                return Err(Problem::UnusedBias { key, classes, used }.in_file(&file.path));
            }
        }
    }
    Ok(bias)
}

/// Whether a bias stands beside weights that are none of the layers, as `classifier.bias` does where the layer is
/// `fc.weight` and there is a `classifier.weight` too.
fn is_bias_of_another(bias: &Name, weights: &[Name], files: &[Listed]) -> bool {
    let arrays = files.iter().flat_map(|file| &file.arrays);
    let mut others = arrays.filter(|array| weights.iter().all(|weight| weight.key != array.key));
    others.any(|array| own_bias_names(&array.key).contains(&bias.key))
}

/// Whether an array is the bias of a layer: by its name, or as it stands beside the weights and has their length, as a
/// scale or a shift of a normalization would.
fn is_bias_of(array: &ListedArray, weight: &Name, files: &[Listed]) -> bool {
    if own_bias_names(&weight.key).contains(&array.key) {
        return true;
    }
    let same_module = |prefix: &str| array.key.strip_prefix(prefix).is_some_and(is_plain);
    let beside = module(&weight.key).is_some_and(same_module) && array.key != weight.key;
    let mut lists = files.iter().flat_map(|file| &file.arrays);
    let shape = lists.find(|array| array.key == weight.key).map(|array| &array.shape[..]);
    let is_vector =
        |size: &usize| [&[*size][..], &[1, *size], &[*size, 1]].contains(&&array.shape[..]);
    beside && array.has_numbers && shape.is_some_and(|shape| shape.iter().any(is_vector))
}

/// The arrays of a file, for the message that it has no part of anything.
pub(crate) fn nothing_found(file: &Listed, weights: &[Name], samples: &SampleNames) -> InputError {
    Problem::NothingFound {
        weights: weights.first().map(|name| name.key.clone()).unwrap_or_default(),
        features: samples.features.key.clone(),
        available: file.keys(),
    }
    .in_file(&file.path)
}
