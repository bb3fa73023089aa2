//! Registry of downloads: addresses, sizes, hashes and licences.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use crate::archive::{AllowList, Member, Size};
use crate::sums::{Algorithm, Sums};
use crate::{FetchError, http};

/// Largest registry, in bytes.
const MAX_TEXT: u64 = 1 << 20;
/// Largest file, in bytes: 1 TiB, more than any data set in one file has.
const MAX_BYTES: u64 = 1 << 40;
/// Longest file name or id, in characters.
const MAX_NAME: usize = 100;
/// Largest archive member whose size the registry does not state, in bytes.
const MAX_SMALL_MEMBER: u64 = 16 << 20;

/// A checked registry; see `registry.toml` of this crate for the format.
#[derive(Clone, Debug)]
pub struct Registry {
    artifacts: Vec<Artifact>,
    groups: Vec<Group>,
}

/// File that can be downloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Name in commands.
    pub id: String,
    /// Title for people.
    pub title: String,
    /// File name on the disk.
    pub file: String,
    /// Addresses, tried in this order. Empty if only the user can get the file.
    pub urls: Vec<String>,
    /// Instructions for getting a file that only the user can get.
    pub manual: Option<String>,
    /// Size and hashes, as far as known.
    pub sums: Sums,
    /// Largest accepted size in bytes; also given where the size is unknown.
    pub max_bytes: u64,
    /// Licence text, or where to read it.
    pub licence: String,
    /// True if the licence must be accepted before the download.
    pub accept: bool,
    /// Content of an archive that is unpacked after the download.
    pub unpack: Option<Unpack>,
}

/// Content of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpack {
    /// Folder in the archive and on the disk.
    pub folder: String,
    /// File names with the sizes and hashes that are known.
    pub members: Vec<(String, Sums)>,
}

impl Unpack {
    /// Returns the allow-list for unpacking: a member has the size in the registry; one without is
    /// small.
    pub fn allowed(&self) -> AllowList {
        let member = |(name, sums): &(String, Sums)| Member {
            name: name.clone(),
            size: sums.bytes.map_or(Size::UpTo(MAX_SMALL_MEMBER), Size::Exactly),
        };
        AllowList {
            folder: self.folder.clone(),
            members: self.members.iter().map(member).collect(),
            max_ratio: AllowList::MAX_RATIO,
        }
    }
}

/// Number of a group's artifacts that are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// Every artifact.
    All,
    /// One: all hold the same thing, and the first that is available is used.
    Any,
}

/// Artifacts under one name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Name in commands.
    pub id: String,
    /// Title for people.
    pub title: String,
    /// Number of members that are needed.
    pub need: Need,
    /// Ids of artifacts.
    pub members: Vec<String>,
}

/// Artifacts that a name stands for.
#[derive(Clone, Debug)]
pub struct Selection<'a> {
    /// The name.
    pub id: &'a str,
    /// Number of artifacts that are needed.
    pub need: Need,
    /// Artifacts, in the order in which they are tried.
    pub artifacts: Vec<&'a Artifact>,
}

impl Registry {
    /// Returns the project's own registry, `registry.toml` of this crate, which is compiled in.
    ///
    /// # Errors
    /// None that a test has not excluded.
    pub fn built_in() -> Result<Self, FetchError> {
        Self::parse(include_str!("../registry.toml"), "registry.toml of deepsim-fetch")
    }

