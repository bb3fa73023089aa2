//! Pairs of pictures of two folders, by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use deepsim_data::folder::ImageFolder;
use deepsim_data::{DataError, PictureFiles};

use crate::EvalError;

/// Two pictures of one name, as paths from their folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Picture of the first folder, the reference.
    pub a: String,
    /// Picture of the second folder.
    pub b: String,
}

/// Pictures of two folders in pairs.
///
/// Two pictures are a pair if their paths from the folders are the same, or the same without the endings: `x/1.png`
/// with `x/1.jpg`.
///
/// ```
/// use deepsim_data::picture::Picture;
/// use deepsim_eval::folders::Pairing;
/// let root = tempfile::tempdir()?;
/// let at = |name: &str| root.path().join(name);
/// std::fs::create_dir(at("a"))?;
/// std::fs::create_dir(at("b"))?;
/// for name in ["a/1.png", "a/2.png", "b/2.png", "b/3.png"] {
///     Picture::new(8, 8, [9; 3]).write_png(&at(name))?;
/// }
/// let pairing = Pairing::of(&at("a"), &at("b"))?;
/// assert_eq!((pairing.pairs.len(), &*pairing.pairs[0].a), (1, "2.png"));
/// assert_eq!((pairing.only_a, pairing.only_b), (vec!["1.png".into()], vec!["3.png".into()]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pairing {
    /// The two folders.
    pub roots: [PathBuf; 2],
    /// Pairs, in the order of their names; at least one.
    pub pairs: Vec<Pair>,
    /// Pictures of the first folder without a partner.
    pub only_a: Vec<String>,
    /// Pictures of the second folder without a partner.
    pub only_b: Vec<String>,
}

impl Pairing {
    /// Lists two folders, with the folders in them, and pairs their pictures.
    ///
    /// # Errors
    /// If a folder cannot be read or has no pictures, a picture has more than one partner, or there is no pair.
    pub fn of(a: &Path, b: &Path) -> Result<Self, EvalError> {
        let (of_a, mut of_b) = (names(a)?, names(b)?);
        let (mut pairs, mut only_a, mut only_b) = (Vec::new(), Vec::new(), Vec::new());
        for (stem, mut left) in of_a {
            let mut right = of_b.remove(&stem).unwrap_or_default();
            left.retain(|name| match right.iter().position(|other| other == name) {
                Some(at) => {
                    pairs.push(Pair { a: name.clone(), b: right.remove(at) });
                    false
                }
                None => true,
            });
            match (&left[..], &right[..]) {
                ([a], [b]) => pairs.push(Pair { a: a.clone(), b: b.clone() }),
                (_, []) => only_a.extend(left),
                ([], _) => only_b.extend(right),
                ([first, second, ..], _) => return Err(ambiguous(a, first, second)),
                (_, [first, second, ..]) => return Err(ambiguous(b, first, second)),
            }
        }
        only_b.extend(of_b.into_values().flatten());
        if pairs.is_empty() {
            let some = |names: &[String]| names.first().cloned().unwrap_or_default();
            let (wanted, got) = (some(&only_a), some(&only_b));
            let wanted = format!("pictures named as those in {}, such as {wanted}", a.display());
            let got = format!("{} of other names, such as {got}", only_b.len());
            return Err(DataError::Content { path: b.into(), wanted, got }.into());
        }
        pairs.sort_unstable_by(|one, other| one.a.cmp(&other.a));
        only_b.sort_unstable();
        Ok(Self { roots: [a.into(), b.into()], pairs, only_a, only_b })
    }

    /// Paths of the pictures of pair `index`.
    ///
    /// # Panics
    /// If there is no such pair.
    pub fn paths(&self, index: usize) -> [PathBuf; 2] {
        let Pair { a, b } = &self.pairs[index];
        [self.roots[0].join(a), self.roots[1].join(b)]
    }
}

/// Pictures of a folder by their names without endings.
fn names(root: &Path) -> Result<BTreeMap<String, Vec<String>>, EvalError> {
    let folder = ImageFolder::without_classes(root)?;
    let mut names = BTreeMap::<String, Vec<String>>::new();
    for name in (0..folder.len()).map(|index| folder.name(index)) {
        // Every picture has an ending, by which it was found.
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        names.entry(stem.into()).or_default().push(name.into());
    }
    Ok(names)
}

fn ambiguous(root: &Path, first: &str, second: &str) -> EvalError {
    let wanted = "one picture of this name, whatever its ending".into();
    DataError::Content { path: root.join(second), wanted, got: format!("also {first}") }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Folders with empty files of these names.
    fn pairing(a: &[&str], b: &[&str]) -> Result<Pairing, EvalError> {
        let root = tempfile::tempdir().expect("a folder");
        let folder = |of: &str, names: &[&str]| {
            let folder = root.path().join(of);
            std::fs::create_dir(&folder).expect("a folder");
            for name in names {
                let path = folder.join(name);
                std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
                std::fs::write(path, "").expect("a file");
            }
            folder
        };
        Pairing::of(&folder("a", a), &folder("b", b))
    }

    fn pairs(found: &Pairing) -> Vec<(&str, &str)> {
        found.pairs.iter().map(|pair| (&*pair.a, &*pair.b)).collect()
    }

    #[test]
    fn endings_and_folders_beside_pictures_do_not_matter() -> Result<(), EvalError> {
        let found = pairing(
            &["2.png", "1.JPG", "x/1.png", "x.y/1.v2.png", "a.txt"],
            &["1.png", "x/1.jpeg", "x.y/1.v2.jpg", "x.y/1.v3.jpg", "2/2.png"],
        )?;
        let wanted =
            [("1.JPG", "1.png"), ("x.y/1.v2.png", "x.y/1.v2.jpg"), ("x/1.png", "x/1.jpeg")];
        assert_eq!(pairs(&found), wanted);
        assert_eq!(found.only_a, ["2.png"]);
        assert_eq!(found.only_b, ["2/2.png", "x.y/1.v3.jpg"]);
        Ok(())
    }

    #[test]
    fn equal_names_come_first_and_what_is_then_ambiguous_is_refused() -> Result<(), EvalError> {
        let found = pairing(&["1.png", "1.jpg"], &["1.jpg", "1.png"])?;
        assert_eq!(pairs(&found), [("1.jpg", "1.jpg"), ("1.png", "1.png")]);
        let found = pairing(&["1.png"], &["1.jpg", "1.png"])?;
        assert_eq!(pairs(&found), [("1.png", "1.png")]);
        assert_eq!(found.only_b, ["1.jpg"]);
        for (a, b, path) in [
            (&["1.jpg", "1.png"][..], &["1.jpeg"][..], "a/1.png"),
            (&["1.jpeg"], &["1.jpg", "1.png"], "b/1.png"),
        ] {
            let message = pairing(a, b).expect_err(path).to_string();
            let words = format!(
                "{path}: expected one picture of this name, whatever its ending, found also 1.jpg"
            );
            assert!(message.ends_with(&words), "{message}");
        }
        Ok(())
    }

    #[test]
    fn folders_without_pictures_or_pairs_are_refused() {
        let message = pairing(&[], &["1.png"]).expect_err("empty").to_string();
        assert!(message.contains("a: expected pictures with names that end in"), "{message}");
        let message = pairing(&["1.png", "2.png"], &["3.png"]).expect_err("no pair").to_string();
        assert!(message.contains("b: expected pictures named as those in "), "{message}");
        assert!(
            message.ends_with("a, such as 1.png, found 1 of other names, such as 3.png"),
            "{message}"
        );
    }
}
