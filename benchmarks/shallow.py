"""How fast are the shallow networks, against ResNet34 on the same images?

    python benchmarks/shallow.py
    python benchmarks/shallow.py --models wide6 wide4 --image-size 128 --save

One image at a time, and a batch; all networks with random weights, in evaluation mode, in the memory layout that
PyTorch gives them. What folds after training (branches of a layer) is folded. Repetitions are interleaved. In each, a
network's figure is the median of some forward passes after two that warm up.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from _ratios import finish, interleaved, new_parser
from torch import nn

from anychan.adaptation import specialize
from anychan.cost import measure_latency
from anychan.models import create_model

CLASSES = 50
SMALL = {"wide6 of 32": ("wide6", {"width": 32})}  # under a million parameters


def network(name: str) -> nn.Module:
    """An untrained network of red, green and blue, as it is used: folded."""
    torch.manual_seed(0)
    known, options = SMALL.get(name, (name, {}))
    return specialize(create_model(known, "RGB", CLASSES, model_options=options).eval(), "RGB")


def main() -> None:
    parser = new_parser(__doc__, "shallow", image_size=64, batch_size=32, repeats=9)
    parser.set_defaults(model="resnet34")
    parser.add_argument("--models", nargs="+", default=["wide6", "wide6 of 32", "wide4", "wide3", "parallel6"])
    parser.add_argument("--passes", type=int, default=10, help="forward passes a figure is the median of")
    options = parser.parse_args()

    def timed(model: nn.Module, images: int) -> Callable[[], float]:
        return lambda: measure_latency(model, "RGB", options.image_size, images, options.passes).median

    candidates, pairs = {}, {}
    for name in (options.model, *options.models):
        model = network(name)
        for images in (1, options.batch_size):
            where = f"batch of {images}"
            candidates[f"{name}, {where}"] = timed(model, images)
            if name != options.model:
                pairs[f"{name}, {where}"] = (f"{name}, {where}", f"{options.model}, {where}")
    milliseconds = interleaved(candidates, options.repeats, "ms a pass")
    finish(options, "shallow", "milliseconds", milliseconds, pairs)


if __name__ == "__main__":
    main()
