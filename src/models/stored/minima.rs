//! How minima are stored.

use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::models::any::AnyModel;
use crate::models::contrastive::{UnitFeatures, UnitMinimum};
use crate::models::convex::{ConvexMinimum, ConvexUfm};
use crate::models::cross_entropy::{CrossEntropyPoint, Landscape, LogitStructure, SearchResult};
use crate::models::fixed_head::{FixedHeadMinimum, FixedHeadUfm};
use crate::models::layer_peeled::{LayerPeeled, LayerPeeledMinimum};
use crate::models::low_rank::LowRankMinimum;
use crate::models::multi_label::{MultiLabelMinimum, MultiLabelUfm};
use crate::models::nonnegative::{NonnegativeMinimum, NonnegativeUfm};
use crate::models::soft_labels::{CenteredSupports, Certificate, SmallestLogits, SparseLabels};
use crate::models::squared::{ReluCompetitor, Ufm};
use crate::numerics::stored::StoredMatrix;
use crate::prediction::{Prediction, Summary};

/// What is written of a minimum.
#[derive(Serialize)]
struct Written<'a, P, M> {
    problem: &'a P,
    #[serde(flatten)]
    prediction: Summary,
    #[serde(flatten)]
    more: M,
}

/// What is read of one.
#[derive(Deserialize)]
struct Read<P> {
    problem: P,
}

/// A minimum with what there is `more` than a [`Summary`].
fn write<S: Serializer>(
    problem: &impl Serialize,
    prediction: &dyn Prediction,
    more: impl Serialize,
    serializer: S,
) -> core::result::Result<S::Ok, S::Error> {
    let prediction = Summary::new(prediction).map_err(S::Error::custom)?;
    Written { problem, prediction, more }.serialize(serializer)
}

/// Nothing more than a [`Summary`].
#[derive(Serialize)]
struct Nothing {}

/// Writes minima that follow from their problem, and reads them.
macro_rules! minima {
    ($($problem:ty => $minimum:ty,)+) => {$(
        impl Serialize for $minimum {
            fn serialize<S: Serializer>(&self, serializer: S) -> core::result::Result<S::Ok, S::Error> {
                write(self.problem(), self, Nothing {}, serializer)
            }
        }

        impl<'de> Deserialize<'de> for $minimum {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> core::result::Result<Self, D::Error> {
                let Read::<$problem> { problem } = Read::deserialize(deserializer)?;
                problem.global_minimum().map_err(de::Error::custom)
            }
        }
    )+};
}

minima!(
    ConvexUfm => ConvexMinimum,
    NonnegativeUfm => NonnegativeMinimum,
    LayerPeeled => LayerPeeledMinimum,
    MultiLabelUfm => MultiLabelMinimum,
    FixedHeadUfm => FixedHeadMinimum,
    UnitFeatures => UnitMinimum,
);

/// What [`CenteredSupports`] add: whether they are the minimum.
#[derive(Serialize)]
struct Certified<'a> {
    certificate: &'a Certificate,
}

impl Serialize for CenteredSupports {
    fn serialize<S: Serializer>(&self, serializer: S) -> core::result::Result<S::Ok, S::Error> {
        write(self.problem(), self, Certified { certificate: self.certificate() }, serializer)
    }
}

impl<'de> Deserialize<'de> for CenteredSupports {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> core::result::Result<Self, D::Error> {
        let Read::<SparseLabels> { problem } = Read::deserialize(deserializer)?;
        problem.global_minimum().map_err(de::Error::custom)
    }
}

/// What [`SmallestLogits`] add.
#[derive(Serialize)]
struct Smallest {
    logits: StoredMatrix,
}

impl Serialize for SmallestLogits {
    fn serialize<S: Serializer>(&self, serializer: S) -> core::result::Result<S::Ok, S::Error> {
        let more = Smallest { logits: StoredMatrix::from(self.logits()) };
        write(self.problem(), self, more, serializer)
    }
}

