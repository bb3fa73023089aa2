//! Every operation through its public function: values and gradients against plain loops in double
//! precision, conventions, bit-identity over threads, bad input.

mod adjoint;
mod cases;
mod conventions;
mod empty;
mod errors;
mod gradients;
mod optimiser;
mod random;
mod reference;
mod second_order;
mod support;
mod threads;
