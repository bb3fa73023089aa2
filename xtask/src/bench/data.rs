//! `cargo xtask bench data`

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::machine::Use;
use super::rounds::{self, Times};
use super::server::Server;
use super::{Common, report, torch};
use crate::process::{self, Failure, say};
use crate::workspace;

/// Loading: pictures of ILSVRC and crops of STL-10, ours and torchvision's.
///
/// Before anything is timed, both sides write centre crops of all pictures: if the mean difference of
/// the pixels is above a level, there is no report. Then passes over the data are timed, with one
/// core and with all. Last, a synthetic training tar of 20 GB, mostly holes, is indexed.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Folder with ILSVRC2012_img_train.tar [default: ../shared/data/ilsvrc-mini]
    #[arg(long, value_name = "DIR")]
    ilsvrc: Option<PathBuf>,
    /// Folder with unlabeled_X.bin [default: ../shared/data/stl10-mini/stl10_binary]
    #[arg(long, value_name = "DIR")]
    stl10: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

const BATCH: usize = 50;
const ROUNDS: u16 = 7;
/// Mean difference of pixels, in levels of 256, above which the sides do different things.
const TOLERANCE: f64 = 1.0;

/// Data set of the comparison.
struct Set {
    name: &'static str,
    folder: PathBuf,
    /// File or folder with the same images for torchvision.
    theirs: PathBuf,
    /// Decoders with which torchvision reads it.
    decoders: &'static [&'static str],
    /// Passes over the data in one measurement.
    passes: usize,
}

/// Settings of all contestants.
struct Job {
    rounds: usize,
    target: PathBuf,
    python: PathBuf,
    scratch: PathBuf,
}

/// Compares, and prints a table.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let common = &arguments.common;
    let target = workspace::target_dir()?;
    let folder = |given: &Option<PathBuf>, default: &str, file: &str| {
        let folder = given.clone().unwrap_or_else(|| shared().join("data").join(default));
        match folder.join(file).is_file() {
            true => Ok(folder),
            false => Err(Failure::usage(format!(
                "no {file} in {}; name the folder by --ilsvrc or --stl10",
                folder.display()
            ))),
        }
    };
    let ilsvrc = folder(&arguments.ilsvrc, "ilsvrc-mini", "ILSVRC2012_img_train.tar")?;
    let stl10 = folder(&arguments.stl10, "stl10-mini/stl10_binary", "unlabeled_X.bin")?;
    let job = Job {
        rounds: usize::from(common.rounds.unwrap_or(ROUNDS)),
        python: torch::interpreter(common.python.as_deref(), torch::Wants::Vision, &target)?,
        scratch: target.join("bench-data"),
        target,
    };
    torch::build(&job.target, &[("deepsim-data", "data_server")], false)?;
    let own = job.scratch.join("ilsvrc");
    std::fs::create_dir_all(&own).with_context(|| format!("creating folder {}", own.display()))?;
    let ilsvrc = match &arguments.ilsvrc {
        Some(_) => ilsvrc,
        // Works on a copy, because the index is written beside the archive and the shared folder
        // must not be changed.
        None => {
            let name = "ILSVRC2012_img_train.tar";
            std::fs::copy(ilsvrc.join(name), own.join(name)).context("copying pictures")?;
            own
        }
    };
    let pictures = job.scratch.join("pictures");
    let mut unpack = torch::example(&job.target, "data_server", 1);
    process::run(unpack.arg("unpack").args([&ilsvrc, &pictures]), "unpacking pictures")?;
    let sets = [
        Set {
            name: "ilsvrc",
            folder: ilsvrc,
            theirs: pictures,
            decoders: &["pil", "io"],
            passes: 1,
        },
        Set { name: "stl10", theirs: stl10.clone(), folder: stl10, decoders: &["pil"], passes: 20 },
    ];
    let before = Use::before(common.save)?;
    let (mut rows, mut numbers, mut version) = (Vec::new(), Vec::new(), Value::Null);
    for set in &sets {
        let difference = job.check(set)?;
        for threads in [1, report::cores()] {
            let measured = job.measure(set, threads, difference.clone())?;
            rows.extend(measured.rows()?);
            numbers.push(measured.json()?);
            version = measured.torch;
        }
    }
    let header = ["pass", "images/s", "CPU ms/image", "our time / its", "memory MiB"];
    say(&report::table(&header, &rows));
    let index = job.index()?;
    let numbers = json!({ "rounds": job.rounds, "batch": BATCH, "sets": numbers, "index": index });
    report::finish("data", common.save, before, &version, None, numbers)
}

