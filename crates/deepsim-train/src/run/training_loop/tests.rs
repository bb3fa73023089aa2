use std::rc::Rc;
use std::sync::Arc;

use deepsim_data::picture::{Picture, grid};
use deepsim_data::{Crop, DataError, Rectangle, Source};
use deepsim_nets::Params;
use deepsim_run::recipe::OutputConfig;

use super::*;
use crate::dist::SingleProcess;
use crate::step::report::StepReport;
use crate::store::Put;

/// Counts its steps, and learns nothing.
struct Counting(u64);

impl Session for Counting {
    fn steps(&self) -> u64 {
        self.0
    }

    fn step(
        &mut self,
        _: &Batch,
        _: Option<&mut GradientHook<'_>>,
    ) -> Result<StepReport, TrainError> {
        self.0 += 1;
        Ok(StepReport {
            step: self.0,
            learning_rate: 0.0,
            terms: Vec::new(),
            adversary: None,
            gradients: Vec::new(),
            // What has no form in JSON is left out of a checkpoint's numbers.
            measures: vec![("odd", f64::INFINITY)],
        })
    }

    fn draw(&self) -> Result<Picture, TrainError> {
        Ok(grid(&[vec![Picture::new(4, 4, [0; 3])]], 2))
    }

    fn networks(&self) -> Vec<(&'static str, &Params)> {
        Vec::new()
    }

    fn save(&self, _: Cursor, put: &mut Put<'_>) -> Result<(), TrainError> {
        put(CHECKPOINT, b"a checkpoint")
    }

    fn product(&self) -> Result<(&'static str, Vec<u8>), TrainError> {
        Ok(("product", b"what was made".to_vec()))
    }
}

/// Images of which one panics.
struct Panics;

impl Source for Panics {
    fn len(&self) -> usize {
        40
    }

    fn height(&self) -> usize {
        4
    }

    fn width(&self) -> usize {
        4
    }

    fn identity(&self) -> String {
        "panics".into()
    }

    fn read_part(&self, index: usize, _: Rectangle, _: &mut [u8]) -> Result<(), DataError> {
        assert_ne!(index, 13, "a picture that nobody expected");
        Ok(())
    }
}

#[test]
fn a_source_that_panics_fails_the_run_and_does_not_finish_it() {
    for workers in [1, 4] {
        let folder = tempfile::tempdir().expect("a folder");
        let output = OutputConfig::default();
        let setup = LoopSetup {
            out: folder.path(),
            name: "panics",
            heading: Vec::new(),
            steps: 100,
            phases: vec![Phase { until: u64::MAX, source: Arc::new(Panics) }],
            loader: LoaderConfig { batch: 2, crop: Crop::Full, workers, ..Default::default() },
            output: &output,
            group: Rc::new(SingleProcess),
        };
        let (mut session, requests) = (Counting(0), Requests::default());
        let ended = training_loop(&mut session, &setup, Cursor::default(), &requests);
        let error = ended.expect_err("image 13 is in the first epoch").to_string();
        assert!(error.contains("image 13: ") && error.contains("nobody expected"), "{error}");
        assert!(session.0 < 20, "{} steps", session.0);
        assert!(!folder.path().join(DONE).exists(), "it is no finished run");
    }
}
