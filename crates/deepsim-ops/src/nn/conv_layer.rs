//! The two kinds of convolution layers, which differ in their operation and in the axes of their weight.

/// Defines a layer on a step of the same name, and its conversion from candle-nn's layer of the same name.
macro_rules! convolution_layer {
    ($(#[$doc:meta])* $name:ident, $op:literal, $weight:literal, $run:path) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name {
            weight: Tensor,
            bias: Option<Tensor>,
            config: crate::Conv2dConfig,
        }

        impl $name {
            #[doc = concat!("Layer with a weight `", $weight, "` and a bias `(O)`.")]
            ///
            /// The configuration is that of the operation, with groups and numbers for each axis. For candle-nn's,
            /// convert it by `into`, or candle-nn's layer by `try_from`.
            pub fn new(
                weight: Tensor,
                bias: Option<Tensor>,
                config: crate::Conv2dConfig,
            ) -> Self {
                Self { weight, bias, config }
            }

            /// Applies a leaky ReLU with this slope to the result in the same pass, a plain one for 0.
            #[must_use]
            pub fn with_leaky(self, slope: f32) -> Self {
                Self { config: self.config.with_leaky(slope), ..self }
            }

            /// Configuration of the operation.
            pub fn config(&self) -> &crate::Conv2dConfig {
                &self.config
            }

            #[doc = concat!("`", $weight, "`")]
            pub fn weight(&self) -> &Tensor {
                &self.weight
            }

            /// `(O)`
            pub fn bias(&self) -> Option<&Tensor> {
                self.bias.as_ref()
            }

            pub(super) fn step(&self) -> crate::Step {
                let Self { weight, bias, config } = self.clone();
                crate::Step::$name { weight, bias, config }
            }
        }

        impl candle_core::Module for $name {
            fn forward(&self, x: &Tensor) -> Result<Tensor> {
                $run(x, &self.weight, self.bias.as_ref(), self.config)
            }
        }

        /// The same tensors, not copies of them.
        impl TryFrom<candle_nn::$name> for $name {
            type Error = super::Unsupported;

            fn try_from(layer: candle_nn::$name) -> std::result::Result<Self, Self::Error> {
                super::Unsupported::unless_f32($op, layer.weight())?;
                let config = (*layer.config()).into();
                Ok(Self::new(layer.weight().clone(), layer.bias().cloned(), config))
            }
        }
    };
}
pub(super) use convolution_layer;
