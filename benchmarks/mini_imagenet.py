"""How long does mini-ImageNet take at its real size: the check, the cache, an epoch of training?

    python benchmarks/mini_imagenet.py
    python benchmarks/mini_imagenet.py --lists mini-imagenet-lists --most 0 --save

The lists are mini-ImageNet's own (train.txt, val.txt, test.txt) where they are given, and else made up, of the same
lengths; the photographs are made up, one for each line and of the usual size, 500x375 pixels, in one zip with the
lists. Each step is the command line's own, as a process of its own: ``anychan data check``, and ``anychan train`` for
one epoch. Peak memory is that of the process and its children together, looked at ten times a second: what is their
own, with the pages of the cache that they have mapped.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil
from _ratios import RESULTS
from PIL import Image

from anychan.environment import environment

CLASSES, LENGTHS = 50, {"train": 63_325, "val": 450, "test": 450}
WIDTH, HEIGHT, DIFFERENT = 500, 375, 64
MARKER = b"\xff\xfe"  # JPEG's comment segment


def made_up() -> list[bytes]:
    """JPEGs that take as many bytes as photographs of their size do: smooth forms with noise on them."""
    generator = np.random.default_rng(0)
    files = []
    for _ in range(DIFFERENT):
        coarse = Image.fromarray(generator.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), dtype=np.int16)
        noisy = smooth + generator.normal(0, 10, smooth.shape).astype(np.int16)
        file = io.BytesIO()
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=75)
        files.append(file.getvalue())
    return files


def lines_of(split: str, lists: Path | None, most: int) -> list[str]:
    """The lines of a list, about ``most`` of them, evenly spaced; 0: all."""
    if lists is None:
        lines = [
            f"images/n{number % CLASSES:08}/{split}_{number}.JPEG {number % CLASSES}"
            for number in range(LENGTHS[split])
        ]
    else:
        lines = (lists / f"{split}.txt").read_text(encoding="utf-8").splitlines()
    return lines[:: max(1, len(lines) // most)] if most else lines


def write_archive(path: Path, lists: Path | None, most: int) -> dict[str, int]:
    """The lists and a photograph for each of their lines; no two files are the same, by a comment in each."""
    files, counts, number = made_up(), {}, 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for split in LENGTHS:
            lines = lines_of(split, lists, most)
            archive.writestr(f"{split}.txt", "\n".join(lines) + "\n")
            counts[split] = len(lines)
            for line in lines:
                comment = str(number).encode()
                file = files[number % DIFFERENT]
                segment = MARKER + (2 + len(comment)).to_bytes(2, "big") + comment
                archive.writestr(line.rsplit(" ", 1)[0], file[:2] + segment + file[2:])
                number += 1
    return counts


def timed(command: list[str]) -> tuple[float, int, str]:
    """Seconds, peak bytes and output of a command; its own exit code is ours if it fails."""
    started, peak = time.perf_counter(), 0
    with tempfile.TemporaryFile("w+") as output:
        process = psutil.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            peak = max(peak, _memory(process))
            time.sleep(0.1)
        output.seek(0)
        text = output.read()
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{text[-2000:]}")
    return time.perf_counter() - started, peak, text


def _memory(process: psutil.Popen) -> int:
    """Bytes of a process and its children that they share with no other."""
    total = 0
    for member in (process, *process.children(recursive=True)):
        try:
            full = member.memory_full_info()
            total += getattr(full, "uss", full.rss)
        except psutil.Error:
            continue  # it has ended
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lists", type=Path, help="folder with train.txt, val.txt and test.txt; default: made up")
    parser.add_argument(
        "--most", type=int, default=3000, help="about so many lines of each list; 0: all; default: 3000"
    )
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/mini_imagenet.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "images.zip"
        counts = write_archive(archive, options.lists, options.most)
        size = archive.stat().st_size
        anychan = [sys.executable, "-m", "anychan"]
        train = ["train", "--data", str(archive), "--out", str(Path(folder) / "run"), "--epochs", "1"]
        train += ["--model", options.model, "--image-size", str(options.image_size), "--cache-dir", folder]
        steps = {}
        for name, arguments in (("check", ["data", "check", str(archive)]), ("train", train)):
            seconds, peak, _ = timed([*anychan, *arguments])
            steps[name] = {"seconds": seconds, "peak_mebibytes": peak / 2**20}
            print(f"{name}: {seconds:.0f} s, {peak / 2**20:.0f} MiB")
        epoch = json.loads((Path(folder) / "run" / "records.jsonl").read_text().splitlines()[0])
    steps["epoch"] = {"seconds": epoch["seconds"], "images_per_second": epoch["images_per_second"]}
    total = steps["check"]["seconds"] + steps["train"]["seconds"]
    print(f"{counts}, {size / 2**20:.0f} MiB: {total / 60:.1f} minutes together; the epoch {epoch['seconds']:.0f} s")
    if options.save:
        record = {
            "schema": 1,
            "kind": "benchmark",
            "name": "mini_imagenet",
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "settings": {"model": options.model, "image_size": options.image_size, "most": options.most},
            "images": counts,
            "archive_mebibytes": size / 2**20,
            "steps": steps,
            **environment(),
        }
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "mini_imagenet.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
