//! Text of a recipe: TOML with overrides, and the errors of its values.

use serde::de::DeserializeOwned;

use super::suggest::nearest;
use crate::RunError;

/// Parses a recipe of either kind after overrides of the form `key.sub=value`, and checks it.
pub(super) fn parse<T: DeserializeOwned>(
    text: &str,
    overrides: &[String],
    check: impl FnOnce(&T) -> Result<(), RunError>,
) -> Result<T, RunError> {
    let recipe = parse_toml(text, overrides)?;
    check(&recipe)?;
    Ok(recipe)
}

fn parse_toml<T: DeserializeOwned>(text: &str, overrides: &[String]) -> Result<T, RunError> {
    let broken = |e: toml::de::Error| {
        let message = e.to_string().trim_end().to_owned();
        let meant = nearest(&message).map(|name| format!("\ndid you mean `{name}`?"));
        RunError::recipe(message + &meant.unwrap_or_default())
    };
    if overrides.is_empty() {
        // Straight from the text, so that errors point at the line.
        return toml::from_str(text).map_err(broken);
    }
    let mut table: toml::Table = toml::from_str(text).map_err(broken)?;
    for text in overrides {
        apply(&mut table, text)?;
    }
    table.try_into().map_err(broken)
}

/// Refuses 0, naming the key.
pub(super) fn at_least_one(key: &str, value: u64) -> Result<(), RunError> {
    match value {
        0 => refuse(format!("{key}: expected at least 1, found 0")),
        _ => Ok(()),
    }
}

/// Refuses numbers below 0 and those that are not finite, naming the key.
pub(super) fn not_negative(key: &str, value: f64) -> Result<(), RunError> {
    match value.is_finite() && value >= 0.0 {
        true => Ok(()),
        false => refuse(format!("{key}: expected a number >= 0, found {value}")),
    }
}

/// Refuses a number, called `name` in the message, that is not in `0..1`, naming the key.
pub(super) fn below_one(key: &str, name: &str, value: f64) -> Result<(), RunError> {
    match (0.0..1.0).contains(&value) {
        true => Ok(()),
        false => refuse(format!("{key}: expected 0 <= {name} < 1, found {value}")),
    }
}

/// Returns the error of a value that makes no sense.
pub(super) fn refuse<T>(reason: impl Into<String>) -> Result<T, RunError> {
    Err(RunError::recipe(reason))
}

/// Sets `key.sub` of `key.sub=value`; the value is TOML, or a string if it is not. Without a value the
/// key is taken out of the recipe.
fn apply(table: &mut toml::Table, text: &str) -> Result<(), RunError> {
    let Some((path, value)) = text.split_once('=') else {
        return refuse(format!("--set: expected key=value, found `{text}`"));
    };
    let path_only = value.trim().is_empty();
    let value = toml::from_str::<toml::Table>(&format!("value = {value}"))
        .ok()
        .and_then(|mut t| t.remove("value"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let mut keys: Vec<&str> = path.trim().split('.').collect();
    let last = keys.pop().unwrap_or_default();
    let mut table = table;
    for key in keys {
        let entry = table.entry(key).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        table = entry
            .as_table_mut()
            .ok_or_else(|| RunError::recipe(format!("--set {text}: `{key}` is not a table")))?;
    }
    match path_only {
        true => table.remove(last),
        false => table.insert(last.to_owned(), value),
    };
    Ok(())
}
