//! Writing arrays in every format and type.

use super::*;

/// An array to be written.
#[derive(Debug, Clone)]
pub(super) struct Array {
    pub(super) key: String,
    pub(super) shape: Vec<usize>,
    /// Row after row.
    pub(super) values: Vec<f64>,
    pub(super) kind: Kind,
    /// Column after column in the file, where the format can do that.
    pub(super) is_fortran: bool,
    /// The most significant byte first, where the format and the type can do that.
    pub(super) is_big_endian: bool,
}

/// A type of numbers: NumPy's, that of safetensors and that of PyTorch's storages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind(pub(super) &'static str, Dtype, &'static str);

/// All types that features and weights may have.
pub(super) const FLOATS: [Kind; 4] = [
    Kind("f8", Dtype::F64, "DoubleStorage"),
    Kind("f4", Dtype::F32, "FloatStorage"),
    Kind("f2", Dtype::F16, "HalfStorage"),
    Kind("V2", Dtype::BF16, "BFloat16Storage"),
];

/// Those that labels may have beside these.
pub(super) const INTEGERS: [Kind; 6] = [
    Kind("i8", Dtype::I64, "LongStorage"),
    Kind("i4", Dtype::I32, "IntStorage"),
    Kind("i2", Dtype::I16, "ShortStorage"),
    Kind("i1", Dtype::I8, "CharStorage"),
    Kind("u1", Dtype::U8, "ByteStorage"),
    Kind("b1", Dtype::BOOL, "BoolStorage"),
];

/// A format of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Safetensors,
    Npz,
    Torch,
}

impl Array {
    pub(super) fn new(key: &str, shape: &[usize], values: &[f64]) -> Self {
        let (key, shape, values) = (key.into(), shape.to_vec(), values.to_vec());
        Self { key, shape, values, kind: FLOATS[0], is_fortran: false, is_big_endian: false }
    }

    pub(super) fn of(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// The bytes of the numbers, the least significant first, in this order.
    fn bytes(&self, values: &[f64]) -> Vec<u8> {
        let bytes = |value: &f64| match self.kind.0 {
            "f8" => value.to_le_bytes().to_vec(),
            "f4" => (*value as f32).to_le_bytes().to_vec(),
            "f2" => f16::from_f64(*value).to_le_bytes().to_vec(),
            "V2" => bf16::from_f64(*value).to_le_bytes().to_vec(),
            "i8" => (*value as i64).to_le_bytes().to_vec(),
            "i4" => (*value as i32).to_le_bytes().to_vec(),
            "i2" => (*value as i16).to_le_bytes().to_vec(),
            "i1" => (*value as i8).to_le_bytes().to_vec(),
            _ => vec![*value as u8],
        };
        values.iter().flat_map(bytes).collect()
    }

    /// The numbers column after column, the first axis being the rows.
    fn columns(&self) -> Vec<f64> {
        let rows = self.shape[0].max(1);
        let columns = self.values.len() / rows;
        let place = |index: usize| (index % rows) * columns + index / rows;
        (0..self.values.len()).map(|index| self.values[place(index)]).collect()
    }

    pub(super) fn npy(&self) -> Vec<u8> {
        let is_fortran = self.is_fortran && self.shape.len() == 2;
        let values = if is_fortran { self.columns() } else { self.values.clone() };
        let shape: String = self.shape.iter().map(|size| format!("{size}, ")).collect();
        let size = self.kind.0.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
        let is_turned = self.is_big_endian && size > 1 && self.kind.0 != "V2";
        let header = format!(
            "{{'descr': '{}{}', 'fortran_order': {}, 'shape': ({shape}), }}",
            if is_turned { '>' } else { '<' },
            self.kind.0,
            if is_fortran { "True" } else { "False" }
        );
        let mut bytes = self.bytes(&values);
        if is_turned {
            bytes.chunks_mut(size).for_each(<[u8]>::reverse);
        }
        npy_file(&header, &bytes)
    }
}

/// A file of arrays.
pub(super) fn container(format: Format, arrays: &[Array]) -> Vec<u8> {
    match format {
        Format::Safetensors => {
            let data: Vec<_> = arrays.iter().map(|array| array.bytes(&array.values)).collect();
            let views = arrays.iter().zip(&data).map(|(array, data)| {
                (
                    array.key.as_str(),
                    TensorView::new(array.kind.1, array.shape.clone(), data).unwrap(),
                )
            });
            serialize(views, None).unwrap()
        }
        Format::Npz => {
            let entries: Vec<_> =
                arrays.iter().map(|array| (format!("{}.npy", array.key), array.npy())).collect();
            let entries: Vec<_> =
                entries.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
            npz_file(&entries)
        }
        Format::Torch => {
            let mut entries = vec![("archive/data.pkl".to_string(), pickle(arrays))];
            for (index, array) in arrays.iter().enumerate() {
                let values =
                    if is_transposed(array) { array.columns() } else { array.values.clone() };
                entries.push((format!("archive/data/{index}"), array.bytes(&values)));
            }
            let entries: Vec<_> =
                entries.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
            npz_file(&entries)
        }
    }
}

fn is_transposed(array: &Array) -> bool {
    array.is_fortran && array.shape.len() == 2
}

/// A pickle as `torch.save` writes it for a dict of tensors.
fn pickle(arrays: &[Array]) -> Vec<u8> {
    let mut bytes = b"\x80\x02}(".to_vec();
    for (index, array) in arrays.iter().enumerate() {
        text(&mut bytes, &array.key);
        bytes.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut bytes, "storage");
        bytes.extend(format!("ctorch\n{}\n", array.kind.2).as_bytes());
        text(&mut bytes, &index.to_string());
        text(&mut bytes, "cpu");
        number(&mut bytes, array.values.len());
        bytes.extend(b"tQK\x00");
        let mut strides = vec![1; array.shape.len()];
        if is_transposed(array) {
            strides[1] = array.shape[0];
        } else {
            for axis in (1..array.shape.len()).rev() {
                strides[axis - 1] = strides[axis] * array.shape[axis];
            }
        }
        for sizes in [&array.shape, &strides] {
            bytes.push(b'(');
            sizes.iter().for_each(|&size| number(&mut bytes, size));
            bytes.push(b't');
        }
        bytes.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    }
    bytes.extend(b"u.");
    bytes
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(b'X');
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text.as_bytes());
}

fn number(bytes: &mut Vec<u8>, number: usize) {
    bytes.push(b'J');
    bytes.extend((number as i32).to_le_bytes());
}
