//! Inspection of picture files: what is broken, small, drawn out or twice there.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tracing::field::Empty;

use crate::decode::decode_into;
use crate::panics::guarded;
use crate::picture::Picture;
use crate::{DataError, PictureFiles};

/// Pictures of a longer side than this many short sides are counted as drawn out.
const DRAWN_OUT: usize = 3;
/// Pictures listed by name of each kind, at most.
const LISTED: usize = 20;

/// Findings in several sets of picture files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The sets, in order.
    pub sets: Vec<SetReport>,
    /// Pictures that cannot be read or decoded.
    pub broken: Vec<BrokenPicture>,
    /// Pictures whose files are equal, byte for byte: a list of paths for each.
    pub duplicates: Vec<Vec<PathBuf>>,
    /// Number of these duplicates that are in more than one set.
    pub in_several_sets: usize,
}

/// Findings in one set of picture files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SetReport {
    /// Name of the set, e.g. `train`.
    pub name: String,
    /// Number of pictures that can be used.
    pub pictures: usize,
    /// Number of picture files that cannot be read or decoded.
    pub broken: usize,
    /// Bytes of the pictures.
    pub bytes: u64,
    /// Name of each class and its number of pictures; empty without labels.
    pub classes: Vec<(String, usize)>,
    /// Pictures without a label, in a set in which others have one.
    pub without_label: usize,
    /// Smallest short side in pixels; 0 if no picture can be decoded.
    pub smallest_side: usize,
    /// Largest long side in pixels.
    pub largest_side: usize,
    /// Number of different sizes.
    pub sizes: usize,
    /// Pictures whose short side is below 96 pixels, which training enlarges.
    pub small: usize,
    /// Pictures of which one side is more than three times the other.
    pub drawn_out: usize,
    /// Picture files that are not read, in words; empty if there are none. Not part of the printed report, because
    /// opening the set has warned of them.
    pub not_read: String,
}

/// A picture that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BrokenPicture {
    /// The file.
    pub path: PathBuf,
    /// Reason why it cannot be used.
    pub reason: String,
}

/// Findings in a picture that can be used.
struct Looked {
    bytes: u64,
    digest: [u8; 32],
    /// Height and width.
    size: (usize, usize),
}

impl Report {
    /// True if all pictures can be used.
    pub fn is_sound(&self) -> bool {
        self.broken.is_empty()
    }
}

/// Reads and decodes every picture once. The span `checking pictures` counts them.
///
/// ```
/// # use std::sync::Arc;
/// use deepsim_data::{check, folder::ImageFolder, picture::Picture};
/// # let root = tempfile::tempdir()?;
/// Picture::new(100, 120, [9; 3]).write_png(&root.path().join("1.png"))?;
/// std::fs::write(root.path().join("2.jpg"), b"no picture")?;
/// let files = ImageFolder::open(root.path())?;
/// let report = check::check(&[("train", &files)]);
/// assert!(!report.is_sound());
/// assert_eq!((report.sets[0].pictures, report.broken.len()), (1, 1));
/// println!("{report}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn check(sets: &[(&str, &dyn PictureFiles)]) -> Report {
    let mut report = Report::default();
    // Sets and pictures of each content.
    let mut contents: HashMap<[u8; 32], Vec<(usize, PathBuf)>> = HashMap::new();
    let total: u64 = sets.iter().map(|(_, files)| files.len() as u64).sum();
    let done = AtomicU64::new(0);
    let span = tracing::info_span!("checking pictures", total, done = Empty);
    for (number, (name, files)) in sets.iter().enumerate() {
        let looked: Vec<Result<Looked, String>> = (0..files.len())
            .into_par_iter()
            .map_init(Default::default, |scratch, index| {
                let looked = look(*files, index, scratch);
                span.record("done", done.fetch_add(1, Ordering::Relaxed) + 1);
                looked.map_err(|error| error.to_string())
            })
            .collect();
        let mut set = SetReport { name: (*name).into(), ..Default::default() };
        let mut sizes = HashMap::new();
        let mut classes: Vec<(String, usize)> =
            files.class_names().iter().map(|name| (name.clone(), 0)).collect();
        for (index, looked) in looked.into_iter().enumerate() {
            let looked = match looked {
                Ok(looked) => looked,
                Err(reason) => {
                    set.broken += 1;
                    report.broken.push(BrokenPicture { path: files.path(index), reason });
                    continue;
                }
            };
            match files.label(index).map(|label| label as usize) {
                Some(label) => {
                    let unnamed = classes.len()..(label + 1).max(classes.len());
                    classes.extend(unnamed.map(|class| (class.to_string(), 0)));
                    classes[label].1 += 1;
                }
                None => set.without_label += 1,
            }
            set.pictures += 1;
            set.bytes += looked.bytes;
            contents.entry(looked.digest).or_default().push((number, files.path(index)));
            *sizes.entry(looked.size).or_insert(0) += 1;
        }
        if classes.is_empty() {
            set.without_label = 0;
        }
        set.classes = classes;
        set.smallest_side =
            sizes.keys().map(|(h, w): &(usize, usize)| *h.min(w)).min().unwrap_or(0);
        set.largest_side = sizes.keys().map(|(h, w)| *h.max(w)).max().unwrap_or(0);
        set.sizes = sizes.len();
        let count = |wanted: &dyn Fn(usize, usize) -> bool| {
            sizes.iter().filter(|((h, w), _)| wanted(*h.min(w), *h.max(w))).map(|(_, n)| n).sum()
        };
        set.small = count(&|short, _| short < 96);
        set.drawn_out = count(&|short, long| long > DRAWN_OUT * short);
        set.not_read = files.unread().to_string();
        report.sets.push(set);
    }
    for mut same in contents.into_values().filter(|same| same.len() > 1) {
        same.sort();
        report.in_several_sets += usize::from(same.iter().any(|(set, _)| *set != same[0].0));
        report.duplicates.push(same.into_iter().map(|(_, path)| path).collect());
    }
    report.duplicates.sort();
    report
}

