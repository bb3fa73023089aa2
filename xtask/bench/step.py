"""PyTorch's side of `cargo xtask bench step`: one training step for each line of input.

The networks and the order of updates are those of step_server (crates/deepsim-train/examples). With
--check it takes the weights and images that step_server wrote, makes two steps without dropout and
says what the losses were. A request is a number of steps.
"""

import argparse
import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

import nets
from serve import main, peak_memory, serve, timed

REAL, GENERATED = 0, 1


def finite(value):
    """JSON has no other numbers."""
    return value if math.isfinite(value) else None


def half_squared(a, b):
    return F.mse_loss(a, b, reduction="sum") / (2 * len(a))


def absolute(a, b):
    return F.l1_loss(a, b, reduction="sum") / len(a)


def diverged(mean, log_variance):
    """Of N(mean, variance) from N(0, 1)."""
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum() / (2 * len(mean))


@dataclass
class Way:
    """How PyTorch computes."""

    device: str = "cpu"
    precision: str = "f32"
    # Channels last, fused optimisers.
    best: bool = False
    compiled: bool = False

    def prepare(self):
        """For the whole process."""
        torch.set_float32_matmul_precision("high" if self.precision == "tf32" else "highest")
        torch.backends.cudnn.allow_tf32 = self.precision == "tf32"
        torch.backends.cudnn.benchmark = True

    def network(self, network):
        if self.best:
            network.to(memory_format=torch.channels_last)
        network.to(self.device)
        if self.compiled:
            # Else the first network's shapes would make those of the next one symbols, which is slower.
            network.compile(dynamic=False)
        return network

    def function(self, function):
        return torch.compile(function, dynamic=False) if self.compiled else function

    def images(self, images):
        layout = torch.channels_last if self.best else torch.contiguous_format
        return images.to(self.device).contiguous(memory_format=layout)

    def casts(self):
        """Around forward passes; losses are computed from f32 in any case."""
        return torch.autocast(self.device, torch.bfloat16) if self.precision == "bf16" else nullcontext()


@dataclass
class Generating:
    """A recipe of a generator: what makes its networks, and its numbers."""

    generator: Callable
    # What it is given: the images, or features of them.
    source: str
    weight: float
    distance: Callable = half_squared
    # The comparator, which the encoder begins with, and what follows in the encoder.
    trunk: Callable | None = None
    head: Callable | None = None
    feature: float | None = None
    # Stride of the discriminator, and how many features it is given beside the image.
    stride: int | None = None
    features: int = 0
    decay: float = 0.0
    # Of a variational autoencoder: numbers of a code, and the weight of its divergence.
    latent: int = 0
    divergence: float = 0.0

    def training(self, *arguments):
        return GeneratorTraining(self, *arguments)


@dataclass
class Learning:
    """A recipe of a comparator: its network, its loss, and SGD."""

    network: Callable
    loss: Callable
    decay: float
    # Factors of rate and decay by name.
    multipliers: Callable

    def training(self, *arguments):
        return LearnerTraining(self, *arguments)


def autoencoder(**others):
    return Generating(nets.autoencoder, "images", **others)


def vae(generator, latent, divergence, **others):
    return Generating(generator, "images", latent=latent, divergence=divergence, **others)


def inversion(generator, features, deeper, adversary=True, decay=0.0):
    """With as many fully connected layers of the encoder after pool5."""
    rest = dict(feature=0.01, stride=4, features=features) if adversary else {}
    return Generating(generator, "features", 2e-6, trunk=lambda: nets.stack(*nets.caffenet()),
                      head=lambda: nets.stack(*nets.caffenet_head(deeper)), decay=decay,
                      **rest)


def of_exemplar_cnn(name):
    layer, kind = name.split(".")
    if kind == "bias":
        return 2.0, 0.0
    return {"conv1": (1.0, 0.0), "conv2": (1.0, 0.0), "conv3": (1.0, 0.25),
            "classifier": (0.25, 4.0)}.get(layer, (1.0, 1.0))


def of_videonet(name):
    return (2.0, 0.0) if name.endswith(".bias") else (1.0, 1.0)