    /// Reads a registry from a file.
    ///
    /// # Errors
    /// If it cannot be read, or is not a valid registry.
    pub fn open(path: &Path) -> Result<Self, FetchError> {
        let len = path.metadata().map_err(FetchError::io("reading the size of", path))?.len();
        if len > MAX_TEXT {
            return Err(FetchError::Content {
                path: path.to_path_buf(),
                wanted: format!("at most {MAX_TEXT} bytes"),
                got: format!("{len} bytes"),
            });
        }
        let text = std::fs::read_to_string(path).map_err(FetchError::io("reading", path))?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Reads a registry from text; `origin` is named in errors.
    ///
    /// ```
    /// use deepsim_fetch::Registry;
    ///
    /// let text = r#"
    ///     [[artifact]]
    ///     id = "letters"
    ///     title = "Three letters"
    ///     file = "abc.txt"
    ///     urls = ["https://example.org/abc.txt"]
    ///     bytes = 3
    ///     sha1 = "a9993e364706816aba3e25717850c26c9cd0d89d"
    ///     licence = "public domain"
    /// "#;
    /// let registry = Registry::parse(text, "an example")?;
    /// assert_eq!(registry.select("letters")?.artifacts[0].sums.bytes, Some(3));
    /// # Ok::<(), deepsim_fetch::FetchError>(())
    /// ```
    ///
    /// # Errors
    /// Names the first place that is wrong.
    pub fn parse(text: &str, origin: &str) -> Result<Self, FetchError> {
        let error = |(place, wanted, got): Problem| FetchError::Registry {
            origin: origin.to_owned(),
            place,
            wanted,
            got,
        };
        let raw: RawRegistry = toml::from_str(text).map_err(|cause| {
            error(("format".into(), "a registry in TOML".into(), cause.to_string()))
        })?;
        let artifacts: Vec<Artifact> =
            raw.artifact.into_iter().map(artifact).collect::<Result<_, _>>().map_err(error)?;
        let registry = Self { artifacts, groups: raw.group };
        registry.check_names().map_err(error)?;
        Ok(registry)
    }

    /// Returns all artifacts, in the order of the registry.
    pub fn artifacts(&self) -> &[Artifact] {
        &self.artifacts
    }

    /// Returns all groups, in the order of the registry.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Returns the artifacts of a name, which is that of an artifact or a group.
    ///
    /// # Errors
    /// If nothing has this name; the error lists the known names.
    pub fn select(&self, name: &str) -> Result<Selection<'_>, FetchError> {
        if let Some(artifact) = self.artifact(name) {
            return Ok(Selection { id: &artifact.id, need: Need::All, artifacts: vec![artifact] });
        }
        let Some(group) = self.groups.iter().find(|group| group.id == name) else {
            let groups = self.groups.iter().map(|group| group.id.as_str());
            let artifacts = self.artifacts.iter().map(|artifact| artifact.id.as_str());
            let known = groups.chain(artifacts).collect::<Vec<_>>().join(", ");
            return Err(FetchError::Unknown { name: name.to_owned(), known });
        };
        let artifacts = group.members.iter().filter_map(|id| self.artifact(id)).collect();
        Ok(Selection { id: &group.id, need: group.need, artifacts })
    }

    fn artifact(&self, id: &str) -> Option<&Artifact> {
        self.artifacts.iter().find(|artifact| artifact.id == id)
    }

    /// Checks that names are unique, also on disks that ignore case.
    fn check_names(&self) -> Result<(), Problem> {
        let mut ids = BTreeSet::new();
        let mut files = BTreeSet::new();
        for artifact in &self.artifacts {
            let place = format!("artifact {}", artifact.id);
            unique(&mut ids, &artifact.id, &place, "an id of its own")?;
            unique(&mut files, &artifact.file, &place, "a file name of its own")?;
            if let Some(unpack) = &artifact.unpack {
                unique(&mut files, &unpack.folder, &place, "a folder of its own")?;
            }
        }
        for group in &self.groups {
            let place = format!("group {}", group.id);
            check_id(&group.id, &place)?;
            unique(&mut ids, &group.id, &place, "an id of its own")?;
            if group.members.is_empty() {
                return Err(problem(&place, "members", "none"));
            }
            if let Some(id) = group.members.iter().find(|id| self.artifact(id).is_none()) {
                return Err(problem(&place, "ids of artifacts", id));
            }
        }
        Ok(())
    }
}

/// Place, expected text, found text.
type Problem = (String, String, String);

