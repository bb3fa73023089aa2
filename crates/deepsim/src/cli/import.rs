//! `deepsim import`: weights from Caffe, ONNX and PyTorch files.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use deepsim_import::{ImportOptions, Net, Skipped, import, read};

use super::locate;

/// Read weights from a Caffe, ONNX, PyTorch or safetensors file and write them for a network
///
/// The form of the file is recognised by its content, and the network by its tensors where only one
/// has them; AlexNet and CaffeNet have the same. Every tensor of the file is reported as used or
/// ignored. No code in a .pth file is run.
#[derive(Args)]
pub(crate) struct Arguments {
    /// File to read, or hf://OWNER/NAME/PATH
    file: PathBuf,
    /// Network that the weights are for, e.g. caffenet, alexnet, generator-fc6, lpips-alex [default: by the tensors]
    #[arg(long, value_name = "NET", value_parser = Net::by_name)]
    net: Option<Net>,
    /// Folder for NET.safetensors, or a file
    #[arg(long, value_name = "PATH", default_value = "data/weights")]
    out: PathBuf,
    /// Round weights to half precision
    #[arg(long)]
    f16: bool,
    /// Dictionary of a checkpoint, or prefix of names, to read, e.g. state_dict_ema
    /// [default: the likeliest]
    #[arg(long, value_name = "NAME")]
    part: Option<String>,
    /// Print what is in the file, and write nothing
    #[arg(long)]
    list: bool,
    /// Form of the report
    #[arg(long, value_enum, default_value_t = Form::Text)]
    report: Form,
}

#[derive(Clone, Copy, ValueEnum)]
enum Form {
    Text,
    Json,
}

/// Imports or lists, and prints what is in the file.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let file = locate::file(&arguments.file)?;
    let part = arguments.part.as_deref();
    if arguments.list {
        let (_, contents) = read(&file, part)?;
        println!("{:?}", contents.format);
        for blob in &contents.blobs {
            println!("{} {:?}", blob.name, blob.shape);
        }
        for Skipped { name, what, .. } in &contents.skipped {
            println!("{name}: not read, {what}");
        }
        return Ok(());
    }
    let options = ImportOptions {
        net: arguments.net.clone(),
        half: arguments.f16,
        part: arguments.part.clone(),
    };
    let report = import(&file, &arguments.out, &options)?;
    match arguments.report {
        Form::Text => println!("{report}"),
        Form::Json => println!("{}", serde_json::json!(report)),
    }
    if report.net == Net::Mean {
        let (_, contents) = read(&file, part)?;
        for blob in contents.blobs {
            let plane = (blob.values.len() / 3).max(1);
            let sum = |plane: &[f32]| plane.iter().map(|value| f64::from(*value)).sum::<f64>();
            let means = blob.values.chunks_exact(plane).map(|values| sum(values) / plane as f64);
            println!("means of the channels {:.3?}", means.collect::<Vec<f64>>());
        }
    }
    Ok(())
}
