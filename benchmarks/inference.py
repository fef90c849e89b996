"""How fast is an any-channel network, against the plain one that a user would otherwise train for the same channels?

    python benchmarks/inference.py
    python benchmarks/inference.py --strategy sliced --image-size 224 --save

Against the plain network of as many channels, whose weights have been drawn at random as well:

* specialised: ``specialize(model, "RG")``, an ordinary network;
* dynamic: the any-channel network called with ``channels=``, which makes its kernel anew at each call, on two
  channels and on all three; with one set of normalisation statistics for all subsets, and with statistics of their own.

One image at a time, and a batch. Repetitions are interleaved. In each, a candidate's figure is the median of some
forward passes after two that warm up.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from _ratios import finish, interleaved, new_parser
from torch import nn

from anychan.adaptation import keep_statistics, specialize
from anychan.channels import ChannelSet
from anychan.cost import measure_latency
from anychan.models import create_model
from anychan.nn import get_strategy
from anychan.statistics import ChannelStatistics

CLASSES = 50
RGB = ChannelSet.parse("RGB")
# Of photographs of animals; what the numbers are plays no part in how long a call takes.
CORRELATION = torch.tensor([[1.0, 0.865, 0.709], [0.865, 1.0, 0.859], [0.709, 0.859, 1.0]], dtype=torch.float64)


def any_channel(name: str, strategy: str) -> nn.Module:
    """An untrained any-channel network of red, green and blue."""
    torch.manual_seed(0)
    statistics = None
    if get_strategy(strategy).uses_statistics:
        known = RGB.with_statistics([0.5] * 3, [0.25] * 3)
        statistics = ChannelStatistics(known, torch.full((3,), 0.5, dtype=torch.float64), CORRELATION / 16, 1)
    return create_model(name, RGB, CLASSES, strategy, statistics).eval()


def plain(name: str, channels: str) -> nn.Module:
    """The ordinary network of these channels, as timm makes it."""
    torch.manual_seed(0)
    return create_model(name, channels, CLASSES).body.eval()


def main() -> None:
    parser = new_parser(__doc__, "inference", image_size=64, batch_size=32, repeats=9)
    parser.add_argument("--strategy", default="completed")
    parser.add_argument("--passes", type=int, default=10, help="forward passes a figure is the median of")
    options = parser.parse_args()
    shared = any_channel(options.model, options.strategy)
    apart = any_channel(options.model, options.strategy)
    keep_statistics(apart)
    networks = {
        "RG": {"specialised": specialize(shared, "RG"), "dynamic": shared, "dynamic with own statistics": apart},
        "RGB": {"dynamic": shared, "dynamic with own statistics": apart},
    }

    def timed(model: nn.Module, channels: str, images: int) -> Callable[[], float]:
        return lambda: measure_latency(model, channels, options.image_size, images, options.passes).median

    candidates, pairs = {}, {}
    for channels, ours in networks.items():
        theirs = plain(options.model, channels)
        for images in (1, options.batch_size):
            where = f"{channels}, batch of {images}"
            candidates[f"plain {where}"] = timed(theirs, channels, images)
            for what, model in ours.items():
                candidates[f"{what} {where}"] = timed(model, channels, images)
                pairs[f"{what} {where}"] = (f"{what} {where}", f"plain {where}")
    milliseconds = interleaved(candidates, options.repeats, "ms a pass")
    finish(options, "inference", "milliseconds", milliseconds, pairs)


if __name__ == "__main__":
    main()
