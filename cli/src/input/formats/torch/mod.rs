//! Reading `.pt` and `.pth` files: zip archives of `torch.save`, without executing anything.
//!
//! The crates that read them either bring a machine-learning framework or read each tensor into memory whole, views
//! and all (pytorch-reader 0.22); features are read in blocks here. So the pickle, which only names the tensors, is
//! read by a machine of our own that knows a few dozen instructions and nothing else, and numbers come straight from
//! the entries of the archive.

mod error;
mod pickle;
mod rebuild;
mod tensor;
mod tree;
mod value;

use std::collections::BTreeMap;
use std::io::Read;

use zip::ZipArchive;

use self::error::PickleError;
use self::value::Tensor;
use super::super::array::StoredArray;
use super::super::container::{Container, Source};
use super::super::element::ByteOrder;
use super::super::error::Problem;

/// The longest pickle that is read: its tensors are not in it.
const MAX_PICKLE: u64 = 100_000_000;

/// Name of the pickle in the folder of the archive.
const PICKLE: &str = "data.pkl";

/// An open file of `torch.save`.
pub(crate) struct TorchArchive<S> {
    archive: ZipArchive<S>,
    /// Name of the only folder, with `/`.
    folder: String,
    byte_order: ByteOrder,
    tensors: BTreeMap<String, Tensor>,
    metadata: Vec<(String, String)>,
}

/// The folder that `torch.save` puts everything into, if the names in a zip archive are its.
pub(crate) fn folder(names: &[impl AsRef<str>]) -> Option<String> {
    names.iter().find_map(|name| {
        let folder = name.as_ref().strip_suffix(PICKLE)?;
        let depth = folder.matches('/').count();
        (folder.is_empty() || (depth == 1 && folder.ends_with('/'))).then(|| folder.into())
    })
}

impl<S: Source> TorchArchive<S> {
    /// Reads the pickle. A single tensor is named `name`.
    pub(crate) fn new(
        mut archive: ZipArchive<S>,
        folder: &str,
        name: String,
    ) -> Result<Self, Problem> {
        let bytes = read_entry(&mut archive, &format!("{folder}{PICKLE}"))?;
        let pickle = pickle::load(&bytes).map_err(refused)?;
        let tree = tree::flatten(&pickle, &name).map_err(refused)?;
        let order_name = format!("{folder}byteorder");
        let byte_order = match archive.index_for_name(&order_name) {
            Some(_) => byte_order(&read_entry(&mut archive, &order_name)?)?,
            None => ByteOrder::Little,
        };
        let (tensors, metadata) = (tree.tensors, tree.metadata);
        Ok(Self { archive, folder: folder.into(), byte_order, tensors, metadata })
    }
}

impl<S: Source> Container for TorchArchive<S> {
    fn keys(&self) -> Vec<String> {
        self.tensors.keys().cloned().collect()
    }

    fn open(&mut self, key: &str) -> Option<Result<StoredArray<'_>, Problem>> {
        let tensor = self.tensors.get(key)?;
        let entry = format!("{}data/{}", self.folder, tensor.key);
        Some(match self.archive.by_name(&entry) {
            Ok(entry) => {
                let length = entry.size();
                tensor.stored(key, self.byte_order, length, Box::new(entry))
            }
            Err(error) => Err(Problem::bad_array(key, format!("bad zip entry `{entry}`: {error}"))),
        })
    }

    fn metadata(&self) -> Vec<(String, String)> {
        self.metadata.clone()
    }
}

/// The bytes of a small entry.
fn read_entry<S: Source>(archive: &mut ZipArchive<S>, name: &str) -> Result<Vec<u8>, Problem> {
    let entry = archive.by_name(name).map_err(|error| bad(format!("`{name}`: {error}")))?;
    let mut bytes = Vec::new();
    let read = entry.take(MAX_PICKLE + 1).read_to_end(&mut bytes);
    read.map_err(|error| bad(format!("`{name}`: {error}")))?;
    match bytes.len() as u64 <= MAX_PICKLE {
        true => Ok(bytes),
        false => Err(bad(format!("`{name}` is longer than {MAX_PICKLE} bytes"))),
    }
}

fn byte_order(text: &[u8]) -> Result<ByteOrder, Problem> {
    match text {
        b"little" => Ok(ByteOrder::Little),
        b"big" => Ok(ByteOrder::Big),
        _ => Err(bad("its `byteorder` is neither `little` nor `big`".into())),
    }
}

/// A pickle is refused for what it needs, and the remedy is the same for all.
fn refused(error: PickleError) -> Problem {
    match error {
        PickleError::Name(_) | PickleError::Instruction(..) => Problem::Foreign {
            what: "a torch.save file of more than tensors, names and numbers",
            remedy: format!(
                "{error}, which is not executed here; save the tensors alone: python -c \"import torch; m = \
                 torch.load('IN.pt', weights_only=False); torch.save(getattr(m, 'state_dict', lambda: m)(), \
                 'OUT.pt')\", for a checkpoint m['state_dict']"
            ),
        },
        _ => bad(error.to_string()),
    }
}

fn bad(reason: String) -> Problem {
    Problem::BadContainer { format: "torch.save", reason }
}
