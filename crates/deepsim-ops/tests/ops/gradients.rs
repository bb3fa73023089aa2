//! Values and gradients of every operation against plain loops and central differences, both in
//! double precision; and that only needed gradients are computed.

use candle_core::{Result, Tensor, Var};

use crate::cases::all;
use crate::support::{assert_near, backward, bits, flat, tensor, var};

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

#[test]
fn values_and_gradients_equal_plain_loops() -> Result<()> {
    // The loops are exact, so the step may be tiny: no kink of a maximum lies this close.
    const STEP: f64 = 1e-6;
    for case in all() {
        let vars: Vec<Var> =
            case.inputs.iter().enumerate().map(|(i, shape)| var(shape, i)).collect();
        let inputs: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let y = (case.apply)(&inputs)?;
        let mut exact: Vec<Vec<f64>> = inputs.iter().map(|input| wide(&flat(input))).collect();
        assert_near(&case.name, &flat(&y), &(case.reference)(&exact), 1e-6);

        let dy = tensor(y.dims(), 9);
        let gradients = backward(&y, &dy)?;
        let dy = wide(&flat(&dy));
        for (i, var) in vars.iter().enumerate() {
            let mut wanted = Vec::with_capacity(exact[i].len());
            for j in 0..exact[i].len() {
                let middle = exact[i][j];
                let mut loss = |value: f64| {
                    exact[i][j] = value;
                    let y = (case.reference)(&exact);
                    y.iter().zip(&dy).map(|(y, dy)| y * dy).sum::<f64>()
                };
                wanted.push((loss(middle + STEP) - loss(middle - STEP)) / (2.0 * STEP));
                exact[i][j] = middle;
            }
            let what = format!("{}: gradient of input {i}", case.name);
            let gradient = gradients.get(var).unwrap_or_else(|| panic!("{what} is missing"));
            assert_eq!(gradient.dims(), var.dims(), "{what}");
            assert_near(&what, &flat(gradient), &wanted, 1e-5);
        }
    }
    Ok(())
}

#[test]
fn only_tracked_inputs_get_a_gradient() -> Result<()> {
    for case in all() {
        let vars: Vec<Var> =
            case.inputs.iter().enumerate().map(|(i, shape)| var(shape, i)).collect();
        let tracked: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let y = (case.apply)(&tracked)?;
        let (dy, wanted_y) = (tensor(y.dims(), 9), bits(&y));
        let whole = backward(&y, &dy)?;

        for chosen in 0..1u32 << vars.len() {
            let is_chosen = |i: usize| chosen & 1 << i != 0;
            let inputs: Vec<Tensor> = vars
                .iter()
                .enumerate()
                .map(|(i, v)| if is_chosen(i) { v.as_tensor().clone() } else { v.detach() })
                .collect();
            let what = format!("{}, inputs {chosen:b}", case.name);
            let y = (case.apply)(&inputs)?;
            assert_eq!(bits(&y), wanted_y, "{what}");
            if chosen == 0 {
                assert!(!y.track_op(), "{what}: nothing to remember");
                continue;
            }
            let gradients = backward(&y, &dy)?;
            for (i, input) in inputs.iter().enumerate() {
                match gradients.get(input) {
                    Some(gradient) => {
                        assert!(is_chosen(i), "{what}: a gradient of frozen input {i}");
                        let wanted = whole.get(&vars[i]).expect("checked by the test above");
                        assert_eq!(bits(gradient), bits(wanted), "{what}: input {i}");
                    }
                    None => assert!(!is_chosen(i), "{what}: no gradient of input {i}"),
                }
            }
        }
    }
    Ok(())
}

#[test]
fn views_and_broadcast_gradients_are_fine() -> Result<()> {
    for case in all() {
        let shape = &case.inputs[0];
        let plain = var(shape, 0);
        let others = case.inputs.iter().enumerate().skip(1).map(|(i, shape)| tensor(shape, i));
        let mut inputs: Vec<Tensor> =
            std::iter::once(plain.as_tensor().clone()).chain(others).collect();
        let y = (case.apply)(&inputs)?;

        // candle broadcasts the gradient of a mean.
        let mean = y.mean_all()?.backward()?;
        let dy = y.ones_like()?.affine(1.0 / y.elem_count() as f64, 0.0)?;
        let spelled_out = backward(&y, &dy)?;
        let (got, wanted) = (mean.get(&plain).map(bits), spelled_out.get(&plain).map(bits));
        assert_eq!(got, wanted, "{}: a broadcast gradient", case.name);

        // A storage in another order, and one that begins earlier.
        let (first, last) = (0, shape.len() - 1);
        let x = plain.detach();
        let turned = x.transpose(first, last)?.contiguous()?.transpose(first, last)?;
        let part = Tensor::cat(&[&tensor(shape, 7), &x], 0)?.narrow(0, shape[0], shape[0])?;
        assert!(part.layout().start_offset() > 0);
        for (what, view) in [("turned", turned), ("in the middle", part)] {
            inputs[0] = view;
            assert_eq!(bits(&(case.apply)(&inputs)?), bits(&y), "{}: {what}", case.name);
        }
    }
    Ok(())
}
