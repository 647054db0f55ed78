//! The exact geometry of *neural collapse*: predict it, measure it, compare the two.
//!
//! When a classifier is trained long after it fits its data, the features of each class shrink to their mean, and
//! the class means and the weights of the last layers arrange themselves in a regular figure. For linear layers
//! W₁, …, W_M after free features H (the *unconstrained features model*) the minimum of the loss with weight decay is
//! known exactly for many settings. This crate computes it, and measures how far a trained network is from it.
//!
//! # Predict
//!
//! ```
//! use neural_collapse::geometry::ClassMatrix;
//! use neural_collapse::{Basis, Bias, ClassCounts, Geometry, Prediction, Regularization, Ufm};
//!
//! // Four classes, three linear layers, every weight decay 5e-4, no bias.
//! let counts = ClassCounts::new(&[200, 100, 50, 50])?;
//! let regularization = Regularization::new(&[5e-4; 3], 5e-4)?;
//! let minimum = Ufm::new(counts, regularization.clone())?.global_minimum()?;
//! assert_eq!(minimum.geometry(), Geometry::GeneralOrthogonalFrame);
//! assert!((minimum.loss() - 0.012218400).abs() < 1e-9);
//!
//! // Norms of the smallest class, and the class size below which classes collapse to zero.
//! let smallest = minimum.class(3).unwrap();
//! assert!((smallest.classifier_norm_squared.unwrap() - 2.64489).abs() < 1e-5);
//! assert!(minimum.smallest_surviving_count() < 1.0);
//!
//! // Matrices that attain the minimum.
//! let explicit = minimum.explicit(&Basis::Standard)?;
//! assert_eq!(explicit.head().depth(), 3);
//!
//! // Balanced classes with an unregularized bias: a simplex equiangular tight frame.
//! let counts = ClassCounts::balanced(10, 600)?;
//! let balanced = Ufm::new(counts, regularization.with_bias(Bias::Unregularized)?)?.global_minimum()?;
//! let gram = balanced.trailing_gram(1)?.to_dense().unwrap();
//! assert!(ClassMatrix::simplex_etf(10)?.distance(&gram)? < 1e-14);
//! # Ok::<(), neural_collapse::Error>(())
//! ```
//!
//! # Audit
//!
//! Features come as `f32` or `f64`, with one sample per row (as in PyTorch) or per column, together with the labels.
//! A [`LinearHead`] holds the weights and the bias. [`audit()`] computes NC1 to NC4 and compares the network with the
//! minimum for its weight decays:
//!
//! ```
//! use neural_collapse::nalgebra::{self, dmatrix};
//! use neural_collapse::{ClassCounts, Features, LinearHead, Regularization, Ufm, audit};
//!
//! let features = [1.9_f32, 0.1, 2.1, -0.1, 0.0, 1.9, 0.0, 2.1]; // four samples in two dimensions
//! let data = Features::from_row_major(&features, 4, 2)?.with_labels(&[0, 0, 1, 1], 2)?;
//! let head = LinearHead::new(vec![dmatrix![0.5, 0.0; 0.0, 0.5]], None)?;
//! let ufm = Ufm::new(ClassCounts::new(&[2, 2])?, Regularization::new(&[0.01], 0.01)?)?;
//! let report = audit(&data, &head, &ufm.global_minimum()?)?;
//! assert!(report.measurement.nc1().unwrap().value < 0.01 && report.nc3.unwrap() < 1e-6);
//! assert!(report.loss_gap().unwrap() > 0.0);
//! # Ok::<(), neural_collapse::Error>(())
//! ```
//!
//! Every metric is also a function of its own in [`metrics`]. Data sets that do not fit in memory are read twice, batch
//! by batch: first into [`ClassStatistics`], then into [`AuditSums`].
//!
//! # Where things are
//!
//! | module | what it has |
//! |---|---|
//! | [`problem`] | what every model is given: class counts, weight decays and bias, the linear head |
//! | [`models`] | one module for each loss: [`squared`](models::squared), [`cross_entropy`](models::cross_entropy), [`convex`](models::convex) (one layer, any class sizes), [`layer_peeled`](models::layer_peeled), [`svm`](models::svm), [`nonnegative`](models::nonnegative), [`multi_label`](models::multi_label), [`soft_labels`](models::soft_labels); [`diagrams`](models::diagrams) of what becomes of them at other decays and class sizes |
//! | [`prediction`] | what every model answers, and how far it is proved |
//! | [`geometry`] | frames, Gram matrices of classes, distances to them |
//! | [`measure`] | features with labels, class statistics and scatters, in memory or batch by batch |
//! | [`metrics`] | NC1 to NC4 and their variants |
//! | [`objective`] | the training objective of a measured network, with its gradient |
//! | [`audit`](mod@audit) | a network beside its prediction |
//! | [`error`] | the error type, with places and values as data |
//!
//! Matrices are those of [nalgebra](https://nalgebra.org) 0.35, which is re-exported as [`nalgebra`] with its macros. These
//! expand to paths that begin with `nalgebra`, which is why the example above names it beside `dmatrix!`.
//! No input makes this crate panic, and it prints nothing.
//! The derivations, the list of metrics and the measured accuracy are in the folder
//! `docs` of the repository (`theory.md`, `metrics.md`, `accuracy.md`).
//!
//! # Features of this crate
//!
//! * `random` (on by default): random orthonormal vectors for explicit matrices, `Basis::Random`.
//! * `simd` (on by default): loops are compiled for several generations of processors and the best version is chosen
//!   when the program runs. Without it only matrix products use vector units.
//! * `serde`: problems and results can be serialized. What is read goes through the constructors, so that it is as valid
//!   as what they make.
//!
//! The minimum supported Rust version is 1.89.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod audit;
pub mod error;
pub mod geometry;
pub mod measure;
pub mod metrics;
pub mod models;
mod monitor;
mod numerics;
pub mod objective;
pub mod prediction;
pub mod problem;

/// The matrices of all arguments and results.
pub use nalgebra;

#[doc(inline)]
pub use audit::{Audit, AuditSums, audit};
#[doc(inline)]
pub use error::{Error, Result};
#[doc(inline)]
pub use geometry::ClassMatrix;
#[doc(inline)]
pub use measure::{ClassStatistics, Features, LabeledFeatures};
#[doc(inline)]
pub use models::cross_entropy::{CrossEntropyUfm, Landscape};
#[doc(inline)]
pub use models::layer_peeled::LayerPeeled;
#[doc(inline)]
pub use models::squared::{GlobalMinimum, Potential, Ufm};
#[doc(inline)]
pub use models::svm::Seli;
pub use monitor::{Monitor, Progress};
#[doc(inline)]
pub use prediction::{Basis, ExplicitPoint, Geometry, Prediction, Verdict};
#[doc(inline)]
pub use problem::{Bias, ClassCounts, LinearHead, Regularization};

/// The examples of the README, which are tested with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
