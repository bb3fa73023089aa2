//! Everything that is tested across crates, in one program.
//!
//! | module | asks |
//! |---|---|
//! | `accepted` | are shapes accepted and refused as by PyTorch? |
//! | `architecture` | do the crates depend on each other only as planned? |
//! | `parity_ops` | does every operation compute what PyTorch computes, forward and backward? |
//! | `parity_nets` | does every network? |
//! | `parity_torchvision` | do VGG and ResNet-18 equal torchvision's modules? |
//! | `parity_losses` | are loss terms, calibration and update balance as published? |
//! | `parity_perceptual` | is LPIPS that of its authors' package, and the feature distance the paper's? |
//! | `parity_training` | do twenty iterations of both networks follow PyTorch's? |
//! | `shared/golden` | do real weights give the activations that OpenCV gets from them? |
//! | `shared/imagenet` | does a real network recognise as many photographs as it should? |
//! | `shared/photographs` | are folders of real photographs trained on, resumed and reproduced? |
//! | `comparators` | do runs that train comparators keep the same promises? |
//! | `parallel` | do several processes make the run that one makes alone? |
//! | `options` | do the options that the paper does not have do what they say, in runs? |
//! | `resume` | does an interrupted run end with the bytes of an uninterrupted one? |
//! | `run_folder` | can planners and reports read what training leaves? |
//! | `guards` | is a number that is not finite caught, undone and kept for a repetition? |
//! | `hostile` | does bad input end in a clear error with nothing half-written? |
//! | `pages` | are README and pages whole where rustdoc has not been? |
//! | `data_files` | has every file in `data` a licence and a hash, and are its photographs a data set? |
//! | `described` | is a comparator that a file describes one in recipes and commands? |
//! | `own_pictures` | is a folder of pictures trained on, measured and resumed like any data set? |
//! | `messages` | do errors name each cause once, and refuse before anything is written? |
//!
//! What PyTorch computes is stored in `tests/fixtures`, with the script that made it.

mod accepted;
mod architecture;
mod comparators;
mod data_files;
mod described;
mod guards;
#[expect(dead_code, reason = "other test programs use the rest")]
#[path = "../../../crates/deepsim-data/tests/support/hear.rs"]
mod hear;
mod hostile;
mod inversion;
mod inversion_measures;
mod messages;
mod options;
mod own_pictures;
mod pages;
mod parallel;
mod parity_inversion;
mod parity_losses;
mod parity_nets;
mod parity_ops;
mod parity_perceptual;
mod parity_torchvision;
mod parity_training;
mod programs;
mod resume;
mod run_folder;
mod shared;
mod support;
mod vae;