/// Real pictures beside the project.
fn shared() -> PathBuf {
    let beside = workspace::root().join("../shared");
    std::env::var_os("DEEPSIM_SHARED").map_or(beside, PathBuf::from)
}

impl Job {
    fn ours(&self, words: &[&str], paths: &[&Path], numbers: &[usize]) -> Command {
        let mut command = torch::example(&self.target, "data_server", 1);
        command.args(words).args(paths).args(numbers.iter().map(usize::to_string));
        command
    }

    fn theirs(&self, set: &Set, decoder: &str, threads: usize) -> Command {
        let mut command = torch::script(&self.python, "data.py", threads);
        command.args(["--set", set.name, "--decoder", decoder, "--batch", &BATCH.to_string()]);
        command.args(["--passes", &set.passes.to_string()]).arg("--folder").arg(&set.theirs);
        command
    }

    /// Greatest and mean difference of the pixels of both sides, for each decoder.
    fn check(&self, set: &Set) -> Result<Vec<(u8, f64)>> {
        say(&format!("== {}: check", set.name));
        let read = |path: &Path| {
            std::fs::read(path).with_context(|| format!("reading {}", path.display()))
        };
        let ours = self.scratch.join("ours.bin");
        let word = format!("check-{}", set.name);
        process::run(&mut self.ours(&[&word], &[&set.folder, &ours], &[]), "our centre crops")?;
        let wanted = read(&ours)?;
        let mut found = Vec::new();
        for decoder in set.decoders {
            let path = self.scratch.join("theirs.bin");
            let mut command = self.theirs(set, decoder, 1);
            drop(Server::start("torchvision", command.arg("--check").arg(&path))?);
            let difference = difference(&wanted, &read(&path)?)
                .with_context(|| format!("{} by torchvision ({decoder})", set.name))?;
            say(&format!(
                "pixels differ from {decoder}'s by {} at most, {:.3} in the mean",
                difference.0, difference.1
            ));
            found.push(difference);
        }
        Ok(found)
    }

    fn measure(&self, set: &Set, threads: usize, check: Vec<(u8, f64)>) -> Result<Measured> {
        say(&format!("== {}, {threads} cores: {} rounds", set.name, self.rounds));
        let ours = self.ours(&[set.name], &[&set.folder], &[BATCH, threads, set.passes]);
        let mut servers = vec![Server::start("ours", &mut { ours })?];
        for decoder in set.decoders {
            servers.push(Server::start("torchvision", &mut self.theirs(set, decoder, threads))?);
        }
        let images = servers[0].facts["images"].as_f64().context("no number of images")?;
        if servers.iter().any(|server| server.facts["images"].as_f64() != Some(images)) {
            bail!("the contestants read different numbers of images");
        }
        let requests = vec!["pass"; servers.len()];
        let times = rounds::play(&mut servers, &requests, self.rounds, true)?;
        let name = |decoder: &&str| format!("torchvision, {decoder}");
        Ok(Measured {
            set: set.name,
            threads,
            images,
            names: std::iter::once("ours".into()).chain(set.decoders.iter().map(name)).collect(),
            times,
            memory: servers.iter().map(Server::peak_memory).collect(),
            check,
            torch: servers[1].facts["torch"].clone(),
        })
    }

