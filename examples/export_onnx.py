"""One file for every subset of the bands, and what a program without anychan or torch does with it.

A network takes four bands, is written as ONNX with all 15 subsets in one graph, and is asked about images of which
only some bands are there. Everything after `export` needs onnxruntime and NumPy alone.

    python examples/export_onnx.py --out bands.onnx
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime

import anychan
from anychan.data import load_split, open_dataset, split_statistics
from anychan.models import ModelInfo


def make(path: Path, data: str) -> None:
    """An any-channel network for the data's bands; it is not trained here, which changes nothing in the file."""
    array = load_split(open_dataset(data), "test", image_size=32)
    bands = split_statistics(array).described  # with their means and deviations, which go into the file
    info = ModelInfo("wide4", len(array.classes), "sliced", bands, array.classes, 32, model_options={"width": 8})
    print(anychan.export(info.create(), path, info=info, replace=True).table())


class Classifier:
    """A file of `anychan export`, used with onnxruntime and NumPy."""

    def __init__(self, path: Path) -> None:
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        metadata = self.session.get_modelmeta().custom_metadata_map
        self.said = {key: json.loads(value) for key, value in metadata.items()}

    def probabilities(self, pixels: np.ndarray, bands: Sequence[str]) -> np.ndarray:
        """Of each class (N, K), from pixels (N, S, H, W) on a scale of 0 to 1 and the names of their planes."""
        places = np.array([self.said["channels"].index(band) for band in bands])
        mean, std = (np.float32(self.said[key])[places][:, None, None] for key in ("mean", "std"))
        inputs = {"image": (pixels.astype(np.float32) - mean) / std, "channels": places}
        logits = self.session.run(["logits"], inputs)[0]
        if np.isnan(logits).any():
            raise ValueError(f"the file has no answer for {', '.join(bands)}")
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)


def main(words: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("bands.onnx"))
    parser.add_argument("--data", default="synthetic:bands=4,test=8")
    options = parser.parse_args(words)
    make(options.out, options.data)
    classifier = Classifier(options.out)
    rng = np.random.default_rng(0)
    answers = {}
    for bands in (["R", "G", "B", "NIR"], ["NIR", "R"], ["G"]):
        pixels = rng.random((2, len(bands), 48, 32))  # of another size than the network was made for
        answers[",".join(bands)] = classifier.probabilities(pixels, bands)
        best = classifier.said["classes"][int(answers[",".join(bands)][0].argmax())]
        print(f"{','.join(bands):<12}{best}")
    return answers


if __name__ == "__main__":
    main()
