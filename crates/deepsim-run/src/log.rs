//! The log of a run: one JSON object per line, append only.
//!
//! A line with a `step` key is a [`Record`]; readers skip lines without one, e.g. a [`Warning`]. Resuming cuts the log
//! back to the checkpoint's step, so no step appears twice. A number that is not finite is `null` in JSON, and read
//! as NaN.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::RunError;

/// Log record of one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Steps made.
    pub step: u64,
    /// Seconds of training so far, over all sessions of the run.
    pub seconds: f64,
    /// Training images per second, recently.
    pub items_per_s: f64,
    /// Learning rate of the generator.
    pub lr: f64,
    /// Every term by name.
    pub terms: BTreeMap<String, TermRecord>,
    /// Weighted sum of the terms.
    #[serde(deserialize_with = "number")]
    pub total: f64,
    /// Norms of the gradients of the networks that were updated, over all weights.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "numbers")]
    pub gradients: BTreeMap<String, f64>,
    /// Numbers that are logged but not minimised, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "numbers")]
    pub measures: BTreeMap<String, f64>,
    /// The discriminator's side.
    #[serde(flatten)]
    pub adversary: Option<AdversaryRecord>,
}

/// One term of the generator's loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TermRecord {
    /// Value before weighting.
    #[serde(deserialize_with = "number")]
    pub value: f64,
    /// Weight.
    #[serde(deserialize_with = "number")]
    pub weight: f64,
    /// Weighted value.
    #[serde(deserialize_with = "number")]
    pub weighted: f64,
    /// Norm of the weighted gradient at the generated images.
    #[serde(deserialize_with = "number")]
    pub grad_norm: f64,
}

/// The discriminator's side of a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdversaryRecord {
    /// Loss on real images, a cross-entropy in the paper.
    #[serde(deserialize_with = "number")]
    pub d_real: f64,
    /// Loss on generated images.
    #[serde(deserialize_with = "number")]
    pub d_fake: f64,
    /// Accuracy on all images.
    #[serde(deserialize_with = "number")]
    pub d_accuracy: f64,
    /// Accuracy on real images.
    #[serde(deserialize_with = "number")]
    pub d_accuracy_real: f64,
    /// Accuracy on generated images.
    #[serde(deserialize_with = "number")]
    pub d_accuracy_fake: f64,
    /// Discriminator's loss over the generator's.
    #[serde(deserialize_with = "number")]
    pub ratio: f64,
    /// True if the discriminator was updated.
    pub train_d: bool,
    /// True if the generator was updated.
    pub train_g: bool,
    /// Updates of the discriminator so far.
    pub d_updates: u64,
    /// Updates of the generator so far.
    pub g_updates: u64,
    /// Share of the steps since the last record in which the discriminator was updated.
    pub d_share: f64,
    /// Share of the steps since the last record in which the generator was updated.
    pub g_share: f64,
}

impl Record {
    /// Returns names and values for curves, e.g. `value/image`, `discriminator/ratio`.
    pub fn scalars(&self) -> Vec<(String, f64)> {
        let mut all = vec![
            ("total".to_owned(), self.total),
            ("learning_rate".to_owned(), self.lr),
            ("items_per_s".to_owned(), self.items_per_s),
        ];
        for (name, term) in &self.terms {
            all.push((format!("weighted/{name}"), term.weighted));
            all.push((format!("value/{name}"), term.value));
            all.push((format!("gradient/{name}"), term.grad_norm));
        }
        for (net, norm) in &self.gradients {
            all.push((format!("weight_gradient/{net}"), *norm));
        }
        all.extend(self.measures.iter().map(|(name, x)| (format!("measure/{name}"), *x)));
        if let Some(a) = self.adversary {
            all.push(("discriminator/real".into(), a.d_real));
            all.push(("discriminator/generated".into(), a.d_fake));
            all.push(("discriminator/accuracy".into(), a.d_accuracy));
            all.push(("discriminator/ratio".into(), a.ratio));
            all.push(("discriminator/accuracy_real".into(), a.d_accuracy_real));
            all.push(("discriminator/accuracy_generated".into(), a.d_accuracy_fake));
            all.push(("share_updated/discriminator".into(), a.d_share));
            all.push(("share_updated/generator".into(), a.g_share));
        }
        all
    }

    /// Returns one line of text: every weighted term, measures, discriminator.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        for (name, term) in &self.terms {
            text.push_str(&format!("{name} {:.4} ", term.weighted));
        }
        for (name, x) in &self.measures {
            text.push_str(&format!("{name} {x:.4} "));
        }
        if let Some(a) = self.adversary {
            text.push_str(&format!(
                "discriminator {:.3}+{:.3} ratio {:.2} ",
                a.d_real, a.d_fake, a.ratio
            ));
            if !a.train_d {
                text.push_str("(discriminator paused) ");
            }
            if !a.train_g {
                text.push_str("(generator paused) ");
            }
        }
        text.trim_end().to_owned()
    }
}

