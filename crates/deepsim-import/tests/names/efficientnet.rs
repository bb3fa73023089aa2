//! EfficientNet-Lite0 under the names of its package.

use deepsim_import::{Fate, ImportOptions, Net};
use deepsim_nets::ComparatorKind;

use super::{Tensors, imported, named};

/// State dictionary of the package `efficientnet_lite_pytorch`: its names and shapes, and the counters of PyTorch's
/// batch normalisation.
fn efficientnet() -> Tensors {
    let mut tensors: Tensors = Vec::new();
    let mut add = |name: String, shape: &[usize]| {
        let count: usize = shape.iter().product();
        let values = (0..count).map(|i| ((i * 7 + name.len()) % 13 + 1) as f32 / 100.0);
        tensors.push((name.clone(), shape.to_vec(), values.collect()));
    };
    let norm = |add: &mut dyn FnMut(String, &[usize]), name: &str, channels: usize| {
        for part in ["weight", "bias", "running_mean", "running_var"] {
            add(format!("{name}.{part}"), &[channels]);
        }
        add(format!("{name}.num_batches_tracked"), &[]);
    };
    add("_conv_stem.weight".into(), &[32, 3, 3, 3]);
    norm(&mut add, "_bn0", 32);
    // Kernel and channels of each block.
    let stages =
        [(1, 3, 16), (2, 3, 24), (2, 5, 40), (3, 3, 80), (3, 5, 112), (4, 5, 192), (1, 3, 320)];
    let blocks = stages.into_iter().flat_map(|(n, kernel, out)| vec![(kernel, out); n]);
    let mut inputs = 32;
    for (number, (kernel, out)) in blocks.enumerate() {
        let block = format!("_blocks.{number}");
        let wide = if number == 0 { inputs } else { 6 * inputs };
        if number > 0 {
            add(format!("{block}._expand_conv.weight"), &[wide, inputs, 1, 1]);
            norm(&mut add, &format!("{block}._bn0"), wide);
        }
        add(format!("{block}._depthwise_conv.weight"), &[wide, 1, kernel, kernel]);
        norm(&mut add, &format!("{block}._bn1"), wide);
        add(format!("{block}._project_conv.weight"), &[out, wide, 1, 1]);
        norm(&mut add, &format!("{block}._bn2"), out);
        inputs = out;
    }
    add("_conv_head.weight".into(), &[1280, 320, 1, 1]);
    norm(&mut add, "_bn1", 1280);
    add("_fc.weight".into(), &[1000, 1280]);
    add("_fc.bias".into(), &[1000]);
    tensors
}

#[test]
fn efficientnet_is_told_from_the_state_dictionary_of_its_package() {
    let kind = ComparatorKind::efficientnet_lite0();
    let tensors = efficientnet();
    assert_eq!(tensors.len(), 296, "as many as in the published file");
    let counters =
        tensors.iter().filter(|(name, ..)| name.ends_with("num_batches_tracked")).count();
    let half = ImportOptions { half: true, ..Default::default() };
    let report = imported(&tensors, &half).expect("all of its tensors");
    assert_eq!(report.net, Net::Comparator(kind.clone()));
    assert_eq!(report.used().count(), tensors.len() - counters);
    // Every tensor keeps its name.
    for line in report.used() {
        assert!(
            matches!(&line.fate, Fate::Used(name, shape) if *name == line.blob && *shape == line.shape)
        );
    }
    // A classifier of other classes leaves the network before it; a missing block does not.
    let mut other = tensors.clone();
    other.retain(|(name, ..)| name != "_fc.bias");
    let fc = other.iter_mut().find(|(name, ..)| name == "_fc.weight").expect("a classifier");
    (fc.1, fc.2) = (vec![2, 1280], vec![0.5; 2 * 1280]);
    let report = named(&other, &kind).expect("the network before its classifier");
    assert_eq!(report.used().count(), tensors.len() - counters - 2);
    let mut hole = tensors;
    hole.retain(|(name, ..)| !name.starts_with("_blocks.7."));
    let message = named(&hole, &kind).expect_err("a missing block");
    assert!(
        message.contains("_blocks.7._expand_conv.weight [480, 80, 1, 1]: missing"),
        "{message}"
    );
}
