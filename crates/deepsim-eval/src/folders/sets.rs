//! Two folders of pictures as samples of two distributions.

use std::collections::BTreeSet;
use std::path::Path;

use candle_core::Device;
use deepsim_data::folder::ImageFolder;
use deepsim_data::picture::Picture;
use deepsim_data::{DataError, PictureFiles, decode};
use deepsim_nets::{Comparator, PixelFormat};
use tracing::field::Empty;
use tracing::{info_span, warn};

use super::Failures;
use super::windows::{Size, batches, window};
use crate::EvalError;
use crate::arrays::images;
use crate::comparators::open_known;
use crate::measure::distances::{SetDistances, Words, pooled};
use crate::measure::{Row, Space};
use crate::metrics::distribution::LEAST;

/// Distances of two folders.
#[derive(Clone, Debug, PartialEq)]
pub struct SetsMeasured {
    /// Fréchet distance, extrapolated and plain, and kernel distance, in each space.
    pub rows: Vec<Row>,
    /// Number of pictures that were measured in each folder.
    pub pictures: [usize; 2],
    /// Number of pictures that could not be measured.
    pub failed: usize,
}

/// A network with the tap to read.
type Net = (Box<dyn Comparator>, String);

/// Measures how far the pictures of folder `b` are from those of folder `a` as a distribution, in each of some feature
/// spaces. Maps are averaged over positions, and divided by the root mean square of the first folder's. Pictures are
/// taken at the size that they have.
///
/// # Errors
/// If a folder has fewer than 40 pictures that can be read, or weights are missing or do not fit.
pub fn compare_sets(
    [a, b]: [&Path; 2],
    spaces: &[Space],
    weights: Option<&Path>,
    random: bool,
    device: &Device,
) -> Result<SetsMeasured, EvalError> {
    let open = |space: &Space| -> Result<Net, EvalError> {
        let net = open_known("feature space", &space.comparator, weights, random, device)?;
        let known = net.taps();
        if !known.contains(&space.tap) {
            let (net, got) = (net.name().to_owned(), space.tap.clone());
            return Err(deepsim_nets::NetError::UnknownTap { net, wanted: known, got }.into());
        }
        Ok((net, space.tap.clone()))
    };
    let nets: Vec<Net> = spaces.iter().map(open).collect::<Result<_, _>>()?;
    let folders = [ImageFolder::without_classes(a)?, ImageFolder::without_classes(b)?];
    check(a, folders[0].len())?;
    check(b, folders[1].len())?;
    let (mut failures, mut sizes) = (Failures::default(), BTreeSet::new());
    let mut features =
        |folder: &ImageFolder| features(folder, &nets, device, &mut failures, &mut sizes);
    let (of_a, of_b) = (features(&folders[0])?, features(&folders[1])?);
    // A picture has features in all spaces or in none.
    let count = |of: &[Vec<Vec<f32>>]| of.first().map_or(0, Vec::len);
    let [n, m] = [count(&of_a), count(&of_b)];
    check(a, n)?;
    check(b, m)?;
    if sizes.len() > 1 {
        warn!(
            "pictures of {} sizes: features depend on the scale; compare pictures of one size",
            sizes.len()
        );
    }
    let mut rows = Vec::new();
    for ((net, tap), (of_a, of_b)) in nets.iter().zip(of_a.into_iter().zip(of_b)) {
        let words = Words {
            sets: format!("{n} pictures of {} and {m} of {}", a.display(), b.display()),
            reference: "the first's",
        };
        let sets = [(n, of_a.concat()), (m, of_b.concat())];
        let distances = SetDistances::new(&**net, tap, sets, words)?;
        let (least, dims) = (distances.least(), distances.dims());
        if least < dims {
            warn!(
                "{} {tap}: {least} pictures are fewer than the {dims} numbers of a feature vector, so that the plain \
                 Frechet distance is far too large; judge by the kernel distance",
                net.name()
            );
        }
        rows.extend([distances.frechet()?, distances.plain_frechet()?, distances.kernel()?]);
    }
    Ok(SetsMeasured { rows, pictures: [n, m], failed: failures.0 })
}

/// Refuses a set that is too small.
fn check(folder: &Path, found: usize) -> Result<(), EvalError> {
    if found >= LEAST {
        return Ok(());
    }
    let wanted = format!("at least {LEAST} pictures for the distance of distributions");
    Err(DataError::Content { path: folder.into(), wanted, got: found.to_string() }.into())
}

/// Features of the pictures of a folder in each space, in the order of names; those that cannot be measured are left
/// out.
fn features(
    folder: &ImageFolder,
    nets: &[Net],
    device: &Device,
    failures: &mut Failures,
    sizes: &mut BTreeSet<Size>,
) -> Result<Vec<Vec<Vec<f32>>>, EvalError> {
    let total = folder.len();
    let span = info_span!("features", total = total as u64, done = Empty).entered();
    let mut features = vec![vec![Vec::new(); total]; nets.len()];
    let (mut left, mut done) = (0..total, 0);
    while !left.is_empty() {
        let read = |index: usize| decode::read_photo(&folder.path(index));
        let pixels = |picture: &Result<Picture, DataError>| {
            picture.as_ref().map_or(0, |picture| picture.width * picture.height)
        };
        let mut pictures = Vec::new();
        for (index, picture) in window(&mut left, read, pixels) {
            match picture {
                Ok(picture) => pictures.push((index, picture)),
                Err(failure) => failures.add(&failure.into()),
            }
        }
        for batch in batches(pictures, |picture| (picture.height, picture.width)) {
            let all = batch.iter().map(|(_, picture)| picture);
            let images = images(all, PixelFormat::CAFFE_BGR, device)?;
            let found = nets.iter().map(|(net, tap)| pooled(&**net, tap, &images));
            match found.collect::<Result<Vec<Vec<f32>>, EvalError>>() {
                Err(error) if error.is_size() => {
                    for (index, _) in &batch {
                        let (path, reason) = (folder.path(*index), error.to_string());
                        failures.add(&DataError::Decode { path, reason }.into());
                    }
                }
                found => {
                    sizes.insert((images.height(), images.width()));
                    for (features, found) in features.iter_mut().zip(found?) {
                        let length = (found.len() / batch.len()).max(1);
                        for ((index, _), vector) in batch.iter().zip(found.chunks_exact(length)) {
                            features[*index] = vector.to_vec();
                        }
                    }
                }
            }
            done += batch.len();
            span.record("done", done as u64);
        }
    }
    features.iter_mut().for_each(|of| of.retain(|vector| !vector.is_empty()));
    Ok(features)
}
