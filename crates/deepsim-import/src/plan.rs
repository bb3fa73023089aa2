//! Places of the tensors of a file in a network, by names and shapes alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::contents::{Blob, Contents, may_be_weights};
use crate::names::Names;
use crate::net::{self, Net};
use crate::torch::is_averaged;

/// Most leading parts of a name that are tried as a prefix.
const MAX_PREFIX: usize = 8;

/// Reasons for which a tensor has no place.
pub(crate) const NO_LAYER: &str = "no such layer in the network";
const ELSEWHERE: &str = "not under the prefix of the network";

/// Fate of a tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Tensor of the network with this number.
    Is(usize),
    /// Has the name of the tensor with this number, but another shape.
    Misfit(usize),
    /// No tensor of the network, for this reason.
    None(&'static str),
    /// No tensor of the network; must hold nothing but zeros.
    Zeros,
}

/// Plan of reading a file for a network.
pub(crate) struct Plan {
    pub(crate) net: Net,
    /// Names and shapes of all tensors of the network.
    pub(crate) tensors: Vec<(String, Vec<usize>)>,
    /// Text before the names of the network's tensors in the file.
    pub(crate) prefix: String,
    /// One for each tensor of the file.
    pub(crate) roles: Vec<Role>,
    /// Tensors of the network that the file has in their shapes.
    pub(crate) found: Vec<bool>,
    /// Tensors of the network that are imported: all, or those before the layer where the file ends.
    pub(crate) kept: usize,
    /// Faults that keep the file from being read, except missing tensors.
    pub(crate) problems: Vec<String>,
    /// Numbers of needed tensors that are missing.
    pub(crate) missing: Vec<usize>,
    pub(crate) notes: Vec<String>,
}

impl Plan {
    /// Plans the import of a file. `part` names the prefix, if it was asked for.
    pub(crate) fn new(net: Net, contents: &Contents, part: Option<&str>) -> Self {
        let blobs = &contents.blobs;
        let tensors = net.tensors();
        let names = Names::new(net.clone(), &tensors);
        // A part that was a container is no prefix too.
        let container = contents.container.as_deref().unwrap_or_default();
        let part = part.filter(|part| !format!("{container}.").starts_with(&format!("{part}.")));
        let (prefix, notes, problem) = prefix(&net, &names, &tensors, blobs, part);
        let mut roles = Vec::with_capacity(blobs.len());
        let mut found = vec![false; tensors.len()];
        for blob in blobs {
            let role = match blob.name.strip_prefix(&prefix) {
                None => Role::None(ELSEWHERE),
                Some(name) => match names.find(name) {
                    Some(i) if fits(&net, &blob.shape, &tensors[i]) => {
                        found[i] = true;
                        Role::Is(i)
                    }
                    Some(i) => Role::Misfit(i),
                    None if names.is_untrained_bias(name) => Role::Zeros,
                    None => Role::None(names.left_out(name).unwrap_or(NO_LAYER)),
                },
            };
            roles.push(role);
        }
        let (kept, missing) = (tensors.len(), Vec::new());
        let problems = problem.into_iter().collect();
        let mut plan = Self { net, tensors, prefix, roles, found, kept, problems, missing, notes };
        plan.end(contents);
        plan
    }

    /// Returns true if the file can be read with this plan.
    pub(crate) fn works(&self) -> bool {
        self.problems.is_empty() && self.missing.is_empty()
    }

    /// Returns true if the network is complete.
    pub(crate) fn is_whole(&self) -> bool {
        self.works() && self.kept == self.tensors.len()
    }

    /// Returns true if the network is there at least up to its classifier.
    pub(crate) fn has_trunk(&self) -> bool {
        let trunk = |(name, _): &&(String, Vec<usize>)| !net::is_head(net::layer(name));
        self.works() && self.kept >= self.tensors.iter().filter(trunk).count()
    }

