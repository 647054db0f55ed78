//! What a restricted pickle can say: plain values, containers of them, and tensors by reference.
//!
//! Values live in one arena and refer to each other by index, as Python's do: a list that occurs a thousand times
//! takes the memory of one, and a list that contains itself is no endless loop.

use super::super::super::element::Element;

/// The index of a value in the arena.
pub(super) type Id = usize;

/// A value of a pickle.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A string.
    Text(String),
    /// A tuple.
    Tuple(Vec<Id>),
    /// A list.
    List(Vec<Id>),
    /// A dictionary, its keys and values one after the other in their order.
    Dict(Vec<(Id, Id)>),
    /// One of the few names that are allowed.
    Global(Global),
    /// The numbers of one tensor or several.
    Storage(Storage),
    /// A tensor.
    Tensor(Tensor),
}

/// The names that a pickle may refer to. None of them is ever called: each says how a value is to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    /// `collections.OrderedDict`.
    OrderedDict,
    /// `torch.Size`.
    Size,
    /// `torch._utils._rebuild_tensor_v2`.
    Tensor,
    /// `torch._utils._rebuild_tensor_v3`: with a number type of its own.
    TypedTensor,
    /// `torch._utils._rebuild_parameter`.
    Parameter,
    /// A storage class such as `torch.FloatStorage`, or a number type such as `torch.uint16`.
    Type(NumberType),
    /// `torch.storage.UntypedStorage`: bytes.
    Bytes,
}

/// The type of the numbers of a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NumberType {
    /// PyTorch's name.
    pub(super) name: &'static str,
    /// Bytes of one number.
    pub(super) size: usize,
    /// The type; `None` if it is not one of ours.
    pub(super) element: Option<Element>,
}

/// The numbers of one tensor or several, in an entry of the archive.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Storage {
    /// The type of the numbers; `None` for bytes.
    pub(super) numbers: Option<NumberType>,
    /// Name of the entry.
    pub(super) key: String,
    /// Its numbers, or bytes.
    pub(super) count: usize,
}

/// A tensor: a part of a storage.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tensor {
    /// The type of the numbers.
    pub(super) numbers: NumberType,
    /// Name of the entry of the storage.
    pub(super) key: String,
    /// Bytes of the storage.
    pub(super) bytes: usize,
    /// Numbers before the first one.
    pub(super) offset: usize,
    /// Sizes.
    pub(super) shape: Vec<usize>,
    /// Distance of neighbors along each axis, in numbers.
    pub(super) strides: Vec<usize>,
}

impl Global {
    /// The name `module.name`, if it is allowed.
    pub(super) fn find(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch", "Size") => Self::Size,
            ("torch._utils", "_rebuild_tensor_v2") => Self::Tensor,
            ("torch._utils", "_rebuild_tensor_v3") => Self::TypedTensor,
            ("torch._utils", "_rebuild_parameter") => Self::Parameter,
            ("torch.storage", "UntypedStorage") => Self::Bytes,
            ("torch", name) => Self::Type(NumberType::find(name)?),
            _ => return None,
        })
    }
}

impl NumberType {
    /// The type of a storage class or of a tensor.
    fn find(name: &str) -> Option<Self> {
        let of =
            |name, element: Element| Self { name, size: element.size(), element: Some(element) };
        let foreign = |name, size| Self { name, size, element: None };
        Some(match name {
            "DoubleStorage" | "float64" => of("float64", Element::F64),
            "FloatStorage" | "float32" => of("float32", Element::F32),
            "HalfStorage" | "float16" => of("float16", Element::F16),
            "BFloat16Storage" | "bfloat16" => of("bfloat16", Element::Bf16),
            "LongStorage" | "int64" => of("int64", Element::I64),
            "IntStorage" | "int32" => of("int32", Element::I32),
            "ShortStorage" | "int16" => of("int16", Element::I16),
            "CharStorage" | "int8" => of("int8", Element::I8),
            "ByteStorage" | "uint8" => of("uint8", Element::U8),
            "BoolStorage" | "bool" => of("bool", Element::Bool),
            "uint16" => of("uint16", Element::U16),
            "uint32" => of("uint32", Element::U32),
            "uint64" => of("uint64", Element::U64),
            "ComplexFloatStorage" | "complex64" => foreign("complex64", 8),
            "ComplexDoubleStorage" | "complex128" => foreign("complex128", 16),
            "float8_e4m3fn" => foreign("float8_e4m3fn", 1),
            "float8_e5m2" => foreign("float8_e5m2", 1),
            _ => return None,
        })
    }
}
