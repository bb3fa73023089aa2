//! Counts the JPEGs that are decoded as Pillow decodes them, are refused, and are wrong, in each folder
//! of OUT, made by `tests/fixtures/jpeg_sweep.py OUT`:
//!
//! ```text
//! cargo run --release -p deepsim-data --example jpeg_sweep OUT
//! ```

use std::error::Error;
use std::path::{Path, PathBuf};

use deepsim_data::decode;
use deepsim_data::picture::Picture;

/// The greatest difference of a value that still counts as right.
const TOLERANCE: u8 = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let out = std::env::args().nth(1).ok_or("expected a folder made by jpeg_sweep.py")?;
    println!("| JPEGs | right | refused | wrong | greatest difference of the right |");
    println!("|---|---|---|---|---|");
    let mut all = Count::default();
    for group in sorted(Path::new(&out))?.iter().filter(|path| path.is_dir()) {
        let mut count = Count::default();
        for jpeg in sorted(group)?.iter().filter(|path| path.extension() == Some("jpg".as_ref())) {
            let wanted = Picture::read_png(&jpeg.with_extension("png"))?;
            match decode::read(jpeg) {
                Err(error) => {
                    count.refused += 1;
                    if std::env::var_os("VERBOSE").is_some() {
                        eprintln!("{error}");
                    }
                }
                Ok(picture) => match greatest_difference(&picture, &wanted) {
                    Some(difference @ ..=TOLERANCE) => {
                        count.right += 1;
                        count.greatest = count.greatest.max(difference);
                    }
                    difference => {
                        count.wrong += 1;
                        eprintln!("wrong: {} by {difference:?}", jpeg.display());
                    }
                },
            }
        }
        count.print(&group.file_name().unwrap_or_default().to_string_lossy());
        all.right += count.right;
        all.refused += count.refused;
        all.wrong += count.wrong;
        all.greatest = all.greatest.max(count.greatest);
    }
    all.print("all");
    Ok(())
}

#[derive(Default)]
struct Count {
    right: usize,
    refused: usize,
    wrong: usize,
    greatest: u8,
}

impl Count {
    fn print(&self, name: &str) {
        let Self { right, refused, wrong, greatest } = self;
        println!("| {name} | {right} | {refused} | {wrong} | {greatest} |");
    }
}

fn sorted(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths: Vec<_> = std::fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    paths.sort();
    Ok(paths)
}

/// None where the sizes differ.
fn greatest_difference(a: &Picture, b: &Picture) -> Option<u8> {
    let same = (a.height, a.width) == (b.height, b.width);
    same.then(|| a.rgb.iter().zip(&b.rgb).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0))
}
