//! Report of one iteration.

use deepsim_loss::TermReport;

use crate::step::numbers::DiscriminatorNumbers;

/// Numbers of one iteration.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// Steps made, this one included.
    pub step: u64,
    /// Learning rate of the generator.
    pub learning_rate: f64,
    /// The generator's terms.
    pub terms: Vec<TermReport>,
    /// The discriminator's side, if there is one.
    pub adversary: Option<AdversaryReport>,
    /// Norms of the gradients of the networks that were updated, over all weights, by network.
    pub gradients: Vec<(&'static str, f64)>,
    /// Numbers that are watched but not minimised, by name.
    pub measures: Vec<(&'static str, f64)>,
}

impl StepReport {
    /// The weighted sum of the terms.
    pub fn total(&self) -> f64 {
        self.terms.iter().map(TermReport::weighted).sum()
    }
}

/// The discriminator's side of one iteration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdversaryReport {
    /// Loss on real images, a cross-entropy in the paper.
    pub real: f64,
    /// Loss on generated images.
    pub generated: f64,
    /// Share of all images that it classified correctly, before its update.
    pub accuracy: f64,
    /// Share of real images that it classified correctly.
    pub accuracy_real: f64,
    /// Share of generated images that it classified correctly.
    pub accuracy_generated: f64,
    /// `(real + generated) / adversarial`.
    pub ratio: f64,
    /// True if the discriminator was updated.
    pub trained_discriminator: bool,
    /// True if the generator was updated.
    pub trained_generator: bool,
    /// Updates of the discriminator so far.
    pub discriminator_updates: u64,
    /// Updates of the generator so far.
    pub generator_updates: u64,
}

impl AdversaryReport {
    /// Reports the numbers of an iteration; `updates` are those of the discriminator and of the generator.
    pub(crate) fn new(
        numbers: &DiscriminatorNumbers<f64>,
        ratio: f64,
        trained_generator: bool,
        updates: [u64; 2],
    ) -> Self {
        let (accuracy_real, accuracy_generated) =
            (numbers.real_accepted, 1.0 - numbers.generated_accepted);
        Self {
            real: numbers.real,
            generated: numbers.generated,
            accuracy: 0.5 * (accuracy_real + accuracy_generated),
            accuracy_real,
            accuracy_generated,
            ratio,
            trained_discriminator: numbers.gradient.is_some(),
            trained_generator,
            discriminator_updates: updates[0],
            generator_updates: updates[1],
        }
    }
}
