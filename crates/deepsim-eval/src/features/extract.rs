//! Features of photographs.

use std::fmt;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use deepsim_data::folder::ImageFolder;
use deepsim_data::picture::Picture;
use deepsim_data::{Crop, PictureFiles, Transform, decode};
use deepsim_nets::{Comparator, PixelFormat};
use tracing::field::Empty;
use tracing::info_span;

use super::{Features, Origin};
use crate::EvalError;
use crate::arrays::{images, ranges};

/// Part of a photograph whose features are taken: it is stretched to a square, of which the middle is cut out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Side that photographs are stretched to, in pixels.
    pub resize: usize,
    /// Side of the middle.
    pub crop: usize,
}

impl Default for View {
    /// The paper's: 227 of 256 pixels.
    fn default() -> Self {
        Self { resize: 256, crop: 227 }
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resize, crop } = self;
        write!(f, "stretched to {resize}x{resize}, middle {crop}x{crop}")
    }
}

impl View {
    /// Cuts a photograph.
    ///
    /// # Errors
    /// If the middle is larger than the square, or a side is 0.
    ///
    /// ```
    /// use deepsim_data::picture::Picture;
    /// use deepsim_eval::features::View;
    /// let middle = View::default().of(&Picture::new(300, 400, [9; 3]))?;
    /// assert_eq!((middle.height, middle.width), (227, 227));
    /// # Ok::<(), deepsim_eval::EvalError>(())
    /// ```
    pub fn of(&self, photo: &Picture) -> Result<Picture, EvalError> {
        let Self { resize, crop } = *self;
        let all = Transform::stretch(resize, resize).apply(photo)?;
        Ok(all.part(Crop::Center(crop).rectangle(resize, resize)?))
    }
}

/// Lists picture files, where a folder stands for all pictures in it and in the folders in it.
///
/// # Errors
/// If a folder cannot be read or has no pictures.
pub fn photos(paths: &[PathBuf]) -> Result<Vec<PathBuf>, EvalError> {
    let mut all = Vec::new();
    for path in paths {
        match path.is_dir() {
            false => all.push(path.clone()),
            true => {
                let folder = ImageFolder::without_classes(path)?;
                all.extend((0..folder.len()).map(|index| path.join(folder.name(index))));
            }
        }
    }
    Ok(all)
}

/// Takes the features of photographs at some taps of a network, `batch` of them together. Counts the photographs in a
/// span.
///
/// # Shapes
/// for each tap `(photos.len(), ...)`
///
/// # Errors
/// If there is no photograph, one cannot be read, there is no such tap, or the part of a photograph is too small for it.
pub fn extract(
    net: &dyn Comparator,
    taps: &[String],
    photos: &[PathBuf],
    view: View,
    batch: usize,
    device: &Device,
) -> Result<Features, EvalError> {
    if photos.is_empty() || taps.is_empty() {
        let got = format!("{} photographs and {} taps", photos.len(), taps.len());
        return Err(EvalError::input("features", "a photograph and a tap, or more", got));
    }
    let names: Vec<&str> = taps.iter().map(String::as_str).collect();
    let mut parts: Vec<Vec<Tensor>> = vec![Vec::new(); taps.len()];
    let span = info_span!("features", total = photos.len() as u64, done = Empty).entered();
    for range in ranges(photos.len(), batch) {
        let cut = |photo: &PathBuf| view.of(&decode::read_photo(photo)?);
        let pictures = photos[range.clone()].iter().map(cut).collect::<Result<Vec<_>, _>>()?;
        let images = images(pictures.iter(), PixelFormat::CAFFE_BGR, device)?;
        let found = net.features_at(&images, &names)?;
        for (parts, found) in parts.iter_mut().zip(found) {
            parts.push(found.to_device(&Device::Cpu)?);
        }
        span.record("done", range.end as u64);
    }
    let origin = Origin {
        net: Some(net.name().into()),
        weights: Some(net.origin().to_string()),
        images: Some(view.to_string()),
        pictures: photos.iter().map(|photo| name(photo)).collect(),
    };
    let join = |(tap, parts): (&String, Vec<Tensor>)| Ok((tap.clone(), Tensor::cat(&parts, 0)?));
    Features::new(origin, taps.iter().zip(parts).map(join).collect::<Result<_, EvalError>>()?)
}

fn name(photo: &Path) -> String {
    photo.file_name().unwrap_or(photo.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use deepsim_nets::{ComparatorKind, Images};

    use super::*;
    use crate::arrays::numbers;

    #[test]
    fn features_are_those_of_the_middle_whatever_the_batch()
    -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        for (name, grey) in [("b.png", 40), ("a.png", 90), ("c.png", 200)] {
            let mut photo = Picture::new(64, 64, [grey; 3]);
            photo.paste(&Picture::new(20, 20, [7, grey, 99]), 20, 30);
            photo.write_png(&folder.path().join(name))?;
        }
        let files = photos(&[folder.path().into(), folder.path().join("b.png")])?;
        assert_eq!(files.len(), 4);
        let net = ComparatorKind::alexnet().open_to("CONV2", None, 0, &Device::Cpu)?;
        let taps = ["CONV1".to_owned(), "CONV2".to_owned()];
        let view = View { resize: 64, crop: 48 };
        let found = extract(&*net, &taps, &files, view, 3, &Device::Cpu)?;
        assert_eq!(found.origin.pictures, ["a.png", "b.png", "c.png", "b.png"]);
        assert_eq!(found.origin.images.as_deref(), Some("stretched to 64x64, middle 48x48"));
        let photo = Picture::read_png(&files[1])?;
        let middle = photo.part(Crop::Center(48).rectangle(64, 64)?);
        let image =
            Images::from_u8(&middle.to_planes(), 1, 48, 48, PixelFormat::CAFFE_BGR, &Device::Cpu)?;
        for tap in &taps {
            let wanted = net.features(&image, tap)?;
            let all = found.at(tap, &wanted.dims()[1..])?.tensor;
            for index in [1, 3] {
                assert_eq!(numbers(&all.narrow(0, index, 1)?)?, numbers(&wanted)?, "{tap} {index}");
            }
        }
        Ok(())
    }

    #[test]
    fn missing_photographs_and_views_that_do_not_fit_are_refused()
    -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let photo = folder.path().join("a.png");
        Picture::new(64, 64, [9; 3]).write_png(&photo)?;
        let net = ComparatorKind::alexnet().open_to("CONV1", None, 0, &Device::Cpu)?;
        let of = |files: &[PathBuf], tap: &str, view| {
            extract(&*net, &[tap.into()], files, view, 4, &Device::Cpu)
        };
        let view = View { resize: 64, crop: 48 };
        for (files, tap, view, words) in [
            (&[][..], "CONV1", view, "features: expected a photograph and a tap, or more, found 0"),
            (&[folder.path().join("b.png")], "CONV1", view, "b.png"),
            (std::slice::from_ref(&photo), "CONV9", view, "alexnet has no tap `CONV9`"),
            (std::slice::from_ref(&photo), "CONV1", View { resize: 32, crop: 48 }, "48"),
            (
                std::slice::from_ref(&photo),
                "CONV1",
                View { resize: 64, crop: 8 },
                "expected sides of at least",
            ),
        ] {
            let message = of(files, tap, view).expect_err(words).to_string();
            assert!(message.contains(words), "{message}");
        }
        assert!(photos(&[tempfile::tempdir()?.path().into()]).is_err(), "no pictures");
        Ok(())
    }
}