fn problem(place: &str, wanted: &str, got: &str) -> Problem {
    (place.to_owned(), wanted.to_owned(), got.to_owned())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRegistry {
    #[serde(default)]
    artifact: Vec<RawArtifact>,
    #[serde(default)]
    group: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawArtifact {
    id: String,
    title: String,
    file: String,
    #[serde(default)]
    urls: Vec<String>,
    manual: Option<String>,
    bytes: Option<u64>,
    max_bytes: Option<u64>,
    sha256: Option<String>,
    sha1: Option<String>,
    md5: Option<String>,
    #[serde(default)]
    second_hand: Vec<Algorithm>,
    licence: String,
    #[serde(default)]
    accept: bool,
    unpack: Option<RawUnpack>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUnpack {
    folder: String,
    members: Vec<RawMember>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMember {
    name: String,
    bytes: Option<u64>,
    sha256: Option<String>,
    md5: Option<String>,
}

fn artifact(raw: RawArtifact) -> Result<Artifact, Problem> {
    let place = format!("artifact {}", raw.id);
    check_id(&raw.id, &place)?;
    check_file_name(&raw.file, &place)?;
    let RawArtifact { bytes, sha256, sha1, md5, second_hand, .. } = raw;
    let sums = Sums { bytes, sha256, sha1, md5, second_hand };
    check_sums(&sums, &place)?;
    for url in &raw.urls {
        http::check_url(url).map_err(|wanted| problem(&place, wanted, url))?;
    }
    if raw.urls.is_empty() != raw.manual.is_some() {
        return Err(problem(&place, "either urls or manual", "both or neither"));
    }
    if raw.manual.is_some() && !sums.can_verify() {
        return Err(problem(&place, "a hash, since the user brings the file", "none"));
    }
    let max_bytes = match (bytes, raw.max_bytes) {
        (Some(bytes), None) => bytes,
        (None, Some(max)) => max,
        _ => return Err(problem(&place, "either bytes or max_bytes", "both or neither")),
    };
    if !(1..=MAX_BYTES).contains(&max_bytes) {
        return Err(problem(&place, "1 to 2^40 bytes", &max_bytes.to_string()));
    }
    let unpack = raw.unpack.map(|raw| unpack(raw, &place)).transpose()?;
    Ok(Artifact {
        id: raw.id,
        title: raw.title,
        file: raw.file,
        urls: raw.urls,
        manual: raw.manual,
        sums,
        max_bytes,
        licence: raw.licence,
        accept: raw.accept,
        unpack,
    })
}

fn unpack(raw: RawUnpack, place: &str) -> Result<Unpack, Problem> {
    check_file_name(&raw.folder, place)?;
    let mut members = Vec::new();
    let mut names = BTreeSet::new();
    for RawMember { name, bytes, sha256, md5 } in raw.members {
        let place = format!("{place}, member {name}");
        check_file_name(&name, &place)?;
        unique(&mut names, &name, &place, "a name of its own")?;
        let sums = Sums { bytes, sha256, md5, ..Sums::default() };
        check_sums(&sums, &place)?;
        members.push((name, sums));
    }
    Ok(Unpack { folder: raw.folder, members })
}

fn check_sums(sums: &Sums, place: &str) -> Result<(), Problem> {
    if let Some(bytes) = sums.bytes.filter(|bytes| !(1..=MAX_BYTES).contains(bytes)) {
        return Err(problem(place, "1 to 2^40 bytes", &bytes.to_string()));
    }
    for algorithm in sums.algorithms() {
        let hash = sums.get(algorithm).unwrap_or_default();
        let digits = algorithm.digits();
        let fits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if hash.len() != digits || !hash.bytes().all(fits) {
            let wanted = format!("{algorithm} of {digits} lower-case hexadecimal digits");
            return Err(problem(place, &wanted, hash));
        }
    }
    if let Some(absent) = sums.second_hand.iter().find(|kind| sums.get(**kind).is_none()) {
        return Err(problem(
            place,
            "second_hand to name hashes that are given",
            &absent.to_string(),
        ));
    }
    if !sums.second_hand.is_empty() && !sums.can_verify() {
        return Err(problem(place, "a hash that is not second-hand beside those that are", "none"));
    }
    Ok(())
}

fn check_id(id: &str, place: &str) -> Result<(), Problem> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if id.is_empty() || id.len() > MAX_NAME || !id.bytes().all(fits) {
        return Err(problem(place, "an id of a-z, 0-9 and -", id));
    }
    Ok(())
}

/// Checks a file name: valid in one folder on every system, and not reserved for a file that
/// downloads keep beside it.
fn check_file_name(name: &str, place: &str) -> Result<(), Problem> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let own = ["part", "part.json", "lock", "verified.json"];
    let taken = own.iter().any(|end| name.to_ascii_lowercase().ends_with(&format!(".{end}")));
    let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !begins || taken || name.ends_with('.') || name.len() > MAX_NAME || !name.bytes().all(fits) {
        return Err(problem(place, "a file name of letters, digits, `.`, `_` and `-`", name));
    }
    Ok(())
}

fn unique(
    names: &mut BTreeSet<String>,
    name: &str,
    place: &str,
    wanted: &str,
) -> Result<(), Problem> {
    if names.insert(name.to_ascii_lowercase()) {
        Ok(())
    } else {
        Err(problem(place, wanted, &format!("a second `{name}`")))
    }
}
