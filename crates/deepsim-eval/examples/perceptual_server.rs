//! Our side of `cargo xtask bench perceptual`: gradients of a feature distance at images, or steps of the descent of
//! Mahendran & Vedaldi, for each line of input.
//!
//! A request is how often the work is done. With `--check` weights, images and settings are drawn and written to the folder,
//! and what came out is said, so that the same can be computed elsewhere and compared.

#[expect(dead_code, reason = "training steps use the rest")]
#[path = "../../deepsim-train/examples/step_server/comparator.rs"]
mod comparator;
#[path = "../../deepsim-ops/examples/op_server/serve.rs"]
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use clap::Parser;
use deepsim_eval::optimisation_baseline::{Settings, invert_from};
use deepsim_loss::perceptual::{PerceptualDistance, TapDistance};
use deepsim_loss::term::{Gradients, at_images};
use deepsim_nets::{Comparator, ComparatorKind, Images};
use serde_json::json;
use serve::Result;

#[derive(Parser)]
struct Arguments {
    /// Network that compares
    #[arg(long)]
    net: ComparatorKind,
    #[arg(long)]
    tap: String,
    #[arg(long)]
    side: usize,
    #[arg(long)]
    batch: usize,
    /// Steps of the descent [default: one gradient of the distance]
    #[arg(long)]
    steps: Option<usize>,
    #[arg(long)]
    folder: PathBuf,
    #[arg(long)]
    check: bool,
}

/// Work that is timed.
struct Work {
    net: Arc<dyn Comparator>,
    tap: String,
    images: Images,
    others: Images,
    descent: Option<Settings>,
}

impl Work {
    fn open(arguments: &Arguments) -> Result<Self> {
        let Arguments { net, tap, side, batch, steps, folder, check } = arguments;
        if *check {
            // Rows of weights are called as their activations are in VGG.
            comparator::draw(net, &tap.replace("relu", "conv"), folder)?;
        }
        let both = comparator::images(2 * batch, *side, folder, *check)?;
        let half = |at| both.with_tensor(both.tensor().narrow(0, at, *batch)?.contiguous()?);
        let descent = steps.map(|steps| Settings::mahendran_vedaldi(tap).with_steps(steps));
        if let Some(settings) = descent.filter(|_| *check) {
            let scale = Settings::norm(3 * side * side);
            let text = json!({ "settings": settings, "scale": scale }).to_string();
            std::fs::write(folder.join("settings.json"), text)?;
        }
        let file = folder.join(comparator::FILE);
        Ok(Self {
            net: Arc::from(net.open_to(tap, Some(&file), 0, &Device::Cpu)?),
            tap: tap.clone(),
            images: half(0)?,
            others: half(*batch)?,
            descent,
        })
    }

    /// A gradient of the distance: its value and norm.
    fn gradient(&self) -> Result<[f64; 2]> {
        let distance =
            PerceptualDistance::new(self.net.clone(), vec![TapDistance::deepsim(&self.tap, 1.0)])?;
        let targets = distance.targets(&self.others)?;
        let value = at_images(&self.images, |images| distance.loss(images, &targets))?;
        let Gradients::Images(gradient) = &value.gradients else {
            return Err("no gradient".into());
        };
        let norm = deepsim_ops::sum_of_squares(gradient)?.sqrt();
        Ok([f64::from(value.value.to_scalar::<f32>()?), norm])
    }

    /// The descent: the mean of the first and of the last relative squared distances.
    fn descend(&self, target: &Tensor, settings: &Settings) -> Result<[f64; 2]> {
        let found = invert_from(&*self.net, &self.tap, target, &self.images, settings, 0, 0)?;
        if !found.endings.iter().all(|ending| ending.is_finished()) {
            return Err("the descent diverged".into());
        }
        let mean = |at: usize| {
            let values = found.objective.iter().map(|values| values[at]);
            values.sum::<f64>() / found.objective.len() as f64
        };
        Ok([mean(0), mean(settings.steps())])
    }
}

fn main() -> ExitCode {
    deepsim_ops::keep_freed_memory();
    serve::ended("perceptual_server", run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<()> {
    let work = Work::open(arguments)?;
    let target = work.net.features(&work.others, &work.tap)?;
    let once = || match &work.descent {
        None => work.gradient(),
        Some(settings) => work.descend(&target, settings),
    };
    let facts = json!({ "found": once()? });
    serve::serve(&facts.to_string(), |request| {
        serve::time(request.parse()?, || {
            std::hint::black_box(once()?);
            Ok(())
        })
    })
}
