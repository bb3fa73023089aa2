//! Origin of features.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// Origin of features, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    /// Name of the network.
    pub net: Option<String>,
    /// Weights of the network.
    pub weights: Option<String>,
    /// Images that features were taken of, e.g. `stretched to 256x256, middle 227x227`.
    pub images: Option<String>,
    /// Names of the pictures, in order; empty if they have none.
    pub pictures: Vec<String>,
}

impl Origin {
    /// File names without endings for `n` pictures: the names of the pictures without their folders and endings, else
    /// numbers. Each is different from the others, has no character that a file system may refuse, and is none of
    /// `reserved`.
    pub fn file_names(&self, n: usize, reserved: &[&str]) -> Vec<String> {
        let mut names: Vec<String> = Vec::with_capacity(n);
        let digits = n.saturating_sub(1).to_string().len().max(4);
        for index in 0..n {
            let picture = self.pictures.get(index).map_or("", String::as_str);
            let stem = Path::new(picture).file_stem().unwrap_or_default().to_string_lossy();
            let plain = |c: char| if c.is_alphanumeric() || "-_ ".contains(c) { c } else { '-' };
            let mut stem: String = stem.chars().map(plain).collect();
            // File systems take 255 bytes, of which a number and the ending need some.
            while stem.len() > 200 {
                stem.pop();
            }
            let number = format!("{index:0digits$}");
            let mut name = if stem.trim().is_empty() { number.clone() } else { stem.trim().into() };
            // Some file systems do not distinguish capital letters.
            let same = |other: &str, name: &str| other.eq_ignore_ascii_case(name);
            while names.iter().any(|other| same(other, &name))
                || reserved.iter().any(|other| same(other, &name))
            {
                name = format!("{name}-{number}");
            }
            names.push(name);
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_distinct_and_stay_in_their_folder() {
        let names = |pictures: &[&str], n: usize| {
            let pictures = pictures.iter().map(|name| name.to_string()).collect();
            Origin { pictures, ..Origin::default() }.file_names(n, &["sheet"])
        };
        assert_eq!(names(&["a/pug.png", "b/Pug.jpg"], 2), ["pug", "Pug-0001"]);
        let hostile = ["../../etc/x.png", "..", "sheet.png", "a:b*.png", "", "x.png"];
        let wanted = ["x", "0001", "sheet-0002", "a-b-", "0004", "x-0005", "0006"];
        assert_eq!(names(&hostile, 7), wanted);
        assert_eq!(names(&["0001.png", ""], 2), ["0001", "0001-0001"]);
        assert_eq!(names(&["\u{732b}".repeat(100).as_str()], 1)[0].len(), 198);
    }
}
