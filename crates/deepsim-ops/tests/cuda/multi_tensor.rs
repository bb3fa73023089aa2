//! Multi-tensor kernels, and masks that are drawn on the device.

use candle_core::{Device, Result, Tensor, Var};
use deepsim_ops::{
    AdamStep, AdamUpdate, DeferredScalar, Moments, PixelFormat, Uploader, adam_update,
    adam_update_all, copy_all, dropout_each, ema_update_all, pixels, set_moments,
};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::support::{assert_near, bits, flat, tensor};
use super::{STEP, gpu};

/// More tensors than one launch takes, of very different sizes.
fn tensors(device: &Device, seed: usize) -> Result<Vec<Var>> {
    let shape = |i: usize| if i == 7 { vec![70, 81] } else { vec![i % 5 + 1, 3] };
    (0..70).map(|i| Var::from_tensor(&tensor(&shape(i), seed + i).to_device(device)?)).collect()
}

fn scalar(value: f32, device: &Device) -> Result<DeferredScalar> {
    DeferredScalar::of(&Tensor::new(value, device)?)
}

#[test]
fn one_update_of_many_is_many_updates() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    let (together, apart) = (tensors(&gpu, 0)?, tensors(&Device::Cpu, 0)?);
    let mut moments =
        together.iter().map(|v| Moments::zeros_like(v)).collect::<Result<Vec<_>>>()?;
    let mut own = apart.iter().map(|v| Moments::zeros_like(v)).collect::<Result<Vec<_>>>()?;
    for t in 1..4 {
        let step = AdamStep { t, weight_decay: 0.1, ..STEP };
        let gradients = tensors(&gpu, 100 * t as usize)?;
        let healthy = DeferredScalar::gate(&[scalar(1.0, &gpu)?, scalar(-3e38, &gpu)?])?;
        let all = together.iter().zip(&gradients).zip(&mut moments).enumerate();
        let all = all.map(|(i, ((parameter, gradient), moments))| AdamUpdate {
            parameter,
            gradient,
            moments,
            decays: i % 2 == 0,
        });
        adam_update_all(all, step, healthy.as_ref())?;
        for (i, ((var, gradient), moments)) in
            apart.iter().zip(&gradients).zip(&mut own).enumerate()
        {
            let weight_decay = if i % 2 == 0 { 0.1 } else { 0.0 };
            let gradient = gradient.to_device(&Device::Cpu)?;
            adam_update(var, &gradient, moments, AdamStep { weight_decay, ..step })?;
        }
    }
    for (got, wanted) in together.iter().zip(&apart) {
        let wanted: Vec<f64> = flat(wanted).into_iter().map(f64::from).collect();
        assert_near("parameter", &flat(got), &wanted, 1e-6);
    }
    Ok(())
}

#[test]
fn nothing_is_updated_unless_all_numbers_are_finite() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let (vars, others) = (tensors(&gpu, 0)?, tensors(&gpu, 50)?);
        let before = bits(vars[7].as_tensor());
        let mut moments = Moments::zeros_like(&vars[7])?;
        let gate = DeferredScalar::gate(&[
            scalar(1.0, &gpu)?,
            scalar(bad, &gpu)?,
            DeferredScalar::known(1.0),
        ])?;
        let update = AdamUpdate {
            parameter: &vars[7],
            gradient: others[7].as_tensor(),
            moments: &mut moments,
            decays: true,
        };
        adam_update_all([update], STEP, gate.as_ref())?;
        ema_update_all(&[(&vars[7], others[7].as_tensor())], 0.5, gate.as_ref())?;
        assert_eq!(bits(vars[7].as_tensor()), before, "{bad}");
        assert!(moments.first().iter().all(|&m| m == 0.0));
    }
    Ok(())
}

