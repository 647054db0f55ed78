//! From a measured network to its audit.

use std::iter::repeat_n;

use neural_collapse::audit::Compared;
use neural_collapse::metrics::{AllMetrics, nc2, nc3};
use neural_collapse::{
    Audit, ClassCounts, ClassMatrix, ClassStatistics, Error, LinearHead, Regularization, Ufm,
};

use crate::arguments::Loss;
use crate::error::CliError;
use crate::input::{DataSet, Float, Head, MeasuredNetwork, Precision};
use crate::model::{Model, Prediction};
use crate::passes::{Measured, Plan, class_statistics};
use crate::progress::Progress;
use crate::relabelling::relabelling;

/// The audit of a network, with what a reader must know of the network to understand it.
#[derive(Debug)]
pub(crate) struct AuditedNetwork {
    /// Number of samples N.
    pub(crate) samples: u64,
    /// What was minimised.
    pub(crate) loss_function: Loss,
    /// The linear layers; one with their product where the model has one layer only.
    pub(crate) head: LinearHead,
    /// The penalties it was trained with, if they are known.
    pub(crate) penalties: Option<Regularization>,
    /// The bias counts as not penalised because nothing tells how it is.
    pub(crate) bias_is_assumed: bool,
    /// What was measured.
    pub(crate) audit: Audit,
    /// Every metric of the library, if it was asked for.
    pub(crate) metrics: Option<AllMetrics>,
    /// The measured loss, where it can be compared.
    pub(crate) loss: Option<f64>,
    /// What is predicted.
    pub(crate) prediction: Option<Prediction>,
    /// The labels are not in the order of the predicted structure: they were matched.
    pub(crate) relabelled: bool,
    /// Why there is no prediction, in words.
    pub(crate) no_prediction: Option<String>,
}

impl AuditedNetwork {
    /// Audits `network`; with `all_metrics`, every metric of the library is measured.
    pub(crate) fn new(
        network: MeasuredNetwork,
        all_metrics: bool,
        progress: &Progress,
    ) -> Result<Self, CliError> {
        if network.means.is_some() {
            let reason = "an audit around the class means of another file is not made yet".into();
            return Err(CliError::Argument { name: "--means".into(), reason });
        }
        let MeasuredNetwork { data, head, .. } = network;
        let Head { file, weights, bias, penalties: given, .. } = head;
        let file = file.display().to_string();
        let head = LinearHead::new(weights, bias).map_err(CliError::in_file(&file))?;
        let penalties = given.of_head(&head)?;
        let loss_function = given.loss.unwrap_or_default();
        let bias_is_assumed = given.bias.is_none() && head.bias().is_some();
        let measurement = Measurement { loss_function, head, penalties, bias_is_assumed };
        let model = measurement.model_head().map_err(CliError::in_file(&file))?;
        let mut audited = match data.precision() {
            Precision::Single => measurement.audit::<f32>(&data, model, all_metrics, progress),
            Precision::Double => measurement.audit::<f64>(&data, model, all_metrics, progress),
        }?;
        let unexplained = audited.prediction.is_none() && audited.no_prediction.is_none();
        if unexplained && audited.penalties.is_none() {
            audited.no_prediction = given.missing().map(String::from);
        }
        Ok(audited)
    }
}

/// All that is known of a network but for its features.
struct Measurement {
    loss_function: Loss,
    head: LinearHead,
    penalties: Option<Regularization>,
    bias_is_assumed: bool,
}

impl Measurement {
    /// The head of a model that has one layer without penalties: the product of all layers.
    fn model_head(&self) -> Result<Option<LinearHead>, Error> {
        match self.loss_function {
            Loss::Mse | Loss::Ce => Ok(None),
            Loss::LayerPeeled | Loss::UfSvm => {
                LinearHead::new(vec![self.head.product()?], self.head.bias().cloned()).map(Some)
            }
        }
    }

    /// Measures the network in two passes, in the precision of the features.
    fn audit<T: Float>(
        mut self,
        data: &DataSet,
        model: Option<LinearHead>,
        all_metrics: bool,
        progress: &Progress,
    ) -> Result<AuditedNetwork, CliError> {
        let room = self.check_widths();
        if model.is_some() {
            self.penalties = None;
        }
        let plan = Plan {
            loss: self.loss_function,
            network: &self.head,
            model: model.as_ref().unwrap_or(&self.head),
            penalties: self.penalties.as_ref(),
            all_metrics,
        };
        progress.start_passes(2 * data.samples() as u64);
        let statistics = class_statistics::<T>(data, progress)?;
        refuse_empty_classes(&statistics, data)?;
        let measured = plan.measure::<T>(data, &statistics, progress)?;
        self.head = model.unwrap_or(self.head);
        self.compared(measured, &statistics, room).map_err(CliError::in_file(&data.name()))
    }

