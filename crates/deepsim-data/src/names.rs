//! Many short names in one piece of memory.

/// A list of texts. A million of them cost their bytes and four more each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    text: String,
    /// Where each ends.
    ends: Vec<u32>,
}

impl Names {
    /// Number of names.
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

    /// A name; empty if there is none at `index`.
    pub(crate) fn get(&self, index: usize) -> &str {
        let end = |index: usize| self.ends.get(index).map_or(0, |end| *end as usize);
        let start = index.checked_sub(1).map_or(0, end);
        self.text.get(start..end(index)).unwrap_or_default()
    }

    /// All names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// The text of all names, and where each ends.
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
