//! Recipes and run folders of DeePSiM, typed.
//!
//! A run starts with a [`recipe`]: TOML that says what to train.
//!
//! ```
//! use deepsim_run::recipe::Recipe;
//! use deepsim_run::recipes;
//!
//! # fn main() -> Result<(), deepsim_run::RunError> {
//! let text = recipes::text("autoencoder-alexnet-conv3").expect("a built-in recipe");
//! let recipe = Recipe::parse(text, &["steps=2000".to_owned()])?;
//! assert_eq!((recipe.steps, recipe.crop), (2000, 64));
//! # Ok(())
//! # }
//! ```
//!
//! Nothing here trains or measures.

pub mod error;
pub mod recipe;
pub mod recipes;

pub use error::RunError;
