//! Counts the JPEGs that are decoded as Pillow decodes them, are refused, and are wrong, in each folder
//! of OUT, made by `tests/fixtures/jpeg_sweep.py OUT`:
//!
//! ```text
//! cargo run --release -p deepsim-data --example jpeg_sweep OUT
//! ```

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program")]

use std::error::Error;
use std::path::{Path, PathBuf};

use deepsim_data::decode;
use deepsim_data::picture::Picture;

/// The greatest difference of a value that still counts as right.
const TOLERANCE: u8 = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let out = std::env::args().nth(1).ok_or("expected a folder made by jpeg_sweep.py")?;
    println!(
        "| JPEGs | right | right except edges | refused | wrong | greatest difference of an edge |"
    );
    println!("|---|---|---|---|---|---|");
    let mut all = Count::default();
    for group in sorted(Path::new(&out))?.iter().filter(|path| path.is_dir()) {
        let mut count = Count::default();
        for jpeg in sorted(group)?.iter().filter(|path| path.extension() == Some("jpg".as_ref())) {
            count.add(jpeg)?;
        }
        count.print(&group.file_name().unwrap_or_default().to_string_lossy());
        all.right += count.right;
        all.edges += count.edges;
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
    /// Right except in the last column or row of halved chroma.
    edges: usize,
    refused: usize,
    wrong: usize,
    /// The greatest difference in these columns and rows.
    greatest: u8,
}

impl Count {
    fn add(&mut self, jpeg: &Path) -> Result<(), Box<dyn Error>> {
        let wanted = Picture::read_png(&jpeg.with_extension("png"))?;
        let bytes = std::fs::read(jpeg)?;
        let found = match decode::decode(&bytes, jpeg) {
            Err(_) => {
                self.refused += 1;
                return Ok(());
            }
            Ok(found) => found,
        };
        let (whole, inner) = differences(&found, &wanted, halved(&bytes));
        if whole <= TOLERANCE {
            self.right += 1;
        } else if inner <= TOLERANCE {
            self.edges += 1;
            self.greatest = self.greatest.max(whole);
        } else {
            self.wrong += 1;
            eprintln!("wrong by {inner}: {}", jpeg.display());
        }
        Ok(())
    }

    fn print(&self, name: &str) {
        let Self { right, edges, refused, wrong, greatest } = self;
        println!("| {name} | {right} | {edges} | {refused} | {wrong} | {greatest} |");
    }
}

fn sorted(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths: Vec<_> = std::fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    paths.sort();
    Ok(paths)
}

/// True if chroma has half the columns, and half the rows: sampling of luma 2, of chroma 1.
fn halved(jpeg: &[u8]) -> [bool; 2] {
    let frame = jpeg.windows(2).position(|w| w[0] == 0xff && (0xc0..=0xc2).contains(&w[1]));
    let sampling = |at: usize| frame.and_then(|frame| jpeg.get(frame + at)).copied().unwrap_or(0);
    let (luma, chroma) = (sampling(11), sampling(14));
    [luma >> 4 == 2 && chroma >> 4 == 1, luma & 15 == 2 && chroma & 15 == 1]
}

/// Greatest difference of the whole pictures, and without the last column or row where chroma is
/// interpolated with what is stored beyond it.
fn differences(a: &Picture, b: &Picture, halved: [bool; 2]) -> (u8, u8) {
    if (a.height, a.width) != (b.height, b.width) {
        return (255, 255);
    }
    let edge = |size: usize, halved| halved && size.is_multiple_of(2) && !size.is_multiple_of(16);
    let columns = a.width - usize::from(edge(a.width, halved[0]));
    let rows = a.height - usize::from(edge(a.height, halved[1]));
    let (mut whole, mut inner) = (0, 0);
    for (i, (a_value, b_value)) in a.rgb.iter().zip(&b.rgb).enumerate() {
        let difference = a_value.abs_diff(*b_value);
        whole = whole.max(difference);
        if i / 3 % a.width < columns && i / 3 / a.width < rows {
            inner = inner.max(difference);
        }
    }
    (whole, inner)
}
