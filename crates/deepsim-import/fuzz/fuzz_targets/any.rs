#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = deepsim_import::parse(bytes);
});
