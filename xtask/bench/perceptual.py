"""PyTorch's side of `cargo xtask bench perceptual`: gradients of a feature distance at images, or the
descent of Mahendran & Vedaldi, for each line of input.

The weights, images and settings are those that perceptual_server (crates/deepsim-eval/examples) wrote. A
request is how often the work is done.
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

import nets
from serve import main, peak_memory, serve, timed

VGG = [[64, 64], [128, 128], [256, 256, 256], [512] * 3, [512] * 3]


def vgg16(block, layer):
    """Rows to relu{block}_{layer}."""
    rows, inputs = [], 3
    for i, widths in enumerate(VGG[:block], 1):
        for j, width in enumerate(widths[:layer] if i == block else widths, 1):
            rows += [(f"conv{i}_{j}", nets.conv3(inputs, width)), nets.RELU]
            inputs = width
        if i < block:
            rows.append(nn.MaxPool2d(2))
    return rows


NETWORKS = {
    ("vgg16-caffe", "relu3_3"): lambda: vgg16(3, 3),
    ("caffenet", "CONV5"): nets.caffenet,
}


# Images have the mean 104, 117, 123 in BGR; that of these networks is another one.
SHIFT = {"vgg16-caffe": [104 - 103.939, 117 - 116.779, 123 - 123.68]}


def total_variation(x):
    right = nn.functional.pad(x[..., 1:] - x[..., :-1], (0, 1))
    below = nn.functional.pad(x[..., 1:, :] - x[..., :-1, :], (0, 0, 0, 1))
    return (right.square() + below.square()).sum()


class Descent:
    """Gradient descent with momentum on scale² |f(x) - f0|²/|f0|² and the priors."""

    def __init__(self, net, start, others, folder):
        self.net, self.start = net, start
        given = json.loads((folder / "settings.json").read_text())
        self.settings, self.scale = given["settings"], given["scale"]
        with torch.no_grad():
            self.target = net(others)
            self.squares = self.target.square().flatten(1).sum(1)

    def apart(self, x):
        return (self.net(x) - self.target).square().flatten(1).sum(1) / self.squares

    def __call__(self):
        s = self.settings
        assert s["beta"] == 2 and s["alpha"] % 2 == 0
        assert not any(s[key] for key in ("l2", "decay", "blur", "jitter", "clip"))
        x = self.start.clone().requires_grad_()
        first = None
        for stage in s["stages"]:
            velocity = torch.zeros_like(x)
            for _ in range(stage["steps"]):
                apart = self.apart(x)
                first = apart.mean().item() if first is None else first
                loss = self.scale**2 * apart.sum() + s["tv"] / 2 * total_variation(x)
                loss = loss + s["power"] / 2 * x.pow(s["alpha"]).sum()
                gradient, = torch.autograd.grad(loss, x)
                with torch.no_grad():
                    velocity.mul_(s["momentum"]).sub_(gradient, alpha=stage["rate"])
                    x += velocity
        with torch.no_grad():
            return [first, self.apart(x).mean().item()]


class Gradient:
    """The gradient of the distance, with the features of the target computed anew."""

    def __init__(self, net, images, others):
        self.net, self.images, self.others = net, images, others

    def __call__(self):
        with torch.no_grad():
            target = self.net(self.others)
        x = self.images.detach().requires_grad_()
        loss = (self.net(x) - target).square().sum() / (2 * len(x))
        gradient, = torch.autograd.grad(loss, x)
        return [loss.item(), gradient.norm().item()]


def run():
    parser = argparse.ArgumentParser()
    parser.add_argument("--net", required=True)
    parser.add_argument("--tap", required=True)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--channels-last", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    memory_format = torch.channels_last if arguments.channels_last else torch.contiguous_format
    tiny = nn.Conv2d(1, 1, 1)
    tiny(torch.ones(1, 1, 1, 1)).sum().backward()
    held = peak_memory()
    net = nets.stack(*NETWORKS[arguments.net, arguments.tap]())
    net.load_state_dict(load_file(arguments.folder / "fixed.safetensors"))
    net.requires_grad_(False).to(memory_format=memory_format)
    both = load_file(arguments.folder / "images.safetensors")["images"]
    both += torch.tensor(SHIFT.get(arguments.net, [0.0] * 3)).view(3, 1, 1)
    images, others = both.contiguous(memory_format=memory_format).chunk(2)
    if arguments.steps:
        work = Descent(net, images, others, arguments.folder)
    else:
        work = Gradient(net, images, others)
    facts = dict(found=work(), libraries=held, torch=torch.__version__)
    serve(facts, lambda line: timed(work, int(line)))


if __name__ == "__main__":
    main(run)
