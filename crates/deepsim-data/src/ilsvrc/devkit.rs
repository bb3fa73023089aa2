//! The development kit: the table of classes, and the classes of the validation pictures.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::matlab::{self, Value};
use crate::DataError;

/// The kit's name, of the archive without `.tar.gz` and of the folder in it.
pub(super) const NAME: &str = "ILSVRC2012_devkit_t12";
const META: &str = "data/meta.mat";
const TRUTH: &str = "data/ILSVRC2012_validation_ground_truth.txt";
/// Unpacked bytes of the kit, and of each of its files, that are read; the real one has a few MB.
const MAX_BYTES: u64 = 64 << 20;

/// A class of ILSVRC-2012.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synset {
    /// WordNet's name, e.g. `n01440764`.
    pub wnid: String,
    /// Name in words, e.g. `tench, Tinca tinca`.
    pub words: String,
    /// The kit's own number, which is **not** the class index of networks.
    pub ilsvrc2012_id: u32,
}

/// Classes and validation labels of the kit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Devkit {
    /// The classes in the order of their wnids: a class index is a position in this list.
    pub synsets: Vec<Synset>,
    /// Class index of each validation picture.
    pub validation: Vec<u32>,
}

impl Devkit {
    /// Reads the kit from `ILSVRC2012_devkit_t12.tar.gz`, or from the folder that it unpacks to;
    /// `None` if `folder` has neither.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn find(folder: &Path) -> Result<Option<Self>, DataError> {
        let archive = folder.join(format!("{NAME}.tar.gz"));
        for unpacked in [folder.join(NAME), folder.to_path_buf()] {
            let (meta, truth) = (unpacked.join(META), unpacked.join(TRUTH));
            if meta.is_file() {
                let read = |path: &Path| {
                    let file = File::open(path).map_err(DataError::io("opening", path))?;
                    limited(file, path)
                };
                return Self::parse(&read(&meta)?, &meta, &read(&truth)?, &truth).map(Some);
            }
        }
        if archive.is_file() { Self::from_archive(&archive).map(Some) } else { Ok(None) }
    }

    fn from_archive(path: &Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(DataError::io("opening", path))?;
        // Unpacks everything at once up to the limit, so that sizes claimed in the tar reserve no memory.
        let unpacked = limited(MultiGzDecoder::new(file), path)?;
        let mut archive = tar::Archive::new(&unpacked[..]);
        let io = || DataError::io("reading", path);
        let (mut meta, mut truth) = (None, None);
        for entry in archive.entries().map_err(io())? {
            let entry = entry.map_err(io())?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            for (wanted, found) in [(META, &mut meta), (TRUTH, &mut truth)] {
                let inside = name.strip_suffix(wanted);
                if inside.is_some_and(|folder| folder.is_empty() || folder.ends_with('/')) {
                    *found = Some((limited(entry, path)?, path.join(&name)));
                    break;
                }
            }
            if meta.is_some() && truth.is_some() {
                break;
            }
        }
        let missing = |name: &str| DataError::Content {
            path: path.into(),
            wanted: format!("{NAME}/{name}"),
            got: "an archive without it".into(),
        };
        let (meta, meta_path) = meta.ok_or_else(|| missing(META))?;
        let (truth, truth_path) = truth.ok_or_else(|| missing(TRUTH))?;
        Self::parse(&meta, &meta_path, &truth, &truth_path)
    }

    /// The content of the kit's two files; paths are for messages.
    ///
    /// # Errors
    /// If one is damaged or they do not fit together.
    pub fn parse(
        meta: &[u8],
        meta_path: &Path,
        truth: &[u8],
        truth_path: &Path,
    ) -> Result<Self, DataError> {
        let synsets = parse_meta(meta, meta_path)?;
        let validation = parse_truth(truth, &synsets, truth_path)?;
        Ok(Self { synsets, validation })
    }
}

