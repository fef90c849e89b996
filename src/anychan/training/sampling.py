"""Channel sampling: which channels a training batch sees.

Hierarchical sampling is that of ChannelViT (arXiv 2309.16108, section 3.3): every size is as likely as every
other, so that single channels and the full set are both seen often, however many channels there are.
"""

from __future__ import annotations

import torch

from anychan.channels import ChannelSet, ChannelsLike
from anychan.training.config import ChannelSampling


def sample_channels(
    channels: ChannelSet,
    how: ChannelSampling,
    generator: torch.Generator,
    *,
    probability: float = 0.5,
    fixed: ChannelsLike | None = None,
) -> ChannelSet:
    """Draw the channels of one batch, in the order of ``channels``.

    Args:
        channels: C channels to choose from.
        how: "all"; "hierarchical": a size uniform on 1..C, then channels uniform among the subsets of that size;
            "bernoulli": each channel with ``probability``, drawn again where none is left; "fixed": ``fixed``.
        generator: on the CPU; the same state gives the same channels.
        probability: in (0, 1], for "bernoulli".
        fixed: the subset that "fixed" gives, in its own order.

    Raises:
        ValueError: for an unknown ``how``, a probability outside its range, or "fixed" without its subset.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> rgb = ChannelSet.parse("RGB")
        >>> [str(sample_channels(rgb, "hierarchical", generator)) for _ in range(4)]
        ['RGB', 'G', 'GB', 'B']
    """
    if how == "all":
        return channels
    if how == "fixed":
        if fixed is None:
            raise ValueError("channel sampling 'fixed' needs a fixed subset")
        return channels.subset(fixed)
    if how == "hierarchical":
        size = int(torch.randint(1, len(channels) + 1, (), generator=generator))
        chosen = torch.randperm(len(channels), generator=generator)[:size].tolist()
        return ChannelSet(channels[i] for i in sorted(chosen))
    if how == "bernoulli":
        return _bernoulli(channels, probability, generator)
    raise ValueError(f"unknown channel sampling {how!r}; there are all, hierarchical, bernoulli, fixed")


def _bernoulli(channels: ChannelSet, probability: float, generator: torch.Generator) -> ChannelSet:
    if not 0.0 < probability <= 1.0:
        raise ValueError(f"the probability of a channel must be in (0, 1], not {probability!r}")
    while True:
        kept = (torch.rand(len(channels), generator=generator) < probability).tolist()
        if any(kept):
            return ChannelSet(channel for channel, keep in zip(channels, kept, strict=True) if keep)
