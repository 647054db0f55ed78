//! How what is pickled is written: MessagePack with the names of all fields, in an envelope that says what it is.

use pyo3::PyClass;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::error::bad_argument;

/// The version of the envelope; what is inside has versions of its own.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a, T> {
    format: &'a str,
    version: u32,
    content: T,
}

/// A class that [`pickled`] gives the methods to be written and read by.
pub(crate) trait Stored: PyClass {
    /// What is read: the class, or one of its subclasses.
    type Read;

    /// The bytes.
    fn written<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>>;

    /// The object of these bytes.
    fn read(py: Python<'_>, data: &[u8]) -> PyResult<Self::Read>;
}

/// The methods `to_bytes`, `from_bytes` and `__reduce__` of classes that are [`Stored`].
macro_rules! pickled {
    ($($class:ident),+) => {
        $(#[pyo3::pymethods]
        impl $class {
            /// All of it as bytes, with a version; `from_bytes` checks them.
            fn to_bytes<'py>(
                slf: &pyo3::Bound<'py, Self>,
            ) -> pyo3::PyResult<pyo3::Bound<'py, pyo3::types::PyBytes>> {
                $crate::stored::Stored::written(&*slf.borrow(), slf.py())
            }

            /// What `to_bytes` has written. Raises ArgumentError for anything else.
            #[staticmethod]
            fn from_bytes(
                py: pyo3::Python<'_>,
                data: &[u8],
            ) -> pyo3::PyResult<<Self as $crate::stored::Stored>::Read> {
                <Self as $crate::stored::Stored>::read(py, data)
            }

            fn __reduce__<'py>(
                slf: &pyo3::Bound<'py, Self>,
            ) -> pyo3::PyResult<(
                pyo3::Bound<'py, pyo3::PyAny>,
                (pyo3::Bound<'py, pyo3::types::PyBytes>,),
            )> {
                let read = slf.py().get_type::<Self>().getattr("from_bytes")?;
                Ok((read, (Self::to_bytes(slf)?,)))
            }
        })+
    };
}
pub(crate) use pickled;

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

/// The one of these kinds that bytes are of.
pub(crate) fn kind_of(bytes: &[u8], kinds: &[&'static str]) -> Option<&'static str> {
    let envelope = rmp_serde::from_slice::<Envelope<'_, IgnoredAny>>(bytes).ok()?;
    kinds.iter().copied().find(|&kind| kind == envelope.format)
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
