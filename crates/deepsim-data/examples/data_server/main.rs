//! Our side of `cargo xtask bench data`: one pass over a data set for each line of input.
//!
//! ```text
//! data_server ilsvrc|stl10 FOLDER BATCH WORKERS PASSES
//! data_server check-ilsvrc|check-stl10 FOLDER FILE    # centre crops, one after the other
//! data_server unpack FOLDER TO                        # ILSVRC's training pictures as files
//! data_server index FOLDER                            # of a synthetic tar, which is made first
//! ```

mod index;
#[path = "../../../deepsim-ops/examples/op_server/serve.rs"]
mod serve;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use deepsim_data::ilsvrc::Ilsvrc;
use deepsim_data::{
    Crop, Cursor, Loader, LoaderConfig, PictureFiles, Prepared, Source, Split, Stl10, Transform,
    read_range,
};
use serve::Result;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    serve::ended("data_server", run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()))
}

fn run(arguments: &[&str]) -> Result<()> {
    match *arguments {
        ["unpack", folder, to] => unpack(Path::new(folder), Path::new(to)),
        ["index", folder] => index::run(Path::new(folder)),
        ["check-ilsvrc", folder, file] => check(&*ilsvrc(folder)?, 227, Path::new(file)),
        ["check-stl10", folder, file] => check(&*stl10(folder)?, 64, Path::new(file)),
        ["ilsvrc", folder, batch, workers, passes] => {
            passes_over(ilsvrc(folder)?, 227, [batch, workers, passes])
        }
        ["stl10", folder, batch, workers, passes] => {
            passes_over(stl10(folder)?, 64, [batch, workers, passes])
        }
        _ => Err(format!("arguments {arguments:?}; see the head of this file").into()),
    }
}

fn train(folder: &str) -> Result<Arc<dyn PictureFiles>> {
    Ok(Arc::new(Ilsvrc::open(Path::new(folder))?.train()?))
}

fn ilsvrc(folder: &str) -> Result<Arc<dyn Source>> {
    Ok(Arc::new(Prepared::new(train(folder)?, Transform::stretch(256, 256))))
}

fn stl10(folder: &str) -> Result<Arc<dyn Source>> {
    Ok(Arc::new(Stl10::open(Path::new(folder), Split::Unlabeled)?))
}

fn unpack(folder: &Path, to: &Path) -> Result<()> {
    let files = train(&folder.to_string_lossy())?;
    std::fs::create_dir_all(to)?;
    let mut bytes = Vec::new();
    for index in 0..files.len() {
        files.read(index, &mut bytes)?;
        std::fs::write(to.join(format!("{index:06}.JPEG")), &bytes)?;
    }
    Ok(())
}

fn check(source: &dyn Source, crop: usize, file: &Path) -> Result<()> {
    Ok(std::fs::write(file, read_range(source, 0..source.len(), Crop::Center(crop))?.pixels)?)
}

fn passes_over(source: Arc<dyn Source>, crop: usize, numbers: [&str; 3]) -> Result<()> {
    let [batch, workers, passes] = numbers.map(str::parse::<usize>);
    let (batch, workers, passes) = (batch?, workers?, passes?);
    let batches = passes * (source.len() / batch);
    let crop = Crop::Random(crop);
    let config =
        LoaderConfig { batch, crop, workers, prefetch: workers, ..LoaderConfig::default() };
    let mut cursor = Cursor::default();
    serve::serve(&format!("{{\"images\": {}}}", batches * batch), |_| {
        serve::time(1, || {
            // A fresh loader each time: nothing was prepared before the clock started.
            for next in Loader::new(source.clone(), config, cursor)?.take(batches) {
                cursor = next?.next;
            }
            Ok(())
        })
    })
}
