//! Paths of shards by folders and patterns.

use std::path::{Path, PathBuf};

use crate::DataError;
use crate::kinds::Kind;

/// Lists the shards that [`Shards::open`](super::Shards::open) opens, in order.
///
/// | pattern | shards |
/// |---|---|
/// | a folder | all `.tar` files in it, in the order of names |
/// | `train-{000000..000146}.tar` | this range |
/// | `train-*.tar` | all files of such names, in their order; `*` and `?` in the last part of the path |
/// | a file | this one |
///
/// Of `world` machines, each may read whole shards of its own:
///
/// ```no_run
/// use deepsim_data::shards::{Shards, paths};
/// let (rank, world) = (0, 4);
/// let all = paths("data/train-{000000..000146}.tar")?;
/// let mine: Vec<_> = all.into_iter().skip(rank).step_by(world).collect();
/// let shards = Shards::open_files(&mine)?;
/// # Ok::<(), deepsim_data::DataError>(())
/// ```
///
/// # Errors
/// If the pattern is wrong or no file matches it, a folder cannot be listed, or a shard is compressed
/// (`.tar.gz` and the like), which is named.
pub fn paths(pattern: &str) -> Result<Vec<PathBuf>, DataError> {
    let path = Path::new(pattern);
    if path.is_dir() {
        return in_folder(path, |name| name.ends_with(".tar"));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name.contains(['*', '?']) && !path.exists() {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let found = in_folder(folder.unwrap_or(Path::new(".")), |other| matches(&name, other))?;
        return match found.is_empty() {
            false => Ok(found),
            true => Err(DataError::Content {
                path: path.into(),
                wanted: "shards of such names".into(),
                got: "none".into(),
            }),
        };
    }
    let paths = expand(pattern)?;
    match paths.iter().find(|path| is_compressed(&path.to_string_lossy())) {
        Some(path) => Err(compressed(path)),
        None => Ok(paths),
    }
}

/// Lists the files of a folder whose names pass a filter.
fn in_folder(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>, DataError> {
    let entries = crate::folder::sorted(folder)?;
    let files = || entries.iter().filter(|entry| !entry.folder);
    let found: Vec<PathBuf> =
        files().filter(|file| wanted(&file.name)).map(|file| folder.join(&file.name)).collect();
    // Beside shards, or where they are all that there is, samples would be missing without a word.
    let rest = entries
        .iter()
        .any(|entry| entry.folder || Kind::of(entry.name.as_bytes()) == Kind::Picture);
    match files().find(|file| is_compressed(&file.name)) {
        Some(file) if !found.is_empty() || !rest => Err(compressed(&folder.join(&file.name))),
        _ => Ok(found),
    }
}

/// Returns true for names of compressed tars.
fn is_compressed(name: &str) -> bool {
    const ENDINGS: [&str; 7] =
        [".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".tar.lz4", ".tar.zip"];
    let name = name.to_ascii_lowercase();
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

fn compressed(path: &Path) -> DataError {
    DataError::Content {
        path: path.into(),
        wanted: "a tar that is not compressed, whose members can be read in any order".into(),
        got: "a compressed one; unpack it to a .tar first, as with gunzip".into(),
    }
}

/// Returns true if a name matches a pattern, in which `*` stands for any characters and `?` for one.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut in_name) = (0, 0);
    // The last star, and where what it stands for ends.
    let mut star: Option<(usize, usize)> = None;
    while in_name < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, in_name));
                at += 1;
            }
            Some(wanted) if *wanted == '?' || *wanted == name[in_name] => {
                (at, in_name) = (at + 1, in_name + 1);
            }
            _ => match &mut star {
                Some((place, end)) => {
                    *end += 1;
                    (at, in_name) = (*place + 1, *end);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

/// The paths that a pattern with a range in braces stands for.
fn expand(pattern: &str) -> Result<Vec<PathBuf>, DataError> {
    let Some((before, rest)) = pattern.split_once('{') else { return Ok(vec![pattern.into()]) };
    let refuse = || DataError::Argument {
        operation: "opening shards",
        wanted: "one range in the name, as in train-{000000..000146}.tar".into(),
        got: pattern.into(),
    };
    let (range, after) = rest.split_once('}').ok_or_else(refuse)?;
    let (first, last) = range.split_once("..").ok_or_else(refuse)?;
    let number = |text: &str| text.parse::<u32>().map_err(|_| refuse());
    let (from, to) = (number(first)?, number(last)?);
    if from > to || to - from > 1_000_000 || after.contains('{') {
        return Err(refuse());
    }
    let width = first.len();
    Ok((from..=to).map(|n| format!("{before}{n:0width$}{after}").into()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stand_for_names_with_leading_zeros() {
        let names = |pattern: &str| expand(pattern).map_err(|error| error.to_string());
        assert_eq!(names("a/b.tar"), Ok(vec!["a/b.tar".into()]));
        let wanted = vec!["t-08.tar".into(), "t-09.tar".into(), "t-10.tar".into()];
        assert_eq!(names("t-{08..10}.tar"), Ok(wanted));
        for wrong in
            ["{1..}", "{1,2}", "{2..1}", "{a..b}", "{1..2", "{0..9}{0..9}", "{0..4000000000}"]
        {
            assert!(names(wrong).is_err_and(|error| error.contains(wrong)), "{wrong}");
        }
    }

    #[test]
    fn stars_and_question_marks_match_names() {
        for (pattern, name, wanted) in [
            ("*.tar", "a.tar", true),
            ("t-*.tar", "t-.tar", true),
            ("t-??.tar", "t-01.tar", true),
            ("t-??.tar", "t-1.tar", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "xxaxxbxx", false),
            ("*.tar", "a.tar.gz", false),
            ("**", "", true),
            ("?", "", false),
            ("*é?", "caféx", true),
        ] {
            assert_eq!(matches(pattern, name), wanted, "{pattern} {name}");
        }
    }
}
