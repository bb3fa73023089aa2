//! Comparators that come with the crate: one row for each.

use std::sync::LazyLock;

use super::kind::ComparatorKind;
use super::spec::ComparatorSpec;
use crate::alexnet::{self, Order};
use crate::image::PixelFormat;
use crate::vgg::{self, Form, VGG16, VGG19};
use crate::{efficientnet, exemplar_cnn, resnet, squeezenet};

/// Declares the constructor of each network and the list of all.
macro_rules! built_in {
    ($($(#[$doc:meta])* $function:ident => $spec:expr;)*) => {
        impl ComparatorKind {
            $(
                $(#[$doc])*
                pub fn $function() -> Self {
                    static KIND: LazyLock<ComparatorKind> =
                        LazyLock::new(|| ComparatorKind::new($spec).expect("a table of this crate"));
                    KIND.clone()
                }
            )*

            /// Returns all networks that come with the crate.
            pub fn all() -> Vec<Self> {
                vec![$(Self::$function()),*]
            }
        }
    };
}

const CAFFE: PixelFormat = PixelFormat::CAFFE_BGR;

built_in! {
    /// AlexNet, normalisation before pooling (BVLC AlexNet).
    alexnet => ComparatorSpec::new("alexnet", alexnet::layers(Order::NormPool), &alexnet::taps(Order::NormPool), CAFFE)
        .file("alexnet_conv1-5_caffe_bgr.safetensors");
    /// AlexNet's convolutions under a small head of another task, where the real one is not at hand.
    alexnet_stand_in => ComparatorSpec::new("alexnet-stand-in", alexnet::stand_in(), &alexnet::taps(Order::NormPool)[..8], CAFFE)
        .file("alexnet_head_imagenette10_f16.safetensors")
        .trunk("alexnet");
    /// AlexNet, pooling before normalisation (BVLC CaffeNet).
    caffenet => ComparatorSpec::new("caffenet", alexnet::layers(Order::PoolNorm), &alexnet::taps(Order::PoolNorm), CAFFE);
    /// torchvision's AlexNet, without normalisation.
    alexnet_torchvision => ComparatorSpec::new(
        "alexnet-torchvision", alexnet::torchvision(), &alexnet::taps(Order::NormPool), PixelFormat::TORCHVISION)
        .aliases(alexnet::TORCHVISION_ALIASES);
    /// CaffeNet with fc7 of 1024, trained on tracked patches of videos (Wang & Gupta 2015).
    videonet => ComparatorSpec::new("videonet", alexnet::videonet(), &alexnet::taps(Order::PoolNorm)[..7], CAFFE);
    /// A network of AlexNet's shape up to pool5, without normalisations, that was trained without labels: it
    /// tells pictures apart. It is not AlexNet.
    alexnet_instance => ComparatorSpec::new(
        "alexnet-instance", alexnet::to_train(), &alexnet::taps(Order::NormPool)[..5], PixelFormat::TORCHVISION)
        .shipped();
    /// Exemplar-CNN 64c5-128c5-256c5-512f.
    exemplar_cnn => ComparatorSpec::new("exemplar-cnn", exemplar_cnn::layers(), &exemplar_cnn::TAPS, exemplar_cnn::FORMAT)
        .shipped()
        // The layer is fully connected in the release, and a convolution here.
        .aliases([("fc6", "fc4")]);
    /// SqueezeNet 1.0, to measure with.
    squeezenet => ComparatorSpec::new("squeezenet", squeezenet::layers(), &squeezenet::TAPS, CAFFE)
        .file("squeezenet_v1.0_deepcompressed.safetensors")
        .aliases(squeezenet::aliases());
    /// torchvision's SqueezeNet 1.1, to measure with.
    squeezenet_torchvision => ComparatorSpec::new(
        "squeezenet-torchvision", squeezenet::torchvision(), &squeezenet::TORCHVISION_TAPS, PixelFormat::TORCHVISION);
    /// EfficientNet-Lite0, an independent judge whose weights come with the project.
    efficientnet_lite0 => ComparatorSpec::new(
        "efficientnet-lite0", efficientnet::layers(), &efficientnet::TAPS, efficientnet::FORMAT)
        .input(efficientnet::INPUT)
        .shipped();
    /// torchvision's VGG16. Weights of the authors' Caffe model do not fit it: see [`ComparatorKind::vgg16_caffe`].
    vgg16 => vgg::spec("vgg16", VGG16, Form::Torchvision);
    /// torchvision's VGG19.
    vgg19 => vgg::spec("vgg19", VGG19, Form::Torchvision);
    /// The authors' VGG16, for Caffe: BGR minus a mean.
    vgg16_caffe => vgg::spec("vgg16-caffe", VGG16, Form::Caffe);
    /// The authors' VGG19, for Caffe.
    vgg19_caffe => vgg::spec("vgg19-caffe", VGG19, Form::Caffe);
    /// torchvision's ResNet-18.
    resnet18 => ComparatorSpec::new("resnet18", resnet::layers(), &resnet::TAPS, PixelFormat::TORCHVISION);
}
