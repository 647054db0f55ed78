//! Reading `.safetensors` files.
//!
//! Only the header is read at first, then the arrays that are asked for, each once and straight into its
//! numbers: a file of features can be as large as the memory.

use std::collections::BTreeMap;
use std::io::{Read, SeekFrom};

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::super::array::{Layout, StoredArray};
use super::super::container::{Container, Source};
use super::super::element::{ByteOrder, Element};
use super::super::error::Problem;

/// Length of the number at the start of the file that tells the length of the header.
const PREFIX: u64 = 8;

/// The longest header allowed, the limit of the reference implementation.
const MAX_HEADER: u64 = 100_000_000;

/// An open `.safetensors` file.
pub(crate) struct SafetensorsArchive<S> {
    source: S,
    /// Where the numbers begin.
    data_start: u64,
    header: Metadata,
}

impl<S: Source> SafetensorsArchive<S> {
    /// Reads and checks the header.
    pub(crate) fn new(mut source: S) -> Result<Self, Problem> {
        let file_length = source.seek(SeekFrom::End(0))?;
        source.rewind()?;
        let header_length = read_header_length(&mut source, file_length)?;
        let header = read_header(&mut source, header_length)?;
        let data_start = PREFIX + header_length;
        check_length(header.data_len() as u64, file_length - data_start)?;
        Ok(Self { source, data_start, header })
    }
}

impl<S: Source> Container for SafetensorsArchive<S> {
    fn keys(&self) -> Vec<String> {
        let sorted: BTreeMap<_, _> = self.header.tensors().into_iter().collect();
        sorted.into_keys().collect()
    }

    fn open(&mut self, key: &str) -> Option<Result<StoredArray<'_>, Problem>> {
        let info = self.header.info(key)?;
        let (begin, end) = info.data_offsets;
        let position = SeekFrom::Start(self.data_start + begin as u64);
        if let Err(error) = self.source.seek(position) {
            return Some(Err(error.into()));
        }
        let bytes = Box::new((&mut self.source).take((end - begin) as u64));
        Some(Ok(stored_array(key, info, bytes)))
    }

    fn metadata(&self) -> Vec<(String, String)> {
        let entries = self.header.metadata().iter().flatten();
        let sorted: BTreeMap<_, _> =
            entries.map(|(name, text)| (name.clone(), text.clone())).collect();
        sorted.into_iter().collect()
    }
}

fn stored_array<'a>(key: &str, info: &TensorInfo, bytes: Box<dyn Read + 'a>) -> StoredArray<'a> {
    StoredArray {
        key: key.into(),
        element: element(info.dtype),
        element_name: info.dtype.to_string(),
        byte_order: ByteOrder::Little,
        shape: info.shape.clone(),
        layout: Layout::RowMajor,
        bytes,
    }
}

fn element(dtype: Dtype) -> Option<Element> {
    Some(match dtype {
        Dtype::F64 => Element::F64,
        Dtype::F32 => Element::F32,
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::Bf16,
        Dtype::BOOL => Element::Bool,
        Dtype::I8 => Element::I8,
        Dtype::I16 => Element::I16,
        Dtype::I32 => Element::I32,
        Dtype::I64 => Element::I64,
        Dtype::U8 => Element::U8,
        Dtype::U16 => Element::U16,
        Dtype::U32 => Element::U32,
        Dtype::U64 => Element::U64,
        _ => return None,
    })
}

/// The length of the header, checked against the file before memory is reserved for it.
fn read_header_length(source: &mut impl Source, file_length: u64) -> Result<u64, Problem> {
    if file_length < PREFIX {
        return Err(bad(format!("it is only {file_length} bytes long")));
    }
    let mut prefix = [0; PREFIX as usize];
    source.read_exact(&mut prefix)?;
    let header_length = u64::from_le_bytes(prefix);
    let rest = file_length - PREFIX;
    if header_length > rest {
        Err(bad(format!(
            "it announces a header of {header_length} bytes, but only {rest} bytes follow"
        )))
    } else if header_length > MAX_HEADER {
        Err(bad(format!(
            "it announces a header of {header_length} bytes, but at most {MAX_HEADER} are allowed"
        )))
    } else {
        Ok(header_length)
    }
}

fn read_header(source: &mut impl Source, header_length: u64) -> Result<Metadata, Problem> {
    let mut header = Vec::new();
    source.take(header_length).read_to_end(&mut header)?;
    serde_json::from_slice(&header).map_err(|error| bad(format!("bad header: {error}")))
}

fn check_length(announced: u64, found: u64) -> Result<(), Problem> {
    if announced == found {
        return Ok(());
    }
    let mistake = if found < announced { "it is truncated" } else { "it is too long" };
    Err(bad(format!("{mistake}: its header announces {announced} bytes of data, {found} follow")))
}

fn bad(reason: String) -> Problem {
    Problem::BadContainer { format: ".safetensors", reason }
}
