//! Words for files that do not fit: the nearest network, what it lacks, and names of the file.

use crate::contents::{Blob, Contents, Skipped};
use crate::heads;
use crate::net::Net;
use crate::plan::{Plan, Role, fits, list, squeezed};

/// Most lines for problems, and for missing tensors.
const FEW: usize = 5;
const MANY: usize = 20;

/// Returns every problem of a file, with the tensors that have no place.
pub(crate) fn problems(plan: &Plan, contents: &Contents) -> Vec<String> {
    let mut lines: Vec<String> = plan.problems.iter().take(MANY).cloned().collect();
    if plan.problems.len() > MANY {
        lines.push(format!("and {} more of the kind", plan.problems.len() - MANY));
    }
    for &i in plan.missing.iter().take(FEW) {
        let (name, shape) = &plan.tensors[i];
        lines.push(format!("{name} {shape:?}: missing{}", instead(plan, i, contents)));
    }
    if plan.missing.len() > FEW {
        lines.push(format!("and {} more are missing", plan.missing.len() - FEW));
    }
    let unused =
        contents.blobs.iter().zip(&plan.roles).filter(|(_, role)| matches!(role, Role::None(_)));
    let unused: Vec<&str> = unused.map(|(blob, _)| blob.name.as_str()).collect();
    if !unused.is_empty() && !plan.missing.is_empty() {
        lines.push(format!("tensors of the file without a place: {}", list(&unused)));
    }
    lines
}

/// Describes the tensor that the file has in place of a missing one.
fn instead(plan: &Plan, missing: usize, contents: &Contents) -> String {
    let (name, _) = &plan.tensors[missing];
    let full = format!("{}{name}", plan.prefix);
    if let Some(Skipped { name, what, .. }) = contents.skipped.iter().find(|s| s.name == full) {
        return format!("; `{name}` is no tensor of weights: {what}");
    }
    let free = contents.blobs.iter().zip(&plan.roles).filter(|(blob, role)| {
        matches!(role, Role::None(_)) && fits(&plan.net, &blob.shape, &plan.tensors[missing])
    });
    let nearest = free.map(|(blob, _)| blob.name.as_str()).max_by_key(|other| alike(other, name));
    nearest.map_or_else(String::new, |other| format!("; `{other}` has its shape"))
}

/// Counts the characters that two names have in common at their beginnings and ends.
fn alike(a: &str, b: &str) -> usize {
    let common = |a: &mut dyn Iterator<Item = char>, b: &mut dyn Iterator<Item = char>| {
        a.zip(b).take_while(|(a, b)| a == b).count()
    };
    common(&mut a.chars(), &mut b.chars()) + common(&mut a.chars().rev(), &mut b.chars().rev())
}

/// Returns the sentence for other dictionaries of a checkpoint, which may hold the network.
pub(crate) fn elsewhere(contents: &Contents) -> Option<String> {
    let container = contents.container.as_deref()?;
    let others: Vec<&str> = contents.others.iter().map(String::as_str).collect();
    let first = others.first()?;
    Some(format!(
        "these are the tensors in `{container}`; others are in {}, which --part {first} reads",
        list(&others)
    ))
}

/// Describes a file that fits no network.
pub(crate) fn nearest(plans: &[Plan], contents: &Contents) -> Vec<String> {
    let mut lines: Vec<String> = heads_of_others(plans, contents).into_iter().collect();
    let best = plans.iter().map(|plan| (score(plan, &contents.blobs), plan));
    // Among equals the first wins, because others contain it.
    let best = best.rev().max_by_key(|(score, _)| *score).filter(|(score, _)| *score > 0);
    match best {
        Some((_, plan)) => {
            let (found, all) =
                (plan.found.iter().filter(|found| **found).count(), plan.found.len());
            let name = plan.net.name();
            lines.push(match plan.works() {
                true => format!(
                    "the nearest is {name}, of which it has {found} of {all} tensors; --net {name} reads \
                     them"
                ),
                false => format!("the nearest is {name}, of which it has {found} of {all} tensors"),
            });
            lines.extend(match plan.works() {
                true => plan.notes.clone(),
                false => problems(plan, contents),
            });
        }
        None => lines.push("no network has tensors of these names or shapes".to_owned()),
    }
    let names: Vec<&str> = contents.blobs.iter().map(|blob| blob.name.as_str()).collect();
    lines.push(format!("tensors of the file: {}", list(&names)));
    lines.extend(elsewhere(contents));
    lines
}

/// Returns the sentence for heads of LPIPS on a network that is not supported: their names are
/// those of AlexNet's.
fn heads_of_others(plans: &[Plan], contents: &Contents) -> Option<String> {
    let plan = plans.iter().find(|plan| plan.net == Net::LpipsAlex)?;
    let mut heads: Vec<(usize, &[f32])> = Vec::new();
    for (blob, role) in contents.blobs.iter().zip(&plan.roles) {
        if let Role::Is(i) | Role::Misfit(i) = role
            && heads.iter().all(|(other, _)| other != i)
        {
            heads.push((*i, &blob.values));
        }
    }
    heads.sort_unstable_by_key(|(i, _)| *i);
    let (what, _) = heads::identify(heads.into_iter().map(|(_, values)| values))?;
    Some(format!("these are the heads of {what}"))
}

/// Nearness of a file to a network: tensors with its names and shapes, then those with its shapes.
fn score(plan: &Plan, blobs: &[Blob]) -> usize {
    if plan.net == Net::Mean {
        return 0;
    }
    let mut shapes: Vec<Vec<usize>> = blobs.iter().map(|blob| squeezed(&blob.shape)).collect();
    shapes.sort_unstable();
    let alike = |(_, shape): &&(String, Vec<usize>)| {
        let shape = squeezed(shape);
        shape.len() > 1 && shapes.binary_search(&shape).is_ok()
    };
    let found = plan.found.iter().filter(|found| **found).count();
    2 * found + plan.tensors.iter().filter(alike).count()
}
