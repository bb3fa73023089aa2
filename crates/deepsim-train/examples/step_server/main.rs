//! Our side of `cargo xtask bench step`: one training step for each line of input.
//!
//! With `--check` it writes its initial weights and its images, makes two steps without dropout and
//! says what the losses were, so that the same steps can be made elsewhere and compared.

mod autoencoder;
mod comparator;
mod fc6;
#[path = "../../../deepsim-ops/examples/op_server/serve.rs"]
mod serve;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use serve::Result;

#[derive(Parser)]
struct Arguments {
    #[arg(long, value_enum)]
    net: Net,
    #[arg(long)]
    batch: usize,
    /// Folder with images and comparator; `--check` fills it
    #[arg(long)]
    folder: PathBuf,
    #[arg(long)]
    check: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Net {
    Autoencoder,
    Fc6,
}

/// Networks, optimisers and data of a training.
trait Training: Sized {
    /// Fresh networks. With `check` the data and the comparator are drawn and written to `folder`
    /// and there is no dropout; else they are read from there.
    fn new(folder: &Path, batch: usize, check: bool) -> Result<Self>;

    /// Writes the weights of generator and discriminator.
    fn save(&self, folder: &Path) -> Result<()>;

    /// Number of weights of generator and discriminator.
    fn counts(&self) -> [usize; 2];

    /// One step. The losses are the discriminator's on real and on generated images, then the
    /// adversarial, the feature and the image term before weighting.
    fn step(&mut self) -> Result<[f64; 5]>;
}

fn main() -> ExitCode {
    deepsim_ops::keep_freed_memory();
    let arguments = Arguments::parse();
    let done = match arguments.net {
        Net::Autoencoder => run::<autoencoder::Autoencoding>(&arguments),
        Net::Fc6 => run::<fc6::Inversion>(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&*error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "a program talks to its user")]
fn complain(error: &dyn std::error::Error) {
    eprintln!("step_server: {error}");
}

fn run<T: Training>(arguments: &Arguments) -> Result<()> {
    let folder = &arguments.folder;
    let mut training = T::new(folder, arguments.batch, arguments.check)?;
    if arguments.check {
        training.save(folder)?;
    }
    let mut losses = vec![training.step()?];
    if arguments.check {
        losses.push(training.step()?);
    }
    let [generator, discriminator] = training.counts();
    let facts = serde_json::json!({
        "parameters": {
            "generator": generator,
            "discriminator": discriminator,
            "comparator": comparator::count(),
        },
        "losses": losses,
    });
    serve::serve(&facts.to_string(), |_| {
        serve::time(1, || {
            std::hint::black_box(training.step()?);
            Ok(())
        })
    })
}
