#![doc = include_str!("../README.md")]
//!
//! # Modules
//!
//! | module | holds |
//! |---|---|
//! | [`source`], [`files`] | the two traits: images of one size, encoded pictures of any size |
//! | [`stl10`] | STL-10 in its official binary format, memory-mapped |
//! | [`ilsvrc`], [`folder`], [`shards`] | ILSVRC-2012 as it is distributed, a folder, tar shards |
//! | [`photos`] | a folder of photographs, and crops drawn from them at several scales |
//! | [`scenes`] | procedural pictures with natural-image statistics, for when there is no data |
//! | [`exemplars`] | surrogate classes of deformed patches |
//! | [`pairs`] | pairs of pictures of the same thing |
//! | [`decode`], [`transform`], [`prepared`], [`resized`] | bytes of a file, or an image, to an image of one size |
//! | [`pipeline`], [`augmented`] | random crops, mirroring, colour jitter; sources of what they make |
//! | [`loader`], [`order`] | shuffled, cropped batches from worker threads: [`Loader`] makes [`Batch`]es |
//! | [`cache`] | prepared images on disk |
//! | [`check`](mod@check), [`resized_files`], [`upright`] | inspection of picture files; files made smaller, or turned upright |
//! | [`subset`], [`mod@concat`] | subsets, random splits and concatenations of sources and of picture files |
//! | [`duplicates`] | images that are in two sets |
//! | [`dataset`] | a training set, labelled splits and folds together |
//! | [`picture`] | PNG files and grids |
//! | [`tar_index`] | where the members of a tar are |
//! | [`splits`] | which parquet files make up a split |
//! | `parquet` | parquet data sets of the Hugging Face hub (feature `parquet`) |
//! | [`atomic`] | files that appear whole or not at all |

pub mod atomic;
pub mod augmented;
mod batch;
pub mod cache;
pub mod check;
pub mod concat;
mod content;
pub mod dataset;
pub mod decode;
mod draw;
pub mod duplicates;
pub mod error;
pub mod exemplars;
pub mod files;
pub mod folder;
pub mod ilsvrc;
mod kinds;
pub mod loader;
mod memory;
mod names;
pub mod order;
pub mod pairs;
mod panics;
#[cfg(feature = "parquet")]
pub mod parquet;
pub mod photos;
pub mod picture;
pub mod pipeline;
mod planes;
mod positioned;
pub mod prepared;
pub mod random;
mod read;
pub mod resized;
pub mod resized_files;
mod resume;
pub mod scenes;
pub mod shards;
pub mod sound_files;
pub mod source;
pub mod splits;
mod square;
pub mod stl10;
pub mod subset;
pub mod tar_index;
pub mod transform;
pub mod upright;

pub use augmented::Augmented;
pub use batch::{Batch, Broken, Cursor, LoaderConfig, Sample, Skipped};
pub use concat::Concat;
pub use dataset::{Dataset, Dropped, Labelled, SceneSizes};
pub use error::DataError;
pub use files::PictureFiles;
pub use kinds::Unread;
pub use loader::Loader;
pub use photos::{PhotoSizes, Photographs};
pub use pipeline::Pipeline;
pub use prepared::Prepared;
pub use read::read_range;
pub use resume::LoaderState;
pub use scenes::Scenes;
pub use source::{Crop, Rectangle, Source};
pub use stl10::{Split, Stl10};
pub use subset::Subset;
pub use transform::Transform;