impl<'de> Deserialize<'de> for SmallestLogits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> core::result::Result<Self, D::Error> {
        let Read::<SparseLabels> { problem } = Read::deserialize(deserializer)?;
        problem.smallest_logits().map_err(de::Error::custom)
    }
}

/// What a [`LowRankMinimum`] adds.
#[derive(Serialize)]
struct Searched {
    rank: usize,
    hits: usize,
    starts: usize,
    outputs: StoredMatrix,
    automorphisms: Option<u128>,
}

impl Serialize for LowRankMinimum {
    fn serialize<S: Serializer>(&self, serializer: S) -> core::result::Result<S::Ok, S::Error> {
        let (hits, starts) = self.hits();
        let more = Searched {
            rank: self.rank(),
            hits,
            starts,
            outputs: StoredMatrix::from(self.outputs()),
            automorphisms: self.automorphisms(),
        };
        write(self.problem(), self, more, serializer)
    }
}

/// What a [`CrossEntropyPoint`] adds.
#[derive(Serialize)]
struct Structured<'a> {
    structure: &'a LogitStructure,
    sizes: &'a [f64],
    margin: f64,
    rank: usize,
}

impl Serialize for CrossEntropyPoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> core::result::Result<S::Ok, S::Error> {
        let more = Structured {
            structure: self.structure(),
            sizes: self.sizes(),
            margin: self.margin(),
            rank: self.rank(),
        };
        write(self.problem(), self, more, serializer)
    }
}

/// What a [`Landscape`] adds to its best point.
#[derive(Serialize)]
struct Surveyed<'a> {
    points: &'a [CrossEntropyPoint],
    search: Option<SearchResult>,
}

impl Serialize for Landscape {
    fn serialize<S: Serializer>(&self, serializer: S) -> core::result::Result<S::Ok, S::Error> {
        let more = Surveyed { points: self.points(), search: self.search() };
        write(self.problem(), self, more, serializer)
    }
}

/// What is written of a [`ReluCompetitor`]; its problem is read.
#[derive(Serialize)]
struct Competitor<'a> {
    problem: &'a Ufm,
    loss: f64,
    linear_loss: f64,
    vertices: usize,
    unit_size: usize,
    graphs: usize,
    widths: Vec<usize>,
}

impl Serialize for ReluCompetitor {
    fn serialize<S: Serializer>(&self, serializer: S) -> core::result::Result<S::Ok, S::Error> {
        Competitor {
            problem: self.problem(),
            loss: self.loss(),
            linear_loss: self.linear_loss(),
            vertices: self.vertices(),
            unit_size: self.unit_size(),
            graphs: self.graphs(),
            widths: self.widths(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ReluCompetitor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> core::result::Result<Self, D::Error> {
        let Read::<Ufm> { problem } = Read::deserialize(deserializer)?;
        let minimum = problem.global_minimum().map_err(de::Error::custom)?;
        let none = "no point of the model with ReLUs is known to be below the linear minimum";
        minimum.relu_competitor().ok_or_else(|| de::Error::custom(none))
    }
}

impl Serialize for AnyModel {
    fn serialize<S: Serializer>(&self, serializer: S) -> core::result::Result<S::Ok, S::Error> {
        match self {
            Self::Squared(minimum) => minimum.serialize(serializer),
            Self::CrossEntropy(landscape) => landscape.serialize(serializer),
            Self::Convex(minimum) => minimum.serialize(serializer),
            Self::Nonnegative(minimum) => minimum.serialize(serializer),
            Self::LowRank(minimum) => minimum.serialize(serializer),
            Self::LayerPeeled(minimum) => minimum.serialize(serializer),
            Self::SupportVectors(minimum) => minimum.serialize(serializer),
            Self::FixedHead(minimum) => minimum.serialize(serializer),
            Self::UnitVectors(minimum) => minimum.serialize(serializer),
        }
    }
}