def ranking(features, _, margin=0.01, negatives=4):
    """Rows are anchor, positive, anchor, ...; negatives are the most similar rows of other pairs."""
    similar = features @ features.T
    pair = torch.arange(len(similar) // 2, device=similar.device)
    anchors, positives = similar[0::2], similar[1::2]
    wanted = anchors[pair, 2 * pair + 1, None]
    others = anchors.detach().clone()
    others[pair, 2 * pair] = others[pair, 2 * pair + 1] = -torch.inf
    chosen = others.topk(negatives, 1).indices
    hinges = [F.relu(rows.gather(1, chosen) - wanted + margin) for rows in (anchors, positives)]
    # Only those of other pairs that are too similar to the anchor are negatives.
    open = others.gather(1, chosen) - wanted + margin > 0
    return (open * sum(hinges)).sum() / (2 * negatives * len(pair))


FC6 = partial(nets.from_vector, 4096)
RECIPES = {
    "autoencoder": autoencoder(weight=2.5e-5, trunk=nets.alexnet_conv3, feature=5e-4, stride=2),
    "autoencoder-se": autoencoder(weight=2.5e-5),
    "autoencoder-l1": autoencoder(weight=1e-3, distance=absolute),
    "autoencoder-exemplar-cnn-conv3": autoencoder(
        weight=2.5e-5, trunk=nets.exemplar_comparator, feature=5e-4, stride=2),
    "vae-small-alexnet-conv3": vae(nets.small_variational, 128, 2.0, weight=2.5e-5,
                                   trunk=nets.alexnet_conv3, feature=5e-4, stride=2),
    "vae-alexnet-conv5": vae(nets.variational, 4096, 20.0, weight=2e-6, feature=0.01, stride=4,
                             trunk=lambda: nets.stack(*nets.caffenet())),
    "inversion-conv5": inversion(nets.from_pool5, 256 * 6 * 6, 0, decay=4e-4),
    "inversion-fc6": inversion(FC6, 4096, 1),
    "inversion-fc6-image": inversion(FC6, 4096, 1, adversary=False),
    "inversion-fc8": inversion(partial(nets.from_vector, 1000), 1000, 3),
    "exemplar-cnn": Learning(nets.exemplar_classifier, F.cross_entropy, 0.004, of_exemplar_cnn),
    "videonet-stills": Learning(nets.videonet, ranking, 5e-4, of_videonet),
}


def load(folder, name):
    return load_file(folder / f"{name}.safetensors")


class GeneratorTraining:
    def __init__(self, recipe, folder, check, way):
        self.recipe, self.way, dropout = recipe, way, 0.0 if check else 0.5
        self.generator, self.fixed = recipe.generator(), None
        self.discriminator = None
        if recipe.stride:
            self.discriminator = nets.Discriminator(recipe.stride, recipe.features, dropout)
        if recipe.trunk:
            head = recipe.head() if recipe.head else nets.stack()
            self.fixed = nn.ModuleList([recipe.trunk(), head])
            weights = load(folder, "fixed")
            for part in self.fixed:
                part.load_state_dict({name: weights[name] for name in part.state_dict()})
                way.network(part).requires_grad_(False)
        self.trained = {name: network for name in ["generator", "discriminator"]
                        if (network := getattr(self, name))}
        for name, network in self.trained.items():
            if check:
                network.load_state_dict(load(folder, name))
            way.network(network)
        self.real = way.images(load(folder, "images")["images"])
        self.noise = iter(load(folder, "noise")["noise"].to(way.device)
                          if check and recipe.latent else ())
        self.labels = [torch.full((len(self.real),), label, device=way.device)
                       for label in (REAL, GENERATED)]
        functions = recipe.distance, half_squared, diverged
        self.distance, self.half_squared, self.diverged = map(way.function, functions)
        decays = dict(generator=recipe.decay, discriminator=4e-4)
        # A tenth of the recipes' rate, as on the other side.
        rate = 2e-5 if check else 2e-4
        self.adams = {name: adam(network, rate, decays[name], way.best)
                      for name, network in self.trained.items()}

    def networks(self):
        return self.trained | ({"fixed": self.fixed} if self.fixed else {})

    @torch.no_grad()
    def see(self):
        """What the fixed networks see in the images, and what the generator is given."""
        with self.way.casts():
            wanted = self.fixed[0](self.real) if self.fixed else None
            return wanted, self.fixed[1](wanted) if self.recipe.source == "features" else self.real

    def generate(self, given):
        """Images, and the divergence of their codes from N(0, 1) if there is one."""
        if not self.recipe.latent:
            with self.way.casts():
                return self.generator(given), None
        noise = next(self.noise, None)
        if noise is None:
            noise = torch.randn(len(given), self.recipe.latent, device=self.way.device)
        with self.way.casts():
            output, *code = self.generator(given, noise)
        return output, self.diverged(*(numbers.float() for numbers in code))

    def judge(self, images, given, label):
        with self.way.casts():
            scores = self.discriminator(images, given)
        return F.cross_entropy(scores.float(), self.labels[label])

    def step(self):
        wanted, given = self.see()
        output, divergence = self.generate(given)
        losses = {}
        if self.discriminator:
            # The discriminator on real and on generated images; one update for both.
            self.discriminator.requires_grad_(True)
            losses["real"] = self.judge(self.real, given, REAL)
            losses["generated"] = self.judge(output.detach(), given, GENERATED)
            self.update("discriminator", losses["real"] + losses["generated"])
            self.discriminator.requires_grad_(False)
        # The generator, before the updated discriminator.
        terms = {"image": (self.recipe.weight, self.distance(output.float(), self.real))}
        if self.recipe.feature:
            with self.way.casts():
                seen = self.fixed[0](output)
            terms["feature"] = (self.recipe.feature, self.half_squared(seen.float(), wanted.float()))
        if divergence is not None:
            terms["divergence"] = (self.recipe.divergence, divergence)
        if self.discriminator:
            terms["adversarial"] = (100.0, self.judge(output, given, REAL))
        self.update("generator", sum(weight * term for weight, term in terms.values()))
        losses |= {name: term for name, (_, term) in terms.items()}
        # One copy from the device for all of them.
        values = torch.stack([loss.detach() for loss in losses.values()]).tolist()
        return dict(zip(losses, map(finite, values)))

    def update(self, name, loss):
        self.adams[name].zero_grad(set_to_none=True)
        loss.backward()
        self.adams[name].step()


def adam(network, rate, decay, fused):
    parameters = list(network.named_parameters())
    # Of the generators that begin with convolutions only these decay, of other networks all weights.
    begins = any(name.startswith("Rconv") for name, _ in parameters)
    decays = [not begins or (name.startswith("Rconv") and name.endswith(".weight"))
              for name, _ in parameters]
    groups = [dict(params=[p for (_, p), has in zip(parameters, decays) if has == wanted],
                   weight_decay=decay if wanted else 0.0) for wanted in (True, False)]
    # None is what one gets who does not ask.
    adam = torch.optim.Adam(groups, rate, fused=True if fused else None)
    for _, p in parameters:
        # Caffe counts the iteration before it computes the update: the first t is 2.
        adam.state[p] = dict(step=torch.tensor(1.0, device=p.device if fused else None), exp_avg=torch.zeros_like(p),
                             exp_avg_sq=torch.zeros_like(p))
    return adam


class LearnerTraining:
    def __init__(self, recipe, folder, check, way):
        self.way, self.loss, self.masks = way, recipe.loss, iter(())
        drops = recipe.network is nets.exemplar_classifier
        self.network = recipe.network(self.drop) if drops else recipe.network()
        self.labels = load(folder, "labels")["labels"].to(way.device) if drops else None
        if check:
            self.network.load_state_dict(load(folder, "network"))
            self.masks = iter(load(folder, "masks")["masks"].to(way.device) if drops else ())
        way.network(self.network)
        self.images = way.images(load(folder, "images")["images"])
        groups = []
        for name, p in self.network.named_parameters():
            rate, decay = recipe.multipliers(name)
            groups.append(dict(params=[p], lr=0.01 * rate, weight_decay=recipe.decay * decay))
        self.sgd = torch.optim.SGD(groups, momentum=0.9, fused=True if way.best else None)

    def drop(self, x):
        """With the masks of the other side as long as there are any."""
        mask = next(self.masks, None)
        return F.dropout(x, 0.5) if mask is None else x * mask

    def networks(self):
        return {"network": self.network}

    def step(self):
        with self.way.casts():
            output = self.network(self.images)
        loss = self.loss(output.float(), self.labels)
        self.sgd.zero_grad(set_to_none=True)
        loss.backward()
        self.sgd.step()
        return {"ranking" if self.labels is None else "classification": finite(loss.item())}


def libraries():
    """Bytes that PyTorch holds for itself, once all of it that is needed has been loaded."""
    tiny = nn.Conv2d(1, 1, 1)
    optimisers = [torch.optim.Adam(tiny.parameters()), torch.optim.SGD(tiny.parameters())]
    tiny(torch.ones(1, 1, 1, 1)).sum().backward()
    for optimiser in optimisers:
        optimiser.step()
    return peak_memory()


def run():
    parser = argparse.ArgumentParser()
    parser.add_argument("--net", choices=RECIPES, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--best", action="store_true", help="channels last, fused optimisers")
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=["f32", "tf32", "bf16"], default="f32")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    held = libraries()
    way = Way(arguments.device, arguments.precision, arguments.best, arguments.compiled)
    way.prepare()
    recipe = RECIPES[arguments.net]
    training = recipe.training(arguments.folder, arguments.check, way)
    losses = [training.step() for _ in range(2 if arguments.check else 1)]
    counts = {name: sum(p.numel() for p in network.parameters())
              for name, network in training.networks().items()}
    facts = dict(parameters=counts, losses=losses, libraries=held, torch=torch.__version__)
    if way.device == "cuda":
        facts |= dict(cuda=torch.version.cuda, cudnn=torch.backends.cudnn.version())

    # A step ends with its losses on the host, which come after all that the device had to do.
    serve(facts, lambda line: timed(training.step, int(line)))


if __name__ == "__main__":
    main(run)
