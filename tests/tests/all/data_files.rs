//! Files that come with the project: each has a licence and a hash, and the photographs are a data set.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use deepsim_data::photos::{CATALOGUE, Set, Split};
use deepsim_data::{Crop, Dataset, Photographs, Source, picture::Picture, read_range};
use deepsim_nets::ComparatorKind;
use deepsim_nets::shipped::GENERATORS;
use sha2::{Digest, Sha256};

use crate::programs::workspace;

/// Files below `data` that belong to the project: what `.gitignore` excepts from what it ignores.
fn files() -> Result<Vec<PathBuf>> {
    let ignored = std::fs::read_to_string(workspace().join(".gitignore"))?;
    let mut files = Vec::new();
    for name in ignored.lines().filter_map(|line| line.strip_prefix("!/")) {
        let path = workspace().join(name);
        if !name.ends_with('/') {
            files.push(path);
        } else if !ignored.contains(&format!("\n/{name}*\n")) {
            for entry in std::fs::read_dir(&path).with_context(|| name.to_owned())? {
                let path = entry?.path();
                ensure!(path.is_file(), "{}: expected a file", path.display());
                files.push(path);
            }
        }
    }
    Ok(files)
}

fn sha256(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    Ok(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Cells of the rows of all tables of a page.
fn rows(page: &str) -> Vec<Vec<&str>> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.map(|row| row.split(" | ").collect()).collect()
}

#[test]
fn every_file_has_a_licence_and_its_hash() -> Result<()> {
    let photos = workspace().join("data/photos");
    let attribution = std::fs::read_to_string(photos.join("ATTRIBUTION.md"))?;
    let attribution = rows(&attribution);
    let mut checked = BTreeSet::new();
    for path in files()? {
        let name = path.file_name().and_then(|name| name.to_str()).context("a name")?.to_owned();
        // Prose, the catalogue and its program are of this project.
        if [".md", ".toml", ".py"].iter().any(|ending| name.ends_with(ending)) {
            continue;
        }
        let hash = format!("`{}`", sha256(&path)?);
        if path.starts_with(&photos) {
            let link = format!("[{name}]({name})");
            let row = attribution.iter().find(|row| row[0] == link);
            let row = row.with_context(|| format!("{name}: no row in ATTRIBUTION.md"))?;
            let [_, _, title, author, licence, shared, package, row_hash] = row[..] else {
                anyhow::bail!("{name}: expected eight cells, found {row:?}");
            };
            ensure!(row_hash == hash, "{name}: expected {hash}, found {row_hash}");
            ensure!([title, author, licence, package].iter().all(|cell| !cell.is_empty()));
            let free = ["CC0-", "CC-BY-", "public-domain"];
            ensure!(free.iter().any(|free| licence.starts_with(free)), "{name}: {licence}");
            ensure!(!licence.contains("-NC") && !licence.contains("-ND"), "{name}: {licence}");
            ensure!((shared == "yes") == licence.contains("-SA-"), "{name}: {shared}, {licence}");
        } else {
            let card = std::fs::read_to_string(path.with_extension("md"))?;
            let card = rows(&card);
            let cell = |key| card.iter().find(|row| row[0] == key).and_then(|row| row.get(1));
            ensure!(cell("SHA-256") == Some(&&*hash), "{name}: its card has no row with {hash}");
            ensure!(cell("licence").is_some(), "{name}: its card has no licence");
        }
        checked.insert(name);
    }
    let listed = attribution.iter().filter(|row| row[0].starts_with('[')).count();
    let shipped = ComparatorKind::all().into_iter().filter(|kind| kind.spec().shipped);
    let networks = shipped.map(|kind| kind.name().to_owned());
    let names = networks.chain(GENERATORS.map(str::to_owned));
    let weights: Vec<String> = names.map(|name| format!("{name}.safetensors")).collect();
    assert!(weights.iter().all(|name| checked.contains(name)), "{weights:?}: {checked:?}");
    assert_eq!(checked.len(), listed + weights.len(), "rows without files: {checked:?}");
    Ok(())
}

#[test]
fn the_catalogue_says_what_the_table_says() -> Result<()> {
    let folder = workspace().join("data/photos");
    let attribution = std::fs::read_to_string(folder.join("ATTRIBUTION.md"))?;
    let photographs = Photographs::open(&folder)?;
    for photograph in photographs.all() {
        let split = if photograph.split == Split::Train { "train" } else { "test" };
        let title = match &*photograph.page {
            "" => photograph.title.clone(),
            page => format!("[{}]({page})", photograph.title),
        };
        let row = format!(
            "| [{file}]({file}) | {split} | {title} | {} | {} | {} | {}, `{}` | `{}` |",
            photograph.author,
            photograph.licence,
            if photograph.is_share_alike() { "yes" } else { "no" },
            photograph.package,
            photograph.path,
            photograph.sha256,
            file = photograph.file,
        );
        ensure!(attribution.contains(&row), "ATTRIBUTION.md: expected the row {row}");
        let shown = photograph.split == Split::Train || !photograph.is_share_alike();
        ensure!(shown, "{}: a held-out photograph is share-alike", photograph.file);
    }
    let listed = attribution.lines().filter(|line| line.starts_with("| [")).count();
    assert_eq!(photographs.all().len(), listed);
    Ok(())
}

#[test]
fn the_photographs_are_many_large_and_all_drawn_from() -> Result<()> {
    let folder = workspace().join("data/photos");
    let photographs = Photographs::open(&folder)?;
    let (mut bytes, mut large) = (0, 0);
    for photograph in photographs.all() {
        let content = std::fs::read(folder.join(&photograph.file))?;
        let Picture { height, width, .. } =
            deepsim_data::decode::decode(&content, photograph.file.as_ref())?;
        bytes += content.len();
        large += usize::from(height.min(width) >= 480);
    }
    assert!((2_000_000..=5_000_000).contains(&bytes), "{bytes} bytes");
    assert!(large >= 30, "{large} photographs of at least 480 pixels");
    let held_out = photographs.of(Split::Test).count();
    assert!(10 * held_out >= photographs.all().len(), "{held_out} held out");

    let crops = photographs.crops(Set::Unlabeled, 0, 20_000);
    let cuts: BTreeSet<_> =
        (0..crops.len()).map(|index| format!("{:?}", crops.cut(index))).collect();
    assert!(cuts.len() > 19_990, "{} different crops", cuts.len());
    let drawn: BTreeSet<_> = (0..1000).map(|index| crops.cut(index).photograph).collect();
    assert_eq!(drawn.len(), photographs.of(Split::Train).count());
    Ok(())
}

#[test]
fn the_same_seed_draws_the_same_bytes_on_every_machine() -> Result<()> {
    let dataset = Dataset::open(Some(&workspace().join("data/photos")), 0)?;
    assert!(workspace().join("data/photos").join(CATALOGUE).exists() && !dataset.synthetic);
    let mut sums = Vec::new();
    for set in [&dataset.unlabeled, &dataset.train.images, &dataset.test.images] {
        let batch = read_range(&**set, 0..64, Crop::Full)?;
        let sum: u64 = batch.pixels.iter().map(|value| u64::from(*value)).sum();
        let mean = sum as f64 / batch.pixels.len() as f64;
        assert!((60.0..180.0).contains(&mean), "mean {mean}");
        let sum: String =
            Sha256::digest(&batch.pixels)[..4].iter().map(|b| format!("{b:02x}")).collect();
        sums.push(sum);
    }
    assert_eq!(sums, ["d8619b3e", "46a9e99d", "5fe95eff"]);
    let content = dataset.unlabeled.content();
    let start = "20000 crops of set Unlabeled, seed 0, of 32 photographs, fingerprint ";
    assert!(content.starts_with(start), "{content}");
    Ok(())
}
