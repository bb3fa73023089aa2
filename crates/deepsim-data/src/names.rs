//! Names of members and files: many in one piece of memory, and names that are not UTF-8 as text.

use std::borrow::Cow;
use std::fmt::Write;

/// Converts a name to text. Bytes that are not UTF-8 become `\xE9` and the like, and a `\x` that is
/// there already becomes `\x5Cx`, so that different names stay different.
pub(crate) fn text(name: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(name) {
        Ok(text) if !text.contains(r"\x") => Cow::Borrowed(text),
        _ => {
            let mut text = String::new();
            for chunk in name.utf8_chunks() {
                text.push_str(&chunk.valid().replace(r"\x", r"\x5Cx"));
                for byte in chunk.invalid() {
                    // Writing to a string cannot fail.
                    let _ = write!(text, r"\x{byte:02X}");
                }
            }
            Cow::Owned(text)
        }
    }
}

/// List of texts in one string: each takes its bytes and four more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    text: String,
    /// Offset in `text` at which each name ends.
    ends: Vec<u32>,
}

impl Names {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Adds a name; false if there is no room for it.
    pub(crate) fn push(&mut self, name: &str) -> bool {
        let Ok(end) = u32::try_from(self.text.len() + name.len()) else { return false };
        self.text.push_str(name);
        self.ends.push(end);
        true
    }

    /// Returns a name; empty if there is none at `index`.
    pub(crate) fn get(&self, index: usize) -> &str {
        let end = |index: usize| self.ends.get(index).map_or(0, |end| *end as usize);
        let start = index.checked_sub(1).map_or(0, end);
        self.text.get(start..end(index)).unwrap_or_default()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Returns the text of all names, and the offset at which each ends.
    pub(crate) fn parts(&self) -> (&str, &[u32]) {
        (&self.text, &self.ends)
    }

    /// The opposite of [`Names::parts`]; `None` if the ends do not fit the text.
    pub(crate) fn from_parts(text: String, ends: Vec<u32>) -> Option<Self> {
        let fits = ends.is_sorted()
            && ends.iter().all(|end| text.is_char_boundary(*end as usize))
            && ends.last().map_or(0, |end| *end as usize) == text.len();
        fits.then_some(Self { text, ends })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_utf8_stay_different() {
        let names: [&[u8]; 7] = [
            b"caf\xe9.jpg",
            b"caf\xe8.jpg",
            "caf\u{fffd}.jpg".as_bytes(),
            br"caf\xE9.jpg",
            br"caf\x5CxE9.jpg",
            b"caf\\\xe9.jpg",
            br"caf\\xE9.jpg",
        ];
        let texts: Vec<String> = names.iter().map(|name| text(name).into_owned()).collect();
        assert_eq!(texts[0], r"caf\xE9.jpg");
        assert_eq!(text(br"a\b.jpg"), r"a\b.jpg");
        for (i, a) in texts.iter().enumerate() {
            assert!(!texts[..i].contains(a), "{a} stands for two names");
        }
    }

    #[test]
    fn names_come_back_and_foreign_parts_are_checked() {
        let mut names = Names::default();
        assert!(names.push("a") && names.push("") && names.push("ü/b"));
        assert_eq!(names.iter().collect::<Vec<_>>(), ["a", "", "ü/b"]);
        assert_eq!(names.get(3), "");
        let (text, ends) = names.parts();
        assert_eq!(Names::from_parts(text.into(), ends.to_vec()), Some(names.clone()));
        for ends in [vec![1, 1, 4], vec![2, 1, 5], vec![1, 2, 5], vec![1, 1, 6], vec![]] {
            assert_eq!(Names::from_parts(text.into(), ends), None);
        }
    }
}