    /// What was measured beside what is predicted.
    fn compared(
        self,
        measured: Measured,
        statistics: &ClassStatistics,
        room: Result<(), Error>,
    ) -> Result<AuditedNetwork, Error> {
        match self.loss_function {
            Loss::Mse => Ok(self.squared(measured)),
            Loss::Ce => self.cross_entropy(measured, statistics),
            Loss::LayerPeeled => self.layer_peeled(measured, statistics, room),
            Loss::UfSvm => self.support_vectors(measured, statistics, room),
        }
    }

    fn squared(self, mut measured: Measured) -> AuditedNetwork {
        let prediction = measured.audit.prediction.take().map(Prediction::Squared);
        let mut audited = self.audited(measured);
        audited.loss = audited.audit.objective.map(|objective| objective.loss());
        audited.no_prediction = audited.audit.not_predictable.as_ref().map(ToString::to_string);
        audited.prediction = prediction;
        audited
    }

    fn cross_entropy(
        self,
        mut measured: Measured,
        statistics: &ClassStatistics,
    ) -> Result<AuditedNetwork, Error> {
        let cross_entropy = measured.cross_entropy.take();
        let balancedness = measured.balancedness.take();
        let mut audited = self.one_head(measured);
        let counts = audited.counts()?;
        let Some((objective, penalties)) = cross_entropy.zip(audited.penalties.clone()) else {
            audited.compare_with_simplex_etf(statistics, &counts)?;
            return Ok(audited);
        };
        audited.audit.objective = Some(objective);
        audited.loss = Some(objective.loss());
        audited.audit.balancedness = balancedness;
        let ufm = Ufm::new(counts, penalties)?.with_widths(&audited.head.widths())?;
        audited.compare(statistics, Model::cross_entropy(&ufm))?;
        Ok(audited)
    }

    /// The budgets are those that the network uses up.
    fn layer_peeled(
        self,
        measured: Measured,
        statistics: &ClassStatistics,
        room: Result<(), Error>,
    ) -> Result<AuditedNetwork, Error> {
        let cross_entropy = measured.cross_entropy;
        let feature_energy = measured.feature_energy.unwrap_or_default();
        let mut audited = self.one_head(measured);
        let counts = audited.counts()?;
        audited.loss = cross_entropy.map(|objective| objective.data_term);
        let weight_energy = audited.head.product()?.norm_squared() / audited.head.classes() as f64;
        let model = room.and_then(|()| Model::layer_peeled(counts, weight_energy, feature_energy));
        audited.compare(statistics, model)?;
        Ok(audited)
    }

    /// The norms of the support vector machine are compared up to a factor.
    fn support_vectors(
        self,
        measured: Measured,
        statistics: &ClassStatistics,
        room: Result<(), Error>,
    ) -> Result<AuditedNetwork, Error> {
        let mut audited = self.one_head(measured);
        let counts = audited.counts()?;
        audited.compare(statistics, room.and_then(|()| Model::support_vectors(counts)))?;
        let classes = &mut audited.audit.classes;
        rescale(classes.iter_mut().map(|class| &mut class.classifier_norm_squared).collect());
        rescale(classes.iter_mut().map(|class| &mut class.feature_norm_squared).collect());
        Ok(audited)
    }

    /// The models without penalties are solved for logits of any rank up to K − 1.
    fn check_widths(&self) -> Result<(), Error> {
        let classes = self.head.classes();
        match self.head.widths().iter().all(|&width| width + 1 >= classes) {
            true => Ok(()),
            false => Err(Error::NoClosedForm { problem: "this model with a width below K − 1" }),
        }
    }

    /// What is measured of a head without any model.
    fn one_head(self, mut measured: Measured) -> AuditedNetwork {
        measured.audit.nc2.fill(None);
        measured.audit.nc3 = None;
        self.audited(measured)
    }

    fn audited(self, measured: Measured) -> AuditedNetwork {
        AuditedNetwork {
            samples: measured.audit.classes.iter().map(|class| class.count).sum(),
            loss_function: self.loss_function,
            head: self.head,
            penalties: self.penalties,
            bias_is_assumed: self.bias_is_assumed,
            audit: measured.audit,
            metrics: measured.metrics,
            loss: None,
            prediction: None,
            relabelled: false,
            no_prediction: None,
        }
    }
}

impl AuditedNetwork {
    fn counts(&self) -> Result<ClassCounts, Error> {
        let counts: Vec<u64> = self.audit.classes.iter().map(|class| class.count).collect();
        ClassCounts::new(&counts)
    }

