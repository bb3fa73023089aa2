//! Chains of layers.

use candle_core::{DType, Device, Module, ModuleT, Result, Tensor};
use candle_nn::VarMap;
use deepsim_ops::nn::{
    Conv2d, Dropout, Linear, LocalResponseNorm, batch_norm, init, leaky_relu, max_pool2d, relu,
    seq, seq_t,
};
use deepsim_ops::{Conv2dConfig, Step, error_message};

use crate::support::{assert_near, backward, bits, flat, tensor, var};

#[test]
fn a_chain_gives_what_its_layers_give_one_by_one() -> Result<()> {
    let (w1, w2, w3) = (var(&[8, 3, 3, 3], 1), var(&[6, 8, 3, 3], 2), var(&[4, 6], 3));
    let first = Conv2d::new(w1.as_tensor().clone(), None, Conv2dConfig::new(1, 1));
    let second = Conv2d::new(w2.as_tensor().clone(), None, Conv2dConfig::new(1, 0));
    let last = Linear::new(w3.as_tensor().clone(), None);
    let chain = seq()
        .add(relu())
        .add(first.clone())
        .add(leaky_relu(0.1))
        .add(max_pool2d(2))
        .add(LocalResponseNorm::default())
        .add_fn(|x| x * 2.0)
        .add(second.clone())
        .add(Step::GlobalAvgPool2d)
        .add(relu())
        .add(last.clone());
    assert_eq!((chain.len(), chain.is_empty()), (10, false));

    let x = var(&[2, 3, 8, 8], 4);
    let one_by_one = |x: &Tensor| -> Result<Tensor> {
        let x = x.apply(&relu())?.apply(&first)?.apply(&leaky_relu(0.1))?.apply(&max_pool2d(2))?;
        let x = (x.apply(&LocalResponseNorm::default())? * 2.0)?.apply(&second)?;
        x.apply(&Step::GlobalAvgPool2d)?.apply(&relu())?.apply(&last)
    };
    let (got, wanted) = (chain.forward(&x)?, one_by_one(&x)?);
    let dy = tensor(got.dims(), 5);
    let (gradients, others) = (backward(&got, &dy)?, backward(&wanted, &dy)?);
    let wide = |tensor: &Tensor| flat(tensor).into_iter().map(f64::from).collect::<Vec<_>>();
    assert_near("values", &flat(&got), &wide(&wanted), 2e-6);
    for var in [&x, &w1, &w2, &w3] {
        let (got, wanted) = (gradients.get(var), others.get(var));
        assert_near("gradient", &flat(got.expect("one")), &wide(wanted.expect("one")), 2e-6);
    }
    Ok(())
}

#[test]
fn a_chain_sees_its_variables_change() -> Result<()> {
    let weight = var(&[2, 1, 1, 1], 1);
    let layer = Conv2d::new(weight.as_tensor().clone(), None, Conv2dConfig::default());
    let chain = seq().add(layer).add(max_pool2d(1));
    let x = tensor(&[1, 1, 2, 2], 2);
    weight.set(&weight.zeros_like()?)?;
    assert_eq!(flat(&chain.forward(&x)?), [0.0; 8]);
    Ok(())
}

#[test]
fn an_empty_chain_passes_its_input_on_and_errors_name_the_layer() -> Result<()> {
    let x = tensor(&[2, 3], 1);
    assert_eq!(flat(&seq().forward(&x)?), flat(&x));
    let layer = || Conv2d::new(tensor(&[2, 4, 1, 1], 1), None, Conv2dConfig::default());
    let image = tensor(&[1, 3, 4, 4], 1);
    let error = error_message(&seq().add(layer()).forward(&image).unwrap_err());
    assert!(error.contains("conv2d") && !error.contains("sequence"), "{error}");
    let error = seq().add(max_pool2d(2)).add(layer()).forward(&image).unwrap_err().to_string();
    assert!(error.contains("step 2 (conv2d)"), "{error}");
    // Not a slope that can be fused.
    let chain = seq().add(max_pool2d(1)).add(leaky_relu(-1.0));
    assert!(flat(&chain.forward(&image)?).iter().all(|&value| value >= 0.0));
    Ok(())
}

#[test]
fn a_chain_for_training_passes_the_mode_on() -> Result<()> {
    let norm = || {
        let vb = init::var_builder(&VarMap::new(), 1, DType::F32, &Device::Cpu);
        batch_norm(8, 1e-5, vb)
    };
    let conv = || Conv2d::new(tensor(&[8, 3, 3, 3], 1), None, Conv2dConfig::new(1, 1));
    let (norm_in_chain, norm_alone) = (norm()?, norm()?);
    let chain = seq_t()
        .add(conv())
        .add(relu())
        .add(norm_in_chain)
        .add(Dropout::new(0.5, 3)?)
        .add(seq().add(max_pool2d(2)))
        .add_fn(|x| x.flatten_from(1));
    assert_eq!((chain.len(), chain.is_empty(), seq_t().is_empty()), (6, false, true));
    let dropout = Dropout::new(0.5, 3)?;
    let x = tensor(&[2, 3, 6, 6], 2);
    for train in [true, false] {
        let y = norm_alone.forward_t(&x.apply(&conv())?.apply(&relu())?, train)?;
        let y = dropout.forward_t(&y, train)?.apply(&max_pool2d(2))?.flatten_from(1)?;
        assert_eq!(bits(&chain.forward_t(&x, train)?), bits(&y), "training {train}");
    }
    Ok(())
}
