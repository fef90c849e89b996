"""Statistics of subsets, recomputed from training images that have their channels."""

from __future__ import annotations

from collections.abc import Sequence

from anychan.adaptation import AnyChannelModel, recalibrate
from anychan.channels import ChannelSet
from anychan.training.batches import Inputs, unaugmented


def recalibrate_on(model: AnyChannelModel, inputs: Inputs, subsets: Sequence[str], images: int, seed: int) -> None:
    """Recompute the statistics of each subset from images that have all of its channels, in place.

    Subsets that the same images have are recomputed together, from one drawing of them.

    Args:
        model: as for `anychan.adaptation.recalibrate`.
        inputs: the images; their channels are the model's.
        subsets: those to recompute.
        images: the most that are looked at for a subset.
        seed: which.

    Raises:
        ValueError: for a subset that fewer than two images have.
    """
    groups: dict[bytes, list[ChannelSet]] = {}
    for subset in map(inputs.channels.subset, subsets):
        groups.setdefault(inputs.having(subset).numpy().tobytes(), []).append(subset)
    for together in groups.values():
        channels = ChannelSet(c for c in inputs.channels if any(c.name in subset.names for subset in together))
        recalibrate(model, unaugmented(inputs, images, seed, channels), together, channels)
