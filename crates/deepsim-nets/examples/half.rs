//! Makes a small file of a comparator's weights to hand on: half precision, and only some layers.
//!
//!   cargo run --release -p deepsim-nets --example half -- IN.safetensors OUT.safetensors conv1 conv2

use std::path::Path;

use candle_core::{Device, Tensor, Var};
use deepsim_nets::Params;
use deepsim_nets::header;
use deepsim_nets::params::{SPEC_KEY, from_bytes, parse, read};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [from, to, layers @ ..] = arguments.as_slice() else {
        return Err("usage: half IN.safetensors OUT.safetensors LAYER...".into());
    };
    let from = Path::new(from);
    let bytes = read(from)?;
    let file = parse(from, &bytes)?;
    let mut kept = Vec::new();
    for layer in layers {
        for part in ["weight", "bias"] {
            let name = format!("{layer}.{part}");
            let view = file.tensor(&name)?;
            let tensor = Tensor::from_vec(from_bytes(view.data()), view.shape(), &Device::Cpu)?;
            kept.push((name, Var::from_tensor(&tensor)?));
        }
    }
    let spec = header::metadata(from)?.remove(SPEC_KEY).unwrap_or_default();
    kept.into_iter().collect::<Params>().save_half(Path::new(to), &spec)?;
    Ok(())
}
