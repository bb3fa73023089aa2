//! The effects that the paper reports, and whether our numbers show them.
//!
//! Directions can be compared where numbers cannot: with other photographs or fewer steps.

use serde::Serialize;

use super::run::{Method, Run};
use super::targets::{CODE, Row};
use crate::measure;
use crate::measure::error::IMAGE_SPACE;
use crate::measure::samples::{FRECHET, HIGH_FREQUENCIES as HIGH_FREQUENCIES_OF_SAMPLES, KERNEL};
use crate::measure::sharpness::HIGH_FREQUENCIES;

/// The run that the others are compared with: its loss is the squared error.
pub(super) const SE: &str = "SE";
/// The runs with the paper's loss.
const OURS: [&str; 2] = ["AlexNet CONV3", "Exemplar-CNN CONV3"];

/// Who says that an effect should be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Source {
    /// The paper's text; the direction is certain.
    #[serde(rename = "the paper, CERTAIN")]
    Paper,
    /// The paper's numbers, which are recalled from memory.
    #[serde(rename = "the paper's numbers, RECALLED, unverified")]
    Recalled,
    /// Not a number of the paper: what its argument lets expect.
    #[serde(rename = "expected from the paper's argument; it prints no such number")]
    Argument,
}

/// An effect that should be there, and whether our numbers show it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Claim {
    pub(super) run: String,
    pub(super) claim: String,
    pub(super) source: Source,
    /// `None` where a number is missing or the difference is within chance.
    pub(super) holds: Option<bool>,
    pub(super) detail: String,
    /// The number of the paper's table that it is about, if it is about one.
    #[serde(skip)]
    pub(super) main: Option<String>,
}

impl Claim {
    /// In a few words, for a table.
    pub(super) fn verdict(&self) -> &'static str {
        match (self.holds, self.source) {
            (Some(true), Source::Paper) => "direction as in the paper",
            (Some(true), Source::Recalled) => "direction as recalled",
            (Some(false), Source::Recalled) => "direction NOT as recalled",
            (Some(true), Source::Argument) => "direction as expected",
            (Some(false), Source::Paper) => "direction NOT as in the paper",
            (Some(false), Source::Argument) => "direction NOT as expected",
            (None, _) => "direction undecided",
        }
    }
}

/// Steps below which no direction means anything.
const TELLING: u64 = 30;

/// What is compared: a number of one run with the same number of another.
struct Expected<'a> {
    run: &'a Run,
    other: &'a Run,
    claim: String,
    source: Source,
    measure: &'a str,
    row: Row<'a>,
    /// Whether the first should be larger.
    larger: bool,
    main: bool,
}

impl Expected<'_> {
    fn claim(self) -> Claim {
        let Self { run, other, claim, source, measure, row, larger, main } = self;
        let (holds, mut detail) = compared(run, other, measure, row, larger);
        let trained = [run, other].into_iter().filter(|run| run.trained());
        // Of a run without a log nothing is known about its length.
        let few = trained.filter_map(Run::steps).any(|steps| steps < TELLING);
        if few && holds.is_some() {
            detail += " (too few steps to tell)";
        }
        let main = main.then(|| row.name());
        Claim { run: run.label.clone(), claim, source, holds: holds.filter(|_| !few), detail, main }
    }
}

/// The effects that a target shows on its runs.
pub(super) fn of(target: &str, runs: &[&Run]) -> Vec<Claim> {
    match target {
        "table3" | "table4" | "fig3" => autoencoders(target, runs),
        "table6" => inversions(runs).into_iter().map(Expected::claim).collect(),
        "fig4" | "fig4-small" => samples(runs).into_iter().map(Expected::claim).collect(),
        "fig7" => ablation(runs).into_iter().map(Expected::claim).collect(),
        "presamples" => runs.iter().filter_map(|run| one_image(run)).collect(),
        _ => Vec::new(),
    }
}

