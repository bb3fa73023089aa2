//! Options of measures: their texts for help and messages, and values written as text.

use serde_json::{Map, Value};

/// Texts of an option; its type and default are those of the measure's field of the same name.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    /// Name of the field.
    pub key: &'static str,
    /// Placeholder of a value in help, e.g. `N`.
    pub value: &'static str,
    /// One line for help.
    pub about: &'static str,
}

/// Similarity from which a known key is named beside an unknown one.
const SIMILAR: f64 = 0.7;

/// Adds the value `text` of an option to those chosen before. A comma separates the elements of a list;
/// elements that are given later follow the earlier ones. Other values replace each other.
pub(super) fn choose(
    chosen: &mut Map<String, Value>,
    key: &str,
    text: &str,
    default: Option<&Value>,
) {
    let Some(Value::Array(_)) = default else {
        chosen.insert(key.into(), scalar(text));
        return;
    };
    let list = chosen.entry(key).or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(list) = list {
        list.extend(text.split(',').filter(|element| !element.is_empty()).map(scalar));
    }
}

/// A number or a truth value, or else text.
fn scalar(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Null | Value::Bool(_) | Value::Number(_))) => value,
        _ => Value::String(text.into()),
    }
}

/// A value as it is written on a command line.
pub fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(written).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// Describes the keys that `measure` has, beside one that it does not have.
pub(super) fn known_keys(measure: &str, known: &[Opt], found: &str) -> String {
    if known.is_empty() {
        return format!("nothing, because {measure} has no options");
    }
    let near = |opt: &&Opt| strsim::jaro_winkler(opt.key, found);
    let nearest = known.iter().max_by(|a, b| near(a).total_cmp(&near(b)));
    let nearest = nearest.filter(|opt| near(opt) > SIMILAR);
    let nearest = nearest.map_or(String::new(), |opt| format!("; nearest: {}", opt.key));
    let keys: Vec<&str> = known.iter().map(|opt| opt.key).collect();
    format!("an option of {measure} ({}{nearest})", keys.join(", "))
}

/// Describes the expected value as serde's message does; else by the placeholder and the message.
pub(super) fn expected(message: &str, opt: Option<&Opt>) -> String {
    match (message.split_once(", expected "), opt) {
        (Some((_, "usize")), _) => "a whole number of at least 0".into(),
        (Some((_, expected)), _) => expected.into(),
        (None, Some(opt)) => format!("{} ({message})", opt.value),
        (None, None) => message.into(),
    }
}