    /// Finds the layer where the network ends, and the tensors that are missing before it.
    fn end(&mut self, contents: &Contents) {
        let blobs = &contents.blobs;
        let misfits: BTreeSet<usize> = self
            .roles
            .iter()
            .filter_map(|role| match role {
                Role::Misfit(i) => Some(*i),
                _ => None,
            })
            .collect();
        // Layers with the numbers of their tensors.
        let mut layers: Vec<(&str, Vec<usize>)> = Vec::new();
        for (i, (name, _)) in self.tensors.iter().enumerate() {
            let layer = net::layer(name);
            match layers.last_mut() {
                Some((last, numbers)) if *last == layer => numbers.push(i),
                _ => layers.push((layer, vec![i])),
            }
        }
        let any = |numbers: &[usize]| numbers.iter().any(|i| self.found[*i]);
        let all = |numbers: &[usize]| numbers.iter().all(|i| self.found[*i]);
        let misfit = |numbers: &[usize]| numbers.iter().any(|i| misfits.contains(i));
        let cut = layers.iter().position(|(layer, numbers)| {
            self.net.may_end_early()
                && !all(numbers)
                // A classifier of another task has other shapes; nothing behind it is of use.
                && (net::is_head(layer) && misfit(numbers)
                    || !any(numbers) && !misfit(numbers))
        });
        let behind = cut.map_or(&[][..], |cut| &layers[cut..]);
        let in_head = behind.first().is_some_and(|(layer, _)| net::is_head(layer));
        // A gap that is followed by further layers counts as missing.
        let hole = !in_head && behind.iter().any(|(_, numbers)| any(numbers) || misfit(numbers));
        let cut = cut.filter(|cut| *cut > 0 && !hole);
        let last = layers.iter().rposition(|(_, numbers)| any(numbers) || misfit(numbers));
        let needed = match (cut, last) {
            (Some(cut), _) => &layers[..cut],
            (None, Some(last)) if hole => &layers[..=last],
            _ => &layers[..],
        };
        let kept = needed.last().and_then(|(_, numbers)| numbers.last()).map_or(0, |last| last + 1);
        let (mut problems, mut notes) = (Vec::new(), Vec::new());
        if let Some(cut) = cut {
            let last = layers[cut - 1].0;
            // Candidates for the layers behind, under unknown names. Averages are left out, because
            // they are copies of what is there.
            let copied = |blob: &Blob| {
                let found = self.tensors.iter().zip(&self.found).filter(|(_, found)| **found);
                is_averaged(&blob.name)
                    && found.into_iter().any(|(tensor, _)| fits(&self.net, &blob.shape, tensor))
            };
            let strange = blobs.iter().zip(&self.roles).filter(|(blob, role)| {
                let unknown =
                    matches!(role, Role::None(why) if [NO_LAYER, ELSEWHERE].contains(why));
                unknown && may_be_weights(&blob.shape) && !copied(blob)
            });
            let mut strange: Vec<&str> = strange.map(|(blob, _)| blob.name.as_str()).collect();
            let unread = contents.skipped.iter().filter(|skipped| skipped.weights);
            let unread: Vec<&str> = unread.map(|skipped| skipped.name.as_str()).collect();
            if in_head {
                let other = match (misfit(&layers[cut].1) || !strange.is_empty(), &unread[..]) {
                    (true, []) => "; the file has the classifier of another task".to_owned(),
                    (false, []) => String::new(),
                    _ => format!("; not read, as their numbers are no weights: {}", list(&unread)),
                };
                notes.push(format!("ends after {last}, before {}{other}", layers[cut].0));
            } else if strange.is_empty() && unread.is_empty() {
                notes.push(format!("ends after {last}, as the file does"));
            } else {
                strange.extend(unread);
                problems.push(format!(
                    "expected the file to end after {last}, as the tensors of {} are missing; found {} \
                     tensors that look like weights and have no place: {}",
                    layers[cut].0,
                    strange.len(),
                    list(&strange)
                ));
            }
        }
        for (blob, role) in blobs.iter().zip(&self.roles) {
            if let Role::Misfit(i) = role
                && *i < kept
            {
                let (name, shape) = &self.tensors[*i];
                problems.push(format!(
                    "{}: expected shape {shape:?} of {name}, found {:?}",
                    blob.name, blob.shape
                ));
            }
        }
        let lacks = |i: &usize| !self.found[*i] && !misfits.contains(i);
        let missing = match problems.is_empty() || cut.is_none() {
            true => (0..kept).filter(lacks).collect(),
            false => (0..self.tensors.len()).filter(lacks).collect(),
        };
        (self.kept, self.missing) = (kept, missing);
        self.problems.extend(problems);
        self.notes.extend(notes);
    }
}

