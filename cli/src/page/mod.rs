//! Pages: reports in one HTML file that needs nothing else.

mod classes;
mod figures;
mod html;
mod lengths;
mod measured;
mod network;
mod prediction;
mod seen;
mod training;
mod words;

pub(crate) use network::network_page;
pub(crate) use prediction::prediction_page;
pub(crate) use seen::Seen;
pub(crate) use training::{Rates, training_page};
