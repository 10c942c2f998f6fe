"""The files that all servers serve. Contents are random but the same in every run."""

import random

SMALL = "1k.bin"
FILE_COUNT = 10_000
SIZES = {SMALL: 1024, "large-100k.bin": 100 * 1024, "large-10m.bin": 10 * 1024 * 1024}


def write(root):
    root.mkdir()
    for name, size in SIZES.items():
        write_random(root / name, size)
    files = root / "files"
    files.mkdir()
    for index in range(FILE_COUNT):
        write_random(files / f"{index:05}.bin", 1024)


def write_random(path, size):
    path.write_bytes(random.Random(path.name).randbytes(size))
