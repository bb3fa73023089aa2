"""PyTorch's side of `cargo xtask bench ops`: times single operations on request.

Requests are those of op_server (crates/deepsim-ops/examples). A gradient of a convolution is computed by
the very function that PyTorch's autograd calls, so that nothing else is in the time; those of other
operations by autograd, as candle's graph computes ours.
"""

import argparse
import math

import torch
import torch.nn.functional as F

from serve import main, serve, timed

AT_LEAST_MS = 10.0


def other(op, which, sizes, memory_format):
    """The call of an operation that is no convolution of the networks."""
    c = sizes[1]
    x = (torch.rand(sizes) - 0.5).contiguous(memory_format=memory_format)
    w, b, mean, variance = torch.rand(c) - 0.5, torch.rand(c) - 0.5, torch.zeros(c), torch.ones(c)
    kernel = (torch.rand(c, c, 3, 3) - 0.5).contiguous(memory_format=memory_format)
    run, leaves = {
        "relu6": (lambda: F.relu6(x), [x]),
        "avg_pool2d": (lambda: F.avg_pool2d(x, 3, 2, 1), [x]),
        "upsample_nearest": (lambda: F.interpolate(x, scale_factor=2, mode="nearest"), [x]),
        "upsample_bilinear": (lambda: F.interpolate(x, scale_factor=2, mode="bilinear"), [x]),
        "batch_norm2d": (lambda: F.batch_norm(x, None, None, w, b, True), [x, w, b]),
        "batch_norm2d_fixed": (lambda: F.batch_norm(x, mean, variance, w, b, False), [x, w, b]),
        "conv2d_dense": (lambda: F.conv2d(x, kernel, padding=1), [x, kernel]),
        "conv2d_dilated": (lambda: F.conv2d(x, kernel, padding=2, dilation=2), [x, kernel]),
    }[op]
    if which == "forward":
        return run
    for leaf in leaves:
        leaf.requires_grad_()
    with torch.enable_grad():
        y = run()
    dy = torch.ones_like(y)
    return lambda: torch.autograd.grad(y, leaves, dy, retain_graph=True)


def prepare(line, memory_format):
    """The call that a request wants."""
    op, which, *numbers = line.split()
    if len(numbers) == 4:
        return other(op, which, [int(number) for number in numbers], memory_format)
    n, c, h, w, out, kernel, stride, padding, groups = map(int, numbers)
    transposed = {"conv2d": False, "conv_transpose2d": True}[op]
    shape = (c, out // groups) if transposed else (out, c // groups)

    def filled(*shape):
        return (torch.rand(shape) - 0.5).contiguous(memory_format=memory_format)

    x, weight = filled(n, c, h, w), filled(*shape, kernel, kernel)
    # stride, padding, dilation, transposed, output padding, groups
    config = ([stride] * 2, [padding] * 2, [1, 1], transposed, [0, 0], groups)

    def forward():
        return torch.convolution(x, weight, None, *config)

    if which == "forward":
        return forward
    dy = filled(*forward().shape)
    wanted = [which == "input", which == "weight", False]
    return lambda: torch.ops.aten.convolution_backward(dy, x, weight, None, *config, wanted)


def run():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--channels-last", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    memory_format = torch.channels_last if arguments.channels_last else torch.contiguous_format
    prepared = {}

    def answer(line):
        if line not in prepared:
            prepared.clear()
            call = prepare(line, memory_format)
            first = min(timed(call)[0], timed(call)[0])
            prepared[line] = call, min(max(math.ceil(AT_LEAST_MS / first), 1), 200)
        return timed(*prepared[line])

    with torch.no_grad():
        serve(dict(torch=torch.__version__), answer)


if __name__ == "__main__":
    main(run)
