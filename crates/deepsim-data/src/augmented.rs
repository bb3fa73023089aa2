//! Pictures under a pipeline of random transforms, as a source.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::decode::decode_into;
use crate::memory::{resize, rgb_bytes};
use crate::panics::guarded;
use crate::picture::Picture;
use crate::pipeline::{Canvas, Pipeline};
use crate::planes::to_planes;
use crate::random::SampleStream;
use crate::source::Rectangle;
use crate::{DataError, PictureFiles, Source, Unread};

/// Pictures after a [`Pipeline`], drawn anew for each sample of each epoch.
///
/// A [`Loader`](crate::Loader) over it takes [`Crop::Full`](crate::Crop::Full); what is drawn is a function of the
/// loader's seed and the sample's place. [`read_range`](crate::read_range) and
/// [`Source::read`] draw nothing: random steps take the middle or do nothing.
///
/// ```no_run
/// use std::sync::Arc;
/// use deepsim_data::pipeline::Pipeline;
/// use deepsim_data::{Augmented, Cursor, Loader, LoaderConfig, folder::ImageFolder};
/// let folder = Arc::new(ImageFolder::open("photos".as_ref())?);
/// let train = Augmented::of_files(folder, Pipeline::torchvision_train(224))?;
/// let loader = Loader::new(Arc::new(train), LoaderConfig::default(), Cursor::default())?;
/// # Ok::<(), deepsim_data::DataError>(())
/// ```
#[derive(Clone)]
pub struct Augmented {
    pictures: Pictures,
    pipeline: Pipeline,
    own: Vec<Own>,
    height: usize,
    width: usize,
}

/// Pictures before the pipeline.
#[derive(Clone)]
enum Pictures {
    /// Encoded pictures of any size.
    Files(Arc<dyn PictureFiles>),
    /// Decoded images of one size.
    Images(Arc<dyn Source>),
}

/// A transform of a user.
#[derive(Clone)]
struct Own {
    name: String,
    apply: Arc<OwnTransform>,
}

type OwnTransform = dyn Fn(&mut Picture, &mut SampleStream) -> Result<(), DataError> + Send + Sync;

impl Augmented {
    /// Creates the source of `files`, each decoded and transformed when it is read.
    ///
    /// # Errors
    /// If results of the pipeline differ in size, because no crop is among its last steps.
    pub fn of_files(files: Arc<dyn PictureFiles>, pipeline: Pipeline) -> Result<Self, DataError> {
        Self::new(Pictures::Files(files), pipeline, None)
    }

    /// Creates the source of images of one size, each transformed when it is read.
    ///
    /// # Errors
    /// If the size of the results cannot be counted.
    pub fn of_images(images: Arc<dyn Source>, pipeline: Pipeline) -> Result<Self, DataError> {
        let size = (images.height(), images.width());
        Self::new(Pictures::Images(images), pipeline, Some(size))
    }

    fn new(
        pictures: Pictures,
        pipeline: Pipeline,
        size: Option<(usize, usize)>,
    ) -> Result<Self, DataError> {
        let (height, width) = pipeline.size(size).ok_or_else(|| DataError::Argument {
            operation: "transform",
            wanted: "a crop or a stretch, which give all pictures one size".into(),
            got: pipeline.to_string(),
        })?;
        Ok(Self { pictures, pipeline, own: Vec::new(), height, width })
    }

    /// Adds a transform of your own after the pipeline. It changes a picture in place and keeps its size;
    /// all that is random comes from the stream that it is given. `name` is part of
    /// [`Source::content`], so that a run under another name is not resumed.
    ///
    /// It is applied to training samples only, not where nothing is drawn.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use deepsim_data::{Augmented, Scenes, pipeline::Pipeline, scenes};
    /// let images = Arc::new(Scenes::new(0, scenes::TRAIN, 8));
    /// let erased = Augmented::of_images(images, Pipeline::default())?.then(
    ///     "a random row is black",
    ///     |picture, random| {
    ///         let row = random.below(picture.height);
    ///         picture.rgb[3 * row * picture.width..][..3 * picture.width].fill(0);
    ///         Ok(())
    ///     },
    /// );
    /// # Ok::<(), deepsim_data::DataError>(())
    /// ```
    pub fn then(
        mut self,
        name: &str,
        apply: impl Fn(&mut Picture, &mut SampleStream) -> Result<(), DataError> + Send + Sync + 'static,
    ) -> Self {
        self.own.push(Own { name: name.into(), apply: Arc::new(apply) });
        self
    }

