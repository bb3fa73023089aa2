//! The heads of LPIPS, recognised by their values: other versions have the same names and shapes.

use sha2::{Digest, Sha256};

/// SHA-256 of all weights in the order of the layers, rounded to half precision, so that a file in
/// half precision is recognised too.
const KNOWN: [(&str, &str); 8] = [
    (ALEX, "LPIPS v0.1 for AlexNet"),
    (SQUEEZE, "LPIPS v0.1 for SqueezeNet"),
    (VGG, "LPIPS v0.1 for VGG"),
    ("decc708ec1e5f000d3b1eb41e8c298b6c33539e2702a0872612086862ccd99e7", "LPIPS v0.0 for AlexNet"),
    (
        "3f20273ddaf03f19a92df04f3316ad32f37dff9750c97c123eede038bce25719",
        "LPIPS v0.0 for SqueezeNet",
    ),
    ("dcd5e04ad661c48360472a072b619e4412e0c4cba864b5039cc4c7ac7d628f6f", "LPIPS v0.0 for VGG"),
    (
        "563cb4732d6cea1945a012f45c92989d4a3e8edc7eec0bca09957d67f23854f8",
        "ST-LPIPS (shift-tolerant), whose AlexNet has other layers",
    ),
    (
        "a4b949a9ac2b8026bbb7f236a661a0063d3e7e539c3f978db95b4ee4385c2443",
        "ST-LPIPS (shift-tolerant) for VGG",
    ),
];
const ALEX: &str = "b0d9aa4ad103d9450eeea97ffdfc31c2f964913cb7a741271a8ee383c28f37f4";
const SQUEEZE: &str = "649021946eb2dd2b18f68772760d7065da88690a7238b16acfeb9af6020e06da";
const VGG: &str = "2167ded413030074e935b22da775c5d56f144682c1290e1cf3f48c8d61fa2c1c";

/// Names the published heads that these weights are, and tells whether they are of version 0.1 for a network here.
pub(crate) fn identify<'a>(heads: impl Iterator<Item = &'a [f32]>) -> Option<(&'static str, bool)> {
    let mut hash = Sha256::new();
    for value in heads.flatten() {
        hash.update(half::f16::from_f32(*value).to_le_bytes());
    }
    let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let known = KNOWN.iter().find(|(known, _)| *known == hash);
    known.map(|(hash, what)| (*what, [ALEX, SQUEEZE, VGG].contains(hash)))
}