fn autoencoders<'a>(target: &str, runs: &[&'a Run]) -> Vec<Claim> {
    let find =
        |label: &str| -> Option<&'a Run> { runs.iter().find(|run| run.label == label).copied() };
    let Some(se) = find(SE) else { return Vec::new() };
    let mut claims = Vec::new();
    for run in OURS.iter().filter_map(|label| find(label)) {
        let label = &run.label;
        let mut add = |claim, source, measure, row, larger, main| {
            let expected = Expected { run, other: se, claim, source, measure, row, larger, main };
            claims.push(expected.claim());
        };
        match target {
            "table3" => {
                let claim = format!("{label} is worse than SE in Euclidean error");
                add(claim, Source::Paper, "error", Row::Named(IMAGE_SPACE), true, true);
                for space in independent_spaces(se) {
                    let claim = format!("{label} is closer than SE in the {space}");
                    let row = Row::Named(space);
                    add(claim, Source::Argument, "error", row, false, false);
                }
            }
            "table4" => {
                let claim = format!("the code of {label} is better for classification than SE's");
                add(claim, Source::Paper, "svm", Row::Named(CODE), true, true);
            }
            _ => {
                let claim = format!("{label} is sharper than SE");
                let row = Row::Named(HIGH_FREQUENCIES);
                add(claim, Source::Argument, "sharpness", row, true, false);
            }
        }
    }
    claims
}

/// What holds in Table 6 whatever the exact digits.
fn inversions<'a>(runs: &[&'a Run]) -> Vec<Expected<'a>> {
    use Method::{ImageOnly, Optimised, OtherComparator, Ours};
    let (image, feature) = (Row::Named(IMAGE_SPACE), Row::Inverted);
    let method = |run: &&Run, wanted: Method| {
        run.inversion.as_ref().is_some_and(|(_, method)| *method == wanted)
    };
    let tap = |run: &Run| run.inversion.as_ref().map(|(tap, _)| tap.clone());
    let all = |wanted| runs.iter().filter(move |run| method(run, wanted)).copied();
    let mut expected = Vec::new();
    let mut add = |run: &'a Run, than: &str, other: &'a Run, row, larger, main| {
        let word = if larger { "larger" } else { "smaller" };
        let space = if row == image { "image" } else { "feature" };
        expected.push(Expected {
            run,
            other,
            claim: format!("{}: {word} error in {space} space than {than}", run.label),
            source: Source::Recalled,
            measure: "error",
            row,
            larger,
            main,
        });
    };
    let mut ours: Vec<&Run> = all(Ours).collect();
    ours.sort_by_key(|run| tap(run));
    for pair in ours.windows(2) {
        add(pair[1], &pair[0].label, pair[0], image, true, true);
    }
    for own in ours {
        let same = |run: &&Run| tap(run) == tap(own);
        for other in all(ImageOnly).filter(same) {
            add(other, "with the whole loss", own, image, false, true);
            add(other, "with the whole loss", own, feature, true, true);
        }
        for other in all(Optimised).filter(same) {
            add(other, "the generator", own, image, true, true);
            add(other, "the generator", own, feature, false, true);
        }
        for other in all(OtherComparator).filter(same) {
            add(other, "with the encoder as comparator", own, image, false, true);
            add(other, "with the encoder as comparator", own, feature, true, true);
        }
    }
    expected
}

/// Figure 4: samples of the paper's loss against those of the squared error.
fn samples<'a>(runs: &[&'a Run]) -> Vec<Expected<'a>> {
    let has = |run: &Run, term: &str| run.plan_value(&format!("recipe.{term}")).is_some();
    let ours = |run: &Run| has(run, "feature") && has(run, "adversarial");
    let Some(se) = runs.iter().find(|run| !has(run, "feature") && !has(run, "adversarial")) else {
        return Vec::new();
    };
    let mut expected = Vec::new();
    // A network that was not trained with, and has learned something.
    let judges = se.measurements.get("samples").map_or(&[][..], |measured| &measured.rows);
    let judges = judges.iter().map(|row| row.name.as_str()).filter(|name| {
        let distance = name.starts_with(FRECHET) || name.starts_with(KERNEL);
        distance && name.contains("squeezenet") && !name.contains("random")
    });
    let judges: Vec<&str> = judges.collect();
    for run in runs.iter().filter(|run| ours(run)) {
        let mut add = |row, larger, what: String| {
            expected.push(Expected {
                run,
                other: se,
                claim: format!("samples of {} are {what} than those of {}", run.label, se.label),
                source: Source::Argument,
                measure: "samples",
                row: Row::Named(row),
                larger,
                main: false,
            });
        };
        add(HIGH_FREQUENCIES_OF_SAMPLES, true, "sharper".into());
        for judge in &judges {
            add(judge, false, format!("nearer to photographs ({judge})"));
        }
    }
    expected
}

