//! Hyper-parameters of one update by Adam.

/// Hyper-parameters of one update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// Learning rate.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the uncorrected second moment.
    pub epsilon: f64,
    /// L2 penalty, added to the gradient (not AdamW).
    pub weight_decay: f64,
    /// Number of the update for the bias correction; the first is 1.
    pub t: u64,
}

impl AdamStep {
    /// The first update with the defaults of PyTorch, except that epsilon is Caffe's
    /// ([`AdamStep::with_pytorch_epsilon`]): decays 0.9 and 0.999, epsilon 1e-8, no penalty.
    ///
    /// ```
    /// use deepsim_ops::AdamStep;
    /// let step = AdamStep { t: 10, ..AdamStep::new(1e-3) };
    /// assert_eq!((step.learning_rate, step.beta2), (1e-3, 0.999));
    /// ```
    pub const fn new(learning_rate: f64) -> Self {
        Self { learning_rate, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0, t: 1 }
    }

    /// Makes the update PyTorch's: there, epsilon is added to the root of the corrected second moment, which
    /// is the same as `epsilon * sqrt(1 - beta2^t)` at the uncorrected one. To be called once `t` is set.
    ///
    /// The two differ while `t` is small and gradients are not much larger than epsilon.
    ///
    /// ```
    /// use deepsim_ops::AdamStep;
    /// let step = AdamStep { t: 1, ..AdamStep::new(1e-3) }.with_pytorch_epsilon();
    /// assert!((step.epsilon - 1e-8 * 0.001f64.sqrt()).abs() < 1e-20);
    /// ```
    pub fn with_pytorch_epsilon(self) -> Self {
        Self { epsilon: self.epsilon * (1.0 - self.beta2.powf(self.t as f64)).sqrt(), ..self }
    }
}
