"""What a GPU can do: the product of two square matrices in `cargo xtask bench step --device cuda`.

A request is a number of products.
"""

import argparse

import torch

from serve import main, serve, timed


def run():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--side", type=int, required=True)
    parser.add_argument("--precision", choices=["f32", "tf32", "bf16"], required=True)
    parser.add_argument("--device", choices=["cpu", "cuda"], required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high" if arguments.precision == "tf32" else "highest")
    kind = torch.bfloat16 if arguments.precision == "bf16" else torch.float32
    shape = (arguments.side, arguments.side)
    a, b = (torch.randn(shape, dtype=kind, device=arguments.device) for _ in range(2))

    def product():
        a @ b
        if arguments.device == "cuda":
            torch.cuda.synchronize()

    product()
    serve(dict(torch=torch.__version__), lambda line: timed(product, int(line)))


if __name__ == "__main__":
    main(run)
