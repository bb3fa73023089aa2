//! `deepsim plan`: the checked plan of a recipe and its cost.

use std::path::Path;

use anyhow::Result;
use clap::Args;
use deepsim_run::recipe::AnyRecipe;
use deepsim_train::run::estimate;

use super::recipe::What;

/// Print the checked plan of a recipe and what it costs, from some of its steps; writes nothing
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    what: What,
    /// Steps to measure; with 0 only the plan is checked
    #[arg(long, value_name = "N", default_value_t = 5)]
    measure: usize,
    /// Print one JSON object instead: name, steps, batch, cost with every layer, measured steps
    #[arg(long)]
    json: bool,
}

#[cfg(test)]
impl Arguments {
    /// Checks the recipe's name and keys.
    pub(crate) fn check(&self) -> Result<()> {
        self.what.check()
    }
}

/// Checks, measures and prints.
pub(crate) fn run(Arguments { what, measure, json }: &Arguments) -> Result<()> {
    let (recipe, options) = what.on(what.place.open()?, Path::new(""), false)?;
    let estimate = match &recipe {
        AnyRecipe::Generator(recipe) => estimate::generator(recipe, &options, *measure),
        AnyRecipe::Comparator(recipe) => estimate::comparator(recipe, &options, *measure),
    };
    let estimate = estimate.map_err(|error| what.data.explain(error.into()))?;
    match json {
        true => println!("{}", serde_json::to_string(&estimate)?),
        false => println!("{estimate}"),
    }
    Ok(())
}
