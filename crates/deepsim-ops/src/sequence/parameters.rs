//! Any number of tracked inputs for one node of candle's graph.
//!
//! candle's custom operations take three tensors at most. Here a node takes one *token* instead: a
//! scalar made from all parameters by a chain of small operations. The node's backward pass stores
//! the gradients with the parameters. When candle later reaches the operations of the token, each
//! passes on the gradient of its parameter.

use std::sync::{Arc, Mutex};

use candle_core::{CpuStorage, CustomOp2, DType, Device, Layout, Result, Shape, Tensor, bail};

use crate::backward::leave;

/// Parameters of a node, with their gradients during a backward pass.
pub(super) struct Parameters {
    op: &'static str,
    tensors: Vec<Tensor>,
    /// Contiguous.
    values: Vec<Tensor>,
    gradients: Arc<Vec<Mutex<Option<Tensor>>>>,
}

impl Parameters {
    /// # Errors
    /// None: the tensors were checked.
    pub(super) fn new(op: &'static str, tensors: Vec<Tensor>) -> Result<Self> {
        let contiguous = |tensor: &Tensor| Ok(tensor.contiguous()?.detach());
        let values = tensors.iter().map(contiguous).collect::<Result<_>>()?;
        let gradients = Arc::new(tensors.iter().map(|_| Mutex::new(None)).collect());
        Ok(Self { op, tensors, values, gradients })
    }

    /// Returns true if any parameter needs a gradient.
    pub(super) fn tracked(&self) -> bool {
        self.tensors.iter().any(Tensor::track_op)
    }

    /// Returns true if this parameter needs a gradient.
    pub(super) fn is_tracked(&self, number: usize) -> bool {
        self.tensors[number].track_op()
    }

    /// Returns a parameter, contiguous.
    pub(super) fn get(&self, number: usize) -> &Tensor {
        &self.values[number]
    }

    /// Returns a scalar through which gradients reach the parameters.
    ///
    /// # Errors
    /// None on the CPU.
    pub(super) fn token(&self) -> Result<Tensor> {
        let mut token = Tensor::zeros(1, DType::F32, &Device::Cpu)?;
        for (number, tensor) in self.tensors.iter().enumerate() {
            if tensor.track_op() {
                let handing = HandOut { op: self.op, number, gradients: self.gradients.clone() };
                token = token.apply_op2(tensor, handing)?;
            }
        }
        Ok(token)
    }

    /// Stores gradients of 0 for all tracked parameters.
    ///
    /// # Errors
    /// None on the CPU.
    pub(super) fn leave_zeros(&self) -> Result<()> {
        (0..self.tensors.len())
            .filter(|&number| self.is_tracked(number))
            .try_for_each(|number| self.leave(number, vec![0.0; self.tensors[number].elem_count()]))
    }

    /// Stores the gradient of a parameter, to be passed on by the token.
    ///
    /// # Errors
    /// If the number of values is not the parameter's.
    pub(super) fn leave(&self, number: usize, gradient: Vec<f32>) -> Result<()> {
        let gradient = Tensor::from_vec(gradient, self.tensors[number].shape(), &Device::Cpu)?;
        if let Ok(mut place) = self.gradients[number].lock() {
            *place = Some(gradient);
        }
        Ok(())
    }
}

/// Link of the chain: token and parameter -> token.
struct HandOut {
    op: &'static str,
    number: usize,
    gradients: Arc<Vec<Mutex<Option<Tensor>>>>,
}

impl CustomOp2 for HandOut {
    fn name(&self) -> &'static str {
        self.op
    }

    fn cpu_fwd(
        &self,
        _token: &CpuStorage,
        _token_layout: &Layout,
        _parameter: &CpuStorage,
        _layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![0.0]), Shape::from(1)))
    }

    fn bwd(
        &self,
        token: &Tensor,
        parameter: &Tensor,
        _result: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let left = self.gradients[self.number].lock().ok().and_then(|mut left| left.take());
        let Some(left) = left else {
            bail!("{}: the backward pass left no gradient for parameter {}", self.op, self.number);
        };
        Ok((token.track_op().then(|| gradient.clone()), leave(parameter, left)))
    }
}
