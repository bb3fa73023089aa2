#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| deepsim_eval_fuzz::features(bytes));