    /// Puts what `model` predicts beside what was measured, or the reason why there is none.
    fn compare(
        &mut self,
        statistics: &ClassStatistics,
        model: Result<Model, Error>,
    ) -> Result<(), Error> {
        let model = match model {
            Ok(model) => model,
            Err(error @ Error::NoClosedForm { .. }) => {
                self.no_prediction = Some(error.to_string());
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let outputs = model.class_outputs()?;
        let grams: Vec<_> = (1..=self.head.depth())
            .map(|layers| model.trailing_gram(layers))
            .collect::<Result<_, _>>()?;
        let order = match outputs.as_ref().and_then(ClassMatrix::to_dense) {
            Some(target) if !model.is_symmetric() => {
                relabelling(&self.measured_outputs(statistics)?, &target)
            }
            _ => (0..self.head.classes()).collect(),
        };
        self.measure(statistics, &order, &grams, outputs.as_ref())?;
        self.predict_norms(&order, &model)?;
        self.relabelled = !order.is_sorted();
        self.prediction = Some(Prediction::Other(model));
        Ok(())
    }

    /// Without penalties the frame of balanced classes is still that of Theorem A.1.
    fn compare_with_simplex_etf(
        &mut self,
        statistics: &ClassStatistics,
        counts: &ClassCounts,
    ) -> Result<(), Error> {
        let classes = counts.classes();
        if !counts.is_balanced() || self.head.widths().iter().any(|&width| width + 1 < classes) {
            return Ok(());
        }
        let frame = ClassMatrix::simplex_etf(classes)?;
        let order: Vec<usize> = (0..classes).collect();
        self.measure(
            statistics,
            &order,
            &vec![Some(frame.clone()); self.head.depth()],
            Some(&frame),
        )
    }

    /// NC2 and NC3 of the classes in the given order.
    fn measure(
        &mut self,
        statistics: &ClassStatistics,
        order: &[usize],
        grams: &[Option<ClassMatrix>],
        outputs: Option<&ClassMatrix>,
    ) -> Result<(), Error> {
        let means = statistics.class_means()?.select_columns(order);
        let mut weights = self.head.weights().to_vec();
        if let Some(last) = weights.last_mut() {
            *last = last.select_rows(order);
        }
        let head = LinearHead::new(weights, None)?;
        let layers = grams.iter().zip(1..);
        self.audit.nc2 = layers
            .map(|(target, layers)| {
                comparable(target.as_ref(), |target| nc2(&head, layers, target))
            })
            .collect::<Result<_, _>>()?;
        self.audit.nc3 = comparable(outputs, |target| nc3(&means, &head, target))?;
        Ok(())
    }

    fn measured_outputs(
        &self,
        statistics: &ClassStatistics,
    ) -> Result<nalgebra::DMatrix<f64>, Error> {
        Ok(self.head.product()? * statistics.class_means()?)
    }

    /// The predicted norms of every class, `order[k]` in place of class k.
    fn predict_norms(&mut self, order: &[usize], model: &Model) -> Result<(), Error> {
        let runs = model.class_runs()?.into_iter();
        let predicted = runs.flat_map(|(length, class)| repeat_n(class, length));
        for (&class, predicted) in order.iter().zip(predicted) {
            let class = &mut self.audit.classes[class];
            class.classifier_norm_squared.predicted = predicted.classifier_norm_squared;
            class.feature_norm_squared.predicted = predicted.feature_norm_squared;
            class.collapsed.predicted = predicted.collapsed;
        }
        Ok(())
    }
}

/// The head tells how many classes there are, and each has to have a sample.
fn refuse_empty_classes(statistics: &ClassStatistics, data: &DataSet) -> Result<(), CliError> {
    let mut empty = statistics.counts().iter().enumerate().filter(|(_, count)| **count == 0);
    let Some((class, _)) = empty.next() else { return Ok(()) };
    let missing = match empty.count() {
        0 => format!("class {class} has"),
        others => format!("class {class} and {others} more have"),
    };
    let reason = format!(
        "{missing} no sample in `{}`; the head has {} outputs, one for each class",
        data.labels_key(),
        data.classes()
    );
    Err(CliError::Argument { name: data.name(), reason })
}

/// Multiplies the predicted norms by the factor that makes their sum the measured one.
fn rescale(mut norms: Vec<&mut Compared<f64>>) {
    let measured: f64 = norms.iter().map(|norm| norm.measured).sum();
    let predicted: f64 = norms.iter().filter_map(|norm| norm.predicted).sum();
    for norm in &mut norms {
        norm.predicted = norm.predicted.map(|value| value * (measured / predicted));
    }
}

/// `None` where there is no target or nothing but zeros to measure.
fn comparable(
    target: Option<&ClassMatrix>,
    metric: impl FnOnce(&ClassMatrix) -> Result<f64, Error>,
) -> Result<Option<f64>, Error> {
    match target.map(metric).transpose() {
        Err(Error::ZeroNorm { .. }) => Ok(None),
        metric => metric,
    }
}
