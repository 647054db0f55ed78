//! A training as it happens: one row of numbers for each checkpoint.

mod files;
mod resume;
mod row;
mod table;

pub(crate) use files::{Checkpoint, checkpoints};
pub(crate) use resume::{Store, json_lines};
pub(crate) use row::Row;
pub(crate) use table::{csv, table};
