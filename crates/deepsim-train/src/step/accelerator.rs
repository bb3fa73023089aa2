//! CUDA graphs of iterations on a GPU; without the feature `cuda`, iterations run eagerly.

use crate::TrainError;
#[cfg(feature = "cuda")]
use crate::step::cuda_graph::Graphs;
use crate::step::micro_batch::MicroBatch;
use crate::step::networks::Networks;
use crate::step::numbers::StepNumbers;

/// Runner of iterations: captured as a CUDA graph where that is possible and turned on, eager elsewhere. The results
/// are the same.
#[derive(Default)]
pub(crate) struct Accelerator {
    #[cfg(feature = "cuda")]
    graphs: Option<Graphs>,
}

impl Accelerator {
    /// Turns graphs on or off, and forgets those that were captured.
    pub(crate) fn set_graphs(&mut self, graphs: bool) {
        #[cfg(feature = "cuda")]
        {
            self.graphs = graphs.then(Graphs::default);
        }
        #[cfg(not(feature = "cuda"))]
        let _ = graphs;
    }

    /// Forgets captured graphs, whose host state is no longer that of the networks.
    pub(crate) fn reset(&mut self) {
        #[cfg(feature = "cuda")]
        self.set_graphs(self.graphs.is_some());
    }

    /// Returns why iterations are eager, if the driver refused a graph.
    pub(crate) fn refused(&self) -> Option<&str> {
        #[cfg(feature = "cuda")]
        return self.graphs.as_ref().and_then(Graphs::refused);
        #[cfg(not(feature = "cuda"))]
        None
    }

    /// Runs one iteration and reads its numbers.
    ///
    /// # Errors
    /// As [`Networks::iterate`].
    pub(crate) fn iterate(
        &mut self,
        networks: &mut Networks,
        batch: Vec<MicroBatch>,
    ) -> Result<StepNumbers<f64>, TrainError> {
        #[cfg(feature = "cuda")]
        if let Some(graphs) = &mut self.graphs
            && let Some(numbers) = graphs.iterate(networks, &batch)?
        {
            return Ok(numbers);
        }
        networks.iterate(batch, &mut |_, _, _| Ok(()))?.read()
    }
}
