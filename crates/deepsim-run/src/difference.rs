//! Keys in which two plans differ.

use std::collections::BTreeMap;

use serde::Serialize;
use toml::{Table, Value};

use crate::RunError;

/// Part of a plan that holds the recipe, whose keys users set without it.
const RECIPE: &str = "recipe";

/// Returns the keys of a plan that has changed, as `seed: expected 0, found 9`, in the order of their names. `apart`
/// names tables and keys that are not compared.
///
/// # Errors
/// If a value has no TOML form.
pub(crate) fn differences(
    earlier: &impl Serialize,
    now: &impl Serialize,
    apart: &[&str],
) -> Result<Vec<String>, RunError> {
    let (earlier, now) = (keys(earlier)?, keys(now)?);
    let is_apart = |key: &str| {
        apart.iter().any(|name| {
            key.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    };
    let mut all: Vec<&String> = earlier.keys().chain(now.keys()).collect();
    all.sort();
    all.dedup();
    let lines = all.into_iter().filter(|key| !is_apart(key)).filter_map(|key| {
        let (expected, found) = (earlier.get(key), now.get(key));
        let show = |value: Option<&Value>| value.map_or("none".into(), Value::to_string);
        let (expected, found) = (expected != found).then(|| (show(expected), show(found)))?;
        Some(format!("{key}: expected {expected}, found {found}"))
    });
    Ok(lines.collect())
}

/// Values of a plan by their keys, with dots between the parts.
pub(crate) fn keys(plan: &impl Serialize) -> Result<BTreeMap<String, Value>, RunError> {
    let table = Table::try_from(plan)
        .map_err(|error| RunError::recipe(format!("comparing plans: {error}")))?;
    let mut keys = BTreeMap::new();
    flatten("", table, &mut keys);
    Ok(keys)
}

fn flatten(path: &str, table: Table, keys: &mut BTreeMap<String, Value>) {
    for (name, value) in table {
        let key = match path {
            "" | RECIPE => name,
            path => format!("{path}.{name}"),
        };
        match value {
            Value::Table(table) => flatten(&key, table, keys),
            value => drop(keys.insert(key, value)),
        }
    }
}
