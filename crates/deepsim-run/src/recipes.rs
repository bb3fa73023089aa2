//! Recipes compiled into the program: those of the paper's experiments and comparators, and some that the paper lacks.

/// Names with their texts.
macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../recipes/", $name, ".toml")))),*]
    };
}

const ALL: &[(&str, &str)] = built_in![
    "alexnet-instance",
    "autoencoder-alexnet-conv3",
    "autoencoder-exemplar-cnn-conv3",
    "autoencoder-l1",
    "autoencoder-se",
    "exemplar-cnn",
    "exemplar-cnn-small",
    "first-stage",
    "inversion-conv5",
    "inversion-fc6",
    "inversion-fc6-image",
    "inversion-fc6-l1",
    "inversion-fc6-plain",
    "inversion-fc7",
    "inversion-fc8",
    "inversion-small",
    "preimages",
    "vae-alexnet-conv5",
    "vae-alexnet-fc6",
    "vae-se",
    "vae-small-alexnet-conv3",
    "vae-small-se",
    "vae-videonet-conv5",
    "videonet",
    "videonet-stills",
];

/// Returns the TOML text of a built-in recipe.
pub fn text(name: &str) -> Option<&'static str> {
    ALL.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// Returns what a built-in recipe trains, in a line: the first of its text.
pub fn about(name: &str) -> Option<&'static str> {
    let line = text(name)?.lines().next()?;
    Some(line.trim_start_matches("# ").trim_end_matches(['.', ':']))
}

/// Returns the names of all built-in recipes, in alphabetical order.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::RunError;
    use crate::recipe::AnyRecipe;

    #[test]
    fn every_recipe_of_the_folder_is_built_in_and_called_as_its_file() -> Result<(), RunError> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
        let entries = std::fs::read_dir(folder).expect("the folder of recipes");
        let mut files: Vec<String> = entries
            .map(|entry| entry.expect("an entry").path())
            .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
            .collect();
        files.sort();
        assert_eq!(names().collect::<Vec<_>>(), files);
        for name in names() {
            let recipe = AnyRecipe::parse(text(name).expect("a known name"), &[])?;
            let own = match recipe {
                AnyRecipe::Generator(recipe) => recipe.name,
                AnyRecipe::Comparator(recipe) => recipe.name,
            };
            assert_eq!(own, name);
            let about = about(name).expect("a known name");
            assert!(about.len() > 20 && !about.starts_with('#'), "{name}: {about}");
        }
        assert_eq!(text("autoencoder"), None);
        Ok(())
    }
}
