#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = deepsim_import::caffe::blobs(bytes);
    let _ = deepsim_import::caffe::mean(bytes);
});
