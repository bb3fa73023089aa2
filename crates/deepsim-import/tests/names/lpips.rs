//! Files of LPIPS: the trunk within them, and its heads.

use std::path::Path;

use deepsim_import::{ImportOptions, Net, import};

use super::{TORCH, Tensors, filled, guessed, imported, named, renamed};

#[test]
fn the_trunk_within_a_file_of_lpips_is_read_and_so_are_its_heads() {
    let mut tensors: Tensors = vec![("scaling_layer.shift".into(), vec![1, 3, 1, 1], vec![0.0; 3])];
    let trunk = filled(&TORCH).into_iter().filter(|(name, ..)| name.starts_with("features."));
    tensors.extend(renamed(trunk.collect(), |name| {
        let rest = name.strip_prefix("features.").expect("features");
        let number: usize = rest.split('.').next().expect("a number").parse().expect("a number");
        format!("net.slice{}.{rest}", 1 + number / 3)
    }));
    for (i, channels) in [64, 128, 256, 384, 384, 512, 512].into_iter().enumerate() {
        for name in [format!("lin{i}.model.1.weight"), format!("lins.{i}.model.1.weight")] {
            tensors.push((name, vec![1, channels, 1, 1], vec![0.1; channels]));
        }
    }
    let report = named(&tensors, &TORCH).expect("the trunk");
    assert_eq!((report.used().count(), report.prefix.as_deref()), (50, Some("net.")));
    let message = guessed(&tensors).expect_err("two networks");
    assert!(message.contains("fit lpips-squeeze, squeezenet-torchvision"), "{message}");
    // Unpublished heads are read if the user asks for them, with a note.
    let net = Some(Net::LpipsSqueeze);
    let report =
        imported(&tensors, &ImportOptions { net, ..Default::default() }).expect("the heads");
    assert!(report.notes.concat().contains("of no published LPIPS"), "{:?}", report.notes);
}

#[test]
fn heads_of_lpips_are_known_by_their_values() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for (name, said) in [
        ("alex", "LPIPS v0.1 for AlexNet"),
        ("squeeze", "LPIPS v0.1 for SqueezeNet"),
        ("vgg", "LPIPS v0.1 for VGG"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let file = fixtures.join(format!("lpips-{name}.pth"));
        let options = ImportOptions { half: true, ..Default::default() };
        let report = import(&file, folder.path(), &options).expect(name);
        assert!(report.notes.concat().contains(said), "{:?}", report.notes);
        // In half precision they are the same.
        let options = ImportOptions { net: Some(report.net), ..Default::default() };
        let again = import(&report.output, folder.path(), &options).expect(name);
        assert!(again.notes.concat().contains(said), "{:?}", again.notes);
    }
    // Others of the same names and shapes are not taken for them.
    let heads = [64, 192, 384, 256, 256].into_iter().enumerate();
    let heads =
        heads.map(|(i, n)| (format!("lin{i}.model.1.weight"), vec![1, n, 1, 1], vec![0.5; n]));
    let message = guessed(&heads.collect()).expect_err("other heads");
    assert!(message.contains("expected the heads of LPIPS v0.1"), "{message}");
}
