//! From a measured network to its audit.

use std::iter::repeat_n;
use std::path::Path;

use neural_collapse::{
    Audit, Bias, ClassCounts, ClassMatrix, ClassStatistics, Compared, Error, Features,
    LabeledFeatures, LinearHead, Objective, Regularization, Scalar, Ufm, audit, balancedness, nc2,
    nc3,
};

use crate::arguments::Loss;
use crate::error::CliError;
use crate::input::{FeatureValues, MeasuredNetwork};
use crate::model::{Model, Prediction};
use crate::relabelling::relabelling;

/// The audit of a network, with what a reader must know of the network to understand it.
#[derive(Debug)]
pub(crate) struct AuditedNetwork {
    /// Number of samples N.
    pub(crate) samples: usize,
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
    /// Audits `network`, the content of `file`.
    pub(crate) fn new(network: MeasuredNetwork, file: &Path) -> Result<Self, CliError> {
        let MeasuredNetwork { features, labels, weights, bias, penalties: given } = network;
        let head = LinearHead::new(weights, bias).map_err(CliError::in_file(file))?;
        let penalties = given.of_head(&head)?;
        let loss_function = given.loss.unwrap_or_default();
        let bias_is_assumed = given.bias.is_none() && head.bias().is_some();
        let shape = [features.samples, features.width];
        let measurement = Measurement { loss_function, head, penalties, bias_is_assumed };
        let audited = match &features.values {
            FeatureValues::F32(values) => measurement.audit(values, shape, &labels),
            FeatureValues::F64(values) => measurement.audit(values, shape, &labels),
        };
        let mut audited = audited.map_err(CliError::in_file(file))?;
        if audited.penalties.is_none() && audited.prediction.is_none() {
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
    /// Calls the library on features in the precision of the file, without a copy.
    fn audit<T: Scalar>(
        self,
        values: &[T],
        [samples, width]: [usize; 2],
        labels: &[usize],
    ) -> Result<AuditedNetwork, Error> {
        let features = Features::from_row_major(values, samples, width)?;
        let data = features.with_labels(labels, self.head.classes())?;
        match self.loss_function {
            Loss::Mse => self.squared(&data),
            Loss::Ce => self.cross_entropy(&data),
            Loss::LayerPeeled => self.layer_peeled(&data, feature_energy(values, width, labels)),
            Loss::UfSvm => self.support_vectors(&data),
        }
    }

    fn squared<T: Scalar>(self, data: &LabeledFeatures<'_, T>) -> Result<AuditedNetwork, Error> {
        let mut audit = audit(data, &self.head, self.penalties.as_ref())?;
        let prediction = audit.prediction.take().map(Prediction::Squared);
        let mut audited = self.audited(audit, data);
        audited.loss = audited.audit.objective.map(|objective| objective.loss());
        audited.no_prediction = audited.audit.not_predictable.as_ref().map(ToString::to_string);
        audited.prediction = prediction;
        Ok(audited)
    }

    fn cross_entropy<T: Scalar>(
        self,
        data: &LabeledFeatures<'_, T>,
    ) -> Result<AuditedNetwork, Error> {
        let mut audited = self.one_head(data)?;
        let counts = audited.counts()?;
        let Some(penalties) = &audited.penalties else {
            audited.compare_with_simplex_etf(data, &counts)?;
            return Ok(audited);
        };
        let objective = Objective::cross_entropy(data, &audited.head, penalties)?;
        audited.audit.objective = Some(objective);
        audited.loss = Some(objective.loss());
        audited.audit.balancedness = Some(balancedness(data.features(), &audited.head, penalties)?);
        let ufm = Ufm::new(counts, penalties.clone())?.with_widths(&audited.head.widths())?;
        audited.compare(data, Model::cross_entropy(&ufm))?;
        Ok(audited)
    }

    /// The budgets are those that the network uses up.
    fn layer_peeled<T: Scalar>(
        self,
        data: &LabeledFeatures<'_, T>,
        feature_energy: f64,
    ) -> Result<AuditedNetwork, Error> {
        let room = self.check_widths();
        let mut audited = self.with_one_layer()?.one_head(data)?;
        let counts = audited.counts()?;
        audited.loss = Some(mean_cross_entropy(data, &audited.head)?);
        let weight_energy = audited.head.product()?.norm_squared() / audited.head.classes() as f64;
        let model = room.and_then(|()| Model::layer_peeled(counts, weight_energy, feature_energy));
        audited.compare(data, model)?;
        Ok(audited)
    }

    /// The norms of the support vector machine are compared up to a factor.
    fn support_vectors<T: Scalar>(
        self,
        data: &LabeledFeatures<'_, T>,
    ) -> Result<AuditedNetwork, Error> {
        let room = self.check_widths();
        let mut audited = self.with_one_layer()?.one_head(data)?;
        let counts = audited.counts()?;
        audited.compare(data, room.and_then(|()| Model::support_vectors(counts)))?;
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

    /// The model has one layer without penalties: that is the product of all layers.
    fn with_one_layer(mut self) -> Result<Self, Error> {
        self.head = LinearHead::new(vec![self.head.product()?], self.head.bias().cloned())?;
        self.penalties = None;
        Ok(self)
    }

    /// What is measured of a head without any model.
    fn one_head<T: Scalar>(self, data: &LabeledFeatures<'_, T>) -> Result<AuditedNetwork, Error> {
        let mut audit = audit(data, &self.head, None)?;
        audit.nc2.fill(None);
        audit.nc3 = None;
        Ok(self.audited(audit, data))
    }

    fn audited<T: Scalar>(self, audit: Audit, data: &LabeledFeatures<'_, T>) -> AuditedNetwork {
        AuditedNetwork {
            samples: data.features().samples(),
            loss_function: self.loss_function,
            head: self.head,
            penalties: self.penalties,
            bias_is_assumed: self.bias_is_assumed,
            audit,
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
    fn compare<T: Scalar>(
        &mut self,
        data: &LabeledFeatures<'_, T>,
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
                relabelling(&self.measured_outputs(data)?, &target)
            }
            _ => (0..self.head.classes()).collect(),
        };
        self.measure(data, &order, &grams, outputs.as_ref())?;
        self.predict_norms(&order, &model)?;
        self.relabelled = !order.is_sorted();
        self.prediction = Some(Prediction::Other(model));
        Ok(())
    }

    /// Without penalties the frame of balanced classes is still that of Theorem A.1.
    fn compare_with_simplex_etf<T: Scalar>(
        &mut self,
        data: &LabeledFeatures<'_, T>,
        counts: &ClassCounts,
    ) -> Result<(), Error> {
        let classes = counts.classes();
        if !counts.is_balanced() || self.head.widths().iter().any(|&width| width + 1 < classes) {
            return Ok(());
        }
        let frame = ClassMatrix::simplex_etf(classes)?;
        let order: Vec<usize> = (0..classes).collect();
        self.measure(data, &order, &vec![Some(frame.clone()); self.head.depth()], Some(&frame))
    }

    /// NC2 and NC3 of the classes in the given order.
    fn measure<T: Scalar>(
        &mut self,
        data: &LabeledFeatures<'_, T>,
        order: &[usize],
        grams: &[Option<ClassMatrix>],
        outputs: Option<&ClassMatrix>,
    ) -> Result<(), Error> {
        let means = ClassStatistics::new(data)?.class_means()?.select_columns(order);
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
        self.audit.nc3 = comparable(outputs, |target| nc3(&head, &means, target))?;
        Ok(())
    }

    fn measured_outputs<T: Scalar>(
        &self,
        data: &LabeledFeatures<'_, T>,
    ) -> Result<nalgebra::DMatrix<f64>, Error> {
        Ok(self.head.product()? * ClassStatistics::new(data)?.class_means()?)
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

/// The mean over the classes of the mean squared norm of their features.
fn feature_energy<T: Scalar>(values: &[T], width: usize, labels: &[usize]) -> f64 {
    let classes = labels.iter().max().map_or(0, |&last| last + 1);
    let mut sums = vec![(0.0, 0.0); classes];
    for (sample, &label) in values.chunks(width).zip(labels) {
        let squares = sample.iter().map(|&value| value.into() * value.into());
        sums[label].0 += squares.sum::<f64>();
        sums[label].1 += 1.0;
    }
    sums.iter().map(|(sum, samples)| sum / samples).sum::<f64>() / classes as f64
}

/// The cross-entropy alone: penalties are asked for, but do not matter.
fn mean_cross_entropy<T: Scalar>(
    data: &LabeledFeatures<'_, T>,
    head: &LinearHead,
) -> Result<f64, Error> {
    let bias = if head.bias().is_some() { Bias::Unregularized } else { Bias::None };
    let penalties = Regularization::new(&vec![1.0; head.depth()], 1.0)?.with_bias(bias)?;
    Ok(Objective::cross_entropy(data, head, &penalties)?.data_term)
}
