//! Draws a grid of procedural scenes, a column per class: `cargo run --example scenes -- FILE.png`.

use deepsim_data::picture::{Picture, grid};
use deepsim_data::{Crop, Scenes, read_range, scenes};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: scenes FILE.png")?;
    let source = Scenes::new(0, scenes::TRAIN, 50);
    let batch = read_range(&source, 0..50, Crop::Full)?;
    let pictures: Vec<Picture> =
        batch.pixels.chunks_exact(3 * 96 * 96).map(|p| Picture::from_planes(p, 96, 96)).collect();
    let rows: Vec<Vec<Picture>> = pictures.chunks(10).map(<[Picture]>::to_vec).collect();
    Ok(grid(&rows, 4).write_png(std::path::Path::new(&path))?)
}
