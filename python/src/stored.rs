//! How what is pickled is written: MessagePack with the names of all fields, in an envelope that says what it is.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::bad_argument;

/// The version of the envelope; what is inside has versions of its own.
const VERSION: u32 = 1;

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a, T> {
    format: &'a str,
    version: u32,
    content: T,
}

/// The bytes of a value of this kind.
pub(crate) fn write<'py, T: Serialize + Sync>(
    py: Python<'py>,
    kind: &'static str,
    content: &T,
) -> PyResult<Bound<'py, PyBytes>> {
    let envelope = Envelope { format: kind, version: VERSION, content };
    let bytes = py.detach(|| rmp_serde::to_vec_named(&envelope).map_err(|error| error.to_string()));
    Ok(PyBytes::new(py, &bytes.map_err(|error| bad_argument(py, "self", &error, "writable"))?))
}

/// The value that [`write`] has written: everything goes through the library's checks again.
pub(crate) fn read<T: DeserializeOwned + Send>(
    py: Python<'_>,
    kind: &'static str,
    bytes: &[u8],
) -> PyResult<T> {
    let refuse = |found: String| {
        bad_argument(py, "data", &found, "what `to_bytes` of the same class has written")
    };
    let read = py.detach(|| {
        let envelope = rmp_serde::from_slice::<Envelope<'_, T>>(bytes);
        envelope.map_err(|error| error.to_string()).and_then(|envelope| match envelope {
            Envelope { format, .. } if format != kind => Err(format!("a stored {format}")),
            Envelope { version, .. } if version != VERSION => {
                Err(format!("of version {version}, where this release reads {VERSION}"))
            }
            Envelope { content, .. } => Ok(content),
        })
    });
    read.map_err(refuse)
}
