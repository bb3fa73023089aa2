//! Inputs of the rows of a table.

use super::{INPUT, Layer, Op};
use crate::NetError;

/// Inputs of each row, as positions: 0 is the input of the network, `i + 1` the output of row `i`.
pub(crate) type Wiring = Vec<Vec<usize>>;

/// Finds the inputs of each row. A name stands for the nearest row above that is called so.
///
/// # Errors
/// If a row reads one that is not above it, reads another number of inputs than its operation takes, or two rows
/// with weights have one name.
pub(crate) fn wire(layers: &[Layer]) -> Result<Wiring, NetError> {
    let mut wiring = Vec::with_capacity(layers.len());
    for (row, layer) in layers.iter().enumerate() {
        let above = &layers[..row];
        let weighted = |op: &Op| {
            matches!(op, Op::Conv(_) | Op::UpConv(_) | Op::Linear(..) | Op::BatchNorm { .. })
        };
        let twin = |other: &&Layer| weighted(&other.op) && other.name == layer.name;
        if weighted(&layer.op) && above.iter().any(|other| twin(&other)) {
            return Err(wrong(layer, "a name of its own", "a row above that is called so too"));
        }
        let position = |name: &str| match above.iter().rposition(|other| other.name == name) {
            Some(at) => Ok(at + 1),
            None if name == INPUT => Ok(0),
            None => Err(wrong(layer, "inputs from rows above", &format!("`{name}`"))),
        };
        let inputs: Vec<usize> = match &layer.from[..] {
            [] => vec![row],
            names => names.iter().map(|name| position(name)).collect::<Result<_, _>>()?,
        };
        let takes = if matches!(layer.op, Op::Add | Op::Concat) { 2 } else { 1 };
        if inputs.len() != takes {
            let (expected, found) = (format!("{takes} inputs"), inputs.len().to_string());
            return Err(wrong(layer, &expected, &found));
        }
        wiring.push(inputs);
    }
    Ok(wiring)
}

fn wrong(layer: &Layer, expected: &str, found: &str) -> NetError {
    let place = format!("row `{}`", layer.name);
    NetError::Table { place, expected: expected.into(), found: found.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{Conv, conv, layer};

    fn inputs(layers: &[Layer]) -> Result<Wiring, String> {
        wire(layers).map_err(|error| error.to_string())
    }

    #[test]
    fn rows_read_the_row_above_or_those_that_they_name() {
        let relu = |name| layer(name, Op::Relu);
        let add = |from: &[&'static str]| layer("add", Op::Add).after(from);
        assert_eq!(inputs(&[relu("a"), relu("b")]), Ok(vec![vec![0], vec![1]]));
        // The nearest row of a name, and the input of the network.
        let table = [relu("a"), relu("a"), add(&["a", "input"]), relu("b").after(&["a"])];
        assert_eq!(inputs(&table), Ok(vec![vec![0], vec![1], vec![2, 0], vec![2]]));
        for (table, words) in [
            (vec![add(&["a", "b"])], "row `add`: expected inputs from rows above, found `a`"),
            (vec![relu("a").after(&["a"])], "row `a`: expected inputs from rows above, found `a`"),
            (vec![relu("a"), add(&["a"])], "row `add`: expected 2 inputs, found 1"),
            (vec![relu("a"), add(&[])], "row `add`: expected 2 inputs, found 1"),
            (vec![relu("a").after(&["input", "input"])], "row `a`: expected 1 inputs, found 2"),
            (
                vec![conv("a", Conv::new(1, 1)), conv("a", Conv::new(1, 1))],
                "row `a`: expected a name of its own",
            ),
        ] {
            let message = inputs(&table).expect_err(words);
            assert!(message.contains(words), "{message}");
        }
    }
}
