//! `deepsim-eval sample`: pictures from the prior of a variational autoencoder.

use std::path::PathBuf;

use clap::Args;
use deepsim_data::picture::{Picture, grid};
use deepsim_eval::measure::Model;
use deepsim_eval::{EvalError, prior};

use crate::Failure;
use crate::device::DeviceKind;

#[derive(Args)]
pub(crate) struct SampleArguments {
    /// Folder of the run, with generator.safetensors
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// Pictures
    #[arg(short, long, value_name = "N", default_value_t = 64)]
    n: usize,
    /// Pictures in a row of the grid
    #[arg(long, value_name = "N", default_value_t = 8)]
    columns: usize,
    /// Seed; the same one gives the same pictures, to the byte
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Draw numbers of the code again that are further from 0 than this: less variety, fewer failures
    #[arg(long, value_name = "T")]
    truncation: Option<f64>,
    /// PNG file for the grid
    #[arg(long, value_name = "FILE", default_value = "samples.png")]
    out: PathBuf,
    /// Where to compute
    #[arg(long, value_enum, default_value_t = DeviceKind::Cpu)]
    device: DeviceKind,
}

/// Pictures that go through the network at once.
const BATCH: usize = 64;

pub(crate) fn run(arguments: &SampleArguments) -> Result<(), Failure> {
    let SampleArguments { n, columns, seed, truncation, .. } = *arguments;
    if n == 0 || columns == 0 {
        let (wanted, got) = ("at least one picture in a row".into(), format!("{n} in {columns}"));
        return Err(EvalError::Input { operation: "sample", wanted, got }.into());
    }
    let device = arguments.device.open()?;
    let model = Model::open(&arguments.run, None, &device)?;
    let net = prior::vae(&model, "sample")?;
    let (side, mut shown) = (net.config().side, Vec::with_capacity(n));
    for start in (0..n).step_by(BATCH) {
        let images = prior::images(net, start..n.min(start + BATCH), seed, truncation)?;
        let planes = images.to_u8().map_err(EvalError::from)?;
        shown.extend(Picture::several(&planes, side, side));
    }
    let rows: Vec<Vec<Picture>> = shown.chunks(columns).map(<[_]>::to_vec).collect();
    grid(&rows, 0).write_png(&arguments.out).map_err(EvalError::from)?;
    println!("{}", arguments.out.display());
    Ok(())
}
