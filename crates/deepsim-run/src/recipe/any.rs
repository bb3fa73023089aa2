//! Recipes of either kind.

use std::path::Path;

use super::{ComparatorRecipe, Recipe};
use crate::{RunError, recipes};

/// A recipe of a generator or of a comparator.
#[derive(Clone, Debug, PartialEq)]
pub enum AnyRecipe {
    /// Trains a generator.
    Generator(Box<Recipe>),
    /// Trains a comparator: the recipe has the key `comparator`.
    Comparator(Box<ComparatorRecipe>),
}

impl AnyRecipe {
    /// Opens a recipe by its path or by the name of a [built-in](crate::recipes) one, and applies overrides of the
    /// form `key.sub=value`.
    ///
    /// A file that exists, or a name that ends in `.toml`, is a path. A folder never is.
    ///
    /// ```
    /// use std::path::Path;
    /// use deepsim_run::recipe::AnyRecipe;
    ///
    /// # fn main() -> Result<(), deepsim_run::RunError> {
    /// let recipe = AnyRecipe::open(Path::new("autoencoder-se"), &["steps=100".to_owned()])?;
    /// let AnyRecipe::Generator(recipe) = recipe else { unreachable!("an autoencoder") };
    /// assert_eq!((recipe.steps, recipe.batch), (100, 64));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If there is neither such a file nor such a built-in recipe, or the recipe is not valid.
    pub fn open(name_or_path: &Path, overrides: &[String]) -> Result<Self, RunError> {
        let file = name_or_path.exists() && !name_or_path.is_dir();
        if file || name_or_path.extension().is_some_and(|end| end == "toml") {
            return Self::read(name_or_path, overrides);
        }
        let text = name_or_path.to_str().and_then(recipes::text).ok_or_else(|| {
            let names: Vec<&str> = recipes::names().collect();
            RunError::recipe(format!(
                "expected a TOML file or one of {}; found `{}`",
                names.join(", "),
                name_or_path.display()
            ))
        })?;
        Self::parse(text, overrides).map_err(|error| error.in_recipe(name_or_path))
    }

    /// Reads a recipe from a file and applies overrides of the form `key.sub=value`.
    ///
    /// # Errors
    /// Names the file, and the line where TOML knows it.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self, RunError> {
        let text = std::fs::read_to_string(path).map_err(RunError::io("reading recipe", path))?;
        Self::parse(&text, overrides).map_err(|error| error.in_recipe(path))
    }

    /// Parses a recipe and applies overrides of the form `key.sub=value`.
    ///
    /// # Errors
    /// If the text is not TOML, a key is unknown, or a value makes no sense.
    pub fn parse(text: &str, overrides: &[String]) -> Result<Self, RunError> {
        Ok(match ComparatorRecipe::recognises(text) {
            true => Self::Comparator(Box::new(ComparatorRecipe::parse(text, overrides)?)),
            false => Self::Generator(Box::new(Recipe::parse(text, overrides)?)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_is_a_file_or_a_built_in_name_and_others_are_listed() -> Result<(), RunError> {
        let open = |path: &Path, sets: &[&str]| {
            AnyRecipe::open(path, &sets.iter().map(|set| (*set).to_owned()).collect::<Vec<_>>())
        };
        let named = open(Path::new("videonet-stills"), &["steps=3"])?;
        assert!(matches!(&named, AnyRecipe::Comparator(recipe) if recipe.steps == 3), "{named:?}");

        // A file whose name ends in nothing, and that is called as a built-in recipe.
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("videonet");
        std::fs::write(&file, recipes::text("autoencoder-l1").expect("a recipe")).expect("written");
        let read = open(&file, &[])?;
        assert!(matches!(&read, AnyRecipe::Generator(one) if one.name == "autoencoder-l1"));

        for (name, sets, words) in [
            ("autoencoder", &[][..], "one of alexnet-instance, autoencoder-alexnet-conv3, "),
            ("autoencoder-se", &["stesp=1"], "recipe autoencoder-se: "),
            ("autoencoder-se.toml", &[], "reading recipe autoencoder-se.toml"),
        ] {
            let message = open(Path::new(name), sets).expect_err(name).to_string();
            assert!(message.contains(words), "{name}: {message}");
        }
        Ok(())
    }
}
