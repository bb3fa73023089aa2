//! `<conv(x, w), dy> = <x, dx> = <w, dw>` at the sizes of real layers, where plain loops take long.

use candle_core::{Result, Tensor};
use deepsim_ops::{Conv2dConfig, conv_transpose2d, conv2d};

use crate::support::{backward, flat, tensor, var};

/// Inner product, and the sum of its terms' magnitudes.
fn dot(a: &Tensor, b: &Tensor) -> (f64, f64) {
    let (a, b) = (flat(a), flat(b));
    assert_eq!(a.len(), b.len());
    a.iter().zip(&b).fold((0.0, 0.0), |(sum, size), (&a, &b)| {
        let product = f64::from(a) * f64::from(b);
        (sum + product, size + product.abs())
    })
}

/// Name, whether transposed, shapes of input and weight, numbers.
type Layer = (&'static str, bool, [usize; 4], [usize; 4], Conv2dConfig);

#[test]
fn the_three_inner_products_agree() -> Result<()> {
    let config = Conv2dConfig::new;
    let layers: [Layer; 11] = [
        ("AlexNet conv1", false, [3, 3, 64, 64], [96, 3, 11, 11], config(4, 0)),
        ("AlexNet conv2", false, [3, 96, 7, 7], [256, 48, 5, 5], config(1, 2).with_groups(2)),
        ("AlexNet conv3", false, [9, 256, 3, 3], [384, 256, 3, 3], config(1, 1)),
        ("discriminator conv1", false, [3, 3, 64, 64], [32, 3, 7, 7], config(2, 0)),
        ("discriminator conv2", false, [3, 32, 29, 29], [64, 32, 5, 5], config(1, 0)),
        ("discriminator conv4", false, [3, 128, 12, 12], [256, 128, 3, 3], config(1, 0)),
        ("encoder c2", false, [3, 32, 32, 32], [64, 32, 5, 5], config(2, 2)),
        ("encoder c7", false, [9, 64, 8, 8], [8, 64, 1, 1], config(1, 0)),
        ("decoder u1", true, [3, 64, 8, 8], [64, 64, 4, 4], config(2, 1)),
        ("decoder u3", true, [3, 32, 32, 32], [32, 3, 4, 4], config(2, 1)),
        ("from a vector", true, [9, 100, 1, 1], [100, 64, 4, 4], config(1, 0)),
    ];
    for (name, transposed, x_shape, w_shape, config) in layers {
        let (x, w) = (var(&x_shape, 1), var(&w_shape, 2));
        let y = if transposed { conv_transpose2d } else { conv2d }(&x, &w, None, config)?;
        let dy = tensor(y.dims(), 3);
        let gradients = backward(&y, &dy)?;
        let get = |var| gradients.get(var).expect("both are variables");
        let (forward, size) = dot(&y, &dy);
        for (part, (sum, _)) in [("x", dot(&x, get(&x))), ("w", dot(&w, get(&w)))] {
            let error = (sum - forward).abs() / size;
            assert!(error < 1e-6, "{name}: <{part}, d{part}> is {sum}, <y, dy> is {forward}");
        }
        // The sums would also agree if all were zero.
        assert!(forward.abs() > 1e-6 * size, "{name}: {forward}");
    }
    Ok(())
}
