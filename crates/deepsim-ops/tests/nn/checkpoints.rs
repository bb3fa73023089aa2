//! Checkpoints of a VarMap, exchanged with candle-nn's layers.

use candle_core::{DType, Device, Module, Result, Tensor};
use candle_nn::{VarBuilder, VarMap};
use deepsim_ops::nn::{self, Conv2dConfig, ConvTranspose2dConfig, named_vars, var_map};

use crate::support::{assert_near, flat, tensor};

fn candles(vb: VarBuilder<'_>) -> Result<impl Module> {
    let c = candle_nn::conv2d(3, 4, 3, Conv2dConfig::default(), vb.pp("c"))?;
    let t = candle_nn::conv_transpose2d(4, 2, 2, ConvTranspose2dConfig::default(), vb.pp("t"))?;
    let f = candle_nn::linear(2 * 5 * 5, 3, vb.pp("f"))?;
    Ok(candle_nn::seq().add(c).add(t).add_fn(|x| x.flatten_from(1)).add(f))
}

fn ours(vb: VarBuilder<'_>) -> Result<impl Module> {
    let c = nn::conv2d(3, 4, 3, Conv2dConfig::default(), vb.pp("c"))?;
    let t = nn::conv_transpose2d(4, 2, 2, ConvTranspose2dConfig::default(), vb.pp("t"))?;
    let f = nn::linear(2 * 5 * 5, 3, vb.pp("f"))?;
    Ok(nn::seq().add(c).add(t).add_fn(|x| x.flatten_from(1)).add(f))
}

fn builder(vars: &VarMap) -> VarBuilder<'static> {
    VarBuilder::from_varmap(vars, DType::F32, &Device::Cpu)
}

#[test]
fn checkpoints_fit_both() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("weights.safetensors");
    let x = tensor(&[2, 3, 6, 6], 1);
    let near = |a: &Tensor, b: &Tensor| {
        let wanted: Vec<f64> = flat(b).into_iter().map(f64::from).collect();
        assert_near("output", &flat(a), &wanted, 2e-6);
    };
    let (mut theirs, mut own) = (VarMap::new(), VarMap::new());
    let (a, b) = (candles(builder(&theirs))?, ours(builder(&own))?);
    theirs.save(&path)?;
    own.load(&path)?;
    near(&b.forward(&x)?, &a.forward(&x)?);
    let file = std::fs::read(&path)?;
    own.save(&path)?;
    assert_eq!(std::fs::read(&path)?, file);

    let fresh = VarMap::new();
    let b = ours(builder(&fresh))?;
    fresh.save(&path)?;
    theirs.load(&path)?;
    near(&b.forward(&x)?, &a.forward(&x)?);
    Ok(())
}

/// Layers initialise as candle-nn does: the extremes of many draws are near the bounds, and
/// standard deviations near the expected one.
#[test]
fn layers_ask_for_candles_initialisation() -> Result<()> {
    let vars = |make: &dyn Fn(VarBuilder<'static>) -> Result<()>| -> Result<VarMap> {
        let vars = VarMap::new();
        make(builder(&vars))?;
        Ok(vars)
    };
    let (conv, up) = (Conv2dConfig::default(), ConvTranspose2dConfig::default());
    let own = vars(&|vb| {
        nn::conv2d(64, 256, 5, conv, vb.pp("c"))?;
        nn::conv_transpose2d(256, 64, 5, up, vb.pp("t"))?;
        nn::linear(256, 256, vb.pp("f")).map(drop)
    })?;
    let theirs = vars(&|vb| {
        candle_nn::conv2d(64, 256, 5, conv, vb.pp("c"))?;
        candle_nn::conv_transpose2d(256, 64, 5, up, vb.pp("t"))?;
        candle_nn::linear(256, 256, vb.pp("f")).map(drop)
    })?;
    let (own, theirs) = (named_vars(&own), named_vars(&theirs));
    assert_eq!(own.len(), 6);
    for ((name, own), (other, theirs)) in own.into_iter().zip(theirs) {
        assert_eq!((&name, own.dims()), (&other, theirs.dims()));
        let deviation = |values: Vec<f32>| {
            let squares: f64 = values.iter().map(|&value| f64::from(value).powi(2)).sum();
            (squares / values.len() as f64).sqrt()
        };
        let (own, theirs) = (deviation(flat(&own)), deviation(flat(&theirs)));
        // Biases are 64 or 256 draws of a uniform distribution.
        assert!(
            (own / theirs - 1.0).abs() < if name.contains("bias") { 0.5 } else { 0.03 },
            "{name}"
        );
    }
    Ok(())
}

#[test]
fn a_map_and_named_variables_are_the_same_both_ways() -> Result<()> {
    let vars = VarMap::new();
    ours(builder(&vars))?;
    let named = named_vars(&vars);
    let again = var_map(named.clone());
    let names = |named: &[(String, candle_core::Var)]| {
        named.iter().map(|(name, var)| (name.clone(), var.id())).collect::<Vec<_>>()
    };
    assert_eq!(names(&named_vars(&again)), names(&named));
    assert!(named.len() == 6 && var_map([]).all_vars().is_empty());
    // Layers of the new map see the variables of the old one change.
    let layer = nn::linear(2 * 5 * 5, 3, builder(&again).pp("f"))?;
    let (_, bias) = named.iter().find(|(name, _)| name == "f.bias").expect("a bias");
    bias.set(&tensor(&[3], 7))?;
    assert_eq!(flat(layer.bias().expect("a bias")), flat(&tensor(&[3], 7)));
    Ok(())
}