/// A warning about the training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Warning {
    /// Steps made.
    pub at_step: u64,
    /// The text.
    pub warning: String,
}

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// A step.
    Record(Box<Record>),
    /// A warning.
    Warning(Warning),
}

impl Line {
    /// Returns the step that the line is of.
    pub fn step(&self) -> u64 {
        match self {
            Self::Record(record) => record.step,
            Self::Warning(warning) => warning.at_step,
        }
    }
}

/// Reads all records of a log, in order. Warnings are skipped, and so is a last line that is half-written.
///
/// # Errors
/// If the file cannot be read, or another line is broken: the error names the line.
pub fn read(path: &Path) -> Result<Vec<Record>, RunError> {
    let text = std::fs::read_to_string(path).map_err(RunError::io("reading log", path))?;
    parse(path, &text)
}

/// Reads all records of the text of a log; `path` is for errors.
pub(crate) fn parse(path: &Path, text: &str) -> Result<Vec<Record>, RunError> {
    let mut records = Vec::new();
    for (index, line) in text.split_inclusive('\n').enumerate() {
        match record(line) {
            Ok(found) => records.extend(found),
            Err(_) if !line.ends_with('\n') => {}
            Err(error) => {
                return Err(RunError::Content {
                    path: path.into(),
                    line: Some(index + 1),
                    expected: "a record of a step",
                    found: error.to_string(),
                    advice: Some("correct or remove the line"),
                });
            }
        }
    }
    Ok(records)
}

/// Parses a line; None if it is not of a step.
fn record(line: &str) -> serde_json::Result<Option<Record>> {
    let value: Value = serde_json::from_str(line)?;
    match value.get("step") {
        Some(_) => serde_json::from_value(value).map(Some),
        None => Ok(None),
    }
}

/// Reads a number, or NaN for `null`.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
}

/// Reads numbers by name, NaN for `null`.
fn numbers<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, f64>, D::Error> {
    let all = BTreeMap::<String, Option<f64>>::deserialize(from)?;
    Ok(all.into_iter().map(|(name, x)| (name, x.unwrap_or(f64::NAN))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"items_per_s":9.5,"lr":0.1,"seconds":2.0,"step":7,"terms":{"image":
        {"grad_norm":1.0,"value":2.0,"weight":3.0,"weighted":6.0}},"total":6.0}"#;

    fn line() -> String {
        RECORD.replace('\n', "") + "\n"
    }

    #[test]
    fn records_are_read_and_warnings_and_half_a_line_are_skipped() {
        let warning = "{\"at_step\":8,\"warning\":\"text\"}\n";
        let text = [&line(), warning, &line().replace(":7", ":8"), "{\"step\":9,\"ter"].concat();
        let records = parse(Path::new("log.jsonl"), &text).expect("a log");
        assert_eq!(records.iter().map(|record| record.step).collect::<Vec<_>>(), [7, 8]);
        assert_eq!(records[0].terms["image"].weighted, 6.0);
        assert_eq!(records[0].adversary, None);
        // A record is written as it was read.
        assert_eq!(serde_json::json!(records[0]).to_string() + "\n", line().replace("  ", ""));
    }

    #[test]
    fn a_broken_line_before_the_last_is_named() {
        for broken in ["{\"step\":9,\"ter\n", "{\"step\":9}\n", "no JSON\n", "\n"] {
            let text = [&line(), broken, &line()].concat();
            let error = parse(Path::new("run/log.jsonl"), &text).expect_err(broken).to_string();
            assert!(error.starts_with("run/log.jsonl:2: expected a record of a step, "), "{error}");
        }
        assert!(read(Path::new("nowhere/log.jsonl")).is_err());
    }

    #[test]
    fn numbers_that_were_not_finite_are_nan_and_lose_no_record() {
        let flags =
            r#""train_d":true,"train_g":true,"d_updates":1,"g_updates":1,"d_share":1,"g_share":1"#;
        let judged =
            r#""d_real":1,"d_fake":1,"d_accuracy":1,"d_accuracy_real":1,"d_accuracy_fake":1"#;
        let more =
            format!(r#""ratio":null,{judged},{flags},"measures":{{"loss":null}},"total":null"#);
        let text = line().replace("\"total\":6.0", &more);
        let record = parse(Path::new("log.jsonl"), &text).expect("a log").remove(0);
        assert!(record.total.is_nan() && record.measures["loss"].is_nan());
        assert!(record.adversary.expect("a discriminator").ratio.is_nan());
        assert!(matches!(serde_json::from_str(&text), Ok(Line::Record(_))));
    }
}
