#!/usr/bin/env python3
"""Makes the photographs of this folder from the packages that contain them.

    python3 prepare.py PACKAGES

PACKAGES is a folder with the files of `PACKAGES` below, as `apt-get download` and `pip download --no-deps`
leave them. Needs Pillow (made with 13.0.0) and dpkg-deb. Writes the JPEGs, photos.toml and ATTRIBUTION.md; the
same packages and the same Pillow give the same bytes. A package of another SHA-256 is refused.
"""

import hashlib
import io
import pathlib
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib

from PIL import Image, ImageCms, ImageOps

# Pixels of the short side; a smaller original keeps its size.
SHORT_SIDE = 480
QUALITY = 85

# name: (file, archive that it comes from, SHA-256)
PACKAGES = {
    "budgie-backgrounds 3.0-1": (
        "budgie-backgrounds_3.0-1_all.deb", "Debian 13",
        "b91c2d5209558bc11d8d3a161f22a608857e3f8c735980cfab0d6650b03014ca"),
    "gcompris-qt-data 3.1-2": (
        "gcompris-qt-data_3.1-2_all.deb", "Debian 12",
        "e9cf06ab2105529068df73085784e835d2ff03f870d2a8091f09125d40abac9f"),
    "gnome-backgrounds 3.38.0-1": (
        "gnome-backgrounds_3.38.0-1_all.deb", "Debian 11",
        "76d8a4c52e5f346d9cb08bc8a1f58ad443d2bae211721af8a7248457c7a520e8"),
    "lomiri-wallpapers-16.04 20.04.0-2": (
        "lomiri-wallpapers-16.04_20.04.0-2_all.deb", "Debian 12",
        "a99ff6a3bfe451e4cc0682ecb3cc82e71740626d59e4845ae34a0a0e45421eab"),
    "lomiri-wallpapers-20.04 20.04.0-2": (
        "lomiri-wallpapers-20.04_20.04.0-2_all.deb", "Debian 12",
        "d44e89b8473aafe64a5b678f014862dc31335aaaf18665c544d985d854f1a709"),
    "palapeli-data 4:22.12.3-1": (
        "palapeli-data_4%3a22.12.3-1_all.deb", "Debian 12",
        "69a15dce2ac25ed8708ac518cd0cee5f4eb0c70ed15da2fdb8899a19ac0ee058"),
    "scikit-image 0.26.0": (
        "scikit_image-0.26.0-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl", "PyPI",
        "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af"),
    "scikit-learn 1.9.1": (
        "scikit_learn-1.9.1-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl", "PyPI",
        "52a0703bbc07ad27f560fa63fa68e4c54dd735bfbbf65b4dd3c225dc7547b6df"),
}

LICENCES = {
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "CC-BY-1.0": "https://creativecommons.org/licenses/by/1.0/",
    "CC-BY-2.0": "https://creativecommons.org/licenses/by/2.0/",
    "CC-BY-3.0": "https://creativecommons.org/licenses/by/3.0/",
    "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/",
    "CC-BY-SA-2.0": "https://creativecommons.org/licenses/by-sa/2.0/",
    "CC-BY-SA-3.0": "https://creativecommons.org/licenses/by-sa/3.0/",
    "CC-BY-SA-4.0": "https://creativecommons.org/licenses/by-sa/4.0/",
    "public-domain": "https://creativecommons.org/publicdomain/mark/1.0/",
}

BUDGIE = ("budgie-backgrounds 3.0-1", "usr/share/backgrounds/budgie/")
GNOME = ("gnome-backgrounds 3.38.0-1", "usr/share/backgrounds/gnome/")
LOMIRI_16 = ("lomiri-wallpapers-16.04 20.04.0-2", "usr/share/backgrounds/")
LOMIRI_20 = ("lomiri-wallpapers-20.04 20.04.0-2", "usr/share/backgrounds/")
PALAPELI = ("palapeli-data 4:22.12.3-1", "usr/share/palapeli/collection/")
GCOMPRIS = ("gcompris-qt-data 3.1-2", "usr/share/gcompris-qt/rcc/explore_world_animals.rcc:")
SKIMAGE = ("scikit-image 0.26.0", "skimage/data/")
SKLEARN = ("scikit-learn 1.9.1", "sklearn/datasets/images/")

COMMONS = "https://commons.wikimedia.org/wiki/File:"
BUDGIE_AUTHORS = "Budgie Desktop Developers"
AITZOL = "Aitzol Berasategi"
FREESPACE = 'Trevor "Freespace"'

