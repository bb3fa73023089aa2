"""The networks of `cargo xtask bench step`, with the names that weights have on our side."""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F

LEAKY, RELU = nn.LeakyReLU(0.3), nn.ReLU()
POOL = nn.MaxPool2d(3, 2, ceil_mode=True)
NORM = nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0)


class Call(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.forward = function


def stack(*rows):
    """Rows one after the other; those with weights have names."""
    named = [row if isinstance(row, tuple) else (f"row{i}", row) for i, row in enumerate(rows)]
    return nn.Sequential(OrderedDict(named))


def conv3(inputs, out, stride=1, bias=True, kind=nn.Conv2d):
    return kind(inputs, out, 3, stride, 1, bias=bias)


def up(inputs, out):
    return nn.ConvTranspose2d(inputs, out, 4, 2, 1, bias=False)


def contracting():
    return [("c1", nn.Conv2d(3, 32, 5, 2, 2)), LEAKY, ("c2", conv3(32, 64)), LEAKY,
            ("c3", conv3(64, 64, 2)), LEAKY, ("c4", conv3(64, 128)), LEAKY,
            ("c5", conv3(128, 128, 2)), LEAKY, ("c6", conv3(128, 64)), LEAKY]


def expanding(inputs):
    return [("c1", conv3(inputs, 64, bias=False)), LEAKY, ("c2", conv3(64, 128, bias=False)), LEAKY,
            ("u1", up(128, 64)), LEAKY, ("c3", conv3(64, 64, bias=False)), LEAKY,
            ("u2", up(64, 32)), LEAKY, ("c4", conv3(32, 32, bias=False)), LEAKY, ("u3", up(32, 3))]


def autoencoder():
    encoder = stack(*contracting(), ("c7", conv3(64, 8)))
    return stack(("encoder", encoder), ("decoder", stack(*expanding(8))))


class Variational(nn.Module):
    """Images and noise to images, means and logarithms of variances. `unit` is grey levels in a unit of
    its pixels."""

    def __init__(self, encoder, maps, latent, decoder, unit):
        super().__init__()
        self.encoder, self.decoder, self.unit = nn.Module(), decoder, unit
        self.rows = []
        for row in encoder:
            name, module = row if isinstance(row, tuple) else (None, row)
            if name:
                self.encoder.add_module(name, module)
            self.rows.append(module)
        self.encoder.mean, self.encoder.log_variance = (nn.Linear(maps, latent) for _ in range(2))
        nn.init.zeros_(self.encoder.log_variance.weight)

    def forward(self, x, noise):
        x = x / self.unit
        for row in self.rows:
            x = row(x)
        mean, log_variance = self.encoder.mean(x.flatten(1)), self.encoder.log_variance(x.flatten(1))
        code = mean + noise * (log_variance / 2).exp()
        return self.decoder(code) * self.unit, mean, log_variance


def small_variational(latent=128):
    decoder = stack(("fc", nn.Linear(latent, 64 * 8 * 8)), LEAKY, nn.Unflatten(1, (64, 8, 8)),
                    *expanding(64))
    return Variational(contracting(), 64 * 8 * 8, latent, decoder, 64.0)


def variational(latent=4096):
    return Variational(caffenet(), 256 * 6 * 6, latent, from_vector(latent), 1.0)


def upconvolutions(inputs):
    """4x4 maps to an image, cropped to the 227 pixels that are compared. 3x3 convolutions are stored as
    transposed ones in the released networks."""
    rows = []
    for name, out in [("deconv5", 256), ("conv5_1", 512), ("deconv4", 256), ("conv4_1", 256),
                      ("deconv3", 128), ("conv3_1", 128), ("deconv2", 64), ("deconv1", 32)]:
        same = name.endswith("_1")
        layer = conv3(inputs, out, bias=False, kind=nn.ConvTranspose2d) if same else up(inputs, out)
        rows, inputs = [*rows, (name, layer), LEAKY], out
    return [*rows, ("deconv0", up(inputs, 3)), Call(lambda x: x[:, :, 14:241, 14:241])]


def from_vector(features):
    """The generator that inverts FC6, FC7 or FC8."""
    return stack(
        ("defc7", nn.Linear(features, 4096)), LEAKY, ("defc6", nn.Linear(4096, 4096)), LEAKY,
        ("defc5", nn.Linear(4096, 4096)), LEAKY, nn.Unflatten(1, (256, 4, 4)),
        *upconvolutions(256))


def from_pool5():
    """The generator that inverts CONV5."""
    return stack(
        ("Rconv6", conv3(256, 512)), LEAKY, ("Rconv7", conv3(512, 512)), LEAKY,
        ("Rconv8", nn.Conv2d(512, 512, 3)), LEAKY, *upconvolutions(512))


class Discriminator(nn.ModuleDict):
    """Of images, and of features if there are any."""

    def __init__(self, stride, features, dropout):
        rows = [
            ("conv1", nn.Conv2d(3, 32, 7, stride)), ("conv2", nn.Conv2d(32, 64, 5)),
            ("conv3", nn.Conv2d(64, 128, 3, 2)), ("conv4", nn.Conv2d(128, 256, 3)),
            ("conv5", nn.Conv2d(256, 256, 3, 2))]
        if features:
            rows += [("feature_fc1", nn.Linear(features, 1024)),
                     ("feature_fc2", nn.Linear(1024, 512))]
        rows += [("fc1", nn.Linear(768 if features else 256, 512)), ("fc2", nn.Linear(512, 2))]
        super().__init__(dict(rows))
        self.dropout = dropout

    def forward(self, x, features):
        for i in range(1, 6):
            x = F.relu(self[f"conv{i}"](x))
        x = x.mean((2, 3))
        if "feature_fc1" in self:
            f = F.relu(self["feature_fc1"](features.flatten(1)))
            x = torch.cat([x, F.relu(self["feature_fc2"](f))], 1)
        x = F.dropout(x, self.dropout)
        x = F.dropout(F.relu(self["fc1"](x)), self.dropout)
        return self["fc2"](x)


def alexnet_conv3():
    return stack(
        ("conv1", nn.Conv2d(3, 96, 11, 4)), RELU, NORM, POOL,
        ("conv2", nn.Conv2d(96, 256, 5, 1, 2, groups=2)), RELU, NORM, POOL,
        ("conv3", conv3(256, 384)), RELU)


def caffenet():
    """Rows to pool5; it pools before it normalises."""
    return [
        ("conv1", nn.Conv2d(3, 96, 11, 4)), RELU, POOL, NORM,
        ("conv2", nn.Conv2d(96, 256, 5, 1, 2, groups=2)), RELU, POOL, NORM,
        ("conv3", conv3(256, 384)), RELU,
        ("conv4", nn.Conv2d(384, 384, 3, 1, 1, groups=2)), RELU,
        ("conv5", nn.Conv2d(384, 256, 3, 1, 1, groups=2)), RELU, POOL]


def caffenet_head(layers, fc7=4096):
    """Rows after pool5 with as many fully connected layers; no activation follows the third."""
    sizes = [256 * 6 * 6, 4096, fc7, 1000]
    rows = [nn.Flatten()] if layers else []
    for i in range(layers):
        rows += [(f"fc{6 + i}", nn.Linear(sizes[i], sizes[i + 1])), RELU]
    return rows[:6]


def exemplar_cnn():
    """Rows to CONV3."""
    return [
        ("conv1", nn.Conv2d(3, 64, 5, 1, 2)), RELU, POOL,
        ("conv2", nn.Conv2d(64, 128, 5, 1, 2)), RELU, POOL,
        ("conv3", nn.Conv2d(128, 256, 5, 1, 2)), RELU]


def exemplar_comparator():
    # Caffe's BGR to the RGB in 1/256 that it was trained with; both are minus the same mean.
    return stack(Call(lambda x: x.flip(1) / 256), *exemplar_cnn())


def exemplar_classifier(drop, classes=16_000):
    return stack(*exemplar_cnn(), ("fc4", nn.Conv2d(256, 512, 8)), RELU, nn.Flatten(), Call(drop),
                 ("classifier", nn.Linear(512, classes)))


def videonet():
    """Features of length 1."""
    length = Call(lambda x: x / (x.square().sum(1, keepdim=True) + 1e-12).sqrt())
    return stack(*caffenet(), *caffenet_head(2, 1024), length)
