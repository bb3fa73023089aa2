//! Refusal of files with layers that a network lacks. Such layers within the network make it
//! another network, and its weights are useless without them.

use std::collections::BTreeSet;

use crate::contents::{Blob, Contents};
use crate::names;
use crate::net::{self, Net};
use crate::plan::{NO_LAYER, Plan, Role, list, squeezed};
use crate::torch::is_averaged;

/// Begins of words in the names of classifiers and of other things behind a network.
const HEADS: [&str; 14] = [
    "fc",
    "classifier",
    "head",
    "top",
    "conv10",
    "final",
    "last",
    "logit",
    "cls",
    "lin",
    "score",
    "aux",
    "prob",
    "optimizer",
];
/// Ends of names of what batch normalisation counts.
const STATISTICS: [&str; 6] =
    ["running_mean", "running_var", "moving_mean", "moving_variance", "_rm", "_riv"];

/// Plans the import of a file ([`Plan::new`]), and refuses one with other layers within the network.
pub(crate) fn plan(net: Net, contents: &Contents, part: Option<&str>) -> Plan {
    let mut plan = Plan::new(net, contents, part);
    if plan.works() {
        let problem = problem(&plan, &contents.blobs);
        plan.problems.extend(problem);
    }
    plan
}

/// Describes the other layers of a file that has everything else that the network needs.
fn problem(plan: &Plan, blobs: &[Blob]) -> Option<String> {
    if !matches!(plan.net, Net::Comparator(_) | Net::Generator(_)) {
        return None;
    }
    let is_head = |i: usize| net::is_head(net::layer(&plan.tensors[i].0));
    let with_head = (0..plan.kept).any(is_head);
    let own = |blob: &Blob| blob.name.strip_prefix(&plan.prefix).map(str::to_owned);
    let trunk = blobs.iter().zip(&plan.roles).filter_map(|(blob, role)| match role {
        Role::Is(i) if *i < plan.kept && !is_head(*i) => own(blob),
        _ => None,
    });
    let used = blobs.iter().zip(&plan.roles).filter(|(_, role)| matches!(role, Role::Is(_)));
    let used: Vec<&Blob> = used.map(|(blob, _)| blob).collect();
    // Tied weights are stored under two names.
    let copied = |blob: &Blob| used.iter().any(|other| is_part(blob, other));
    let modules: BTreeSet<String> = trunk.map(|name| module(&name).to_owned()).collect();
    let strange = blobs.iter().zip(&plan.roles).filter(|(blob, role)| {
        let Some(name) = own(blob).filter(|_| **role == Role::None(NO_LAYER)) else { return false };
        let outside = is_behind(&name) || is_averaged(&name);
        if STATISTICS.iter().any(|end| name.ends_with(end)) {
            return with_head || !outside;
        }
        let inside = modules.contains(module(&name)) && blob.values.len() > 1;
        !outside
            && (inside || is_scale(&name, &blob.shape) || is_kernel(&blob.shape) && !copied(blob))
    });
    let strange: Vec<&str> = strange.map(|(blob, _)| blob.name.as_str()).collect();
    (!strange.is_empty()).then(|| {
        format!(
            "expected no other layers within the network, found {} tensors of some: {}",
            strange.len(),
            list(&strange)
        )
    })
}

/// Returns true if a tensor equals another one, or some of its rows.
fn is_part(part: &Blob, whole: &Blob) -> bool {
    let (&[rows, ref row @ ..], &[_, ref other @ ..]) = (&part.shape[..], &whole.shape[..]) else {
        return false;
    };
    let count = part.values.len();
    row == other
        && count > 0
        && whole.values.windows(count).step_by(count / rows).any(|values| values == part.values)
}

/// Returns the outermost module of a tensor's name.
fn module(name: &str) -> &str {
    name.split(['.', '/']).next().unwrap_or(name)
}

fn is_behind(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.split(|c: char| !c.is_ascii_alphanumeric())
        .any(|word| HEADS.iter().any(|head| word.starts_with(head)))
}

/// Returns true if a weight is a row, as in normalisation and PReLU. A classifier of one class is a
/// matrix, and single numbers belong to losses.
fn is_scale(name: &str, shape: &[usize]) -> bool {
    names::split(name).1 == "weight" && squeezed(shape).len() == 1 && shape.len() != 2
}

/// Returns true if a shape is that of a convolution over more than one pixel.
fn is_kernel(shape: &[usize]) -> bool {
    matches!(shape, [out, _, rest @ ..] if *out > 1 && rest.len() > 1 && rest.iter().any(|side| *side > 1))
}