# (file, split, title, author, licence, package, name in it, page that the package names)
PHOTOGRAPHS = [
    # Held out.
    ("perched-osprey", "test", "Perched Osprey", BUDGIE_AUTHORS, "CC0-1.0", BUDGIE, "perched-osprey.jpg", ""),
    ("lake-sherburne", "test", "Lake Sherburne", BUDGIE_AUTHORS, "CC0-1.0", BUDGIE, "lake-sherburne.jpg", ""),
    ("singaporean-cityscape", "test", "Singaporean Cityscape", BUDGIE_AUTHORS, "CC0-1.0", BUDGIE,
     "singaporean-cityscape.jpg", ""),
    ("seeding", "test", "Seeding", "Clemens Engelhardt", "CC0-1.0", LOMIRI_16,
     "seeding_by_Clements_Engelhardt.jpg", ""),
    ("citrus-fruits", "test", "Citrus Fruits", "US Department of Agriculture", "public-domain", PALAPELI,
     "citrus-fruits.jpg", COMMONS + "Citrus_fruits.jpg"),
    ("moose", "test", "Male Moose", "Ryan Hagerty", "public-domain", GCOMPRIS, "moose.webp",
     COMMONS + "Male_Moose.jpg"),
    ("life", "test", "Life", AITZOL, "CC-BY-4.0", LOMIRI_16, "life_by_Aitzol_Berasategi.jpg", ""),
    ("brushes", "test", "Picture 1A", FREESPACE, "CC-BY-4.0", LOMIRI_16, "Picture_1A_by_freespace.jpg", ""),
    # For training: CC0 and public domain.
    ("abstract-spiral", "train", "Abstract Spiral", BUDGIE_AUTHORS, "CC0-1.0", BUDGIE, "abstract-spiral.jpg", ""),
    ("beacon-street-sunset", "train", "Beacon Street Sunset", BUDGIE_AUTHORS, "CC0-1.0", BUDGIE,
     "beacon-street-sunset.jpg", ""),
    ("blue-periwinkle", "train", "Blue Periwinkle", BUDGIE_AUTHORS, "CC0-1.0", BUDGIE, "blue-periwinkle.jpg", ""),
    ("canyon-wren", "train", "Canyon Wren", BUDGIE_AUTHORS, "CC0-1.0", BUDGIE, "canyon-wren.jpg", ""),
    ("casa-mila", "train", "Casa Mila", BUDGIE_AUTHORS, "CC0-1.0", BUDGIE, "casa-mila.jpg", ""),
    ("extreme-desert-hike", "train", "Extreme Desert Hike", BUDGIE_AUTHORS, "CC0-1.0", BUDGIE,
     "extreme-desert-hike.jpg", ""),
    ("oakland-zoo-otters", "train", "Oakland Zoo Otters", BUDGIE_AUTHORS, "CC0-1.0", BUDGIE,
     "oakland-zoo-otters.jpg", ""),
    ("roman-colosseum", "train", "Roman Colosseum", BUDGIE_AUTHORS, "CC0-1.0", BUDGIE, "roman-colosseum.jpg", ""),
    ("tea-gardens", "train", "Amidst the Tea Gardens", BUDGIE_AUTHORS, "CC0-1.0", BUDGIE, "tea-gardens.jpg", ""),
    ("cold-warm", "train", "ColdWarm", "invisiblepower", "CC0-1.0", GNOME, "ColdWarm.jpg",
     "https://www.pexels.com/photo/above-aerial-bright-cold-343219/"),
    ("sea-sunset", "train", "SeaSunset", "Sebastian Voortman", "CC0-1.0", GNOME, "SeaSunset.jpg",
     "https://www.pexels.com/photo/beach-dawn-dusk-ocean-189349/"),
    ("coffee", "train", "Coffee cup", "Rachel Michetti", "CC0-1.0", SKIMAGE, "coffee.png", ""),
    ("rocket", "train", "Launch of DSCOVR on Falcon 9", "SpaceX", "public-domain", SKIMAGE, "rocket.jpg",
     "https://www.flickr.com/photos/spacexphotos/16511594820/"),
    ("cincinnati-bridge", "train", "Roebling Suspension Bridge", "Derek Jensen", "public-domain", PALAPELI,
     "cincinnati-bridge.jpg", COMMONS + "Cincinnati-roebling-suspension-bridge.jpg"),
    ("honey-bee", "train", "European honey bee extracts nectar", "John Severns", "public-domain", PALAPELI,
     "european-honey-bee.jpg", COMMONS + "European_honey_bee_extracts_nectar.jpg"),
    # CC BY.
    ("fig", "train", "Picture 0B", FREESPACE, "CC-BY-4.0", LOMIRI_16, "Picture_0B_by_freespace.jpg", ""),
    ("wine", "train", "Wine", "Jakub Mede", "CC-BY-4.0", LOMIRI_16, "Wine_by_Jakkub_Mede.jpg", ""),
    ("aitzgorri", "train", "Aitzgorri", AITZOL, "CC-BY-4.0", LOMIRI_16, "aitzgorri_by_Aitzol_Berasategi.jpg", ""),
    ("friends", "train", "Friends", AITZOL, "CC-BY-4.0", LOMIRI_16, "friends_by_Aitzol_Berasategi.jpg", ""),
    ("picos-de-europa", "train", "Picos de Europa", AITZOL, "CC-BY-4.0", LOMIRI_16,
     "picosdeeuropa_by_Aitzol_Berasategi.jpg", ""),
    ("sunset", "train", "Sunset", AITZOL, "CC-BY-4.0", LOMIRI_16, "sunset_by_Aitzol_Berasategi.jpg", ""),
    ("crocodile", "train", "Marsh Crocodiles basking in the sun", "Kmanoj", "CC-BY-3.0", GCOMPRIS,
     "crocodile.webp", COMMONS + "Marsh_Crocodiles_basking_in_the_sun.JPG"),
    ("china", "train", "China", "danielbuechele", "CC-BY-2.0", SKLEARN, "china.jpg",
     "https://www.flickr.com/photos/danielbuechele/6061409035/"),
    ("panda", "train", "Lightmatter panda", "Aaron Logan", "CC-BY-1.0", GCOMPRIS, "panda.webp",
     COMMONS + "Lightmatter_panda.jpg"),
    # CC BY-SA: what shows them is share-alike.
    ("dragonfly", "train", "Dragonfly", '"Bolly"', "CC-BY-SA-4.0", LOMIRI_16, "Dragonfly_by_Bolly.jpg", ""),
    ("free", "train", "Free", "Peter Nerlich", "CC-BY-SA-4.0", LOMIRI_16, "free_by_Peter_Nerlich.jpg", ""),
    ("greentock", "train", "Greentock", "Peter Nerlich", "CC-BY-SA-4.0", LOMIRI_16,
     "greentock_by_Peter_Nerlich.jpg", ""),
    ("kleiber", "train", "Kleiber", "Lukas Baubkus", "CC-BY-SA-3.0", LOMIRI_20, "Kleiber_by_Lukas_Baubkus.jpg", ""),
    ("polar-bear", "train", "Polar Bear", "Arturo de Frias Marques", "CC-BY-SA-4.0", GCOMPRIS,
     "polar_bear.webp", COMMONS + "Polar_Bear_AdF.jpg"),
    ("chameleon", "train", "Chameleon (16139192778)", "Laika ac", "CC-BY-SA-2.0", GCOMPRIS, "chameleon.webp",
     COMMONS + "Chameleon_(16139192778).jpg"),
    ("komodo-dragon", "train", "Varanus komodoensis", "Raul654", "CC-BY-SA-3.0", GCOMPRIS, "dragon.webp",
     COMMONS + "Varanus_komodoensis4.jpg"),
    ("koala", "train", "Koala climbing tree", "David Iliff", "CC-BY-SA-3.0", GCOMPRIS, "koala.webp",
     COMMONS + "Koala_climbing_tree.jpg"),
]


