//! The Rust that the pages print, compiled and run: every line of it is here.

use std::path::Path;

use anyhow::Result;
use candle_core::{DType, Device, Module, Tensor};
use candle_nn::{Conv2d, Conv2dConfig, Optimizer, SGD, VarMap, conv2d};
use deepsim_data::{Crop, Cursor, Dataset, Loader, LoaderConfig};
use deepsim_loss::{PerceptualDistance, TapDistance};
use deepsim_loss::{objective, term, terms};
use deepsim_nets::{ComparatorKind, Images, PixelFormat};
use deepsim_ops::nn::init;

/// A network, an optimiser for it, bytes of two images, and as much noise.
fn begin(device: &Device) -> Result<(Conv2d, SGD, Vec<u8>, Tensor)> {
    let vars = VarMap::new();
    let vb = init::var_builder(&vars, 0, DType::F32, device);
    let net = conv2d(3, 3, 3, Conv2dConfig { padding: 1, ..Default::default() }, vb)?;
    let noisy = Tensor::full(0.5f32, (2, 3, 64, 64), device)?;
    let bytes = (0..2 * 3 * 64 * 64).map(|i| (i % 251) as u8).collect();
    Ok((net, SGD::new(vars.all_vars(), 1e-6)?, bytes, noisy))
}

#[test]
fn the_loss_of_the_readme() -> Result<()> {
    let (device, n) = (Device::Cpu, 2);
    let (net, mut optimiser, bytes, noisy) = begin(&device)?;
    let photos = Images::from_u8(&bytes, n, 64, 64, PixelFormat::UNIT, &device)?; // values in 0..1
    let comparator = ComparatorKind::exemplar_cnn().open_shipped(&device)?;
    let distance = PerceptualDistance::new(comparator, vec![TapDistance::deepsim("CONV2", 1.0)])?;
    let output = photos.with_tensor(net.forward(&noisy)?)?; // what your network makes, in the same format
    let loss = distance.loss(&output, &distance.targets(&photos)?)?;
    optimiser.backward_step(&loss)?;
    assert!(loss.to_scalar::<f32>()? > 0.0);
    Ok(())
}

#[test]
fn the_loader_of_the_readme() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let photos = folder.path().join("photos");
    std::fs::create_dir(&photos)?;
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/photos");
    for name in ["fig.jpg", "coffee.jpg"] {
        std::fs::copy(from.join(name), photos.join(name))?;
    }
    std::env::set_current_dir(folder.path())?;
    let dataset = Dataset::open(Some(Path::new("photos")), 0)?; // your pictures, STL-10, shards, ...
    let config = LoaderConfig { batch: 8, crop: Crop::Random(64), seed: 0, ..Default::default() };
    let mut loader = Loader::new(dataset.unlabeled.clone(), config, Cursor::default())?;
    let batch = loader.next().expect("batches never end")?; // u8, (8, 3, 64, 64)
    let saved = loader.state(); // keep it beside a model; Loader::resume continues from it, and refuses other data
    assert_eq!((batch.pixels.len(), saved.seed), (8 * 3 * 64 * 64, 0));
    Ok(())
}

#[test]
fn the_losses_of_the_page_on_measures() -> Result<()> {
    let (device, n, weight) = (Device::Cpu, 2, 0.5);
    let (net, mut optimiser, bytes, noisy) = begin(&device)?;
    // Once:
    let comparator = ComparatorKind::exemplar_cnn().open_shipped(&device)?;
    let distance = PerceptualDistance::new(comparator, vec![TapDistance::deepsim("CONV2", 1.0)])?;
    // In each step, with any network and optimiser:
    let photos = Images::from_u8(&bytes, n, 64, 64, PixelFormat::UNIT, &device)?;
    let output = photos.with_tensor(net.forward(&noisy)?)?;
    let feature = distance.loss(&output, &distance.targets(&photos)?)?;
    let loss = ((feature * weight)? + terms::absolute_error(&output, &photos)?)?;
    let gradients = loss.backward()?;
    optimiser.backward_step(&loss)?;

    let targets = distance.targets(&photos)?;
    let absolute = term::from_fn("l1", 1.0, |images| terms::absolute_error(images, &photos));
    let feature =
        term::from_fn("feature", weight, |images: &Images| distance.loss(images, &targets));
    let both = objective::evaluate(&[&feature, &absolute], &term::Inputs::new(&output, &photos))?;
    let same = objective::backward_from(output.tensor(), &both.gradient)?;
    let (a, b) = (gradients.get(net.weight()), same.get(net.weight()));
    let (a, b) = (a.expect("a gradient"), b.expect("a gradient"));
    let apart = (a - b)?.abs()?.max_all()?.to_scalar::<f32>()?;
    assert!(apart <= 1e-5 * a.abs()?.max_all()?.to_scalar::<f32>()?, "{apart}");
    let evaluated = objective::evaluate(&[&feature], &term::Inputs::new(&output, &photos))?;
    optimiser.step(&objective::backward_from(output.tensor(), &evaluated.gradient)?)?;
    Ok(())
}

#[test]
fn every_printed_line_is_in_a_test_of_this_file() -> Result<()> {
    let bare = |text: &str| text.split_whitespace().collect::<String>();
    let here = bare(include_str!("pages.rs"));
    for page in ["README.md", "docs/measures.md"] {
        let text =
            std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(page))?;
        let blocks = text.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next());
        let lines: Vec<&str> =
            blocks.flat_map(str::lines).filter(|line| !line.is_empty()).collect();
        assert!(lines.len() > 10, "{page}: only {} lines", lines.len());
        for line in lines {
            assert!(here.contains(&bare(line)), "{page}: {line}");
        }
    }
    Ok(())
}
