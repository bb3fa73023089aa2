//! Shapes are accepted or refused as PyTorch accepts or refuses them, and nothing panics.

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use deepsim_ops::{Conv2dConfig, Pool2dConfig, conv_transpose2d, conv2d, max_pool2d};
use serde::Deserialize;

use crate::programs::workspace;

#[derive(Debug, Deserialize)]
struct Case {
    op: String,
    x: Vec<usize>,
    w: Vec<usize>,
    stride: (usize, usize),
    padding: (usize, usize),
    #[serde(default)]
    groups: usize,
    bias: Option<usize>,
    #[serde(default)]
    ceil: bool,
    /// The size of PyTorch's result, if it accepts.
    y: Option<Vec<usize>>,
}

impl Case {
    fn run(&self) -> Result<Tensor> {
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu);
        let (x, &Self { stride, padding, groups, .. }) = (zeros(&self.x)?, self);
        if self.op == "max_pool2d" {
            let kernel = (self.w[0], self.w[1]);
            let config = Pool2dConfig { kernel, stride, padding, ceil_mode: self.ceil };
            return Ok(max_pool2d(&x, config)?);
        }
        let run = if self.op == "conv2d" { conv2d } else { conv_transpose2d };
        let bias = self.bias.map(|bias| zeros(&[bias])).transpose()?;
        let config = Conv2dConfig { stride, padding, groups, ..Conv2dConfig::default() };
        Ok(run(&x, &zeros(&self.w)?, bias.as_ref(), config)?)
    }

    /// PyTorch computes with tensors that hold nothing, and makes such; here they are refused,
    /// because in a network they are mistakes.
    fn differs_on_purpose(&self) -> bool {
        let empty = |shape: &[usize]| shape.contains(&0);
        empty(&self.x) || empty(&self.w) || self.y.as_deref().is_some_and(empty)
    }
}

#[test]
fn shapes_are_accepted_as_pytorch_accepts_them() -> Result<()> {
    let path = workspace().join("tests/fixtures/accepted.json");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let cases: Vec<Case> = serde_json::from_str(&text)?;
    let (mut accepted, mut refused) = (0, 0);
    for case in &cases {
        match (case.run(), &case.y) {
            (Ok(y), Some(wanted)) => {
                assert_eq!(y.dims(), wanted, "{case:?}");
                accepted += 1;
            }
            (Err(error), None) => {
                let error = error.to_string();
                assert!(error.starts_with(&case.op), "{case:?}: {error}");
                refused += 1;
            }
            (Err(_), Some(_)) if case.differs_on_purpose() => {}
            (got, wanted) => panic!("{case:?}: found {got:?}, PyTorch {wanted:?}"),
        }
    }
    assert!(accepted > 250 && refused > 250, "{accepted} accepted, {refused} refused");
    Ok(())
}
