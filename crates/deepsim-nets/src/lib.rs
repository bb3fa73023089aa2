//! Networks of "Generating Images with Perceptual Similarity Metrics based on Deep Networks"
//! (Dosovitskiy & Brox, 2016) on candle.
//!
//! | module | holds | paper |
//! |---|---|---|
//! | [`autoencoder`] | generator of the first experiment, 64x64 -> 8x8x8 -> 64x64 | v1 Table 2 |
//! | [`discriminator`] | real / generated classifier | v1 Table 1 |
//! | [`alexnet`] | AlexNet and CaffeNet trunks | comparators, section 3 |
//! | [`exemplar_cnn`] | Exemplar-CNN 64c5-128c5-256c5-512f | comparators, section 3 |
//! | [`videonet`] | VideoNet in training | comparators, section 3 |
//! | [`surrogate`] | comparators in training, with a classifier of surrogate classes | comparators, section 3 |
//! | [`squeezenet`], [`efficientnet`] | independent networks to measure with | not in the paper |
//! | [`vgg`], [`resnet`] | trunks of other perceptual losses | not in the paper |
//! | [`released`], [`inverter`] | generators that invert AlexNet's layers | v1 Table 5 |
//! | [`vae`] | variational autoencoder | section 4.2 |
//! | [`generator`] | any of the generators: autoencoder, VAE, or feature inverter | section 3 |
//! | [`comparator`] | the [`Comparator`] trait, and the networks that implement it | section 2 |
//! | [`cost`] | FLOPs, weights and activations of each network | |
//!
//! A network is a table of [`layers::Layer`] rows. [`params::Params`] holds its weights in the
//! order of the table. A comparator accepts [`image::Images`] only, because they carry their channel
//! order and value range with them.
//!
//! ```
//! use candle_core::Device;
//! use deepsim_nets::{Autoencoder, AutoencoderConfig, ComparatorKind, Images, PixelFormat};
//!
//! # fn main() -> Result<(), deepsim_nets::NetError> {
//! let generator = Autoencoder::new(AutoencoderConfig::default(), 0, &Device::Cpu)?;
//! let photos = Images::from_u8(&[128; 2 * 3 * 64 * 64], 2, 64, 64, PixelFormat::CAFFE_BGR, &Device::Cpu)?;
//! let reconstructions = generator.forward(&photos)?;
//!
//! // A comparator converts images to the channel order and range that it was trained with.
//! // Random weights, drawn from seed 0, because no file is given.
//! let alexnet = ComparatorKind::alexnet().open(None, 0, &Device::Cpu)?;
//! let features = alexnet.features(&reconstructions, "CONV3")?;
//! assert_eq!(features.dims(), [2, 384, 3, 3]);
//! # Ok(())
//! # }
//! ```

pub mod alexnet;
pub mod autoencoder;
pub mod comparator;
pub mod cost;
pub mod discriminator;
pub mod efficientnet;
pub mod error;
pub mod exemplar_cnn;
pub mod generator;
pub mod header;
pub mod image;
pub mod init;
pub mod inverter;
pub mod layers;
mod matching;
mod module;
pub mod params;
pub mod posterior;
pub mod random;
pub mod released;
pub mod resnet;
pub mod shipped;
mod sides;
mod spec;
pub mod squeezenet;
pub mod surrogate;
pub mod vae;
pub mod vgg;
pub mod videonet;

pub use autoencoder::{Autoencoder, AutoencoderConfig};
pub use comparator::{Comparator, ComparatorKind, ComparatorSpec, WeightsOrigin};
pub use cost::{LayerCost, LayerKind, Pass};
pub use discriminator::{Discriminator, DiscriminatorConfig};
pub use error::NetError;
pub use generator::{Generated, Generator};
pub use image::{ChannelOrder, Images, PixelFormat};
pub use inverter::{Inverter, InverterConfig};
pub use matching::Matched;
pub use module::Features;
pub use params::Params;
pub use posterior::Posterior;
pub use released::GeneratorKind;
pub use sides::Sides;
pub use surrogate::SurrogateNet;
pub use vae::{Vae, VaeConfig, VaeEncoder};
pub use videonet::VideoNet;