/// Reads a picture file, and decodes it.
fn look(
    files: &dyn PictureFiles,
    index: usize,
    (bytes, picture): &mut (Vec<u8>, Picture),
) -> Result<Looked, DataError> {
    guarded(index, || Some(files.path(index)), || files.read(index, bytes))?;
    let path = files.path(index);
    decode_into(bytes, &path, picture)?;
    let (digest, size) = (Sha256::digest(&*bytes).into(), (picture.height, picture.width));
    Ok(Looked { bytes: bytes.len() as u64, digest, size })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for set in &self.sets {
            let (pictures, megabytes) = (count(set.pictures, "picture"), set.bytes as f64 / 1e6);
            writeln!(f, "{}: {pictures}, {megabytes:.1} MB", set.name)?;
            if set.broken > 0 {
                writeln!(f, "  {} not counted here", count(set.broken, "broken file"))?;
            }
            let (least, most) = (set.smallest_side, set.largest_side);
            if set.sizes > 0 {
                let sizes = count(set.sizes, "size");
                writeln!(f, "  {sizes}, sides from {least} to {most} pixels")?;
            }
            if set.small > 0 {
                writeln!(
                    f,
                    "  {} with a side below 96 pixels, which training enlarges to it, or to the recipe's `resize`",
                    set.small
                )?;
            }
            if set.drawn_out > 0 {
                writeln!(f, "  {} with a side of more than three times the other", set.drawn_out)?;
            }
            let (fewest, most) = (
                set.classes.iter().min_by_key(|class| class.1),
                set.classes.iter().max_by_key(|class| class.1),
            );
            match (fewest, most) {
                (Some(fewest), Some(most)) => writeln!(
                    f,
                    "  {} classes, of {} (`{}`) to {} (`{}`) pictures",
                    set.classes.len(),
                    fewest.1,
                    fewest.0,
                    most.1,
                    most.0
                )?,
                _ => writeln!(f, "  without labels")?,
            }
            if set.without_label > 0 {
                writeln!(f, "  {} without a label", set.without_label)?;
            }
        }
        if !self.duplicates.is_empty() {
            let several = match self.in_several_sets {
                0 => String::new(),
                several => format!(", {several} of them in several sets"),
            };
            let pictures = count(self.duplicates.len(), "picture");
            writeln!(f, "{pictures} in more than one file{several}:")?;
            for same in self.duplicates.iter().take(LISTED) {
                let paths: Vec<String> =
                    same.iter().map(|path| path.display().to_string()).collect();
                writeln!(f, "  {}", paths.join(" = "))?;
            }
            more(f, self.duplicates.len())?;
        }
        if self.broken.is_empty() {
            writeln!(f, "no file is broken")?;
        } else {
            writeln!(f, "{}, to be moved away:", count(self.broken.len(), "broken file"))?;
            for broken in self.broken.iter().take(LISTED) {
                writeln!(f, "  {}", broken.reason)?;
            }
            more(f, self.broken.len())?;
        }
        Ok(())
    }
}

/// A number of things, in words: 1 picture, 2 pictures.
pub(crate) fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// Says how many of a list are left out.
fn more(f: &mut fmt::Formatter<'_>, all: usize) -> fmt::Result {
    match all.saturating_sub(LISTED) {
        0 => Ok(()),
        more => writeln!(f, "  and {more} more, which --json lists"),
    }
}