    /// Indexes the synthetic tar.
    fn index(&self) -> Result<Value> {
        let mut server =
            [Server::start("ours", &mut self.ours(&["index"], &[&self.scratch], &[]))?];
        let facts = |name: &str| server[0].facts[name].as_f64().context("no size of the tar");
        let (bytes, entries) = (facts("bytes")?, facts("entries")?);
        let times = rounds::play(&mut server, &["index"], self.rounds, true)?;
        let (wall, memory) = (rounds::median(&times[0].wall)?, server[0].peak_memory());
        say(&format!(
            "index of a tar of {:.1} GB with {entries} pictures: {wall:.0} ms, {:.1} GB/s, {:.2} \
             million pictures/s; memory {} MiB",
            bytes / 1e9,
            bytes / wall / 1e6,
            entries / wall / 1e3,
            memory.map_or("?".to_owned(), |m| (m >> 20).to_string())
        ));
        Ok(json!({
            "bytes": bytes,
            "entries": entries,
            "wall_ms": wall,
            "gb_per_s": bytes / wall / 1e6,
            "peak_memory_bytes": memory,
        }))
    }
}

fn difference(ours: &[u8], theirs: &[u8]) -> Result<(u8, f64)> {
    if ours.len() != theirs.len() || ours.is_empty() {
        bail!("{} bytes of pixels, ours are {}", theirs.len(), ours.len());
    }
    let differences = || ours.iter().zip(theirs).map(|(a, b)| a.abs_diff(*b));
    let mean = differences().map(f64::from).sum::<f64>() / ours.len() as f64;
    if mean > TOLERANCE {
        bail!("pixels differ by {mean:.2} in the mean: these are not the same pictures");
    }
    Ok((differences().max().unwrap_or(0), mean))
}

/// Results of one set and one number of cores.
struct Measured {
    set: &'static str,
    threads: usize,
    /// Number of images in one measurement.
    images: f64,
    names: Vec<String>,
    /// Times, in the order of the names, as is the next.
    times: Vec<Times>,
    memory: Vec<Option<u64>>,
    check: Vec<(u8, f64)>,
    torch: Value,
}

impl Measured {
    fn rows(&self) -> Result<Vec<Vec<String>>> {
        let row = |(at, name): (usize, &String)| {
            let times = &self.times[at];
            let ratio = rounds::ratio(&self.times[0].wall, &times.wall)?;
            Ok(vec![
                format!("{}, {} cores: {name}", self.set, self.threads),
                format!("{:.0}", self.images / rounds::median(&times.wall)? * 1e3),
                format!("{:.3}", rounds::median(&times.cpu)? / self.images),
                if at == 0 { String::new() } else { report::ratio(ratio) },
                self.memory[at].map_or("?".to_owned(), |m| (m >> 20).to_string()),
            ])
        };
        self.names.iter().enumerate().map(row).collect()
    }

    fn json(&self) -> Result<Value> {
        let contestant = |(at, name): (usize, &String)| {
            let times = &self.times[at];
            let check = at.checked_sub(1).and_then(|at| self.check.get(at));
            Ok(json!({
                "name": name,
                "images_per_s": self.images / rounds::median(&times.wall)? * 1e3,
                "cpu_ms_per_image": rounds::median(&times.cpu)? / self.images,
                "our_time_to_its": report::ratio_json(rounds::ratio(&self.times[0].wall, &times.wall)?),
                "peak_memory_bytes": self.memory[at],
                "greatest_difference_of_pixels": check.map(|check| check.0),
                "mean_difference_of_pixels": check.map(|check| check.1),
                "wall_ms_of_rounds": times.wall,
            }))
        };
        let contestants =
            self.names.iter().enumerate().map(contestant).collect::<Result<Vec<_>>>()?;
        let (set, threads, images) = (self.set, self.threads, self.images);
        Ok(json!({ "set": set, "cores": threads, "images": images, "contestants": contestants }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_pictures_are_not_compared() -> Result<()> {
        assert_eq!(difference(&[1, 2, 3, 9], &[1, 4, 3, 8])?, (2, 0.75));
        assert!(difference(&[1, 2], &[1]).is_err());
        assert!(difference(&[], &[]).is_err());
        let error = difference(&[0, 0], &[9, 0]).expect_err("far apart").to_string();
        assert!(error.contains("4.50 in the mean"), "{error}");
        Ok(())
    }
}
