//! Batches as candle tensors (feature `candle`).
#![cfg(feature = "candle")]

use candle_core::{DType, Device};
use deepsim_data::{Batch, Crop, Format, Scenes, read_range, scenes};

#[test]
fn tensors_hold_the_values_of_the_format_and_refuse_another() {
    let source = Scenes::new(0, scenes::TRAIN, 20);
    let batch = read_range(&source, 3..6, Crop::Center(10)).expect("a batch");
    let pixels = batch.to_tensor(&Format::CAFFE_BGR, &Device::Cpu).expect("a tensor");
    let tensor = pixels.tensor(&Format::CAFFE_BGR).expect("the same format");
    assert_eq!((tensor.dims(), tensor.dtype()), (&[3, 3, 10, 10][..], DType::F32));
    let values: Vec<f32> = tensor.flatten_all().and_then(|t| t.to_vec1()).expect("values");
    assert_eq!(values, batch.to_f32(&Format::CAFFE_BGR).expect("values"));
    let error = pixels.tensor(&Format::BYTES).expect_err("another format").to_string();
    assert!(
        error.contains("wanted Format { order: Rgb") && error.contains("got Format { order: Bgr")
    );
    let labels = batch.labels_tensor(&Device::Cpu).and_then(|t| Ok(t.to_vec1::<u32>()?));
    assert_eq!(labels.expect("labels"), [3, 4, 5]);
}

#[test]
fn a_batch_without_labels_has_no_tensor_of_them() {
    let source = Scenes::new(0, scenes::TRAIN, 20);
    let mut batch = read_range(&source, 0..2, Crop::Center(4)).expect("a batch");
    batch.samples[1].label = None;
    let error = batch.labels_tensor(&Device::Cpu).expect_err("no label").to_string();
    assert!(error.contains("a label for every sample"), "{error}");
    // A batch whose fields do not fit together is an error too.
    let broken = Batch { n: 3, ..batch };
    assert!(broken.to_tensor(&Format::BYTES, &Device::Cpu).is_err());
}
