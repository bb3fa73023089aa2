//! The numbers that the paper prints (v1).
//!
//! Every value is RECALLED from memory of the paper and not yet checked against a copy; `tag` says how far it can be
//! trusted, and is printed wherever a value is.
//!
//! The paper has no `tolerance`: it is ours, and says how far another training may be off because of its seed, the
//! choice of crops and the digits that are printed. It counts only on the paper's data and scale.

use deepsim_eval::measure::error::IMAGE_SPACE;

use super::{Column, Printed, Quantity};

/// Row of Table 4.
pub(crate) const CODE: &str = "code of the whole image";

const fn printed(run: &'static str, value: f64) -> Printed {
    Printed { run, value, spread: None }
}

const fn spread(run: &'static str, value: f64, spread: f64) -> Printed {
    Printed { run, value, spread: Some(spread) }
}

/// Table 3.
pub(super) const TABLE3: Column = Column {
    title: "image space",
    unit: "%",
    tag: "RECALLED, low-medium confidence, unverified",
    // Printed to a tenth, without a spread.
    tolerance: 1.0,
    measure: "error",
    quantity: Quantity::Named(IMAGE_SPACE),
    printed: &[
        printed("autoencoder-se", 15.3),
        printed("autoencoder-l1", 15.7),
        printed("autoencoder-exemplar-cnn-conv3", 19.8),
        printed("autoencoder-alexnet-conv3", 19.5),
    ],
};

/// Table 4.
pub(super) const TABLE4: Column = Column {
    title: CODE,
    unit: "%",
    tag: "RECALLED, low confidence, unverified",
    // Over folds, the paper prints ± 0.4 to 0.6: about four times that.
    tolerance: 2.0,
    measure: "svm",
    quantity: Quantity::Named(CODE),
    printed: &[
        spread("autoencoder-se", 34.6, 0.6),
        spread("autoencoder-l1", 35.7, 0.4),
        printed("autoencoder-exemplar-cnn-conv3", 50.1),
        spread("autoencoder-alexnet-conv3", 52.3, 0.6),
    ],
};

/// Table 6, which is v2's Table 2, image space.
pub(super) const TABLE6_IMAGE: Column = Column {
    title: "image space",
    unit: "%",
    tag: "RECALLED, high confidence for v2, unverified",
    // Printed to a whole percent.
    tolerance: 2.0,
    measure: "error",
    quantity: Quantity::Named(IMAGE_SPACE),
    printed: &[
        printed("mahendran-vedaldi-CONV5", 71.0),
        printed("mahendran-vedaldi-FC6", 80.0),
        printed("mahendran-vedaldi-FC7", 82.0),
        printed("mahendran-vedaldi-FC8", 84.0),
        printed("inversion-conv5-plain", 35.0),
        printed("inversion-fc6-plain", 51.0),
        printed("inversion-fc7-plain", 56.0),
        printed("inversion-fc8-plain", 58.0),
        printed("inversion-fc6-image", 46.0),
        printed("inversion-conv5", 43.0),
        printed("inversion-fc6", 55.0),
        printed("inversion-fc7", 61.0),
        printed("inversion-fc8", 63.0),
        printed("inversion-fc6-videonet", 51.0),
    ],
};

/// Table 6, feature space of the inverted layer.
pub(super) const TABLE6_FEATURE: Column = Column {
    title: "feature space of the inverted layer",
    quantity: Quantity::Inverted,
    printed: &[
        printed("mahendran-vedaldi-CONV5", 19.0),
        printed("mahendran-vedaldi-FC6", 19.0),
        printed("mahendran-vedaldi-FC7", 16.0),
        printed("mahendran-vedaldi-FC8", 9.0),
        printed("inversion-fc6-image", 79.0),
        printed("inversion-conv5", 37.0),
        printed("inversion-fc6", 48.0),
        printed("inversion-fc7", 45.0),
        printed("inversion-fc8", 29.0),
        printed("inversion-fc6-videonet", 57.0),
    ],
    ..TABLE6_IMAGE
};
