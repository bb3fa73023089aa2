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
//! A run writes into a folder whose files are called as in [`files`]: the checked [`plan`], the [`log`], the
//! [`Identity`] of the run, and [`Done`] in the end. [`RunFolder`] reads all of them.
//!
//! Nothing here trains or measures.

pub mod cost;
mod difference;
pub mod done;
pub mod error;
pub mod files;
pub mod folder;
pub mod identity;
pub mod log;
pub mod plan;
mod read;
pub mod recipe;
pub mod recipes;

pub use done::Done;
pub use error::RunError;
pub use folder::RunFolder;
pub use identity::{Identity, Method};
