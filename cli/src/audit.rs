//! From a measured network to its audit: two passes over the samples, and the comparison.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};

use neural_collapse::audit::{AuditOptions, AuditSums, Measurement, predicted_rank};
use neural_collapse::measure::FeatureEnergy;
use neural_collapse::metrics::Nc1Options;
use neural_collapse::models::AnyModel;
use neural_collapse::models::low_rank::Search;
use neural_collapse::{Audit, ClassCounts, ClassStatistics, Error, LinearHead};

use crate::arguments::{AuditArguments, Metrics, SearchArguments};
use crate::error::CliError;
use crate::input::{Batch, DataSet, Facts, MeasuredNetwork};
use crate::layers::MeasuredLayers;
use crate::negatives::Negatives;
use crate::outside::OutOfDistribution;
use crate::progress::Progress;
use crate::stated::StatedTraining;
use crate::training::Training;

/// Class means of so many numbers d·K get standard errors unasked. They take class means of up to 64 parts of the samples
/// and a third pass over the metrics: some 0.1 s and 15 MB at this size, and beyond it more than the rest of the audit.
const FEW_NUMBERS: usize = 1 << 16;

/// The audit of a network, with what a reader must know of the network to understand it.
#[derive(Debug)]
pub(crate) struct AuditedNetwork {
    /// What was measured, beside what is predicted.
    pub(crate) audit: Audit,
    /// Collapse layer by layer, if there are several.
    pub(crate) layers: Option<MeasuredLayers>,
    /// Samples out of distribution, if there are some.
    pub(crate) outside: Option<OutOfDistribution>,
    /// The model that predicts it.
    pub(crate) model: Option<AnyModel>,
    /// What is known of its training.
    pub(crate) training: Training,
    /// How the files were understood.
    pub(crate) facts: Facts,
    /// A name for each class.
    pub(crate) label_names: Option<Vec<String>>,
    /// Whether class means are those of another file than the samples.
    pub(crate) around_other_means: bool,
    /// What tells the labels, in their order, from others.
    pub(crate) labels: u64,
}

impl AuditedNetwork {
    /// Audits `network` as the arguments want it.
    pub(crate) fn new(
        network: MeasuredNetwork,
        arguments: &AuditArguments,
        progress: &Progress,
    ) -> Result<Self, CliError> {
        let MeasuredNetwork { data, means, outside, layers, head, label_names, mut facts } =
            network;
        let layers = MeasuredLayers::new(layers, &data, progress)?;
        let all_metrics = arguments.metrics == Metrics::All;
        let passes = Passes {
            data: &data,
            means: means.as_ref(),
            all_metrics,
            standard_errors: match arguments.no_standard_errors {
                true => Some(false),
                false => (all_metrics || !arguments.against.is_empty()).then_some(true),
            },
            nc1: arguments.nc1(),
            search: &arguments.search,
            progress,
        };
        let measured = passes.measure(&head.linear, &head.stated)?;
        let Measured { measurement, training, model, labels } = measured;
        if training.loss.is_some_and(|loss| arguments.search.is_in_vain(loss)) {
            facts.assumptions.push(SEARCHED_IN_VAIN.into());
        }
        let name = data.name();
        let in_file = CliError::in_file(&name);
        let audit = match &model {
            Ok(model) => measurement.compare_with(model.prediction(), progress),
            Err(reason) => measurement.without_prediction_with(reason, progress),
        };
        let (mut audit, model) = (audit.map_err(in_file)?, model.ok());
        let mut outside_reasons = BTreeMap::new();
        let outside = outside.map(|outside| {
            let sets = (&data, &outside);
            OutOfDistribution::new(sets, &audit.measurement, &mut outside_reasons, progress)
        });
        let outside = outside.transpose()?;
        audit.reasons.extend(outside_reasons);
        let around_other_means = means.is_some();
        Ok(Self {
            audit,
            layers,
            outside,
            model,
            training,
            facts,
            label_names,
            around_other_means,
            labels,
        })
    }
}

const SEARCHED_IN_VAIN: &str = "--search is left aside: nothing is searched for under this loss, whose minimum is \
                                known without";

/// A network as it was measured, and the model that predicts it, or why there is none.
struct Measured {
    measurement: Measurement,
    training: Training,
    model: Result<AnyModel, String>,
    labels: u64,
}

/// The model of a training, or why there is none.
fn model(
    training: &Training,
    head: &LinearHead,
    counts: ClassCounts,
    (search, progress): (Option<Search>, &Progress),
) -> Result<Result<AnyModel, String>, Error> {
    let objective = match (&training.objective, &training.missing) {
        (Some(objective), None) => objective,
        (_, reason) => {
            let unknown = || "nothing is known of the training".into();
            return Ok(Err(reason.clone().unwrap_or_else(unknown)));
        }
    };
    match AnyModel::new_with(objective, counts, Some(&head.widths()), search.as_ref(), progress) {
        Ok(model) => Ok(Ok(model)),
        Err(error @ Error::NoClosedForm { .. }) => {
            let instead = training.loss.map(|loss| format!("; {}", loss.instead(objective)));
            Ok(Err(format!("{error}{}", instead.unwrap_or_default())))
        }
        Err(error @ Error::Unrepresentable { .. }) => Ok(Err(error.to_string())),
        Err(error) => Err(error),
    }
}

