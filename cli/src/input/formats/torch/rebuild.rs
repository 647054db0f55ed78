//! Understanding what a pickle would call: the functions that put tensors together.

use super::error::PickleError;
use super::value::{Global, Id, Storage, Tensor, Value};

/// The value that `function(*arguments)` stands for.
pub(super) fn call(
    values: &[Value],
    function: Global,
    arguments: &[Id],
) -> Result<Value, PickleError> {
    let argument = |index: usize| arguments.get(index).and_then(|&id| values.get(id));
    match function {
        Global::OrderedDict => ordered_dict(values, argument(0)),
        Global::Size => match argument(0) {
            Some(Value::Tuple(sizes)) => Ok(Value::Tuple(sizes.clone())),
            _ => Err(PickleError::Malformed("a torch.Size has no sizes")),
        },
        Global::Parameter => match argument(0) {
            Some(tensor @ Value::Tensor(_)) => Ok(tensor.clone()),
            _ => Err(PickleError::Malformed("a parameter is no tensor")),
        },
        Global::Tensor | Global::TypedTensor => {
            let place = if function == Global::TypedTensor { 6 } else { usize::MAX };
            tensor(values, argument, argument(place)).map(Value::Tensor)
        }
        Global::Type(_) | Global::Bytes => {
            Err(PickleError::Malformed("the pickle calls a type of numbers"))
        }
    }
}

/// `OrderedDict()`, or of a list of pairs as some versions of Python write it.
fn ordered_dict(values: &[Value], pairs: Option<&Value>) -> Result<Value, PickleError> {
    let pairs = match pairs {
        None => return Ok(Value::Dict(Vec::new())),
        Some(Value::List(pairs)) => pairs,
        Some(_) => return Err(PickleError::Malformed("an OrderedDict is no list of pairs")),
    };
    let entry = |&id: &Id| match values.get(id) {
        Some(Value::List(pair) | Value::Tuple(pair)) => match **pair {
            [key, value] => Some((key, value)),
            _ => None,
        },
        _ => None,
    };
    let entries: Option<Vec<_>> = pairs.iter().map(entry).collect();
    entries.map(Value::Dict).ok_or(PickleError::Malformed("an OrderedDict is no list of pairs"))
}

/// The storage that `('storage', type, key, location, count)` refers to.
pub(super) fn storage(values: &[Value], id: Id) -> Result<Storage, PickleError> {
    let malformed = PickleError::Malformed("a storage is not described as torch.save does it");
    let Some(Value::Tuple(parts)) = values.get(id) else { return Err(malformed) };
    let part = |index: usize| parts.get(index).and_then(|&id| values.get(id));
    let numbers = match part(1) {
        Some(Value::Global(Global::Type(numbers))) => Some(*numbers),
        Some(Value::Global(Global::Bytes)) => None,
        _ => return Err(malformed),
    };
    match (part(0), part(2), part(4).and_then(size)) {
        (Some(Value::Text(kind)), Some(Value::Text(key)), Some(count)) if kind == "storage" => {
            Ok(Storage { numbers, key: key.clone(), count })
        }
        _ => Err(malformed),
    }
}

/// The tensor of a storage, an offset, sizes and strides; of the type `typed` if that is given.
fn tensor<'a>(
    values: &'a [Value],
    argument: impl Fn(usize) -> Option<&'a Value>,
    typed: Option<&Value>,
) -> Result<Tensor, PickleError> {
    let malformed = PickleError::Malformed("a tensor is not described as torch.save does it");
    let Some(Value::Storage(storage)) = argument(0) else { return Err(malformed) };
    let numbers = match (storage.numbers, typed) {
        (Some(numbers), _) => numbers,
        (None, Some(Value::Global(Global::Type(numbers)))) => *numbers,
        _ => return Err(malformed),
    };
    let sizes = |index: usize| match argument(index) {
        Some(Value::Tuple(sizes)) => {
            sizes.iter().map(|&id| values.get(id).and_then(size)).collect::<Option<Vec<_>>>()
        }
        _ => None,
    };
    let unit = storage.numbers.map_or(1, |numbers| numbers.size);
    let bytes = storage.count.checked_mul(unit);
    match (argument(1).and_then(size), sizes(2), sizes(3), bytes) {
        (Some(offset), Some(shape), Some(strides), Some(bytes)) if shape.len() == strides.len() => {
            Ok(Tensor { numbers, key: storage.key.clone(), bytes, offset, shape, strides })
        }
        _ => Err(malformed),
    }
}

fn size(value: &Value) -> Option<usize> {
    match value {
        Value::Int(size) => usize::try_from(*size).ok(),
        _ => None,
    }
}
