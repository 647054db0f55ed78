//! Why a pickle is refused.

/// Why a pickle is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum PickleError {
    /// The bytes end before the program does.
    #[error("the pickle ends too early")]
    Truncated,
    /// An instruction that tensors and plain values do not need.
    #[error("the instruction {0:#04x} at byte {1} is not one that tensors need")]
    Instruction(u8, usize),
    /// A name that is not on the list.
    #[error("it needs Python's `{0}`")]
    Name(String),
    /// The instructions make no sense.
    #[error("{0}")]
    Malformed(&'static str),
}
