//! What is added up over the samples, in pieces that are pickled and merged.

use std::sync::Arc;

use neural_collapse::audit::{AuditOptions, AuditPart as Part, AuditSums as Sums, predicted_rank};
use neural_collapse::metrics::Nc1Options;
use neural_collapse::problem::TrainingObjective;
use neural_collapse::{ClassStatistics, Error, LinearHead};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde::{Deserialize, Serialize};

use crate::arrays::{Features, head, labels};
use crate::audit::Audit;
use crate::error::{OrRaise, bad_argument, bad_shape};
use crate::first_pass::FirstPass;
use crate::monitor::watched;
use crate::passes::{Accumulate, Listener, Piece};
use crate::prediction::Prediction;
use crate::samples::nc1_options;
use crate::stored::{self, Stored, pickled};

const AUDIT_SUMS: &str = "neuralcollapse.AuditSums";
const AUDIT_PART: &str = "neuralcollapse.AuditPart";

/// What the sums of all pieces share.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Setup {
    statistics: ClassStatistics,
    head: LinearHead,
    objective: Option<TrainingObjective>,
    all_metrics: bool,
    other_samples: bool,
    balance: bool,
    nc1: Nc1Options,
    features_squared: Option<f64>,
    predicted_rank: Option<usize>,
    single: bool,
}

impl Setup {
    fn sums(&self) -> neural_collapse::Result<Typed> {
        let needs_one_layer =
            self.objective.as_ref().is_some_and(TrainingObjective::is_of_one_layer);
        let head = match needs_one_layer {
            true => self.head.to_one_layer()?,
            false => self.head.clone(),
        };
        let mut options = AuditOptions::default()
            .with_all_metrics(self.all_metrics)
            .with_other_samples(self.other_samples)
            .with_balance(self.balance)
            .with_nc1(self.nc1)
            .with_standard_errors(self.all_metrics)
            .with_predicted_rank(self.predicted_rank);
        options.features_squared = self.features_squared;
        options.objective = self.objective.clone();
        let statistics = self.statistics.clone();
        Ok(match self.single {
            true => Typed::Single(Sums::new(statistics, head, &options)?),
            false => Typed::Double(Sums::new(statistics, head, &options)?),
        })
    }
}

/// Sums for features of either precision.
#[derive(Debug, Clone)]
enum Typed {
    Single(Sums<f32>),
    Double(Sums<f64>),
}

impl Typed {
    fn part(&self) -> Part {
        match self {
            Self::Single(sums) => sums.part(),
            Self::Double(sums) => sums.part(),
        }
    }

    fn merge_part(&mut self, part: &Part) -> neural_collapse::Result<()> {
        match self {
            Self::Single(sums) => sums.merge_part(part),
            Self::Double(sums) => sums.merge_part(part),
        }
    }
}

impl Accumulate<f32> for Typed {
    fn add(&mut self, piece: Piece<'_, f32>) -> neural_collapse::Result<()> {
        match self {
            Self::Single(sums) => sums.accumulate(&piece.batch()?),
            Self::Double(sums) => {
                let numbers: Vec<f64> = piece.numbers.iter().map(|&x| f64::from(x)).collect();
                let Piece { labels, dimension, classes, .. } = piece;
                sums.accumulate(&Piece { numbers: &numbers, labels, dimension, classes }.batch()?)
            }
        }
    }
}

impl Accumulate<f64> for Typed {
    fn add(&mut self, piece: Piece<'_, f64>) -> neural_collapse::Result<()> {
        match self {
            Self::Double(sums) => sums.accumulate(&piece.batch()?),
            // `AuditSums.add` has said so before.
            Self::Single(_) => Err(Error::NotAnswered {
                question: "sums over features in double precision",
                reason: "they were made for single precision",
            }),
        }
    }
}

/// What a worker sends back of its AuditSums: some numbers for each class, with an objective dK more, with the balance
/// of the layers d²/2 more. It is pickled; `AuditSums.merge` takes it.
#[pyclass(frozen, module = "neuralcollapse")]
#[derive(Debug)]
pub(crate) struct AuditPart(Part);

