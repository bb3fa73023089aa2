//! `deepsim-eval invert`: a photograph of one's own through a trained generator.

use std::path::{Path, PathBuf};

use clap::Args;
use deepsim_data::picture::Picture;
use deepsim_data::{Crop, Transform, decode};
use deepsim_eval::measure::{self, Model, Row, Settings};
use deepsim_eval::{EvalError, compare};
use deepsim_nets::{Images, PixelFormat, WeightsOrigin};

use crate::Failure;
use crate::device::DeviceKind;
use crate::distances;

#[derive(Args)]
pub(crate) struct InvertArguments {
    /// A JPEG or PNG file of any size, which is turned as its camera says; what is transparent is white
    photo: PathBuf,
    /// Folder of the run, with generator.safetensors
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// Folder with the weights of the inverted network and of those that judge, which need them
    #[arg(long, value_name = "DIR")]
    weights: Option<PathBuf>,
    /// Lets networks take random weights where there is no file
    #[arg(long)]
    random_weights: bool,
    /// Folder for original.png, reconstruction.png and numbers.json [default: PHOTO-inverted, in the
    /// current folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where to compute
    #[arg(long, value_enum, default_value_t = DeviceKind::Cpu)]
    device: DeviceKind,
}

pub(crate) fn run(arguments: &InvertArguments) -> Result<(), Failure> {
    let device = arguments.device.open()?;
    let weights = crate::folder(arguments.weights.as_deref())?;
    let photo = decode::read_photo(&arguments.photo).map_err(EvalError::from)?;
    let model = Model::open(&arguments.run, weights, &device)?;
    let random = arguments.random_weights;
    let planned = arguments.run.join("plan.toml").exists();
    if let Some((net, _)) = model.encoder.as_ref().filter(|_| !random && !planned)
        && matches!(net.origin(), WeightsOrigin::Random(_))
    {
        let wanted = format!("weights of {} in --weights, or --random-weights", net.name());
        return Err(EvalError::Input { operation: "invert", wanted, got: "none".into() }.into());
    }

    let original = middle(&model, &photo)?;
    let (height, width) = (original.height, original.width);
    let format = PixelFormat::CAFFE_BGR;
    let image = Images::from_u8(&original.to_planes(), 1, height, width, format, &device)
        .map_err(EvalError::from)?;
    let drawn = model.reconstruct(&image)?;
    let planes = drawn.to_u8().map_err(EvalError::from)?;
    let reconstruction = Picture::from_planes(&planes, height, width);

    let compared = compare::compare(&original, &reconstruction, weights, random, &device)?;
    let mut rows = compared.rows;
    if let Some((net, tap)) = &model.encoder {
        // Of what the generator drew, not clipped.
        let row = compare::relative_distance(&**net, tap, &image, &drawn)?;
        rows.insert(0, Row { name: format!("inverted features, {}", row.name), ..row });
    }
    let out = match &arguments.out {
        Some(folder) => folder.clone(),
        None => beside(&arguments.photo),
    };
    std::fs::create_dir_all(&out).map_err(|source| EvalError::Io {
        operation: "creating folder",
        path: out.clone(),
        source,
    })?;
    for (picture, file) in [(&original, "original.png"), (&reconstruction, "reconstruction.png")] {
        picture.write_png(&out.join(file)).map_err(EvalError::from)?;
    }
    measure::write_rows(&out.join("numbers.json"), &rows)?;
    println!("{}", out.display());
    crate::print(&rows);
    distances::tell_without_weights(&compared.without_weights);
    Ok(())
}

/// The part of a photograph that the generator sees: it is brought to the size of training pictures, and
/// the middle is cut out, as in all measures.
fn middle(model: &Model, photo: &Picture) -> Result<Picture, EvalError> {
    let side = model.side(Settings::default().crop);
    let large = model.resize.unwrap_or(side).max(side);
    let all = Transform::stretch(large, large).apply(photo)?;
    Ok(all.part(Crop::Center(side).rectangle(large, large)?))
}

/// `PHOTO-inverted`, for a file `any/where/PHOTO.jpg`.
fn beside(photo: &Path) -> PathBuf {
    let mut name = photo.file_stem().unwrap_or_default().to_owned();
    name.push("-inverted");
    PathBuf::from(name)
}
