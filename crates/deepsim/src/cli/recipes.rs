//! `deepsim recipes`: names of built-in recipes, and the keys of all.

use anyhow::Result;
use clap::Args;
use deepsim_run::recipe::keys::{self, Key, REQUIRED};
use deepsim_run::recipes;

use super::exit::Failure;

/// List the built-in recipes, print one, or list every key with its default
///
/// A name of this list is what `deepsim train` and `deepsim plan` take; a printed recipe is a file to begin with.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Recipe to print, as TOML [default: list the names]
    recipe: Option<String>,
    /// List every key of recipes with its default, as --set KEY=VALUE takes it
    #[arg(long, conflicts_with = "recipe")]
    keys: bool,
}

/// Prints.
pub(crate) fn run(Arguments { recipe, keys }: &Arguments) -> Result<()> {
    match recipe {
        _ if *keys => print!("{}", all_keys()),
        None => print!("{}", names()),
        Some(name) => {
            let text = recipes::text(name).ok_or_else(|| {
                Failure::usage(format!(
                    "expected a built-in recipe, found `{name}`; they are:\n{}",
                    names()
                ))
            })?;
            print!("{text}");
        }
    }
    Ok(())
}

/// A line for each recipe.
fn names() -> String {
    let width = recipes::names().map(str::len).max().unwrap_or(0);
    let line = |name| format!("{name:width$}  {}\n", recipes::about(name).unwrap_or_default());
    recipes::names().map(line).collect()
}

/// A line for each key.
fn all_keys() -> String {
    format!(
        "Keys of a recipe that trains a generator. A table as [feature] is optional; required keys are those of a table \
         that is there:\n{}\nKeys of a recipe that trains a comparator:\n{}",
        table(keys::GENERATOR),
        table(keys::COMPARATOR)
    )
}

fn table(keys: &[Key]) -> String {
    let width = keys.iter().map(|key| key.name.len()).max().unwrap_or(0);
    let line = |Key { name, default, about }: &Key| {
        let default = match *default {
            "" => String::new(),
            REQUIRED => " [required]".into(),
            value => format!(" [default: {value}]"),
        };
        format!("  {name:width$}  {about}{default}\n")
    };
    keys.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_have_a_line_each_and_keys_their_defaults() {
        let names = names();
        assert_eq!(names.lines().count(), recipes::names().count());
        let line = names.lines().find(|line| line.starts_with("autoencoder-se ")).expect("a line");
        assert!(
            line.ends_with("Autoencoder with squared error in image space: the SE baseline"),
            "{line}"
        );
        let keys = all_keys();
        for words in
            ["learning rate at the beginning [default: 2e-4]", "images in a step [required]"]
        {
            assert!(keys.contains(words), "{keys}");
        }
        assert!(keys.lines().any(|line| line.trim_start().starts_with("resize") && line.ends_with("without it")));
        let unknown = Arguments { recipe: Some("autoencoder".into()), keys: false };
        let error = run(&unknown).expect_err("no recipe").to_string();
        assert!(error.contains("found `autoencoder`") && error.contains("vae-small-se"), "{error}");
    }
}