/// The prefix under which most of a network's tensors are, notes on others, and a problem if two are
/// equally good.
fn prefix(
    net: &Net,
    names: &Names,
    tensors: &[(String, Vec<usize>)],
    blobs: &[Blob],
    part: Option<&str>,
) -> (String, Vec<String>, Option<String>) {
    // Tensors in their shapes count more than those in others.
    let mut scores: BTreeMap<&str, usize> = BTreeMap::from([("", 0)]);
    for blob in blobs {
        let ends = blob.name.match_indices(['.', '/']).map(|(at, _)| at + 1).take(MAX_PREFIX);
        for end in std::iter::once(0).chain(ends) {
            let (prefix, name) = blob.name.split_at(end);
            if let Some(i) = names.find(name) {
                let score = if fits(net, &blob.shape, &tensors[i]) { 3 } else { 1 };
                *scores.entry(prefix).or_default() += score;
            }
        }
    }
    if let Some(part) = part {
        let asked = scores.keys().find(|prefix| prefix.trim_end_matches(['.', '/']) == part);
        return match asked {
            Some(prefix) if !part.is_empty() => ((*prefix).to_owned(), Vec::new(), None),
            _ => {
                let problem = format!("no tensors of the network under `{part}`");
                (String::new(), Vec::new(), Some(problem))
            }
        };
    }
    let mut ranked: Vec<(&str, usize)> = scores.into_iter().collect();
    ranked.sort_by_key(|(prefix, score)| {
        (std::cmp::Reverse(*score), is_averaged(prefix), prefix.len(), *prefix)
    });
    let (best, score) = ranked[0];
    let rival = ranked[1..].iter().find(|(prefix, other)| {
        let nested = prefix.starts_with(best) || best.starts_with(prefix);
        *other == score && score > 0 && !nested && (is_averaged(best) || !is_averaged(prefix))
    });
    let problem = rival.map(|(rival, _)| {
        format!("the same tensors are under `{best}` and under `{rival}`; say which with --part")
    });
    let averaged = ranked.iter().find(|(prefix, other)| {
        is_averaged(prefix) && !is_averaged(best) && score > 0 && 2 * other >= score
    });
    let note = averaged.map(|(prefix, _)| {
        let part = prefix.trim_end_matches(['.', '/']);
        format!("averaged weights are there too; --part {part} reads them")
    });
    (best.to_owned(), note.into_iter().collect(), problem)
}

/// True if a tensor of a file has the shape of a network's, or of its convolution without groups.
pub(crate) fn fits(net: &Net, shape: &[usize], tensor: &(String, Vec<usize>)) -> bool {
    same(shape, &tensor.1) || is_dense(shape, &tensor.1, net.groups(&tensor.0))
}

/// True if a shape is that of a grouped convolution's weight that was stored without groups.
pub(crate) fn is_dense(shape: &[usize], grouped: &[usize], groups: usize) -> bool {
    matches!((shape, grouped), ([out, inputs, h, w], [o, i, kh, kw])
        if groups > 1 && (out, h, w) == (o, kh, kw) && *inputs == i * groups)
}

/// True if a tensor of a file has the shape of a network's, up to axes of length 1 and to the axes of
/// the inputs of a fully connected layer that is a convolution here.
pub(crate) fn same(shape: &[usize], wanted: &[usize]) -> bool {
    let (shape, wanted) = (squeezed(shape), squeezed(wanted));
    shape == wanted
        || matches!((&shape[..], &wanted[..]), ([out, inputs], [wanted_out, rest @ ..])
            if out == wanted_out && rest.iter().product::<usize>() == *inputs)
}

pub(crate) fn squeezed(shape: &[usize]) -> Vec<usize> {
    shape.iter().copied().filter(|side| *side != 1).collect()
}

/// A few names, and how many more there are.
pub(crate) fn list(names: &[&str]) -> String {
    const FEW: usize = 4;
    let few = names.iter().take(FEW).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match names.len() {
        0..=FEW => few,
        all => format!("{few} and {} more", all - FEW),
    }
}
