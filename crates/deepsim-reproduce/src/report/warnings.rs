//! Warnings that a reader needs before believing a number.

use deepsim_loss::terms::Divergence;

use super::run::Run;
use crate::catalogue::Experiment;
use crate::record::Record;

/// Measures that every run of a kind has, if one of them has it; other measures belong to one figure.
const EVERYWHERE: [&str; 4] = ["error", "svm", "sharpness", "grid"];

/// A term whose gradient is less than this share of all terms' does nothing.
const DEAD: f64 = 0.01;

/// Warnings of all runs, and those that the plan brings along.
pub(super) fn of(runs: &[Run], record: &Record) -> Vec<String> {
    let mut warnings: Vec<String> = Vec::new();
    for run in runs.iter().filter(|run| run.trained()) {
        let label = &run.label;
        if let Some(origin) = run.comparator().filter(|origin| origin.starts_with("random")) {
            warnings.push(format!("{label}: the comparator has {origin}; nothing was learned"));
        }
        let last =
            |term: &String| run.at_the_end(|r| Some(r.terms.get(term)?.grad_norm)).unwrap_or(0.0);
        // The divergence pulls at codes and not at images: its gradient cannot be weighed against theirs.
        let mut terms = run.terms();
        terms.retain(|term| term != Divergence::NAME);
        let norms: Vec<f64> = terms.iter().map(last).collect();
        let total: f64 = norms.iter().sum();
        for (term, norm) in terms.iter().zip(&norms) {
            if *norm < DEAD * total {
                warnings.push(format!(
                    "{label}: the {term} term is dead, {:.2} % of all gradient norms at the end",
                    100.0 * norm / total
                ));
            }
        }
        if let Some(share) = run.updated(true).filter(|share| *share < 0.1) {
            warnings.push(format!(
                "{label}: the discriminator was updated in only {:.0} % of the steps",
                100.0 * share
            ));
        }
        if run.seconds().is_none() {
            warnings.push(format!("{label}: the run is not finished"));
        }
        // The report is not about a measure that no run of a kind has.
        for measure in EVERYWHERE {
            let like = |other: &&Run| {
                let methods =
                    run.experiment != Some(Experiment::Inversion) || run.method == other.method;
                run.experiment == other.experiment && methods
            };
            let has = |run: &Run| run.measurements.contains_key(measure);
            let expected = runs.iter().filter(like).any(has) || run.measurements.is_empty();
            if expected && !has(run) {
                warnings.push(format!("{label}: missing: {measure} was not measured"));
            }
        }
    }
    let trained = runs.iter().filter(|run| run.trained());
    let lengths: Vec<_> = trained.map(Run::steps).collect();
    if lengths.windows(2).any(|pair| pair[0] != pair[1]) {
        warnings.push("the runs were trained for different numbers of steps".into());
    }
    warnings.extend(record.warnings.iter().cloned());
    warnings
}