def rcc(data):
    """Files of a Qt resource, by their last name."""
    magic, version, tree, contents, names = struct.unpack(">4sIIII", data[:20])
    assert magic == b"qres" and version >= 2
    files = {}

    def node(index):
        at = tree + 22 * index
        name_at, flags = struct.unpack(">IH", data[at:at + 6])
        if flags & 2:
            count, first = struct.unpack(">II", data[at + 6:at + 14])
            for child in range(first, first + count):
                node(child)
            return
        (length,) = struct.unpack(">H", data[names + name_at:names + name_at + 2])
        name = data[names + name_at + 6:names + name_at + 6 + 2 * length].decode("utf-16-be")
        (start,) = struct.unpack(">I", data[at + 10:at + 14])
        start += contents
        (size,) = struct.unpack(">I", data[start:start + 4])
        content = data[start + 4:start + 4 + size]
        files[name] = zlib.decompress(content[4:]) if flags & 1 else content

    node(0)
    return files


def extract(package, path):
    """Bytes of a file of a package; `archive:name` is in an archive that is in the package."""
    outer, _, inner = path.partition(":")
    if package.suffix == ".whl":
        return zipfile.ZipFile(package).read(outer)
    tar = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], check=True, stdout=subprocess.PIPE)
    with tarfile.open(fileobj=io.BytesIO(tar.stdout)) as files:
        content = files.extractfile("./" + outer).read()
    return rcc(content)[inner] if inner else content


