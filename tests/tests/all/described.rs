//! A comparator that is described in a file, in a recipe and in every command that takes one.

use anyhow::Result;
use candle_core::Device;
use deepsim_nets::ComparatorKind;
use deepsim_nets::layers::Stack;

use crate::programs::{TINY, assert_success, checkpoint, errors, folder_with_recipe, run, train};

const SMALL: &str = r#"
name = "small"
pixels = "torchvision"
taps = { STEM = "relu1", BLOCK = "relu2" }
layers = [
    { name = "conv1", op = "conv", out = 8, kernel = 3, stride = 2, padding = 1, bias = false },
    { name = "bn1", op = "batch-norm" },
    { name = "relu1", op = "relu6" },
    { name = "conv2", op = "conv", out = 8, kernel = 3, padding = 1, groups = 8 },
    { name = "add", op = "add", from = ["conv2", "relu1"] },
    { name = "relu2", op = "relu" },
]
"#;

/// A folder with a recipe, a description, its weights and two pictures.
fn folder() -> Result<tempfile::TempDir> {
    let recipe = TINY.replace("\"alexnet\"", "\"nets/small.toml\"").replace("CONV2", "BLOCK");
    let folder = folder_with_recipe(&recipe);
    let description = folder.path().join("nets/small.toml");
    std::fs::create_dir(folder.path().join("nets"))?;
    std::fs::write(&description, SMALL)?;
    let kind = ComparatorKind::read(&description)?;
    let (_, params) = Stack::new(&kind.spec().layers, 3, "weights", 5, &Device::Cpu)?;
    params.save(&description.with_extension("safetensors"), "{}")?;
    for (name, grey) in [("a.png", 60), ("b.png", 160)] {
        deepsim_data::picture::Picture::new(48, 48, [grey; 3])
            .write_png(&folder.path().join(name))?;
    }
    Ok(folder)
}

#[test]
fn a_description_is_a_comparator_in_recipes_and_commands() -> Result<()> {
    let folder = folder()?;
    let folder = folder.path();
    assert_success(&train(folder, "whole", &[]));
    let identity = std::fs::read_to_string(folder.join("whole/plan.toml"))?;
    assert!(identity.contains("nets/small.toml"), "{identity}");
    assert!(identity.contains("weights small.safetensors"), "{identity}");
    // Interrupted and resumed.
    assert_success(&train(folder, "halves", &["--set", "steps=2"]));
    assert_success(&train(folder, "halves", &["--resume"]));
    assert!(checkpoint(&folder.join("whole")) == checkpoint(&folder.join("halves")));

    let space = "nets/small.toml:BLOCK";
    let output =
        run(folder, &["eval", "error", "--run", "whole", "--space", space, "--limit", "4"]);
    assert_success(&output);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains("small BLOCK feature space"), "{printed}");
    let measure = format!("feature:{space}");
    let output = run(folder, &["compare", "a.png", "b.png", "--measure", &measure]);
    assert_success(&output);
    let output = run(folder, &["plan", "recipe.toml"]);
    assert_success(&output);
    Ok(())
}

#[test]
fn a_broken_description_is_named_before_anything_is_written() -> Result<()> {
    let folder = folder()?;
    let folder = folder.path();
    let description = folder.join("nets/small.toml");
    std::fs::write(&description, SMALL.replace("op = \"relu6\"", "op = \"reul\""))?;
    let output = train(folder, "out", &[]);
    assert!(!output.status.success() && !folder.join("out").exists());
    let said = errors(&output);
    assert!(said.contains("nets/small.toml: row `relu1`: unknown variant `reul`"), "{said}");
    // A file of weights that lacks a tensor.
    std::fs::write(&description, SMALL.replace("groups = 8", "groups = 8, bias = false"))?;
    let output = train(folder, "out", &[]);
    let said = errors(&output);
    assert!(!output.status.success() && said.contains("conv2.bias: unexpected"), "{said}");
    // A tap that it does not have.
    std::fs::write(&description, SMALL)?;
    let output = train(folder, "out", &["--set", "feature.tap=CONV2"]);
    let said = errors(&output);
    assert!(said.contains("expected one of small's taps STEM, BLOCK; found `CONV2`"), "{said}");
    std::fs::remove_file(&description)?;
    let said = errors(&train(folder, "out", &[]));
    assert!(said.contains("reading a network from nets/small.toml"), "{said}");
    Ok(())
}