#[test]
fn tensors_and_moments_are_blended_and_copied_in_place() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    let (a, b) = (tensors(&gpu, 0)?, tensors(&gpu, 50)?);
    let (on_cpu, other) = (tensors(&Device::Cpu, 0)?, tensors(&Device::Cpu, 50)?);
    let pairs = |a: &'_ [Var], b: &'_ [Var]| -> Vec<(Var, Tensor)> {
        a.iter().cloned().zip(b.iter().map(|b| b.as_tensor().clone())).collect()
    };
    for (a, b) in [(&a, &b), (&on_cpu, &other)] {
        let pairs = pairs(a, b);
        let pairs: Vec<(&Var, &Tensor)> = pairs.iter().map(|(a, b)| (a, b)).collect();
        ema_update_all(&pairs, 0.9, None)?;
    }
    for (got, wanted) in a.iter().zip(&on_cpu) {
        let wanted: Vec<f64> = flat(wanted).into_iter().map(f64::from).collect();
        assert_near("blend", &flat(got), &wanted, 1e-6);
    }
    let both = pairs(&a, &b);
    copy_all(&both.iter().map(|(a, b)| (a, b)).collect::<Vec<_>>())?;
    assert!(a.iter().zip(&b).all(|(a, b)| bits(a) == bits(b)));
    assert!(copy_all(&[(&a[7], b[0].as_tensor())]).is_err());

    let mut of_b = Moments::zeros_like(&b[7])?;
    adam_update(&b[7], a[7].as_tensor(), &mut of_b, STEP)?;
    let mut of_a = Moments::zeros_like(&a[7])?;
    set_moments(vec![(&mut of_a, &of_b)])?;
    assert_eq!(of_a, of_b);
    let mut shorter = Moments::zeros_like(&a[0])?;
    assert!(set_moments(vec![(&mut shorter, &of_b)]).is_err());
    Ok(())
}

#[test]
fn numbers_are_read_together() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    let vars = tensors(&gpu, 3)?;
    let all: Vec<&Tensor> = vars.iter().map(|var| var.as_tensor()).collect();
    let numbers = [DeferredScalar::squares(&all)?, DeferredScalar::known(7.0), scalar(3.0, &gpu)?];
    assert!(numbers[0].value().is_none());
    let on_cpu = tensors(&Device::Cpu, 3)?;
    let all: Vec<&Tensor> = on_cpu.iter().map(|var| var.as_tensor()).collect();
    let wanted = DeferredScalar::squares(&all)?.value().expect("known on the CPU");
    let got = DeferredScalar::read(&numbers)?;
    assert!((got[0] - wanted).abs() < 1e-6 * wanted, "{got:?}, {wanted}");
    assert_eq!(got[1..], [7.0, 3.0]);
    Ok(())
}

#[test]
fn bytes_become_values_on_their_way_and_there() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    let (mean, scale) = ([104.0, 117.5, 3.0], [1.0, 0.25, 1.7]);
    let format = PixelFormat { mean, scale, ..PixelFormat::CAFFE_BGR };
    let batch = |seed: usize| -> Vec<u8> { (0..90).map(|i| (i * seed % 251) as u8).collect() };
    let tensor = |seed, device: &Device| Tensor::from_vec(batch(seed), (2, 3, 5, 3), device);
    let mut uploads = Uploader::new(&gpu, 90)?;
    // Always one ahead; the bytes are overwritten once they are on their way.
    let mut bytes = batch(1);
    uploads.begin(&bytes)?;
    for seed in 1..6 {
        bytes.copy_from_slice(&batch(seed + 1));
        uploads.begin(&bytes)?;
        assert!(uploads.begin(&bytes).is_err(), "a third one");
        bytes.fill(0);
        let wanted = bits(&pixels(&tensor(seed, &Device::Cpu)?, format)?);
        assert_eq!(bits(&uploads.finish((2, 5, 3), format)?), wanted, "batch {seed}");
        assert_eq!(bits(&pixels(&tensor(seed, &gpu)?, format)?), wanted, "batch {seed}");
    }
    assert!(uploads.finish((2, 3, 3), format).is_err());
    uploads.finish((2, 5, 3), format)?;
    assert!(uploads.finish((2, 5, 3), format).is_err());
    assert!(uploads.begin(&bytes[1..]).is_err());
    Ok(())
}

#[test]
fn masks_are_those_of_the_cpu_and_streams_go_on_after_them() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    // Lengths and positions that begin and end within a block of 16 words; two keys, as for real and
    // generated images, and streams that are apart by no constant.
    let streams = || {
        let mut all = Vec::new();
        for (key, samples) in [(1, 0..3u128), (2, 5..8)] {
            for sample in samples {
                let mut rng = ChaCha12Rng::seed_from_u64(key);
                rng.set_stream(9);
                rng.set_word_pos((sample << 32) + 5);
                all.push(rng);
            }
        }
        all[5].set_word_pos(3);
        all
    };
    for each in [1usize, 11, 16, 37, 700] {
        let (mut on_gpu, mut on_cpu) = (streams(), streams());
        let x = tensor(&[6, each], 1);
        for _ in 0..2 {
            let got = dropout_each(&x.to_device(&gpu)?, 0.4, &mut on_gpu)?;
            let wanted = dropout_each(&x, 0.4, &mut on_cpu)?;
            assert_eq!(bits(&got), bits(&wanted), "{each}");
        }
        assert!(on_gpu.iter_mut().zip(&mut on_cpu).all(|(a, b)| a.next_u32() == b.next_u32()));
    }
    Ok(())
}
