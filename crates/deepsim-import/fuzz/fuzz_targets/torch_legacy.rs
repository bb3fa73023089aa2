#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = deepsim_import::torch::legacy::blobs(bytes);
    // A pickle alone, without the marks before it.
    if let Ok(pickle) = deepsim_import::torch::pickle::read(bytes) {
        let _ = pickle.tensors();
    }
});
