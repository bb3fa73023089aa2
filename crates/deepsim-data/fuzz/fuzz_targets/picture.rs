#![no_main]

libfuzzer_sys::fuzz_target!(
    // A decoder's panic that is caught is an error of the picture; libFuzzer's hook would end the run.
    init: std::panic::set_hook(Box::new(|panic| eprintln!("{panic}"))),
    |bytes: &[u8]| deepsim_data_fuzz::picture(bytes)
);
