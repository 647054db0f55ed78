//! Pictures: numbers of the library, drawn by the crate `kuva`. There is no mathematics here.
//!
//! A picture is drawn for a file of its own, in colors that are the same everywhere, or for a page, in which colors are
//! variables of its style sheet, so that it can be light or dark.

mod collapse;
mod confusion;
mod cosines;
mod curves;
mod heat_map;
mod ink;
mod norms;
mod phases;
mod picture;
mod potential;
mod scatter;
mod spectrum;
mod vectors;

pub(crate) use collapse::collapse;
pub(crate) use confusion::confusion;
pub(crate) use cosines::cosines;
pub(crate) use curves::{Curve, Level, curves};
pub(crate) use heat_map::{Grid, heat_map};
pub(crate) use ink::{Ink, style_of_page};
pub(crate) use norms::{Norm, Norms, norms};
pub(crate) use phases::{Column, Thresholds, structures, thresholds};
pub(crate) use picture::{Picture, escaped, short};
pub(crate) use potential::potential;
pub(crate) use scatter::{Scatter, scatter};
pub(crate) use spectrum::{Spectrum, spectrum};
pub(crate) use vectors::{Arrows, vectors};
