//! A measured network in the order of the classes of its prediction.

use nalgebra::DMatrix;
use neural_collapse::geometry::ClassGroups;
use neural_collapse::{Error, LinearHead};

use crate::audit::AuditedNetwork;
use crate::pictures::Grid;

/// Rows of a heat map.
const MOST_GROUPS: usize = 40;

/// Head and class means in the order of the classes of the prediction.
pub(super) struct Measured {
    pub(super) head: LinearHead,
    pub(super) means: DMatrix<f64>,
    /// A name for each class.
    pub(super) names: Vec<String>,
    pub(super) groups: ClassGroups,
}

impl Measured {
    pub(super) fn new(network: &AuditedNetwork) -> Result<Self, Error> {
        let audit = &network.audit;
        let measurement = &audit.measurement;
        let one_layer = audit
            .prediction
            .as_ref()
            .is_some_and(|prediction| prediction.training_objective.is_of_one_layer());
        let head = match one_layer {
            true => measurement.head().to_one_layer()?,
            false => measurement.head().clone(),
        };
        let name = |class: usize| match &network.label_names {
            Some(names) => names.get(class).cloned().unwrap_or_else(|| class.to_string()),
            None => class.to_string(),
        };
        let groups = ClassGroups::by_size(measurement.counts(), MOST_GROUPS);
        let means = measurement.class_means();
        Ok(match &audit.matching {
            Some(order) => Self {
                head: head.with_order(order)?,
                means: means.select_columns(order),
                names: order.iter().map(|&class| name(class)).collect(),
                groups,
            },
            None => Self {
                names: (0..head.classes()).map(name).collect(),
                head,
                means: means.clone(),
                groups,
            },
        })
    }

    /// Rows and columns of matrices over the classes.
    pub(super) fn grid(&self) -> Grid {
        let single = self.groups.are_single();
        let name = |group: &Vec<usize>| {
            let name = |class: Option<&usize>| class.and_then(|&class| self.names.get(class));
            let first = name(group.first()).cloned().unwrap_or_default();
            if single { first } else { format!("{first}…") }
        };
        let axis = match single {
            true => "class, by falling size".into(),
            false => "groups of classes, by falling size".into(),
        };
        let names = self.groups.groups().iter().map(name).collect();
        Grid { names, boundaries: self.groups.boundaries(), axis }
    }
}