/// The passes over the samples.
struct Passes<'a> {
    data: &'a DataSet,
    /// The samples that class means are of, if they are others.
    means: Option<&'a DataSet>,
    all_metrics: bool,
    /// Whether standard errors are wanted, however long they take; `None` leaves it to the size of the class means.
    standard_errors: Option<bool>,
    nc1: Nc1Options,
    search: &'a SearchArguments,
    progress: &'a Progress,
}

impl Passes<'_> {
    /// The first pass counts and adds up the samples of each class, the second measures around the class means.
    fn measure(&self, head: &LinearHead, stated: &StatedTraining) -> Result<Measured, CliError> {
        let Self { data, means, all_metrics, standard_errors, nc1, search, progress } = *self;
        let name = data.name();
        let in_file = || CliError::in_file(&name);
        let source = means.unwrap_or(data);
        progress.start_passes((source.samples() + data.samples()) as u64);
        let FirstPass { statistics, energy, negatives } = first_pass(source, progress)?;
        let negatives = stated.labels.nonnegative_features.then(|| negatives.contradiction());
        let training = match negatives.flatten() {
            None => Training::new(stated, head, &energy)?,
            // Loss and gradient are those without the constraint, and nothing is predicted.
            contradiction => {
                let stated = stated.clone().with_features_of_any_sign();
                Training { missing: contradiction, ..Training::new(&stated, head, &energy)? }
            }
        };
        let counts = statistics.class_counts().map_err(in_file())?;
        let search = (search.search(counts.classes()), progress);
        let model = model(&training, head, counts, search).map_err(in_file())?;
        let rank = model.as_ref().ok().map(|model| predicted_rank(model.prediction()));
        let mut options = AuditOptions::default()
            .with_all_metrics(all_metrics)
            .with_nc1(nc1)
            .with_standard_errors(
                standard_errors.unwrap_or(source.width() * source.classes() <= FEW_NUMBERS),
            )
            .with_features_squared(energy.total())
            .with_predicted_rank(rank.transpose().map_err(in_file())?.flatten())
            .with_other_samples(means.is_some());
        if let Some(objective) = &training.objective {
            options = options.with_objective(objective.clone());
        }
        progress.start_pass("deviations");
        let mut sums =
            AuditSums::<f64>::new(statistics, head.clone(), &options).map_err(in_file())?;
        let mut labels = DefaultHasher::new();
        pass(data, progress, |batch| {
            batch.samples.labels().iter().for_each(|&label| labels.write_usize(label));
            sums.accumulate(&batch.samples)
        })?;
        progress.end_passes("metrics");
        let measurement = sums.measurement().map_err(in_file())?;
        Ok(Measured { measurement, training, model, labels: labels.finish() })
    }
}

/// What the first pass finds out.
struct FirstPass {
    /// Number and mean of the samples of each class.
    statistics: ClassStatistics,
    /// Their squared lengths.
    energy: FeatureEnergy,
    /// The features below zero.
    negatives: Negatives,
}

fn first_pass(data: &DataSet, progress: &Progress) -> Result<FirstPass, CliError> {
    progress.start_pass("class means");
    let name = data.name();
    let in_file = || CliError::in_file(&name);
    let (width, classes) = (data.width(), data.classes());
    let mut statistics = ClassStatistics::empty(width, classes).map_err(in_file())?;
    let mut energy = FeatureEnergy::empty(width, classes).map_err(in_file())?;
    let mut negatives = Negatives::new(width);
    pass(data, progress, |batch| {
        negatives.count(batch.numbers);
        energy.accumulate_with(&mut statistics, &batch.samples)
    })?;
    refuse_empty_classes(&statistics, data)?;
    Ok(FirstPass { statistics, energy, negatives })
}

/// The library would refuse them too, but knows no keys.
fn refuse_empty_classes(statistics: &ClassStatistics, data: &DataSet) -> Result<(), CliError> {
    let mut empty = statistics.counts().iter().enumerate().filter(|(_, count)| **count == 0);
    let Some((class, _)) = empty.next() else { return Ok(()) };
    let missing = match empty.count() {
        0 => format!("class {class} has"),
        others => format!("class {class} and {others} more have"),
    };
    let reason = format!(
        "{missing} no sample in `{}`; the head has {} outputs, one for each class (--present-classes leaves \
         out those without samples)",
        data.labels_key(),
        data.classes()
    );
    Err(CliError::Argument { name: data.name(), reason })
}

/// Visits all samples.
fn pass(
    data: &DataSet,
    progress: &Progress,
    mut accumulate: impl FnMut(&Batch<'_>) -> Result<(), Error>,
) -> Result<(), CliError> {
    data.for_each_batch(|batch| {
        accumulate(batch)?;
        progress.advance(batch.samples.labels().len() as u64);
        Ok(())
    })?;
    Ok(())
}