def jpeg(content):
    """An upright sRGB JPEG without metadata."""
    image = Image.open(io.BytesIO(content))
    profile = image.info.get("icc_profile")
    image = ImageOps.exif_transpose(image)
    if profile and image.mode == "RGB":
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        image = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"))
    image = image.convert("RGB")
    short = min(image.size)
    if short > SHORT_SIDE:
        size = tuple(round(side * SHORT_SIDE / short) for side in image.size)
        image = image.resize(size, Image.Resampling.LANCZOS)
    # A new image has none of the metadata of the old one.
    clean = Image.new("RGB", image.size)
    clean.paste(image)
    out = io.BytesIO()
    clean.save(out, "JPEG", quality=QUALITY, optimize=True)
    return out.getvalue(), image.size


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


ATTRIBUTION = """# Photographs

{count} photographs by other people, {bytes:,} bytes. Each has its own licence, which is not that of this project. All were
scaled to a short side of {side} pixels where they were larger, and re-encoded as JPEG without metadata, by
[prepare.py](prepare.py), which writes this page and [photos.toml](photos.toml). Author and licence are those that the
package gives for the file: in `copyright` (Budgie, GCompris, Lomiri), `AUTHORS` (GNOME), `.desktop` files (Palapeli), `README.txt`
(scikit-learn) or the documentation of `skimage.data`. "Budgie Desktop Developers" are the copyright holders that the
package names; it names no photographers. GCompris lists its pictures as `.jpg` and ships them as `.webp`.

A figure that shows a photograph under CC BY names its author. A figure that shows one under CC BY-SA is itself under
that licence ("share-alike"). No held-out photograph (split `test`) is share-alike. Their authors do not endorse this project.

{counts}

| file | split | title | author | licence | share-alike | package, path in it | SHA-256 |
|---|---|---|---|---|---|---|---|
{rows}

## Licences

{licences}

## Packages

| package | from | file | SHA-256 |
|---|---|---|---|
{packages}
"""


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    here = pathlib.Path(__file__).parent
    packages = {}
    for name, (file, _, wanted) in PACKAGES.items():
        found = hashlib.sha256((folder / file).read_bytes()).hexdigest()
        if found != wanted:
            sys.exit(f"{folder / file}: expected SHA-256 {wanted}, found {found}")
        packages[name] = folder / file
    toml = ["# Photographs of this folder, written by prepare.py. Their order is part of the data set.\n"]
    rows, counts, total = [], {}, 0
    for file, split, title, author, licence, (package, start), name, page in PHOTOGRAPHS:
        content, (width, height) = jpeg(extract(packages[package], start + name))
        file += ".jpg"
        (here / file).write_bytes(content)
        total += len(content)
        sha256 = hashlib.sha256(content).hexdigest()
        fields = {"file": file, "split": split, "title": title, "author": author, "licence": licence,
                  "package": package, "path": start + name}
        if page:
            fields["page"] = page
        fields["sha256"] = sha256
        toml.append("[[photograph]]\n" + "".join(f"{k} = {quoted(v)}\n" for k, v in fields.items()))
        shared = "yes" if "-SA-" in licence else "no"
        shown = f"[{title}]({page})" if page else title
        rows.append(f"| [{file}]({file}) | {split} | {shown} | {author} | {licence} | {shared} "
                    f"| {package}, `{start + name}` | `{sha256}` |")
        kind = licence.rsplit("-", 1)[0] if licence.startswith("CC") else "public domain"
        counts.setdefault(kind, [0, 0])[split == "test"] += 1
        print(f"{file}: {width}x{height}, {len(content)} bytes")
    (here / "photos.toml").write_text("\n".join(toml))
    kinds = "\n".join(f"| {kind.replace('CC-', 'CC ')} | {train} | {test} |" for kind, (train, test) in counts.items())
    used = sorted({photograph[4] for photograph in PHOTOGRAPHS})
    (here / "ATTRIBUTION.md").write_text(ATTRIBUTION.format(
        count=len(rows), bytes=total, side=SHORT_SIDE, rows="\n".join(rows),
        counts="| licence | training | held out |\n|---|---|---|\n" + kinds,
        licences="\n".join(f"* {name}: <{LICENCES[name]}>" for name in used),
        packages="\n".join(f"| {name} | {origin} | `{file}` | `{sha256}` |"
                           for name, (file, origin, sha256) in PACKAGES.items())))
    print(f"{len(rows)} photographs, {total} bytes")


if __name__ == "__main__":
    main()
