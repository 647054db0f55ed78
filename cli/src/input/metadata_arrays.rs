//! Hyper-parameters that are stored as arrays, as in `.npz` files, which have no metadata.

use super::array::StoredArray;
use super::container::{Container, ListedArray};
use super::metadata::{may_be_list, meant};

/// The more numbers an array has, the less it is a list of hyper-parameters.
const MAX_NUMBERS: usize = 10_000;

/// The texts of all arrays that are single texts, or that have the name of a hyper-parameter or one like it.
pub(super) fn from_arrays(
    container: &mut dyn Container,
    arrays: &[ListedArray],
) -> Vec<(String, String)> {
    let text = |array: &ListedArray| {
        let entry = meant(&array.key);
        let is_candidate = match array.shape[..] {
            [] => true,
            [1] => entry.is_some(),
            [_] => entry.is_some_and(may_be_list),
            _ => false,
        };
        let stored = container.open(&array.key).filter(|_| is_candidate)?.ok()?;
        let text = match entry {
            _ if stored.has_text() => stored.into_text().filter(|_| array.shape.is_empty()),
            Some(entry) if array.has_numbers => numbers(stored, may_be_list(entry)),
            _ => None,
        };
        Some((array.key.clone(), text?))
    };
    arrays.iter().filter_map(text).collect()
}

/// A number, or a list of numbers, as JSON has them.
fn numbers(mut stored: StoredArray<'_>, may_be_list: bool) -> Option<String> {
    let count = stored.count().ok().filter(|&count| count <= MAX_NUMBERS)?;
    let is_number = stored.shape.is_empty() || (count == 1 && !may_be_list);
    let numbers = match stored.is_of_floats() {
        true => stored.into_floats().ok()?,
        false => {
            let mut whole = Vec::new();
            stored.read_codes(count, &mut whole).ok()?.ok()?;
            whole.into_iter().map(|number| number as f64).collect()
        }
    };
    match numbers[..] {
        [number] if is_number => Some(number.to_string()),
        _ => serde_json::to_string(&numbers).ok(),
    }
}
