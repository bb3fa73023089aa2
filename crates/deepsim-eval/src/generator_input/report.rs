//! Pictures and numbers of a descent in a folder.

use std::path::Path;

use candle_core::{Device, Tensor};
use deepsim_data::picture::{Picture, grid};

use super::descent::{Found, Optimised};
use super::goal::{Goal, Target, Term};
use crate::EvalError;
use crate::arrays::{pictures, ranges};
use crate::features::{Features, Origin};
use crate::generate::{NUMBERS, SHEET};
use crate::measure::{self, Model, Row};
use crate::optimisation_baseline::GAP;

/// Pictures on a sheet at most.
const SHOWN: usize = 12;
/// Inputs that images are drawn of together.
const BATCH: usize = 4;

/// Names of what was optimised.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Name of each picture's file, without its ending.
    pub names: Vec<String>,
    /// Pictures whose features were aimed at, if they are at hand.
    pub originals: Vec<Picture>,
}

/// Names of files of a report that are no single pictures.
pub const RESERVED: [&str; 2] = [SHEET, "inputs"];

/// Writes `NAME.png` for each result, `sheet.png` (originals, images of the first inputs, results; the first 12 columns),
/// `inputs.safetensors` with the inputs that were found, and `numbers.json` into a folder, which is created. Returns the
/// rows of the latter: for each term, what it is at the first input and at the one that was found.
///
/// # Errors
/// If no picture was begun, no objective is finite, or a file cannot be written.
pub fn write(
    model: &Model,
    goals: &[Goal],
    found: &Found,
    report: &Report,
    folder: &Path,
) -> Result<Vec<Row>, EvalError> {
    let done: Vec<(usize, &Optimised)> = found
        .pictures
        .iter()
        .enumerate()
        .filter_map(|(at, one)| Some((at, one.as_ref()?)))
        .collect();
    if done.iter().all(|(_, one)| !one.objective.is_finite()) {
        let reason = "the objective of every picture is infinite; lower --rate".to_owned();
        return Err(EvalError::Undefined { measure: "optimise".into(), reason });
    }
    std::fs::create_dir_all(folder).map_err(EvalError::io("creating folder", folder))?;
    let inputs = |of: fn(&Optimised) -> &Vec<f32>| -> Result<Tensor, EvalError> {
        let values = done.iter().flat_map(|(_, one)| of(one)).copied().collect::<Vec<f32>>();
        let shape = [&[done.len()], &found.shape[..]].concat();
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
    };
    let name = |at: usize| report.names.get(at).cloned().unwrap_or_else(|| format!("{at:04}"));
    let best = inputs(|one| &one.input)?;
    let results = draw(model, &best)?;
    for ((at, _), picture) in done.iter().zip(&results) {
        picture.write_png(&folder.join(format!("{}.png", name(*at))))?;
    }
    let shown = done.len().min(SHOWN);
    let starts = draw(model, &inputs(|one| &one.start)?.narrow(0, 0, shown)?)?;
    let originals = done.iter().filter_map(|(at, _)| report.originals.get(*at)).take(shown);
    let rows = [originals.cloned().collect(), starts, results[..shown].to_vec()];
    let rows: Vec<Vec<Picture>> =
        rows.into_iter().filter(|row: &Vec<Picture>| !row.is_empty()).collect();
    grid(&rows, GAP).write_png(&folder.join(format!("{SHEET}.png")))?;
    let origin =
        Origin { pictures: done.iter().map(|(at, _)| name(*at)).collect(), ..Origin::default() };
    let (tap, _) = model.input()?;
    Features::new(origin, vec![(tap, best)])?.write(&folder.join("inputs.safetensors"))?;
    let rows = numbers_of(goals, &done, &name);
    measure::write_rows(&folder.join(NUMBERS), &rows)?;
    Ok(rows)
}

/// Images of inputs as people see them.
fn draw(model: &Model, inputs: &Tensor) -> Result<Vec<Picture>, EvalError> {
    let mut all = Vec::new();
    for range in ranges(inputs.dims()[0], BATCH) {
        let input = inputs.narrow(0, range.start, range.len())?.to_device(model.device())?;
        all.extend(pictures(&model.decode(&input)?)?);
    }
    Ok(all)
}

/// Values of the terms at one end of a descent.
type Values = fn(&Optimised) -> &Vec<f64>;

/// Rows of all terms: features as relative distance, a unit as its activation.
fn numbers_of(
    goals: &[Goal],
    done: &[(usize, &Optimised)],
    name: &dyn Fn(usize) -> String,
) -> Vec<Row> {
    let terms = goals.iter().flat_map(|goal| goal.terms.iter().map(move |term| (goal, term)));
    let mut rows = Vec::new();
    for (at, (Goal { net, .. }, term)) in terms.enumerate() {
        let space = format!("{} {}", net.name(), term.tap());
        let ends: [(&str, Values); 2] =
            [("at the start", |one| &one.before), ("at the end", |one| &one.after)];
        for (end, of) in ends {
            let values: Vec<f64> = done.iter().map(|(_, one)| shown(term, of(one)[at])).collect();
            rows.extend(match term.target() {
                Target::Features(_) => {
                    let note =
                        format!("of the norm of the target, images not clipped; {}", net.origin());
                    vec![Row::mean(format!("{space} {end}"), &values, "%", note)]
                }
                Target::Units(units) => {
                    let row = |((picture, _), value): (&(usize, &Optimised), &f64)| {
                        let note =
                            format!("activation, mean over positions; {}.png", name(*picture));
                        Row::new(
                            format!("{space} unit {} {end}", units[*picture]),
                            *value,
                            "",
                            note,
                        )
                    };
                    done.iter().zip(&values).map(row).collect()
                }
            });
        }
    }
    rows
}

/// Relative distance in percent, or the activation.
fn shown(term: &Term, value: f64) -> f64 {
    match term.target() {
        Target::Features(_) => 100.0 * value.sqrt(),
        Target::Units(_) => value,
    }
}
