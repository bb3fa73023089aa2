//! Random access to encoded pictures of any size.

use std::path::PathBuf;

use crate::{DataError, Unread};

/// A set of encoded picture files: what ILSVRC archives, folders, shards and hub tables have in
/// common. [`Prepared`](crate::Prepared) decodes them to a [`Source`](crate::Source).
pub trait PictureFiles: Send + Sync {
    /// Number of files.
    fn len(&self) -> usize;

    /// Returns true if there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Path of file `index`, for messages. An archive counts as a folder, e.g.
    /// `ILSVRC2012_img_train.tar/n01440764.tar/n01440764_18.JPEG`.
    fn path(&self, index: usize) -> PathBuf;

    /// Class index of file `index`, from 0; `None` if the set has no labels.
    fn label(&self, index: usize) -> Option<u32>;

    /// Names of the classes in the order of their indices; empty if the set has no labels.
    fn class_names(&self) -> &[String];

    /// Returns a text that changes when the files do: their number, sizes and times. It is the key of
    /// caches on this machine.
    fn identity(&self) -> String;

    /// Returns a text that changes when the files' names, order, labels, sizes or bytes do, and not
    /// when they are moved, copied or touched. The saved state of a loader holds it, so that a resumed
    /// run notices other data. By default the [identity](Self::identity).
    fn content(&self) -> String {
        self.identity()
    }

    /// Picture files that were found beside these and are not read.
    fn unread(&self) -> Unread {
        Unread::default()
    }

    /// Replaces `bytes` with the content of file `index`.
    ///
    /// # Errors
    /// If there is no such file or it cannot be read.
    fn read(&self, index: usize, bytes: &mut Vec<u8>) -> Result<(), DataError>;
}

/// Methods of [`PictureFiles`] for other contents of the files in the field `files`, one for each.
macro_rules! same_files {
    () => {
        fn len(&self) -> usize {
            self.files.len()
        }

        fn path(&self, index: usize) -> std::path::PathBuf {
            self.files.path(index)
        }

        fn label(&self, index: usize) -> Option<u32> {
            self.files.label(index)
        }

        fn class_names(&self) -> &[String] {
            self.files.class_names()
        }

        fn unread(&self) -> $crate::Unread {
            self.files.unread()
        }
    };
}
pub(crate) use same_files;
