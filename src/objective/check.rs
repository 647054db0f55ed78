//! Whether a head and the objective it was trained with fit together.

use crate::error::{Error, Result};
use crate::problem::head::LinearHead;
use crate::problem::regularization::{Bias, Regularization};

/// Refuses penalties for another number of layers, or for a head with a bias if there is none.
pub(super) fn check(head: &LinearHead, regularization: &Regularization) -> Result<()> {
    check_depth(head, regularization)?;
    let size = |has_bias: bool| if has_bias { head.classes() } else { 0 };
    let (found, wanted) = (head.bias().is_some(), regularization.bias() != Bias::None);
    if found == wanted {
        return Ok(());
    }
    let reason = match wanted {
        true => "as the penalties are those of a head with a bias",
        false => "as the penalties are those of a head without a bias",
    };
    Err(Error::length("bias", size(found), size(wanted), reason))
}

/// Refuses a head with a bias or, where all products are to be of vectors of length 1, of several layers.
pub(super) fn check_free_of_bias(head: &LinearHead, one_layer: bool) -> Result<()> {
    if one_layer && head.depth() != 1 {
        return Err(Error::length("weights", head.depth(), 1, "as the model has one layer"));
    }
    match head.bias() {
        None => Ok(()),
        Some(_) => Err(Error::length("bias", head.classes(), 0, "as the model has no bias")),
    }
}

/// Refuses penalties for another number of layers.
pub(super) fn check_depth(head: &LinearHead, regularization: &Regularization) -> Result<()> {
    if head.depth() == regularization.depth() {
        return Ok(());
    }
    let reason = "one for each layer of the head";
    Err(Error::length("weight_decays", regularization.depth(), head.depth(), reason))
}
