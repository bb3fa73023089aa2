"""PyTorch's side of `cargo xtask bench step`: one training step for each line of input.

The networks and the order of updates are those of step_server (crates/deepsim-train/examples). With
--check it takes the weights and images that step_server wrote, makes two steps without dropout and
says what the losses were.
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from serve import main, serve, timed

REAL, GENERATED = 0, 1
SLOPE = 0.3


def modules(table):
    return nn.ModuleDict(dict(table))


def conv3(inputs, out, stride=1, bias=True):
    return nn.Conv2d(inputs, out, 3, stride, 1, bias=bias)


def up(inputs, out):
    return nn.ConvTranspose2d(inputs, out, 4, 2, 1, bias=False)


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = modules([
            ("c1", nn.Conv2d(3, 32, 5, 2, 2)), ("c2", conv3(32, 64)), ("c3", conv3(64, 64, 2)),
            ("c4", conv3(64, 128)), ("c5", conv3(128, 128, 2)), ("c6", conv3(128, 64)),
            ("c7", conv3(64, 8))])
        self.decoder = modules([
            ("c1", conv3(8, 64, bias=False)), ("c2", conv3(64, 128, bias=False)),
            ("u1", up(128, 64)), ("c3", conv3(64, 64, bias=False)), ("u2", up(64, 32)),
            ("c4", conv3(32, 32, bias=False)), ("u3", up(32, 3))])

    def forward(self, x):
        for name, layer in self.encoder.items():
            x = layer(x) if name == "c7" else F.leaky_relu(layer(x), SLOPE)
        for name, layer in self.decoder.items():
            x = layer(x) if name == "u3" else F.leaky_relu(layer(x), SLOPE)
        return x


class Inverter(nn.ModuleDict):
    """The generator that inverts FC6; its output is cropped to the 227 pixels that are compared."""

    def __init__(self):
        super().__init__(dict([
            ("defc7", nn.Linear(4096, 4096)), ("defc6", nn.Linear(4096, 4096)),
            ("defc5", nn.Linear(4096, 4096)), ("deconv5", up(256, 256)),
            ("conv5_1", conv3(256, 512, bias=False)), ("deconv4", up(512, 256)),
            ("conv4_1", conv3(256, 256, bias=False)), ("deconv3", up(256, 128)),
            ("conv3_1", conv3(128, 128, bias=False)), ("deconv2", up(128, 64)),
            ("deconv1", up(64, 32)), ("deconv0", up(32, 3))]))

    def forward(self, x):
        for name, layer in self.items():
            x = layer(x) if name == "deconv0" else F.leaky_relu(layer(x), SLOPE)
            if name == "defc5":
                x = x.view(-1, 256, 4, 4)
        return x[:, :, 14:241, 14:241]


class Discriminator(nn.ModuleDict):
    def __init__(self, stride, dropout):
        super().__init__(dict([
            ("conv1", nn.Conv2d(3, 32, 7, stride)), ("conv2", nn.Conv2d(32, 64, 5)),
            ("conv3", nn.Conv2d(64, 128, 3, 2)), ("conv4", nn.Conv2d(128, 256, 3)),
            ("conv5", nn.Conv2d(256, 256, 3, 2)), ("fc1", nn.Linear(256, 512)),
            ("fc2", nn.Linear(512, 2))]))
        self.dropout = dropout

    def forward(self, x):
        for i in range(1, 6):
            x = F.relu(self[f"conv{i}"](x))
        x = F.dropout(x.mean((2, 3)), self.dropout)
        x = F.dropout(F.relu(self["fc1"](x)), self.dropout)
        return self["fc2"](x)


def norm(x):
    return F.local_response_norm(x, 5, 1e-4, 0.75, 1.0)


def pool(x):
    return F.max_pool2d(x, 3, 2, ceil_mode=True)


class Trunk(nn.ModuleDict):
    """AlexNet's convolutions: CONV3 of AlexNet, or CONV5 of CaffeNet, which pools first."""

    def __init__(self, tap):
        super().__init__(dict([
            ("conv1", nn.Conv2d(3, 96, 11, 4)), ("conv2", nn.Conv2d(96, 256, 5, 1, 2, groups=2)),
            ("conv3", nn.Conv2d(256, 384, 3, 1, 1)),
            ("conv4", nn.Conv2d(384, 384, 3, 1, 1, groups=2)),
            ("conv5", nn.Conv2d(384, 256, 3, 1, 1, groups=2))]))
        self.tap = tap

    def forward(self, x):
        after = (lambda x: pool(norm(x))) if self.tap == 3 else (lambda x: norm(pool(x)))
        for i in range(1, self.tap + 1):
            x = F.relu(self[f"conv{i}"](x))
            x = after(x) if i <= 2 else x
        return pool(x) if self.tap == 5 else x


