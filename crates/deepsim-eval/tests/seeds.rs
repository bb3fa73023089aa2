//! The fuzz target with files as they are written, and with changes of them: what a nightly compiler would do for longer
//! (`fuzz/src/lib.rs`).

#[path = "../../deepsim-data/tests/support/seeds.rs"]
mod seeds;
#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "a library to the fuzzer, a module here")]
mod targets;

use candle_core::{Device, Tensor};
use deepsim_eval::features::{Features, Origin};
use deepsim_nets::random::{normal, stream};

#[test]
fn every_reader_takes_any_bytes() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let tensor = |shape: &[usize]| {
        let values = normal(&mut stream(0, "features", 0), shape.iter().product(), 1.0);
        Tensor::from_vec(values, shape, &Device::Cpu)
    };
    let taps = [("FC6", tensor(&[2, 6])?), ("CONV5", tensor(&[2, 3, 2, 2])?)];
    for count in [1, 2] {
        let taps = taps[..count].iter().map(|(tap, tensor)| ((*tap).to_owned(), tensor.clone()));
        let features = Features::new(Origin::default(), taps.collect())?;
        features.write(&folder.path().join(format!("{count}.safetensors")))?;
        if count == 1 {
            features.write(&folder.path().join("1.npy"))?;
        }
    }
    // As NumPy writes doubles whose first axis is fastest.
    let header = "{'descr': '>f8', 'fortran_order': True, 'shape': (2, 3), }\n";
    let length = (header.len() as u16).to_le_bytes();
    let values: Vec<u8> = (0..6).flat_map(|i| f64::from(i).to_be_bytes()).collect();
    let bytes = [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), &values].concat();
    std::fs::write(folder.path().join("columns.npy"), bytes)?;
    assert!(seeds::files(folder.path()).iter().all(|file| Features::read(file).is_ok()));
    seeds::check(targets::TARGETS, |_| seeds::files(folder.path()));
    Ok(())
}
