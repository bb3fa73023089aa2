//! Names that other programs give to the tensors of a network.

use std::collections::HashMap;

use crate::net::Net;

/// Ends of names for the two parts of a layer; Caffe2 and its ONNX exporter wrote `_w_0`, `_b_0`.
const PARTS: [(&str, &str); 6] = [
    (".weight", "weight"),
    (".bias", "bias"),
    (".w.0", "weight"),
    (".b.0", "bias"),
    (".w", "weight"),
    (".b", "bias"),
];

/// A name with one separator: `fire2/squeeze1x1_w_0` is `fire2.squeeze1x1` and `weight`.
pub(crate) fn split(name: &str) -> (String, &'static str) {
    let name = name.replace(['/', '_'], ".");
    let found = PARTS.iter().find_map(|(end, part)| Some((name.strip_suffix(end)?, *part)));
    match found {
        Some((layer, part)) => (layer.to_owned(), part),
        None => (name, ""),
    }
}

/// Names of the tensors of a network, in all forms that are known.
pub(crate) struct Names {
    net: Net,
    index: HashMap<(String, &'static str), usize>,
}

impl Names {
    /// Names of a network with these tensors.
    pub(crate) fn new(net: Net, tensors: &[(String, Vec<usize>)]) -> Self {
        let index = tensors.iter().enumerate().map(|(i, (name, _))| (split(name), i)).collect();
        Self { net, index }
    }

    /// The number of the tensor that is called so.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        let name = split(name);
        let found = self.index.get(&name);
        found.or_else(|| self.index.get(&(self.renamed(&name.0)?, name.1))).copied()
    }

    /// Returns the reason why a tensor that the network lacks is left out, if known.
    pub(crate) fn left_out(&self, name: &str) -> Option<&'static str> {
        let (layer, _) = split(name);
        match self.net.name().as_str() {
            "exemplar-cnn" if layer == "fc7" => Some("the classifier of surrogate classes"),
            "videonet" if layer.ends_with(".p") => Some("another branch of the same weights"),
            _ => None,
        }
    }

    /// True if a tensor is the bias of one of the authors' up-convolutions, which was never trained.
    pub(crate) fn is_untrained_bias(&self, name: &str) -> bool {
        let (layer, part) = split(name);
        let weighted = part == "bias" && self.index.contains_key(&(layer, "weight"));
        matches!(self.net, Net::Generator(_)) && weighted
    }

    /// The name here of a layer that has another elsewhere.
    fn renamed(&self, layer: &str) -> Option<String> {
        match &self.net {
            Net::Comparator(kind) => {
                let place = module(layer);
                let same = |name: &str| {
                    let (name, _) = split(name);
                    name == layer || module(&name) == place
                };
                let spec = kind.spec();
                let alias = spec.aliases.iter().find(|(alias, _)| same(alias));
                let row = || spec.layers.iter().map(|row| &row.name).find(|name| same(name));
                let name = alias.map(|(_, row)| row).or_else(row)?;
                Some(split(name).0)
            }
            // lin0.model.1, lins.0.model.1: a convolution after dropout, once as itself and once in a list.
            Net::LpipsAlex | Net::LpipsSqueeze | Net::LpipsVgg => {
                let rest = layer.strip_prefix("lins.").or_else(|| layer.strip_prefix("lin"))?;
                let (number, rest) = rest.split_once('.').unwrap_or((rest, ""));
                let place = rest.strip_prefix("model.").unwrap_or(rest);
                let plain = place.chars().all(|c| c.is_ascii_digit());
                plain.then(|| format!("lin{number}"))
            }
            _ => None,
        }
    }
}

/// A layer of torchvision's `features` by its place in them: `features.3.squeeze` is `3.squeeze`, as is
/// `slice2.3.squeeze`, the name within LPIPS.
fn module(layer: &str) -> &str {
    let slice = |layer: &str| layer.starts_with("slice") || layer == "features";
    match layer.split_once('.') {
        Some((first, rest)) if slice(first) => rest,
        _ => layer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tensor_of_every_network_has_a_name_of_its_own() {
        for net in Net::all() {
            let tensors = net.tensors();
            let names = Names::new(net.clone(), &tensors);
            for (i, (name, _)) in tensors.iter().enumerate() {
                assert_eq!(names.find(name), Some(i), "{} {name}", net.name());
            }
        }
    }
}
