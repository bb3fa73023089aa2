"""PyTorch's side of `cargo xtask bench ops`: times single convolutions on request.

Requests are those of op_server (crates/deepsim-ops/examples). A gradient is computed by the very
function that PyTorch's autograd calls, so that nothing else is in the time.
"""

import argparse
import math

import torch

from serve import main, serve, timed

AT_LEAST_MS = 10.0


def prepare(line, memory_format):
    """The call that a request wants."""
    op, which, *numbers = line.split()
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
