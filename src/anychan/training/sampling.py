"""Channel sampling: which channels a training batch sees.

Hierarchical sampling is that of ChannelViT (arXiv 2309.16108, section 3.2): every size is as likely as every
other, so that single channels and the full set are both seen often, however many channels there are. Diverse
sampling is after DiChaViT (Pham and Plummer, arXiv 2405.16419): channels that tell the same are seldom
drawn together; likeness is there that of learned embeddings, here the data's correlation, so that a batch depends on
its seed alone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection

import torch
from torch import Tensor

from anychan.channels import ChannelSet, ChannelsLike
from anychan.training.config import ChannelSampling


def sample_channels(
    channels: ChannelSet,
    how: ChannelSampling,
    generator: torch.Generator,
    *,
    probability: float = 0.5,
    fixed: ChannelsLike | None = None,
    correlation: Tensor | None = None,
    temperature: float = 0.1,
) -> ChannelSet:
    """Draw the channels of one batch, in the order of ``channels``.

    Args:
        channels: C channels to choose from.
        how: "all"; "hierarchical": a size uniform on 1..C, then channels uniform among the subsets of that size;
            "bernoulli": each channel with ``probability``, drawn again where none is left; "diverse": a size as in
            "hierarchical", a first channel at random, and others the sooner the less they correlate with it;
            "fixed": ``fixed``.
        generator: on the CPU; the same state gives the same channels.
        probability: in (0, 1], for "bernoulli".
        fixed: the subset that "fixed" gives, in its own order.
        correlation: (C, C), for "diverse".
        temperature: above 0, for "diverse": chances are softmax(-|correlation| / temperature).

    Raises:
        ValueError: for an unknown ``how``, a probability or temperature outside its range, "fixed" without its
            subset, or "diverse" without a correlation of the right shape.

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
    if how == "bernoulli":
        return _bernoulli(channels, probability, generator)
    if how not in ("hierarchical", "diverse"):
        raise ValueError(f"unknown channel sampling {how!r}; there are all, hierarchical, bernoulli, diverse, fixed")
    size = int(torch.randint(1, len(channels) + 1, (), generator=generator))
    if how == "hierarchical":
        return _of_size(channels, size, generator)
    return _diverse(channels, size, correlation, temperature, generator)


def sample_smaller(
    channels: ChannelSet, count: int, generator: torch.Generator, unseen: Collection[frozenset[str]] = ()
) -> list[ChannelSet]:
    """Draw the subsets of a sandwich step: one channel alone, and others of different sizes below the full one.

    Args:
        channels: C channels, at least 2.
        count: how many subsets, at least 1; with one, its size is uniform on 1..C-1. Sizes repeat only where there
            are fewer of them than ``count``, and subsets only where there are fewer than that below the full one.
        generator: on the CPU; the same state gives the same subsets.
        unseen: the names of subsets, of these channels and below the full one, that are drawn again. A size that has no
            others is as if it were not there.

    Raises:
        ValueError: for fewer than two channels, a count below 1, or nothing left to draw.

    Source: the sandwich rule, arXiv 1903.05134 (the smallest, the largest, and random ones between).

    Example:
        >>> rgb = ChannelSet.parse("RGB")
        >>> [str(subset) for subset in sample_smaller(rgb, 2, torch.Generator().manual_seed(0))]
        ['R', 'RB']
    """
    if len(channels) < 2 or count < 1:
        raise ValueError(f"{count} smaller subsets of {channels}: there must be 2 channels and 1 subset at least")
    unseen_of = Counter(map(len, unseen))
    there = [size for size in range(1, len(channels)) if math.comb(len(channels), size) > unseen_of[size]]
    if not there:
        raise ValueError(f"every subset below {channels} is unseen, so that none is left to draw")
    sizes: list[int] = [1] if count > 1 and 1 in there else []
    while len(sizes) < count:
        unused = [size for size in there if size not in sizes] or there
        sizes.append(unused[int(torch.randint(len(unused), (), generator=generator))])
    drawn: list[ChannelSet] = []
    enough = 2 ** len(channels) - 2 - len(unseen)
    for size in sizes:
        while (subset := _seen(channels, size, generator, unseen)) in drawn and count <= enough:
            size = there[int(torch.randint(len(there), (), generator=generator))]  # noqa: PLW2901 # this one is full
        drawn.append(subset)
    return drawn


def _seen(
    channels: ChannelSet, size: int, generator: torch.Generator, unseen: Collection[frozenset[str]]
) -> ChannelSet:
    while frozenset((subset := _of_size(channels, size, generator)).names) in unseen:
        pass
    return subset


def _of_size(channels: ChannelSet, size: int, generator: torch.Generator) -> ChannelSet:
    chosen = torch.randperm(len(channels), generator=generator)[:size].tolist()
    return ChannelSet(channels[i] for i in sorted(chosen))


def _diverse(
    channels: ChannelSet, size: int, correlation: Tensor | None, temperature: float, generator: torch.Generator
) -> ChannelSet:
    if correlation is None or correlation.shape != (len(channels), len(channels)):
        shape = None if correlation is None else tuple(correlation.shape)
        raise ValueError(f"diverse sampling needs a correlation of {len(channels)} channels, not {shape}")
    if not temperature > 0:
        raise ValueError(f"the temperature of diverse sampling must be above 0, not {temperature!r}")
    first = int(torch.randint(len(channels), (), generator=generator))
    others = [i for i in range(len(channels)) if i != first]
    chances = (-correlation[first, others].abs().double() / temperature).softmax(dim=0)
    drawn = torch.multinomial(chances, size - 1, generator=generator).tolist() if size > 1 else []
    return ChannelSet(channels[i] for i in sorted([first, *(others[i] for i in drawn)]))


def _bernoulli(channels: ChannelSet, probability: float, generator: torch.Generator) -> ChannelSet:
    if not 0.0 < probability <= 1.0:
        raise ValueError(f"the probability of a channel must be in (0, 1], not {probability!r}")
    while True:
        kept = (torch.rand(len(channels), generator=generator) < probability).tolist()
        if any(kept):
            return ChannelSet(channel for channel, keep in zip(channels, kept, strict=True) if keep)
