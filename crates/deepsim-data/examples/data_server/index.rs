//! How fast `ILSVRC2012_img_train.tar` is indexed, on a tar of its shape whose pictures are holes.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use deepsim_data::tar_index::TarIndex;

use crate::serve::{self, Result};

/// As in the real one.
const SYNSETS: u64 = 1000;
/// Bytes of a picture; the mean of the real ones.
const PICTURE: u64 = 110_000;
/// About 20 GB.
const PICTURES_OF_SYNSET: u64 = 180;

/// Makes the tar if it is not there, and indexes it once for each line of input.
pub(crate) fn run(folder: &Path) -> Result<()> {
    let path = folder.join("ILSVRC2012_img_train.tar");
    let bytes = make(&path)?;
    let entries = SYNSETS * PICTURES_OF_SYNSET;
    serve::serve(&format!("{{\"bytes\": {bytes}, \"entries\": {entries}}}"), |_| {
        serve::time(1, || {
            let index = TarIndex::build(&path)?;
            if index.len() as u64 != entries {
                return Err(format!("{} entries, expected {entries}", index.len()).into());
            }
            Ok(())
        })
    })
}

/// Writes the headers; what lies between them takes no room on the disk.
fn make(path: &Path) -> Result<u64> {
    const BLOCK: u64 = 512;
    let inner = PICTURES_OF_SYNSET * (BLOCK + PICTURE.next_multiple_of(BLOCK)) + 2 * BLOCK;
    let total = SYNSETS * (BLOCK + inner.next_multiple_of(BLOCK)) + 2 * BLOCK;
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.len() == total) {
        return Ok(total);
    }
    let mut file = File::create(path)?;
    for synset in 0..SYNSETS {
        let start = synset * (BLOCK + inner);
        file.seek(SeekFrom::Start(start))?;
        file.write_all(&header(&format!("n{synset:08}.tar"), inner)?)?;
        for picture in 0..PICTURES_OF_SYNSET {
            let place = start + BLOCK + picture * (BLOCK + PICTURE.next_multiple_of(BLOCK));
            file.seek(SeekFrom::Start(place))?;
            file.write_all(&header(&format!("n{synset:08}_{picture}.JPEG"), PICTURE)?)?;
        }
    }
    file.set_len(total)?;
    Ok(total)
}

fn header(name: &str, size: u64) -> Result<[u8; 512]> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name)?;
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    Ok(*header.as_bytes())
}
