//! Placing the values of a file in a network.

use std::path::Path;

use crate::ImportError;
use crate::contents::{Blob, Contents};
use crate::heads;
use crate::nearest;
use crate::plan::{Plan, Role, is_dense, list, same};
use crate::report::{Fate, Line};

/// Tensors of a network with their values.
pub(crate) type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

/// A mean image: three planes, or three numbers.
pub(crate) fn mean(file: &Path, blobs: Vec<Blob>) -> Result<(Tensors, Vec<Line>), ImportError> {
    let broken = |reason: String| ImportError::Broken { path: file.into(), reason };
    let [blob]: [Blob; 1] = blobs.try_into().map_err(|blobs: Vec<Blob>| {
        broken(format!("expected one mean image, found {}", blobs.len()))
    })?;
    // In front of the planes may stand the number of images, 1; a number for each channel is enough.
    let shape = match blob.shape[..] {
        [3] => Some(vec![3, 1, 1]),
        [ref ones @ .., 3, h, w] if ones.iter().all(|side| *side == 1) => Some(vec![3, h, w]),
        [ref ones @ .., 3] if ones.iter().all(|side| *side == 1) => Some(vec![3, 1, 1]),
        _ => None,
    };
    let Some(shape) = shape.filter(|_| !blob.values.is_empty()) else {
        let expected = "a mean image of three planes, or three numbers";
        return Err(broken(format!("expected {expected}, found shape {:?}", blob.shape)));
    };
    if let Some(value) = blob.values.iter().find(|value| !value.is_finite()) {
        return Err(broken(format!("mean: holds {value}")));
    }
    let Blob { name, shape: from, values } = blob;
    let fate = Fate::Used("mean".to_owned(), shape.clone());
    let line = Line { blob: name, shape: from, fate };
    Ok((vec![("mean".to_owned(), shape, values)], vec![line]))
}

/// Places every tensor of the file in the network. `asked` is true if the user named the network.
pub(crate) fn assign(
    plan: &mut Plan,
    file: &Path,
    contents: Contents,
    asked: bool,
) -> Result<(Tensors, Vec<Line>), ImportError> {
    let mismatch = |problems: Vec<String>| ImportError::Mismatch {
        path: file.into(),
        net: plan.net.name(),
        problems,
    };
    // Tensors without a place are reported together with the bad values of the others.
    let mut problems = match plan.works() {
        true => Vec::new(),
        false => nearest::problems(plan, &contents)
            .into_iter()
            .chain(nearest::elsewhere(&contents))
            .collect(),
    };
    let mut found: Vec<Option<Vec<f32>>> = vec![None; plan.tensors.len()];
    let (mut lines, mut infinite) = (Vec::new(), Vec::new());
    for (Blob { name: blob, shape, values }, role) in contents.blobs.into_iter().zip(&plan.roles) {
        let fate = match role {
            Role::None(why) => Fate::Ignored((*why).to_owned()),
            Role::Zeros => {
                if values.iter().any(|value| *value != 0.0) {
                    problems
                        .push(format!("{blob}: expected zeros, which need no place, found others"));
                }
                Fate::Ignored("zeros".to_owned())
            }
            Role::Is(i) | Role::Misfit(i) if *i >= plan.kept => {
                Fate::Ignored("behind the layer where the network ends".to_owned())
            }
            Role::Is(i) | Role::Misfit(i) => {
                let (name, to) = &plan.tensors[*i];
                let bad = values.iter().filter(|value| !value.is_finite()).count();
                if bad > 0 {
                    infinite.push((blob.clone(), bad, values.len()));
                }
                let values = match same(&shape, to) {
                    true => Some(values),
                    false => without_zero_blocks(&shape, to, plan.net.groups(name), &values),
                };
                match (values, &found[*i]) {
                    _ if matches!(role, Role::Misfit(_)) => {}
                    (None, _) => problems.push(format!(
                        "{blob}: expected zeros outside of the blocks of {} groups, as {name} has shape \
                         {to:?}; found others",
                        plan.net.groups(name)
                    )),
                    (Some(values), Some(first)) if bits(&values).ne(bits(first)) => {
                        problems.push(format!("{blob}: {name} is there twice, with other values"));
                    }
                    (Some(values), _) => found[*i] = Some(values),
                }
                Fate::Used(name.clone(), to.clone())
            }
        };
        lines.push(Line { blob, shape, fate });
    }
    problems.extend(not_finite(&infinite));
    if plan.net.is_heads() && problems.is_empty() {
        match (heads::identify(found.iter().flatten().map(Vec::as_slice)), asked) {
            (Some((what, true)), _) => plan.notes.push(format!("the heads of {what}")),
            (Some((what, false)), _) => problems
                .push(format!("expected the heads of LPIPS v0.1, found those of {what}")),
            (None, true) => plan
                .notes
                .push("these heads are of no published LPIPS; its numbers will be others".to_owned()),
            (None, false) => problems.push(format!(
                "expected the heads of LPIPS v0.1, found some of no published version; --net {} reads \
                 them all the same",
                plan.net.name()
            )),
        }
    }
    if !problems.is_empty() {
        return Err(mismatch(problems));
    }
    let tensors = plan.tensors.iter().cloned().zip(found);
    let tensors = tensors.filter_map(|((name, shape), values)| Some((name, shape, values?)));
    Ok((tensors.collect(), lines))
}

fn bits(values: &[f32]) -> impl Iterator<Item = u32> {
    values.iter().map(|value| value.to_bits())
}

/// Returns one sentence for all tensors that hold a value that is no number.
fn not_finite(tensors: &[(String, usize, usize)]) -> Option<String> {
    let (name, bad, all) = tensors.first()?;
    let others: Vec<&str> = tensors[1..].iter().map(|(name, ..)| name.as_str()).collect();
    let others = match others.is_empty() {
        true => String::new(),
        false => format!(", and so do {}", list(&others)),
    };
    Some(format!("{name}: {bad} of {all} values are NaN or infinite{others}"))
}

/// Returns the weight of a grouped convolution, taken from one without groups if everything else in
/// it is zero.
fn without_zero_blocks(
    shape: &[usize],
    grouped: &[usize],
    groups: usize,
    values: &[f32],
) -> Option<Vec<f32>> {
    if !is_dense(shape, grouped, groups) {
        return None;
    }
    let (out, row) = (grouped[0], values.len() / grouped[0].max(1));
    let block = row / groups;
    let mut kept = Vec::with_capacity(values.len() / groups);
    for (number, row) in values.chunks_exact(row.max(1)).enumerate() {
        let begin = number * groups / out * block;
        let (before, rest) = row.split_at(begin);
        let (inside, after) = rest.split_at(block);
        if before.iter().chain(after).any(|value| *value != 0.0) {
            return None;
        }
        kept.extend_from_slice(inside);
    }
    Some(kept)
}