#[pymethods]
impl AuditPart {
    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| other.get().0 == self.0)
    }
}

impl Stored for AuditPart {
    type Read = Self;

    fn written<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        stored::write(py, AUDIT_PART, &self.0)
    }

    fn read(py: Python<'_>, data: &[u8]) -> PyResult<Self> {
        stored::read(py, AUDIT_PART, data).map(Self)
    }
}

pickled!(AuditPart, AuditSums);

/// The second pass of an audit: everything that is measured around the class means of the first one.
///
/// Parameters
/// ----------
/// first_pass : FirstPass of all samples
/// weights : (K, d) array, or a list of arrays (outputs, inputs) from the features to the output
/// bias : (K,) or None
/// prediction : Prediction whose training objective is evaluated, or None
/// all_metrics : whether every metric of the library is wanted, with standard errors and levels
/// other_samples : whether the samples are others than those of the first pass, such as a test set
/// balance : whether the balance of the layers is wanted: d² numbers
/// center, rank_cutoff, divide_by_classes : conventions of NC1
/// dtype : "float64", or "float32" for features in single precision, which are then projected in it
///
/// It can be pickled; `empty()` makes sums without samples for a worker, `part()` is what a worker sends back, and
/// `merge` takes a part or other sums. Raises MismatchError for those of another first pass, head or options.
#[pyclass(module = "neuralcollapse")]
#[derive(Debug)]
pub(crate) struct AuditSums {
    setup: Arc<Setup>,
    /// Without samples; its directions are costly to compute.
    blank: Arc<Typed>,
    sums: Typed,
}

impl AuditSums {
    fn of(py: Python<'_>, setup: Setup) -> PyResult<Self> {
        let sums = py.detach(|| setup.sums()).or_raise(py)?;
        Ok(Self { setup: Arc::new(setup), blank: Arc::new(sums.clone()), sums })
    }
}

