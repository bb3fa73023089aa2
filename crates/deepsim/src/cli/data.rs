//! `deepsim data`: inspection and packing of pictures.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use clap::{Args, Subcommand};
use deepsim_data::PictureFiles;
use deepsim_data::check;
use deepsim_data::dataset::{DataOptions, PictureSet};
use deepsim_data::resized_files::ResizedFiles;
use deepsim_data::shards::{Limits, copy};
use deepsim_data::sound_files::SoundFiles;

use super::data_options::explain;
use super::exit;
use super::locate;

/// Check pictures before training on them, or pack them into tar shards
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Decode every picture once; report broken files, duplicates, sizes and classes
    ///
    /// The exit code is 1 if a file is broken. Broken files are not counted as pictures.
    Check {
        #[command(flatten)]
        pictures: Pictures,
        /// Print one JSON object instead, with all paths
        #[arg(long)]
        json: bool,
    },
    /// Copy pictures with their labels and class names into tar shards in WebDataset's naming
    ///
    /// Writes OUT/train-000000.tar, ..., and OUT/test-000000.tar, ... where there is a test split. The same command
    /// continues after an interruption. Every picture is decoded, and a broken one ends the command.
    Pack {
        #[command(flatten)]
        pictures: Pictures,
        /// Folder for the shards
        #[arg(long, value_name = "OUT")]
        shards: PathBuf,
        /// Make pictures smaller whose short side is longer, as PNG
        #[arg(long, value_name = "PIXELS")]
        resize: Option<usize>,
        /// Rotate pictures by their EXIF orientation before they are resized; smaller ones become PNG too
        #[arg(long, requires = "resize")]
        upright: bool,
        /// Samples in a shard, at most
        #[arg(long, value_name = "N", default_value_t = Limits::default().samples, value_parser = clap::value_parser!(u64).range(1..))]
        samples: u64,
        /// Bytes of a shard, at most
        #[arg(long, value_name = "N", default_value_t = Limits::default().bytes, value_parser = clap::value_parser!(u64).range(1..))]
        bytes: u64,
    },
}

/// Pictures, and their test split.
#[derive(Args)]
struct Pictures {
    /// Folder of pictures, tar shards or ILSVRC-2012, as --data of other commands (docs/data.md)
    data: PathBuf,
    /// Pictures or shards to measure on [default: `test` or `val` in the data]
    #[arg(long, value_name = "DATA")]
    test: Option<PathBuf>,
    /// Share of the pictures that is held out to measure on, by a fixed permutation
    #[arg(long, value_name = "SHARE", conflicts_with = "test")]
    test_share: Option<f64>,
}

impl Pictures {
    fn open(&self, upright: bool) -> Result<Vec<PictureSet>> {
        let options = DataOptions {
            data: Some(locate::data(&self.data)?),
            test: self.test.clone(),
            test_share: self.test_share,
            upright,
            ..DataOptions::default()
        };
        Ok(options.picture_sets()?)
    }
}

/// Checks or packs; returns the exit code.
pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    match &arguments.task {
        Task::Check { pictures, json } => {
            let sets = pictures.open(false)?;
            let sets: Vec<(&str, &dyn PictureFiles)> =
                sets.iter().map(|(name, files)| (*name, &**files)).collect();
            let report = check::check(&sets);
            match json {
                true => println!("{}", serde_json::to_string(&report)?),
                false => print!("{report}"),
            }
            Ok(if report.is_sound() { exit::DONE } else { exit::FAILED })
        }
        Task::Pack { pictures, shards, resize, upright, samples, bytes } => {
            let limits = Limits { samples: *samples, bytes: *bytes };
            for (name, files) in pictures.open(*upright)? {
                let files: Arc<dyn PictureFiles> = match resize {
                    Some(side) => Arc::new(ResizedFiles::new(files, *side)?),
                    None => Arc::new(SoundFiles::new(files)),
                };
                let written = copy(&*files, shards, name, limits);
                let written = written.map_err(|error| {
                    explain(error.into(), &pictures.data, pictures.test.as_deref())
                })?;
                let samples: u64 = written.iter().map(|shard| shard.samples).sum();
                let several = if written.len() == 1 { "" } else { "s" };
                println!("{name}: {samples} pictures in {} shard{several}", written.len());
            }
            println!("{}", shards.display());
            Ok(exit::DONE)
        }
    }
}