    /// Returns the pipeline.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    fn describe(&self, pictures: String) -> String {
        let own: String = self.own.iter().map(|own| format!(", then {}", own.name)).collect();
        format!("{pictures}, {}{own}", self.pipeline)
    }

    fn path(&self, index: usize) -> Option<PathBuf> {
        match &self.pictures {
            Pictures::Files(files) => Some(files.path(index)),
            Pictures::Images(_) => None,
        }
    }

    /// Reads the picture and transforms it in `scratch`.
    fn transform(
        &self,
        index: usize,
        mut random: Option<&mut SampleStream>,
        scratch: &mut Scratch,
    ) -> Result<(), DataError> {
        let Scratch { bytes, canvas } = scratch;
        match &self.pictures {
            Pictures::Files(files) => {
                files.read(index, bytes)?;
                decode_into(bytes, &files.path(index), canvas.picture_mut())?;
            }
            Pictures::Images(images) => {
                let (height, width) = (images.height(), images.width());
                resize(bytes, rgb_bytes(1, height, width))?;
                let part = Rectangle { top: 0, left: 0, height, width };
                match random.as_deref_mut() {
                    Some(random) => images.read_drawn(index, part, random, bytes)?,
                    None => images.read(index, bytes)?,
                }
                *canvas.picture_mut() = Picture::from_planes(bytes, height, width);
            }
        }
        let path = self.path(index);
        let path = path.as_deref().unwrap_or(Path::new("an image in memory"));
        self.pipeline.run(canvas, random.as_deref_mut(), path)?;
        let Some(random) = random else { return Ok(()) };
        for Own { name, apply } in &self.own {
            let picture = canvas.picture_mut();
            apply(picture, random)?;
            let Picture { height, width, rgb } = &*picture;
            let expected = (self.height, self.width, 3 * self.height * self.width);
            if (*height, *width, rgb.len()) != expected {
                return Err(DataError::Decode {
                    path: path.into(),
                    reason: format!(
                        "{name}: expected {}x{} pixels as before, found {height}x{width} in {} bytes",
                        self.height,
                        self.width,
                        rgb.len()
                    ),
                });
            }
        }
        Ok(())
    }

    fn read_with(
        &self,
        index: usize,
        part: Rectangle,
        random: Option<&mut SampleStream>,
        pixels: &mut [u8],
    ) -> Result<(), DataError> {
        part.check(self, index, pixels.len())?;
        // Taken, not borrowed: after a panic there is new memory.
        let mut scratch = SCRATCH.take();
        let transform = || self.transform(index, random, &mut scratch);
        guarded(index, || self.path(index), transform)?;
        let Scratch { bytes, canvas } = &mut scratch;
        if (part.height, part.width) == (self.height, self.width) {
            to_planes(&canvas.picture_mut().rgb, pixels);
        } else {
            resize(bytes, rgb_bytes(1, self.height, self.width))?;
            to_planes(&canvas.picture_mut().rgb, bytes);
            part.copy(bytes, self.width, pixels);
        }
        if scratch.bytes.capacity() + scratch.canvas.bytes() <= KEPT {
            SCRATCH.set(scratch);
        }
        Ok(())
    }
}

/// Memory of a thread that transforms pictures; one after the other uses it.
#[derive(Default)]
struct Scratch {
    bytes: Vec<u8>,
    canvas: Canvas,
}

/// Memory of more bytes than this is given back: one huge picture must not stay for the whole run.
const KEPT: usize = 64 << 20;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Source for Augmented {
    fn len(&self) -> usize {
        match &self.pictures {
            Pictures::Files(files) => files.len(),
            Pictures::Images(images) => images.len(),
        }
    }

    fn height(&self) -> usize {
        self.height
    }

    fn width(&self) -> usize {
        self.width
    }

    fn label(&self, index: usize) -> Option<u32> {
        match &self.pictures {
            Pictures::Files(files) => files.label(index),
            Pictures::Images(images) => images.label(index),
        }
    }

    fn identity(&self) -> String {
        self.describe(match &self.pictures {
            Pictures::Files(files) => files.identity(),
            Pictures::Images(images) => images.identity(),
        })
    }

    fn content(&self) -> String {
        self.describe(match &self.pictures {
            Pictures::Files(files) => files.content(),
            Pictures::Images(images) => images.content(),
        })
    }

    fn origin(&self, index: usize) -> usize {
        match &self.pictures {
            Pictures::Files(_) => index,
            Pictures::Images(images) => images.origin(index),
        }
    }

    fn unread(&self) -> Unread {
        match &self.pictures {
            Pictures::Files(files) => files.unread(),
            Pictures::Images(images) => images.unread(),
        }
    }

    fn read_part(&self, index: usize, part: Rectangle, pixels: &mut [u8]) -> Result<(), DataError> {
        self.read_with(index, part, None, pixels)
    }

    fn read_drawn(
        &self,
        index: usize,
        part: Rectangle,
        random: &mut SampleStream,
        pixels: &mut [u8],
    ) -> Result<(), DataError> {
        self.read_with(index, part, Some(random), pixels)
    }

    fn is_drawn(&self) -> bool {
        let images = match &self.pictures {
            Pictures::Files(_) => false,
            Pictures::Images(images) => images.is_drawn(),
        };
        images || !self.own.is_empty() || self.pipeline.is_drawn()
    }
}
