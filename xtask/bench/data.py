"""torchvision's side of `cargo xtask bench data`: one pass over a data set for each line of input.

The pictures are those that data_server (crates/deepsim-data/examples) reads: `ilsvrc` from a folder of
JPEG files, because torchvision cannot read the archives; `stl10` from the binary files. Results are
uint8 batches (N, 3, 227, 227) or (N, 3, 64, 64). With --check it writes centre crops instead, so that
the pixels of both can be compared.
"""

import argparse
import multiprocessing
import os
import time

import numpy as np
import torch
import torchvision
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as T
from torchvision.transforms import v2

from serve import main, serve


class Files(Dataset):
    """JPEG files, decoded by Pillow or by torchvision.io."""

    def __init__(self, folder, crop, decoder):
        self.paths = sorted(
            os.path.join(path, name) for path, _, names in os.walk(folder) for name in names)
        self.decoder = decoder
        if decoder == "pil":
            steps = [T.Resize((256, 256)), crop(227), T.PILToTensor()]
            self.transform = T.Compose(steps)
        else:
            self.transform = v2.Compose([v2.Resize((256, 256), antialias=True), crop(227)])

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        if self.decoder == "pil":
            with open(self.paths[index], "rb") as file:
                return self.transform(Image.open(file).convert("RGB"))
        data = torchvision.io.read_file(self.paths[index])
        mode = torchvision.io.ImageReadMode.RGB
        return self.transform(torchvision.io.decode_jpeg(data, mode=mode))


class Stl10(Dataset):
    """`unlabeled_X.bin` as torchvision.datasets.STL10 treats it, without its checksum."""

    def __init__(self, folder, crop):
        data = np.fromfile(os.path.join(folder, "unlabeled_X.bin"), dtype=np.uint8)
        self.data = np.transpose(data.reshape(-1, 3, 96, 96), (0, 1, 3, 2))
        self.transform = T.Compose([crop(64), T.PILToTensor()])

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        return self.transform(Image.fromarray(np.transpose(self.data[index], (1, 2, 0))))


def cpu_seconds():
    """Of this process and its workers."""
    ticks = 0
    for child in multiprocessing.active_children():
        with open(f"/proc/{child.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def run():
    parser = argparse.ArgumentParser()
    parser.add_argument("--set", choices=["ilsvrc", "stl10"], required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--decoder", choices=["pil", "io"], default="pil")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--check", metavar="FILE")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    crop = T.CenterCrop if arguments.check else T.RandomCrop
    if arguments.set == "ilsvrc":
        data = Files(arguments.folder, crop, arguments.decoder)
    else:
        data = Stl10(arguments.folder, crop)
    if arguments.check:
        with open(arguments.check, "wb") as file:
            for image in data:
                file.write(image.numpy().tobytes())
    # One worker process costs more than it brings: one core is used by the process itself.
    workers = 0 if arguments.threads == 1 else arguments.threads
    loader = DataLoader(
        data, batch_size=arguments.batch, shuffle=not arguments.check, drop_last=True,
        num_workers=workers, persistent_workers=workers > 0)

    def answer(request):
        wall, cpu = time.perf_counter(), cpu_seconds()
        for _ in range(arguments.passes):
            for batch in loader:
                assert batch.dtype == torch.uint8 and len(batch) == arguments.batch
        return (time.perf_counter() - wall) * 1e3, (cpu_seconds() - cpu) * 1e3

    serve({"torch": torch.__version__, "torchvision": torchvision.__version__,
           "images": arguments.passes * (len(data) // arguments.batch * arguments.batch)}, answer)


main(run)