# Weights of the adversarial, the feature and the image term.
WEIGHTS = dict(autoencoder=(100.0, 5e-4, 2.5e-5), fc6=(100.0, 0.01, 2e-6))


def half_squared(a, b):
    return F.mse_loss(a, b, reduction="sum") / (2 * len(a))


class Training:
    def __init__(self, net, folder, check, best):
        dropout = 0.0 if check else 0.5
        if net == "autoencoder":
            self.generator, self.discriminator = Autoencoder(), Discriminator(2, dropout)
            self.comparator = Trunk(3)
        else:
            self.generator, self.discriminator = Inverter(), Discriminator(4, dropout)
            self.comparator = Trunk(5)
        self.comparator.load_state_dict(load_file(folder / "comparator.safetensors"))
        self.comparator.requires_grad_(False)
        if check:
            for name in ["generator", "discriminator"]:
                getattr(self, name).load_state_dict(load_file(folder / f"{name}.safetensors"))
        self.real = load_file(folder / "images.safetensors")["images"]
        if best:
            for network in [self.generator, self.discriminator, self.comparator]:
                network.to(memory_format=torch.channels_last)
            self.real = self.real.contiguous(memory_format=torch.channels_last)
        codes = folder / "codes.safetensors"
        self.source = self.real if net == "autoencoder" else load_file(codes)["codes"]
        self.weights = WEIGHTS[net]
        self.labels = [torch.full((len(self.real),), label) for label in (REAL, GENERATED)]
        self.adams = [adam(self.generator, 0.0, best), adam(self.discriminator, 4e-4, best)]

    def judge(self, images, label):
        return F.cross_entropy(self.discriminator(images), self.labels[label])

    def step(self):
        for_generator, for_discriminator = self.adams
        output = self.generator(self.source)
        # The discriminator on real and on generated images; one update for both.
        self.discriminator.requires_grad_(True)
        real, generated = self.judge(self.real, REAL), self.judge(output.detach(), GENERATED)
        for_discriminator.zero_grad(set_to_none=True)
        (real + generated).backward()
        for_discriminator.step()
        # The generator, before the updated discriminator.
        self.discriminator.requires_grad_(False)
        with torch.no_grad():
            wanted = self.comparator(self.real)
        terms = [self.judge(output, REAL), half_squared(self.comparator(output), wanted),
                 half_squared(output, self.real)]
        for_generator.zero_grad(set_to_none=True)
        sum(weight * term for weight, term in zip(self.weights, terms)).backward()
        for_generator.step()
        return [loss.item() for loss in [real, generated, *terms]]


def adam(network, decay, fused):
    parameters = list(network.parameters())
    # None is what one gets who does not ask.
    adam = torch.optim.Adam(parameters, 2e-4, weight_decay=decay, fused=True if fused else None)
    for p in parameters:
        # Caffe counts the iteration before it computes the update: the first t is 2.
        adam.state[p] = dict(step=torch.tensor(1.0), exp_avg=torch.zeros_like(p),
                             exp_avg_sq=torch.zeros_like(p))
    return adam


def run():
    parser = argparse.ArgumentParser()
    parser.add_argument("--net", choices=["autoencoder", "fc6"], required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--best", action="store_true", help="channels last, fused Adam")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    training = Training(arguments.net, arguments.folder, arguments.check, arguments.best)
    losses = [training.step() for _ in range(2 if arguments.check else 1)]
    counts = {name: sum(p.numel() for p in getattr(training, name).parameters())
              for name in ["generator", "discriminator", "comparator"]}
    facts = dict(parameters=counts, losses=losses, torch=torch.__version__)
    serve(facts, lambda _: timed(training.step))


if __name__ == "__main__":
    main(run)