#[pymethods]
impl AuditSums {
    #[new]
    #[pyo3(signature = (
        first_pass, weights, bias = None, prediction = None, *, all_metrics = false, other_samples = false,
        balance = true, center = "samples", rank_cutoff = 1e-6, divide_by_classes = true, dtype = "float64"
    ))]
    #[allow(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn new(
        py: Python<'_>,
        first_pass: &FirstPass,
        weights: &Bound<'_, PyAny>,
        bias: Option<&Bound<'_, PyAny>>,
        prediction: Option<&Bound<'_, Prediction>>,
        all_metrics: bool,
        other_samples: bool,
        balance: bool,
        center: &str,
        rank_cutoff: f64,
        divide_by_classes: bool,
        dtype: &str,
    ) -> PyResult<Self> {
        let objective = prediction.map(|prediction| prediction.get().objective());
        let single = match dtype {
            "float32" => true,
            "float64" => false,
            other => {
                let found = format!("'{other}'");
                return Err(bad_argument(py, "dtype", &found, "'float32' or 'float64'"));
            }
        };
        let rank =
            prediction.map(|prediction| predicted_rank(prediction.get().minimum())).transpose();
        let head = head(weights, bias)?;
        let (dimension, classes) = (first_pass.dimension(), first_pass.classes());
        for (found, expected, reason) in [
            (head.feature_dimension(), dimension, "one column for each feature"),
            (head.classes(), classes, "one row for each class"),
        ] {
            if found != expected {
                return Err(bad_shape(py, "weights", found, expected, reason));
            }
        }
        let setup = Setup {
            statistics: first_pass.statistics().clone(),
            head,
            // A training objective has no value on other samples.
            objective: objective.filter(|_| !other_samples),
            all_metrics,
            other_samples,
            balance,
            nc1: nc1_options(py, center, rank_cutoff, divide_by_classes)?,
            features_squared: first_pass.features_squared(),
            predicted_rank: rank.or_raise(py)?.flatten(),
            single,
        };
        Self::of(py, setup)
    }

    /// Adds samples: features (n, d) and labels (n,). On an error nothing is added.
    #[pyo3(signature = (features, labels, progress = None))]
    fn add(
        &mut self,
        py: Python<'_>,
        features: &Bound<'_, PyAny>,
        labels: &Bound<'_, PyAny>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let labels = self::labels(labels)?;
        let labels = labels.as_slice()?;
        let listener = Listener { stage: "deviations", callback: progress };
        let features = Features::new(features)?;
        if self.setup.single && matches!(features, Features::Double(_)) {
            let expected = "of float32, as these sums were made with dtype='float32'";
            return Err(bad_argument(py, "features", "an array of float64", expected));
        }
        let classes = self.setup.statistics.classes();
        features.add_to(py, &mut self.sums, labels, classes, listener)
    }

    /// The same sums without samples, for a worker.
    fn empty(&self) -> Self {
        let (setup, blank) = (Arc::clone(&self.setup), Arc::clone(&self.blank));
        Self { setup, sums: Typed::clone(&blank), blank }
    }

    /// What has been added up so far, without what all workers share.
    fn part(&self) -> AuditPart {
        AuditPart(self.sums.part())
    }

    /// Adds an AuditPart, or the samples of other AuditSums.
    fn merge(&mut self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Ok(part) = other.cast::<AuditPart>() {
            return self.sums.merge_part(&part.get().0).or_raise(py);
        }
        let expected = "an AuditPart or other AuditSums";
        let refused = |found: &str| bad_argument(py, "other", found, expected);
        let sums = other.cast::<Self>().map_err(|_| refused("something else"))?;
        let part = sums.try_borrow().map_err(|_| refused("these sums themselves"))?.sums.part();
        self.sums.merge_part(&part).or_raise(py)
    }

    /// The audit: what was measured beside a prediction, or without one for a reason. `progress(stage, done, total)` is
    /// called meanwhile.
    ///
    /// Raises MismatchError if not all samples of the first pass were added, or the prediction is for other counts.
    #[pyo3(signature = (prediction = None, reason = None, progress = None))]
    fn audit(
        &self,
        py: Python<'_>,
        prediction: Option<&Bound<'_, Prediction>>,
        reason: Option<String>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Audit> {
        let model = prediction.map(|prediction| prediction.get().minimum());
        let audit = watched(py, progress, |monitor| {
            let measurement = match &self.sums {
                Typed::Single(sums) => sums.measurement(),
                Typed::Double(sums) => sums.measurement(),
            }?;
            match model {
                Some(model) => measurement.compare_with(model, monitor),
                None => {
                    let reason = reason.unwrap_or_else(|| "none was asked for".into());
                    measurement.without_prediction_with(reason, monitor)
                }
            }
        })?;
        let prediction = prediction.map(|prediction| prediction.clone().unbind());
        Ok(Audit::new(audit, prediction))
    }

    /// The precision of the features, "float32" or "float64".
    #[getter]
    fn dtype(&self) -> &'static str {
        if self.setup.single { "float32" } else { "float64" }
    }

    fn __repr__(&self) -> String {
        let statistics = &self.setup.statistics;
        format!(
            "AuditSums(d={}, K={}, M={}, dtype='{}')",
            statistics.dimension(),
            statistics.classes(),
            self.setup.head.depth(),
            self.dtype()
        )
    }
}

impl Stored for AuditSums {
    type Read = Self;

    fn written<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        // Sums without samples are what all workers get: zeros need not travel.
        let part = py.detach(|| Some(self.sums.part()).filter(|part| *part != self.blank.part()));
        stored::write(py, AUDIT_SUMS, &(&*self.setup, part))
    }

    fn read(py: Python<'_>, data: &[u8]) -> PyResult<Self> {
        let (setup, part): (Setup, Option<Part>) = stored::read(py, AUDIT_SUMS, data)?;
        let mut read = Self::of(py, setup)?;
        part.map_or(Ok(()), |part| read.sums.merge_part(&part)).or_raise(py)?;
        Ok(read)
    }
}