/// What the paper's text says of Figure 7.
fn ablation<'a>(runs: &[&'a Run]) -> Vec<Expected<'a>> {
    let find = |wanted: Method| {
        let method = |run: &&&Run| run.inversion.as_ref().is_some_and(|(_, m)| *m == wanted);
        runs.iter().find(method).copied()
    };
    let Some(full) = find(Method::Ours) else { return Vec::new() };
    let mut expected = Vec::new();
    let mut add = |run: &'a Run, text: &str, measure, row, larger| {
        let claim = format!("{} {text}", run.label);
        let (other, source, main) = (full, Source::Paper, false);
        expected.push(Expected { run, other, claim, source, measure, row, larger, main });
    };
    let high = Row::Named(HIGH_FREQUENCIES);
    for run in runs {
        let has = |term: &str| run.plan_value(&format!("recipe.{term}")).is_some();
        let image = run.plan_value("recipe.image.weight").and_then(toml::Value::as_float);
        match (has("feature"), has("adversarial")) {
            (false, false) => add(run, "is smoother than the whole loss", "sharpness", high, false),
            (true, false) => add(run, "is noisier than the whole loss", "sharpness", high, true),
            (false, true) if image != Some(0.0) => {
                let text = "draws other objects: larger error in feature space than the whole loss";
                add(run, text, "error", Row::Inverted, true);
            }
            _ => {}
        }
    }
    expected
}

/// Percent of the distance between different inputs below which noise makes no difference to speak of.
const DIVERSE: f64 = 10.0;

/// "Sampling pre-images": the paper's attempt failed.
fn one_image(run: &Run) -> Option<Claim> {
    let row = run.row("presamples", Row::Named("diversity, image space"))?;
    let value = row.value?;
    Some(Claim {
        run: run.label.clone(),
        claim: format!("{}: noise does not make images of one feature vector differ", run.label),
        source: Source::Paper,
        holds: (run.steps() >= Some(TELLING)).then_some(value < DIVERSE),
        detail: format!("{value:.1} % of the distance between different inputs' images"),
        main: None,
    })
}

/// Feature spaces of a trained network that no generator was trained with.
fn independent_spaces(run: &Run) -> Vec<&str> {
    let rows = run.measurements.get("error").map_or(&[][..], |m| &m.rows);
    let names = rows.iter().map(|row| row.name.as_str());
    names.filter(|name| name.starts_with("squeezenet") && !name.contains("random")).collect()
}

fn compared(
    run: &Run,
    other: &Run,
    measure: &str,
    row: Row<'_>,
    larger: bool,
) -> (Option<bool>, String) {
    let value = |run: &Run| -> Option<(f64, f64)> {
        let row = run.row(measure, row)?;
        Some((row.value?, uncertainty(row)))
    };
    let (Some((ours, of_ours)), Some((theirs, of_theirs))) = (value(run), value(other)) else {
        return (None, format!("missing: {measure}, {}", row.name()));
    };
    let detail = format!("{ours:.1} against {theirs:.1} of {}", other.label);
    let chance = of_ours.max(of_theirs);
    if (ours - theirs).abs() <= chance {
        return (None, format!("{detail}, within chance (± {chance:.1})"));
    }
    (Some((ours > theirs) == larger), detail)
}

/// How far a mean may be off: twice its standard error where it is over independent samples, its
/// whole spread over folds, which share images, nothing where no spread is known.
fn uncertainty(row: &measure::Row) -> f64 {
    match (row.spread, row.samples) {
        (Some(spread), Some(n)) => 2.0 * spread / (n.max(1) as f64).sqrt(),
        (Some(spread), None) if row.name == CODE => spread,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_over_many_images_are_surer_than_means_over_folds() {
        let row = |name: &str| measure::Row::new(name, 30.0, "%", "").with_spread(8.0);
        assert_eq!(uncertainty(&row(IMAGE_SPACE).over(1600)), 0.4);
        assert_eq!(uncertainty(&row(CODE)), 8.0);
        assert_eq!(uncertainty(&row(IMAGE_SPACE)), 0.0, "of so many images that none say how many");
        assert_eq!(uncertainty(&measure::Row::new(HIGH_FREQUENCIES, 30.0, "%", "")), 0.0);
    }
}
