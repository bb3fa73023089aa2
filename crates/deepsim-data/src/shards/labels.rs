//! Labels of the samples of a shard, as texts, and their cache beside the shard.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::key::split;
use crate::DataError;
use crate::atomic::write_atomic;
use crate::names::Names;
use crate::tar_index::TarIndex;

/// First bytes of the cache; the digit is the version of the format.
const MAGIC: &[u8; 17] = b"deepsim labels 1\n";
/// Longest label in bytes.
const MAX_LABEL: usize = 1024;

/// Place of the label in a sample.
///
/// ```
/// use deepsim_data::shards::Label;
/// let label: Label = serde_json::from_str(r#"{ "json": "class" }"#)?;
/// assert_eq!(label, Label::Json("class".into()));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Label {
    /// The text of the file `KEY.ENDING`, by default `KEY.cls`.
    File(String),
    /// The value of this key in the object of `KEY.json`: a number or a text.
    Json(String),
}

impl Default for Label {
    fn default() -> Self {
        Self::File("cls".into())
    }
}

impl Label {
    /// Ending of the file that holds the label.
    pub(super) fn ending(&self) -> &str {
        match self {
            Self::File(ending) => ending,
            Self::Json(_) => "json",
        }
    }

    /// Takes the label out of the content of its file; `Err` with what was expected and found.
    fn text(&self, bytes: &[u8]) -> Result<String, (String, String)> {
        let start = |text: &str| text.chars().take(40).collect::<String>();
        let text = match self {
            Self::File(_) => String::from_utf8_lossy(bytes).trim().to_owned(),
            Self::Json(key) => {
                let wanted = || format!("a JSON object with a number or a text as `{key}`");
                let value: Value = serde_json::from_slice(bytes)
                    .map_err(|error| (wanted(), start(&error.to_string())))?;
                match value.get(key) {
                    Some(Value::String(text)) => text.clone(),
                    Some(Value::Number(number)) => number.to_string(),
                    Some(other) => return Err((wanted(), start(&other.to_string()))),
                    None => {
                        return Err((wanted(), format!("none in {}", start(&value.to_string()))));
                    }
                }
            }
        };
        match text.len() {
            0..=MAX_LABEL => Ok(text),
            longer => Err((format!("a label of at most {MAX_LABEL} bytes"), longer.to_string())),
        }
    }
}

/// Labels of a shard.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Labels {
    /// Members that hold labels, in order.
    members: Vec<u32>,
    texts: Names,
}

impl Labels {
    /// Reads the labels of a shard, or the cache of them beside it, which is written if it is not there.
    pub(super) fn open(tar: &TarIndex, label: &Label) -> Result<Self, DataError> {
        let is_label =
            |member: &usize| split(tar.name(*member)).1.eq_ignore_ascii_case(label.ending());
        let members: Vec<usize> = (0..tar.len()).filter(is_label).collect();
        if members.is_empty() {
            return Ok(Self { members: Vec::new(), texts: Names::default() });
        }
        let path = cached_at(tar.path(), label);
        if let Some(labels) = read(&path, tar, label, members.len()) {
            return Ok(labels);
        }
        let file = File::open(tar.path()).map_err(DataError::io("opening", tar.path()))?;
        let mut labels =
            Self { members: Vec::with_capacity(members.len()), texts: Names::default() };
        let mut bytes = Vec::new();
        for member in members {
            tar.read_from(&file, member, &mut bytes)?;
            let refused =
                |(wanted, got)| DataError::Content { path: tar.member_path(member), wanted, got };
            let text = label.text(&bytes).map_err(refused)?;
            // A shard has fewer than 2^32 members, of whose names there are fewer than 4 GiB.
            let number = u32::try_from(member).ok().filter(|_| labels.texts.push(&text));
            let number = number.ok_or_else(|| {
                refused(("labels of at most 4 GiB together".into(), "more".into()))
            })?;
            labels.members.push(number);
        }
        // A folder that cannot be written to costs reading them again next time, and nothing else.
        let _ = write_atomic(&path, &labels.to_bytes(tar, label));
        Ok(labels)
    }

    /// Returns the text of a member that holds a label.
    pub(super) fn text(&self, member: usize) -> Option<&str> {
        let member = u32::try_from(member).ok()?;
        Some(self.texts.get(self.members.binary_search(&member).ok()?))
    }

    fn to_bytes(&self, tar: &TarIndex, label: &Label) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        let text = |bytes: &mut Vec<u8>, text: &str| {
            bytes.extend((text.len() as u64).to_le_bytes());
            bytes.extend(text.as_bytes());
        };
        text(&mut bytes, &state(tar, label));
        bytes.extend((self.members.len() as u64).to_le_bytes());
        bytes.extend(self.members.iter().flat_map(|member| member.to_le_bytes()));
        let (texts, ends) = self.texts.parts();
        text(&mut bytes, texts);
        bytes.extend(ends.iter().flat_map(|end| end.to_le_bytes()));
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }
}

/// Place of the cache of a shard's labels.
fn cached_at(tar: &Path, label: &Label) -> PathBuf {
    let mut name = tar.file_name().unwrap_or_default().to_owned();
    // One for each ending: a key of a JSON object may be no file name, so the content says which it is of.
    name.push(format!(".{}.deepsim-labels", label.ending().replace('/', "_")));
    tar.with_file_name(name)
}

/// State of the shard, and which labels these are.
fn state(tar: &TarIndex, label: &Label) -> String {
    format!("{} {label:?}", tar.state())
}

/// Reads a cache; `None` if it is not there, damaged, or of another state or label: then it is made again.
fn read(path: &Path, tar: &TarIndex, label: &Label, count: usize) -> Option<Labels> {
    let file = File::open(path).ok()?;
    let limit = (count as u64).saturating_mul(MAX_LABEL as u64 + 8).saturating_add(4096);
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).ok()?;
    let (bytes, sum) = bytes.split_last_chunk::<4>()?;
    if crc32c::crc32c(bytes).to_le_bytes() != *sum {
        return None;
    }
    let mut rest = bytes.strip_prefix(MAGIC)?;
    if text(&mut rest)? != state(tar, label) || number(&mut rest)? != count as u64 {
        return None;
    }
    let members = numbers(&mut rest, count)?;
    let texts = text(&mut rest)?.to_owned();
    let ends = numbers(&mut rest, count)?;
    let fits = rest.is_empty() && members.is_sorted();
    let texts = Names::from_parts(texts, ends).filter(|_| fits)?;
    Some(Labels { members, texts })
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(count)?;
    *rest = after;
    Some(taken)
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    take(rest, 8)?.try_into().ok().map(u64::from_le_bytes)
}

fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::try_from(number(rest)?).ok()?;
    std::str::from_utf8(take(rest, length)?).ok()
}

fn numbers(rest: &mut &[u8], count: usize) -> Option<Vec<u32>> {
    let (numbers, _) = take(rest, count.checked_mul(4)?)?.as_chunks::<4>();
    Some(numbers.iter().map(|number| u32::from_le_bytes(*number)).collect())
}