/// The classes of `meta.mat` in the order of their wnids. Of its synsets, those without children are
/// classes.
///
/// # Errors
/// If the file is damaged, a field is missing, or a wnid or number comes twice.
pub fn parse_meta(bytes: &[u8], path: &Path) -> Result<Vec<Synset>, DataError> {
    let refuse = |wanted: &str, got: String| DataError::Content {
        path: path.into(),
        wanted: wanted.into(),
        got,
    };
    let value = matlab::variable(bytes, "synsets").map_err(|(wanted, got)| refuse(wanted, got))?;
    let Value::Struct { fields, elements } = value else {
        return Err(refuse("a struct array `synsets`", "another kind of variable".into()));
    };
    let field = |name: &str| {
        let at = fields.iter().position(|field| field == name);
        at.ok_or_else(|| refuse(&format!("a field `{name}`"), fields.join(", ")))
    };
    let [id, wnid, words, children] =
        [field("ILSVRC2012_ID")?, field("WNID")?, field("words")?, field("num_children")?];
    let got = |value: Option<&Value>, place: &str| {
        format!("{} in {place}", value.map_or_else(|| "nothing".into(), Value::kind))
    };
    let mut synsets = Vec::new();
    for (number, element) in elements.iter().enumerate() {
        let place = || format!("synset {}", number + 1);
        let count = |at: usize| match element.get(at) {
            Some(Value::Numbers(numbers)) if numbers.len() == 1 => Ok(numbers[0]),
            other => Err(refuse("one number", got(other, &place()))),
        };
        let text = |at: usize| match element.get(at) {
            Some(Value::Text(text)) => Ok(text.clone()),
            other => Err(refuse("a text", got(other, &place()))),
        };
        if count(children)? != 0.0 {
            continue;
        }
        let id = count(id)?;
        if !(1.0..=f64::from(u16::MAX)).contains(&id) || id.fract() != 0.0 {
            return Err(refuse("an ILSVRC2012_ID from 1 on", format!("{id} in {}", place())));
        }
        synsets.push(Synset { wnid: text(wnid)?, words: text(words)?, ilsvrc2012_id: id as u32 });
    }
    let (mut ids, mut wnids) = (HashSet::new(), HashSet::new());
    for synset in &synsets {
        if !ids.insert(synset.ilsvrc2012_id) || !wnids.insert(&synset.wnid) {
            let got = format!("{} or number {} twice", synset.wnid, synset.ilsvrc2012_id);
            return Err(refuse("every synset once", got));
        }
    }
    if synsets.is_empty() {
        return Err(refuse("synsets without children", "none".into()));
    }
    synsets.sort_unstable_by(|a, b| a.wnid.cmp(&b.wnid));
    Ok(synsets)
}

/// The class index of each line of the ground truth, which holds the kit's own numbers.
///
/// # Errors
/// If a line is not the number of a class.
pub fn parse_truth(bytes: &[u8], synsets: &[Synset], path: &Path) -> Result<Vec<u32>, DataError> {
    let classes = synsets.iter().enumerate();
    let classes: HashMap<u32, u32> =
        classes.map(|(class, synset)| (synset.ilsvrc2012_id, class as u32)).collect();
    let text = String::from_utf8_lossy(bytes);
    let class = |(number, line): (usize, &str)| {
        let id = line.trim().parse().ok();
        id.and_then(|id: u32| classes.get(&id).copied()).ok_or_else(|| DataError::Content {
            path: path.into(),
            wanted: format!("an ILSVRC2012_ID of one of {} classes", synsets.len()),
            got: format!("`{}` in line {}", line.trim(), number + 1),
        })
    };
    let lines = text.trim_end().lines();
    lines.enumerate().map(class).collect()
}

fn limited(reader: impl Read, path: &Path) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    let read = reader.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(DataError::io("reading", path))?;
    if bytes.len() as u64 > MAX_BYTES {
        let (path, wanted) = (PathBuf::from(path), format!("files of at most {MAX_BYTES} bytes"));
        return Err(DataError::Content { path, wanted, got: "a larger one".into() });
    }
    Ok(bytes)
}
